package bochs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/govmm/govmm/block"
)

// Options say how to open an image.
type Options struct {
	// ReadOnly changes nothing in the store.
	ReadOnly bool

	// Fixed is a store that the image cannot make longer, such as a block device
	// or an export.
	Fixed bool

	// Log takes what is worth knowing and is no error. Nil discards it.
	Log *slog.Logger
}

// Image is the disk in a growing image.
type Image struct {
	geometry
	below    block.Layer
	readOnly bool
	fixed    bool
	header   header

	size    atomic.Int64
	extents atomic.Int64    // that the store has room for
	catalog []atomic.Uint32 // numbers of extents
	bitmaps *bitmaps

	// stripes are held while sectors are written for the first time: those of the
	// stretch n have the stripe n modulo their number.
	stripes [64]sync.Mutex

	// meta is held for changes of the catalog, the bitmaps and the store's
	// length, and never while data is read or written. It is taken after a stripe.
	meta  sync.Mutex
	next  uint32         // the first extent that is not in use
	clean int64          // from this offset on the store has nothing but zeroes
	grown bool           // the store is longer than it has to be
	dirty map[int64]bool // sectors of the catalog that the store has not

	scratch sync.Pool // of *scratch

	closeOnce sync.Once
	closeErr  error
}

var (
	_ block.Layer     = (*Image)(nil)
	_ block.Resizer   = (*Image)(nil)
	_ block.Mapper    = (*Image)(nil)
	_ block.TryReader = (*Image)(nil)
	_ block.Briefer   = (*Image)(nil)
	_ block.Shaper    = (*Image)(nil)
)

// Open opens the image in a store, which belongs to the image from then on: its
// Close closes it. After an error the store is still the caller's. The context is
// only for the opening.
func Open(ctx context.Context, below block.Layer, o Options) (*Image, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h, g, err := readHeader(below)
	if err != nil {
		return nil, err
	}
	d := &Image{
		geometry: g, below: below, readOnly: o.ReadOnly || below.ReadOnly(), fixed: o.Fixed, header: h,
		clean: below.Size(), dirty: make(map[int64]bool), scratch: sync.Pool{New: func() any { return new(scratch) }},
	}
	d.size.Store(int64(h.size))
	d.extents.Store(g.fits(below.Size()))
	d.bitmaps = newBitmaps(below, &g, g.maxSize())
	if d.catalog, err = readCatalog(below, &g); err != nil {
		return nil, err
	}
	r := inspect(d.catalog, d.extents.Load())
	d.next = r.end
	if !d.readOnly && !r.Sound() {
		return nil, fmt.Errorf("%w: %v; it can be opened read-only and copied", ErrCorrupt, r)
	}
	return d, nil
}

func readCatalog(below block.Layer, g *geometry) ([]atomic.Uint32, error) {
	p := make([]byte, g.entries*entrySize)
	if err := below.ReadVec([][]byte{p}, g.table); err != nil {
		return nil, fmt.Errorf("catalog of a growing image: %w", err)
	}
	catalog := make([]atomic.Uint32, g.entries)
	for i := range catalog {
		catalog[i].Store(binary.LittleEndian.Uint32(p[i*entrySize:]))
	}
	return catalog, nil
}

// Size implements [block.Layer].
func (d *Image) Size() int64 { return d.size.Load() }

// ReadOnly implements [block.Layer].
func (d *Image) ReadOnly() bool { return d.readOnly }

// Brief implements [block.Briefer].
func (d *Image) Brief() bool {
	b, ok := d.below.(block.Briefer)
	return ok && b.Brief()
}

// Topology implements [block.Shaper].
func (d *Image) Topology() block.Topology {
	if s, ok := d.below.(block.Shaper); ok {
		return s.Topology()
	}
	return block.Topology{LogicalBlockSize: sectorSize, PhysicalBlockSize: sectorSize}
}

// Flush implements [block.Layer].
func (d *Image) Flush() error {
	if d.readOnly {
		return nil
	}
	d.meta.Lock()
	err := d.writeBack()
	d.meta.Unlock()
	if err != nil {
		return err
	}
	return d.below.Flush()
}

// writeBack writes the bitmaps and the catalog, each after what it tells of is
// durable.
func (d *Image) writeBack() error {
	if len(d.bitmaps.dirty) > 0 {
		if err := d.below.Flush(); err != nil {
			return err
		}
		if err := d.bitmaps.writeBack(); err != nil {
			return err
		}
	}
	if len(d.dirty) == 0 {
		return nil
	}
	if err := d.below.Flush(); err != nil {
		return err
	}
	var p [sectorSize]byte
	for sector := range d.dirty {
		first := sector * sectorSize / entrySize
		entries := d.catalog[first:min(first+sectorSize/entrySize, d.entries)]
		for i := range entries {
			binary.LittleEndian.PutUint32(p[i*entrySize:], entries[i].Load())
		}
		if err := d.below.WriteVec([][]byte{p[:len(entries)*entrySize]}, d.table+sector*sectorSize); err != nil {
			return err
		}
		delete(d.dirty, sector)
	}
	return nil
}

// Resize implements [block.Resizer]. An image can only grow, to what its catalog
// is for.
func (d *Image) Resize(size int64) error {
	old := d.size.Load()
	switch {
	case d.readOnly:
		return block.ErrReadOnly
	case size < old:
		return fmt.Errorf("a growing image cannot be made smaller than its %d bytes: %w", old, errors.ErrUnsupported)
	case size%sectorSize != 0 || size > d.maxSize():
		return fmt.Errorf("%d bytes are no size of this growing image, which has a multiple of %d, at most %d", size, sectorSize, d.maxSize())
	}
	// What there was beyond the end must not come to light.
	if err := d.zero(old, size, false); err != nil {
		return err
	}
	if err := d.Flush(); err != nil {
		return err
	}
	d.meta.Lock()
	defer d.meta.Unlock()
	p := binary.LittleEndian.AppendUint64(nil, uint64(size))
	if err := d.below.WriteVec([][]byte{p}, d.header.sizeOffset()); err != nil {
		return err
	}
	d.size.Store(size)
	return nil
}

// Close implements [block.Layer].
func (d *Image) Close() error {
	d.closeOnce.Do(func() { d.closeErr = errors.Join(d.finish(), d.below.Close()) })
	return d.closeErr
}

// finish leaves the store as a whole image.
func (d *Image) finish() error {
	d.meta.Lock()
	defer d.meta.Unlock()
	if d.readOnly {
		return nil
	}
	if err := d.writeBack(); err != nil {
		return err
	}
	r, ok := d.below.(block.Resizer)
	if !ok || !d.grown {
		return nil
	}
	return r.Resize(d.place(d.next))
}
