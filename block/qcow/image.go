package qcow

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/crypt"
)

// Options say how to open an image.
type Options struct {
	// Passphrase is that of an encrypted image, nil for one that is not. There is
	// no telling whether it is right.
	Passphrase []byte

	// Backing opens the backing file, read-only, by the name that the image has
	// for it. Its format is not recorded. With nil an image that has one is
	// refused.
	Backing func(ctx context.Context, name string) (block.Layer, error)
}

// Image is the disk in a qcow image. It is read-only.
type Image struct {
	geometry
	below   block.Layer
	backing block.Layer   // nil if there is none
	cipher  *crypt.Cipher // nil if it is not encrypted
	tables  *tables
	packed  *packed

	scratch sync.Pool // of *scratch

	closeOnce sync.Once
	closeErr  error
}

var (
	_ block.Layer     = (*Image)(nil)
	_ block.Mapper    = (*Image)(nil)
	_ block.TryReader = (*Image)(nil)
	_ block.Briefer   = (*Image)(nil)
	_ block.Shaper    = (*Image)(nil)
)

// Open opens the image in a store, which belongs to the image from then on: its
// Close closes it. After an error the store is still the caller's. The context is
// only for the opening.
func Open(ctx context.Context, below block.Layer, o Options) (*Image, error) {
	h, g, err := readHeader(below)
	if err != nil {
		return nil, err
	}
	d := &Image{geometry: g, below: below, tables: newTables(below, g.end), packed: newPacked()}
	d.scratch.New = func() any { return new(scratch) }
	switch encrypted := h.crypt == cryptAES; {
	case encrypted && o.Passphrase == nil:
		return nil, fmt.Errorf("%w: the image is encrypted, and needs a passphrase", ErrEncrypted)
	case !encrypted && o.Passphrase != nil:
		return nil, fmt.Errorf("%w: the image is not encrypted, and there is a passphrase for it", ErrEncrypted)
	case encrypted:
		if d.cipher, err = crypt.Legacy(o.Passphrase); err != nil {
			return nil, err
		}
	}
	name, err := h.backingName(below, &g)
	switch {
	case err != nil:
		return nil, err
	case name == "":
		return d, nil
	case o.Backing == nil:
		return nil, fmt.Errorf("a backing file, %q, is not possible here", name)
	}
	if d.backing, err = o.Backing(ctx, name); err != nil {
		return nil, fmt.Errorf("backing file: %w", err)
	}
	return d, nil
}

// Size implements [block.Layer].
func (d *Image) Size() int64 { return d.size }

// ReadOnly implements [block.Layer].
func (d *Image) ReadOnly() bool { return true }

// ClusterSize is in bytes.
func (d *Image) ClusterSize() int64 { return d.cluster }

// Brief implements [block.Briefer].
func (d *Image) Brief() bool {
	b, ok := d.below.(block.Briefer)
	return ok && b.Brief()
}

// Topology implements [block.Shaper].
func (d *Image) Topology() block.Topology {
	t := block.Topology{LogicalBlockSize: block.SectorSize, PhysicalBlockSize: block.SectorSize}
	if s, ok := d.below.(block.Shaper); ok {
		t = s.Topology()
	}
	t.DiscardGranularity = 0
	return t
}

// WriteVec implements [block.Layer].
func (d *Image) WriteVec([][]byte, int64) error { return block.ErrReadOnly }

// WriteZeroes implements [block.Layer].
func (d *Image) WriteZeroes(int64, int64, bool) error { return block.ErrReadOnly }

// Discard implements [block.Layer].
func (d *Image) Discard(int64, int64) error { return block.ErrReadOnly }

// Flush implements [block.Layer].
func (d *Image) Flush() error { return nil }

// Close implements [block.Layer].
func (d *Image) Close() error {
	d.closeOnce.Do(func() {
		if d.backing != nil {
			d.closeErr = d.backing.Close()
		}
		d.closeErr = errors.Join(d.closeErr, d.below.Close())
	})
	return d.closeErr
}
