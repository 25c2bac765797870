package qed

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
	// ReadOnly changes nothing in the store, also not to repair it.
	ReadOnly bool

	// Fixed is a store whose end does not tell where the image ends, such as a
	// block device or an export. The opening then looks through all tables, if
	// it is for writing.
	Fixed bool

	// Backing opens the backing file, read-only, by the name that the image has
	// for it; its content is raw. With nil an image that has one is refused.
	Backing func(ctx context.Context, name string) (block.Layer, error)

	// Log takes what is worth knowing and is no error. Nil discards it.
	Log *slog.Logger
}

// Image is the disk in a QED image.
type Image struct {
	geometry
	below    block.Layer
	backing  block.Layer // nil if there is none
	tables   *tables
	readOnly bool
	fixed    bool
	log      *slog.Logger

	size atomic.Int64
	end  atomic.Int64 // of the clusters in use; the store may be longer

	// stripes are held while a cluster is allocated and filled: that with the
	// number n has the stripe n modulo their number.
	stripes [64]sync.Mutex

	// meta is held for changes of the tables, the header and the store's length,
	// and never while data is read or written. It is taken after a stripe.
	meta     sync.Mutex
	features uint64
	spare    []int64 // clusters that were allocated for writes that failed

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
// Close closes it. After an error the store is still the caller's. An image that
// was not closed is checked and repaired first, if it is opened for writing. The
// context is only for the opening.
func Open(ctx context.Context, below block.Layer, o Options) (_ *Image, err error) {
	h, g, err := readHeader(below)
	if err != nil {
		return nil, err
	}
	d := &Image{
		geometry: g, below: below, readOnly: o.ReadOnly || below.ReadOnly(), fixed: o.Fixed, log: o.Log, features: h.features,
		scratch: sync.Pool{New: func() any { return new(scratch) }},
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	d.size.Store(int64(h.imageSize))
	d.end.Store(g.roundDown(below.Size()))
	d.tables = newTables(below, g.cachePages(int64(h.imageSize)))
	if d.backing, err = openBacking(ctx, &h, below, &g, o.Backing); err != nil {
		return nil, err
	}
	if !d.readOnly {
		err = d.prepare(ctx, &h)
	} else if h.features&featureNeedCheck != 0 {
		d.log.Warn("this QED image was not closed after its last change, and is opened read-only: it is not repaired")
	}
	if err != nil && d.backing != nil {
		err = errors.Join(err, d.backing.Close())
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// readHeader reads and checks the header.
func readHeader(below block.Layer) (header, geometry, error) {
	var h header
	var p [headerSize]byte
	if below.Size() < headerSize {
		return h, geometry{}, badHeader("it has %d bytes", below.Size())
	}
	if err := below.ReadVec([][]byte{p[:]}, 0); err != nil {
		return h, geometry{}, fmt.Errorf("QED header: %w", err)
	}
	if err := h.decode(&p); err != nil {
		return h, geometry{}, err
	}
	if unknown := h.features &^ featuresKnown; unknown != 0 {
		return h, geometry{}, fmt.Errorf("%w: QED features %#x", ErrUnsupported, unknown)
	}
	g, err := h.check(below.Size())
	return h, g, err
}

func openBacking(ctx context.Context, h *header, below block.Layer, g *geometry, open func(context.Context, string) (block.Layer, error)) (block.Layer, error) {
	name, err := h.backingName(below, g)
	if name == "" || err != nil {
		return nil, err
	}
	if h.features&featureBackingRaw == 0 {
		return nil, fmt.Errorf("%w: the backing file %q has no format, or one that the image does not record; "+
			"if it is raw, `qemu-img rebase -u -f qed -F raw -b %s` on the image says so", ErrUnsupported, name, name)
	}
	if open == nil {
		return nil, fmt.Errorf("%w: a backing file, %q, is not possible here", ErrUnsupported, name)
	}
	backing, err := open(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("backing file: %w", err)
	}
	return backing, nil
}

// prepare makes an image ready for writing.
func (d *Image) prepare(ctx context.Context, h *header) error {
	if h.features&featureNeedCheck != 0 || d.fixed {
		repair := h.features&featureNeedCheck != 0
		r, err := check(ctx, d.below, &d.geometry, repair)
		if err != nil {
			return err
		}
		if !r.Sound() {
			return fmt.Errorf("%w: %v; it can be opened read-only and copied", ErrCorrupt, r)
		}
		if repair {
			d.log.Warn("a QED image that was not closed has been repaired", "result", r.String())
		}
		d.end.Store(r.End)
	}
	if h.features&featureNeedCheck != 0 {
		if err := d.trim(); err != nil {
			return err
		}
		if err := d.setFeatures(h.features &^ featureNeedCheck); err != nil {
			return err
		}
	}
	if h.autoclear != 0 {
		return d.putHeader(offsetAutoclear, 0)
	}
	return nil
}

// cachePages is how many pages of tables the disk has, within the limits of the
// cache.
func (g *geometry) cachePages(size int64) int {
	l2 := size>>g.shift/pageEntries + 1
	l1 := size>>g.shift/g.entries/pageEntries + 1
	// Twice as many, as half of them may be dirty.
	return int(min(max(2*min(l1+l2, MaxCache/pageSize), minCachePages), MaxCache/pageSize))
}

// putHeader changes a 64-bit field of the header.
func (d *Image) putHeader(offset int64, value uint64) error {
	return d.below.WriteVec([][]byte{binary.LittleEndian.AppendUint64(nil, value)}, offset)
}

func (d *Image) setFeatures(f uint64) error {
	if err := d.putHeader(offsetFeatures, f); err != nil {
		return fmt.Errorf("QED header: %w", err)
	}
	d.features = f
	return nil
}

// trim cuts off what lies behind the clusters in use.
func (d *Image) trim() error {
	r, ok := d.below.(block.Resizer)
	if !ok || d.fixed || d.below.Size() == d.end.Load() {
		return nil
	}
	return r.Resize(d.end.Load())
}

// Size implements [block.Layer].
func (d *Image) Size() int64 { return d.size.Load() }

// ReadOnly implements [block.Layer].
func (d *Image) ReadOnly() bool { return d.readOnly }

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

// Flush implements [block.Layer].
func (d *Image) Flush() error {
	if d.readOnly {
		return nil
	}
	d.meta.Lock()
	err := d.tables.writeBack()
	d.meta.Unlock()
	if err != nil {
		return err
	}
	return d.below.Flush()
}

// Resize implements [block.Resizer]. An image can only grow.
func (d *Image) Resize(size int64) error {
	old := d.size.Load()
	switch {
	case d.readOnly:
		return block.ErrReadOnly
	case size < old:
		return fmt.Errorf("a QED image cannot be made smaller than its %d bytes: %w", old, errors.ErrUnsupported)
	case size%block.SectorSize != 0 || size > d.maxSize():
		return fmt.Errorf("%d bytes are no size of this QED image, which has a multiple of %d, at most %d", size, block.SectorSize, d.maxSize())
	}
	// What there was beyond the end, in the last cluster or the backing file,
	// must not come to light.
	hidden := min(size, d.roundDown(old+d.cluster-1))
	if d.backing != nil {
		hidden = max(hidden, min(size, d.backing.Size()))
	}
	if err := d.zero(old, hidden, false); err != nil {
		return err
	}
	if err := d.Flush(); err != nil {
		return err
	}
	d.meta.Lock()
	defer d.meta.Unlock()
	if err := d.putHeader(offsetSize, uint64(size)); err != nil {
		return err
	}
	d.size.Store(size)
	return nil
}

// Close implements [block.Layer].
func (d *Image) Close() error {
	d.closeOnce.Do(func() {
		err := d.finish()
		if d.backing != nil {
			err = errors.Join(err, d.backing.Close())
		}
		d.closeErr = errors.Join(err, d.below.Close())
	})
	return d.closeErr
}

// finish leaves the store as a whole image.
func (d *Image) finish() error {
	d.meta.Lock()
	defer d.meta.Unlock()
	if d.readOnly || d.features&featureNeedCheck == 0 {
		return nil
	}
	if err := d.tables.writeBack(); err != nil {
		return err
	}
	if err := d.trim(); err != nil {
		return err
	}
	return d.setFeatures(d.features &^ featureNeedCheck)
}
