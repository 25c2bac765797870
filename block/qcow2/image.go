package qcow2

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/govmm/govmm/block"
	"golang.org/x/sys/unix"
)

// Options say how to open an image.
type Options struct {
	// ReadOnly changes nothing in the store, also not to repair it.
	ReadOnly bool

	// Fixed is a store that does not grow, such as a block device or an export.
	// What the image does not use of it is not known to be zeroes.
	Fixed bool

	// Backing opens the backing file, read-only, by the name and the format that
	// the image has for it: raw, qcow2, qed or whatever else stands there. With
	// nil an image that has one is refused.
	Backing func(ctx context.Context, name, format string) (block.Layer, error)

	// Cache is how much to keep of the L2 tables, in bytes; 0 is enough for the
	// whole image, at most MaxCache.
	Cache int64

	// Log takes what is worth knowing and is no error. Nil discards it.
	Log *slog.Logger
}

// Image is the disk in a qcow2 image.
type Image struct {
	geometry
	below     block.Layer
	backing   block.Layer // nil if there is none
	readOnly  bool
	fixed     bool
	log       *slog.Logger
	header    *header // as it was at the opening
	snapshots []Snapshot

	size atomic.Int64
	end  atomic.Int64 // of the store, rounded up to clusters: no cluster lies beyond

	grace    grace   // of all requests
	flights  flights // clusters that are being changed other than in place
	tables   tables
	refs     refcounts
	reserved reserved
	inflater inflater
	packer   packer

	broken  atomic.Bool // see spoil
	changed atomic.Bool // the image has been marked as one that is being changed

	// flushing is held for a Flush and for changes of the header.
	flushing sync.Mutex
	begun    atomic.Uint64 // number of flushes that have begun
	done     atomic.Uint64 // the last of them that has succeeded
	features uint64        // incompatible ones, in the store

	zeroes  []byte    // zeroBytes of them
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
// is marked as dirty is checked and repaired first, if it is opened for writing.
// The context is only for the opening.
func Open(ctx context.Context, below block.Layer, o Options) (_ *Image, err error) {
	h, err := readHeader(below)
	if err != nil {
		return nil, err
	}
	d := &Image{
		geometry: newGeometry(h), below: below, readOnly: o.ReadOnly || below.ReadOnly(), fixed: o.Fixed, log: o.Log,
		header: h, features: h.incompatible, zeroes: make([]byte, zeroBytes),
		scratch: sync.Pool{New: func() any { return new(scratch) }},
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	d.inflater.kind, d.packer.kind = h.compression, h.compression
	if !d.readOnly {
		err = d.mend(ctx)
	} else if h.incompatible&(incompatDirty|incompatCorrupt) != 0 {
		d.log.Warn("this qcow2 image is marked as dirty or corrupt, and is opened read-only: it is not repaired")
	}
	if err != nil {
		return nil, err
	}
	if err := d.load(o.Cache); err != nil {
		return nil, err
	}
	if err := d.openBacking(ctx, o.Backing); err != nil {
		return nil, err
	}
	if !d.readOnly && h.autoclear != 0 {
		// Bitmaps among others would not know of what is written.
		if err := d.putHeader(atAutoclear, 0); err != nil {
			return nil, errors.Join(err, d.closeBacking())
		}
	}
	return d, nil
}

// mend repairs an image that was not closed.
func (d *Image) mend(ctx context.Context) error {
	if d.features&incompatCorrupt != 0 {
		return fmt.Errorf("%w: it is marked so; it can be opened read-only, or repaired with `qemu-img check -r all`", ErrCorrupt)
	}
	if d.features&incompatDirty == 0 {
		return nil
	}
	r, err := Check(ctx, d.below, RepairAll)
	if err != nil {
		return err
	}
	if !r.Sound() {
		return fmt.Errorf("%w: %v; it can be opened read-only and copied", ErrCorrupt, r)
	}
	d.log.Warn("a qcow2 image that was not closed has been repaired", "result", r.String())
	d.header, err = readHeader(d.below)
	if err == nil {
		d.features = d.header.incompatible
	}
	return err
}

// load reads the tables that are kept whole.
func (d *Image) load(cache int64) error {
	h := d.header
	d.size.Store(int64(h.size))
	d.end.Store(d.up(d.below.Size()))
	l1, err := readWords(d.below, int64(h.l1Offset), int64(h.l1Size))
	if err != nil {
		return fmt.Errorf("L1 table: %w", err)
	}
	d.tables.init(l1, int64(h.l1Offset), d.cacheTables(cache))
	var table span
	if d.snapshots, table, err = readSnapshots(d.below, h, &d.geometry); err != nil {
		return err
	}
	if d.readOnly {
		return nil
	}
	refs, err := readWords(d.below, int64(h.tableOffset), int64(h.tableClusters)<<d.bits/8)
	if err != nil {
		return fmt.Errorf("refcount table: %w", err)
	}
	d.refs.init(d, refs, int64(h.tableOffset))
	return d.reserve(table, l1, refs)
}

// cacheTables is how many L2 tables are kept.
func (d *Image) cacheTables(bytes int64) int {
	if bytes == 0 {
		bytes = min(d.clusters(d.size.Load())*8*int64(d.words)+d.cluster, MaxCache)
	}
	return int(max(bytes>>d.bits, minTables))
}

func (d *Image) openBacking(ctx context.Context, open func(context.Context, string, string) (block.Layer, error)) (err error) {
	name, format := d.header.backing, d.header.backingFormat
	switch {
	case name == "":
		return nil
	case format == "":
		return fmt.Errorf("%w: the image names the backing file %q and no format, which is never guessed; "+
			"if it is raw, `qemu-img rebase -u -f qcow2 -F raw -b %s` on the image says so", ErrBackingFormat, name, name)
	case open == nil:
		return fmt.Errorf("%w: a backing file, %q, is not possible here", ErrUnsupported, name)
	}
	if d.backing, err = open(ctx, name, format); err != nil {
		d.backing = nil
		return fmt.Errorf("backing file: %w", err)
	}
	return nil
}

func (d *Image) closeBacking() error {
	if d.backing == nil {
		return nil
	}
	return d.backing.Close()
}

// readWords reads a table of 64-bit words, all of which has to be in the store.
func readWords(below block.Layer, at, n int64) ([]uint64, error) {
	const chunk = 8192
	buf := make([]byte, 8*min(n, chunk))
	var words []uint64
	if n > 0 {
		if size := below.Size(); at > size || n*8 > size-at {
			return nil, badHeader("%d bytes at %#x, and the image ends at %#x", n*8, at, size)
		}
		words = make([]uint64, 0, n)
	}
	for int64(len(words)) < n {
		p := buf[:8*min(n-int64(len(words)), chunk)]
		if err := below.ReadVec([][]byte{p}, at+int64(len(words))*8); err != nil {
			return nil, err
		}
		words = appendWords(words, p)
	}
	return words, nil
}

func appendWords(words []uint64, p []byte) []uint64 {
	for ; len(p) > 0; p = p[8:] {
		words = append(words, binary.BigEndian.Uint64(p))
	}
	return words
}

func appendBytes(p []byte, words []uint64) []byte {
	for _, w := range words {
		p = binary.BigEndian.AppendUint64(p, w)
	}
	return p
}

// putHeader changes a 64-bit field of the header.
func (d *Image) putHeader(offset int64, value uint64) error {
	if err := d.below.WriteVec([][]byte{binary.BigEndian.AppendUint64(nil, value)}, offset); err != nil {
		return fmt.Errorf("qcow2 header: %w", err)
	}
	return nil
}

// setFeatures changes the incompatible features. The caller holds flushing.
func (d *Image) setFeatures(f uint64) error {
	if f == d.features || d.version < 3 {
		return nil
	}
	if err := d.putHeader(atIncompatible, f); err != nil {
		return err
	}
	d.features = f
	return nil
}

// lazy reports whether refcounts may lag behind, in an image that is marked as
// dirty.
func (d *Image) lazy() bool { return d.version >= 3 && d.header.compatible&compatLazyRefcounts != 0 }

// begin prepares the first change of the tables.
func (d *Image) begin() error {
	if d.changed.Load() || !d.lazy() {
		return nil
	}
	d.flushing.Lock()
	defer d.flushing.Unlock()
	if d.changed.Load() {
		return nil
	}
	if err := d.setFeatures(d.features | incompatDirty); err != nil {
		return err
	}
	if err := d.below.Flush(); err != nil {
		return err
	}
	d.changed.Store(true)
	return nil
}

// spoil keeps an image from further changes: the one that failed would have
// written over tables, or the tables make no sense. It returns err.
func (d *Image) spoil(err error) error {
	if !d.readOnly && !d.broken.Swap(true) {
		d.log.Error("a qcow2 image is corrupt, and can only be read from now on", "error", err)
	}
	return err
}

// markBroken sets the corrupt bit of an image that is broken. The caller holds no
// lock.
func (d *Image) markBroken() {
	d.flushing.Lock()
	defer d.flushing.Unlock()
	if err := d.setFeatures(d.features | incompatCorrupt); err != nil {
		d.log.Error("a qcow2 image cannot be marked as corrupt", "error", err)
	}
}

var errBroken = fmt.Errorf("%w, which was found out before: it can only be read: %w", ErrCorrupt, unix.EIO)

// Size implements [block.Layer].
func (d *Image) Size() int64 { return d.size.Load() }

// ReadOnly implements [block.Layer].
func (d *Image) ReadOnly() bool { return d.readOnly }

// ClusterSize is in bytes.
func (d *Image) ClusterSize() int64 { return d.cluster }

// Snapshots are the internal snapshots.
func (d *Image) Snapshots() []Snapshot { return d.snapshots }

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
	t.DiscardGranularity = int(d.cluster)
	return t
}

// Close implements [block.Layer].
func (d *Image) Close() error {
	d.closeOnce.Do(func() {
		err := d.finish()
		d.closeErr = errors.Join(err, d.closeBacking(), d.below.Close())
	})
	return d.closeErr
}
