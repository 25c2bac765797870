package qcow2

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/bits"

	"github.com/govmm/govmm/block"
)

// What CreateOptions have if they say nothing, as in qemu-img.
const (
	DefaultVersion      = 3
	DefaultClusterSize  = 64 << 10 // bytes
	DefaultRefcountBits = 16
)

// Preallocation is how much of a new image is there from the start.
type Preallocation uint8

// The kinds of Preallocation.
const (
	PreallocationOff      Preallocation = iota
	PreallocationMetadata               // the tables, which lead to clusters that are holes
)

// CreateOptions say what a new image is like.
type CreateOptions struct {
	// Size is that of the disk in bytes, a multiple of block.SectorSize.
	Size int64
	// Version is 2 or 3; 0 is DefaultVersion. Version 2 has none of the options
	// but Size, ClusterSize, Backing, BackingFormat and Preallocation.
	Version int
	// ClusterSize is a power of 2 from MinClusterSize to MaxClusterSize, in
	// bytes; 0 is DefaultClusterSize.
	ClusterSize int
	// RefcountBits is 1, 2, 4, 8, 16, 32 or 64; 0 is DefaultRefcountBits.
	RefcountBits int
	// LazyRefcounts lets the refcounts lag behind while the image is in use. It
	// is repaired when that was not ended in order.
	LazyRefcounts bool
	// ExtendedL2 divides a cluster into 32 subclusters, which need not be copied
	// when another one is written. Clusters have 16 KiB at least.
	ExtendedL2 bool
	// Compression is how compressed clusters will be.
	Compression Compression
	// Preallocation is what is there from the start.
	Preallocation Preallocation
	// Backing is the name of the backing file, empty for none. It is up to 1023
	// bytes long, and has to fit into a cluster with the header.
	Backing string
	// BackingFormat is the format of the backing file, which has to be given if
	// there is one: raw, qcow2 or qed.
	BackingFormat string
	// Fixed is as in Options, for preallocation.
	Fixed bool
}

// Limits of the format.
const (
	MinClusterSize = 1 << minClusterBits // bytes
	MaxClusterSize = 1 << maxClusterBits // bytes
)

// Create makes an image of a store, whose content is lost. It is durable
// afterwards.
func Create(ctx context.Context, below block.Layer, o CreateOptions) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	h, err := o.header()
	if err != nil {
		return err
	}
	first, err := o.firstCluster(h)
	if err != nil {
		return err
	}
	g := newGeometry(h)
	l1 := g.clusters(int64(h.l1Size) * 8)
	tables, blocks := g.layFirst(1 + l1)
	if tables<<g.bits > maxRefcountTable {
		return fmt.Errorf("a qcow2 image with a disk of %d bytes in clusters of %d needs too large tables", o.Size, g.cluster)
	}
	used := 1 + tables + blocks + l1
	h.tableOffset, h.tableClusters = uint64(g.cluster), uint32(tables)
	h.l1Offset = uint64((1 + tables + blocks) << g.bits)
	if err := empty(below, used<<g.bits); err != nil {
		return err
	}
	counts := make([]byte, blocks<<g.bits)
	for i := range used {
		setCount(counts, i, g.order, 1)
	}
	var table []uint64
	for i := range blocks {
		table = append(table, uint64((1+tables+i)<<g.bits))
	}
	if err := below.WriteVec([][]byte{appendBytes(nil, table)}, g.cluster); err != nil {
		return err
	}
	if err := below.WriteVec([][]byte{counts}, (1+tables)<<g.bits); err != nil {
		return err
	}
	// The header comes last: what is there before is no image.
	if err := below.Flush(); err != nil {
		return err
	}
	h.encode(first)
	if err := below.WriteVec([][]byte{first}, 0); err != nil {
		return err
	}
	if o.Preallocation == PreallocationMetadata {
		if err := preallocate(ctx, below, o.Fixed); err != nil {
			return err
		}
	}
	return below.Flush()
}

// layFirst says how many clusters the refcount table of an image has, and how many
// blocks count them, themselves and others, from the first of the image on.
func (g *geometry) layFirst(others int64) (tables, blocks int64) {
	for {
		tables = g.clusters(max(blocks, 1) * 8)
		need := g.blocksFor(tables + others)
		if need <= blocks {
			return tables, blocks
		}
		blocks = need
	}
}

// header makes the header, without the places of the tables, and checks the
// options.
func (o *CreateOptions) header() (*header, error) {
	o.Version = cmp.Or(o.Version, DefaultVersion)
	o.ClusterSize, o.RefcountBits = cmp.Or(o.ClusterSize, DefaultClusterSize), cmp.Or(o.RefcountBits, DefaultRefcountBits)
	switch {
	case o.Version != 2 && o.Version != 3:
		return nil, fmt.Errorf("version %d of qcow2; there are 2 and 3", o.Version)
	case o.ClusterSize < MinClusterSize || o.ClusterSize > MaxClusterSize || bits.OnesCount(uint(o.ClusterSize)) != 1:
		return nil, fmt.Errorf("clusters of %d bytes; they have a power of 2 from %d to %d", o.ClusterSize, MinClusterSize, MaxClusterSize)
	case o.RefcountBits < 1 || o.RefcountBits > 64 || bits.OnesCount(uint(o.RefcountBits)) != 1:
		return nil, fmt.Errorf("refcounts of %d bits; they have 1, 2, 4, 8, 16, 32 or 64", o.RefcountBits)
	case o.Version == 2 && (o.RefcountBits != DefaultRefcountBits || o.LazyRefcounts || o.ExtendedL2 || o.Compression != Zlib):
		return nil, errors.New("refcounts of other than 16 bits, lazy refcounts, extended L2 entries and other compression than zlib need version 3 of qcow2")
	case o.Compression > Zstd:
		return nil, fmt.Errorf("%v; there are zlib and zstd", o.Compression)
	case o.ExtendedL2 && o.ClusterSize < 1<<minExtendedBits:
		return nil, fmt.Errorf("clusters of %d bytes; with extended L2 entries they have %d at least", o.ClusterSize, 1<<minExtendedBits)
	case o.Size < 0 || o.Size%block.SectorSize != 0:
		return nil, fmt.Errorf("%d bytes are no size of a disk, which is a multiple of %d", o.Size, block.SectorSize)
	case (o.Backing == "") != (o.BackingFormat == ""):
		return nil, fmt.Errorf("%w: a backing file, %q, and its format, %q, go together", ErrBackingFormat, o.Backing, o.BackingFormat)
	case len(o.Backing) > maxBackingName || len(o.BackingFormat) > maxFormatName:
		return nil, fmt.Errorf("the name of the backing file has %d bytes; the most is %d", len(o.Backing), maxBackingName)
	case o.Backing != "" && o.Preallocation != PreallocationOff:
		return nil, errors.New("an image with a backing file cannot be preallocated, as that would hide it")
	}
	h := &header{
		version: uint32(o.Version), clusterBits: uint32(bits.TrailingZeros(uint(o.ClusterSize))), size: uint64(o.Size),
		refcountOrder: uint32(bits.TrailingZeros(uint(o.RefcountBits))), length: headerLength, compression: o.Compression,
	}
	if o.Version == 2 {
		h.length = headerLength2
	}
	if o.LazyRefcounts {
		h.compatible |= compatLazyRefcounts
	}
	if o.ExtendedL2 {
		h.incompatible |= incompatExtendedL2
	}
	if o.Compression != Zlib {
		h.incompatible |= incompatCompression
	}
	g := newGeometry(h)
	entries := (o.Size + 1<<g.span() - 1) >> g.span()
	if entries*8 > maxL1 {
		return nil, fmt.Errorf("a disk of %d bytes; with clusters of %d the most is %d", o.Size, g.cluster, int64(maxL1/8)<<g.span())
	}
	h.l1Size = uint32(entries)
	return h, nil
}

// firstCluster makes the first cluster but for the header: the extensions and the
// name of the backing file.
func (o *CreateOptions) firstCluster(h *header) ([]byte, error) {
	rest := func(names bool) []byte {
		p := make([]byte, h.length)
		if o.BackingFormat != "" {
			p = appendExtension(p, extBackingFormat, []byte(o.BackingFormat))
		}
		if names && h.version >= 3 {
			p = appendExtension(p, extFeatureNames, featureNames())
		}
		return appendExtension(p, extEnd, nil)
	}
	p := rest(true)
	if len(p)+len(o.Backing) > o.ClusterSize {
		p = rest(false) // the names of features are for people
	}
	if len(p)+len(o.Backing) > o.ClusterSize {
		return nil, fmt.Errorf("the name of the backing file has %d bytes, and the first cluster has only room for %d", len(o.Backing), o.ClusterSize-len(p))
	}
	if o.Backing != "" {
		h.backingOffset, h.backingSize = uint64(len(p)), uint32(len(o.Backing))
	}
	return append(p, o.Backing...), nil
}

// empty makes the first length bytes of a store zeroes, and the store as long as
// that if it can be.
func empty(below block.Layer, length int64) error {
	r, ok := below.(block.Resizer)
	if !ok {
		return below.WriteZeroes(0, length, true)
	}
	// A file that is empty already is not cut: ext4 writes what comes after that to
	// the disk when the file is closed.
	if below.Size() > 0 {
		if err := r.Resize(0); err != nil {
			return err
		}
	}
	if err := r.Resize(length); err != nil {
		return err
	}
	return below.WriteZeroes(0, length, true) // on a device, which keeps its content
}

// preallocate gives every cluster of the disk its place. Those that are not known
// to be zeroes are marked as such, or written in version 2.
func preallocate(ctx context.Context, below block.Layer, fixed bool) (err error) {
	d, err := Open(ctx, keptOpen{below}, Options{Fixed: fixed})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	for pos, size := int64(0), d.Size(); pos < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(d.spanEnd(pos), d.up(size)) - pos
		to, got, err := d.refs.take(d.clusters(n))
		if err != nil {
			return err
		}
		if !to.clean && d.version < 3 {
			if err := below.WriteZeroes(to.at, to.length, false); err != nil {
				return err
			}
		}
		host := to.at
		if err := d.edit(pos, pos+got<<d.bits, func(e entry, _ uint32) entry {
			e = entry{host: host, owned: true, alloc: d.full}
			if !to.clean && d.version >= 3 {
				e.alloc, e.zero = 0, d.full
			}
			host += d.cluster
			return e
		}); err != nil {
			return err
		}
		pos += got << d.bits
		if d.tables.crowded() {
			if err := d.Flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// keptOpen is a store that the image above does not close, with the abilities that
// matter to it.
type keptOpen struct{ block.Layer }

func (keptOpen) Close() error { return nil }

// Resize implements [block.Resizer].
func (k keptOpen) Resize(size int64) error {
	if r, ok := k.Layer.(block.Resizer); ok {
		return r.Resize(size)
	}
	return fmt.Errorf("the store cannot grow: %w", errors.ErrUnsupported)
}
