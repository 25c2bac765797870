package qcow2

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/govmm/govmm/block"
	"golang.org/x/sys/unix"
)

const (
	// blockBytes is how much is kept of the refcount blocks, in bytes.
	blockBytes = 4 << 20
	minBlocks  = 8

	// growth is by how much the store is made longer at a time, in bytes. What
	// is not used in the end is cut off.
	growth = 16 << 20
)

// refblock is a refcount block in memory.
type refblock struct {
	index    int64 // of its entry in the refcount table
	at       int64 // in the container
	counts   []byte
	from, to int  // the bytes that the container does not have yet
	linked   bool // the refcount table in the container points to it
}

// refcounts count the references to each cluster of the container, and so are what
// is asked for free ones.
type refcounts struct {
	d *Image

	mu       sync.Mutex
	table    []uint64 // offsets of refcount blocks
	tableAt  int64
	blocks   map[int64]*refblock
	max      int   // of blocks
	free     int64 // no cluster before this one is free
	fresh    int64 // from here on, in bytes, the store is zeroes
	original int64 // size of the store when it was opened, in bytes
}

func (r *refcounts) init(d *Image, table []uint64, at int64) {
	*r = refcounts{d: d, table: table, tableAt: at, blocks: make(map[int64]*refblock), max: int(max(blockBytes>>d.bits, minBlocks))}
	r.original = d.below.Size()
	r.fresh = d.up(r.original)
}

// count is entry i of a refcount block with entries of 1<<order bits: big-endian,
// and the first in the lowest bits of a byte.
func count(p []byte, i int64, order uint) uint64 {
	switch order {
	case 3:
		return uint64(p[i])
	case 4:
		return uint64(binary.BigEndian.Uint16(p[2*i:]))
	case 5:
		return uint64(binary.BigEndian.Uint32(p[4*i:]))
	case 6:
		return binary.BigEndian.Uint64(p[8*i:])
	}
	bit := i << order
	return uint64(p[bit/8]>>(bit%8)) & (1<<(1<<order) - 1)
}

// setCount changes entry i of a refcount block.
func setCount(p []byte, i int64, order uint, v uint64) {
	switch order {
	case 3:
		p[i] = byte(v)
	case 4:
		binary.BigEndian.PutUint16(p[2*i:], uint16(v))
	case 5:
		binary.BigEndian.PutUint32(p[4*i:], uint32(v))
	case 6:
		binary.BigEndian.PutUint64(p[8*i:], v)
	default:
		bit := i << order
		mask := byte(1<<(1<<order)-1) << (bit % 8)
		p[bit/8] = p[bit/8]&^mask | byte(v)<<(bit%8)
	}
}

// maxCount is the most that a refcount can be.
func (g *geometry) maxCount() uint64 { return 1<<(1<<g.order-1)<<1 - 1 }

// block returns a refcount block, nil if there is none. The caller holds the lock,
// as with what follows.
func (r *refcounts) block(index int64) (*refblock, error) {
	if b := r.blocks[index]; b != nil {
		return b, nil
	}
	if index >= int64(len(r.table)) || r.table[index] == 0 {
		return nil, nil
	}
	at := int64(r.table[index])
	if !r.d.inside(at, r.d.cluster) {
		return nil, r.d.spoil(corrupt("entry %d of the refcount table, %#x, is no cluster of the image", index, at))
	}
	if err := r.makeRoom(); err != nil {
		return nil, err
	}
	b := &refblock{index: index, at: at, counts: make([]byte, r.d.cluster), linked: true}
	if err := r.d.readBelow([][]byte{b.counts}, r.d.cluster, at); err != nil {
		return nil, err
	}
	r.blocks[index] = b
	return b, nil
}

// makeRoom drops a block if there are too many.
func (r *refcounts) makeRoom() error {
	for len(r.blocks) >= r.max {
		for i, b := range r.blocks {
			if b.to == 0 {
				delete(r.blocks, i)
				return nil
			}
		}
		// A refcount may be written before what refers to the cluster, and one
		// that has shrunk was not changed before nothing did.
		if err := r.writeBack(); err != nil {
			return err
		}
	}
	return nil
}

func (b *refblock) mark(from, to int) {
	if b.to == 0 {
		b.from = from
	}
	b.from, b.to = min(b.from, from), max(b.to, to)
}

// set changes the count of a cluster by its number within the block.
func (r *refcounts) set(b *refblock, i int64, v uint64) {
	setCount(b.counts, i, r.d.order, v)
	first := int(i << r.d.order / 8)
	b.mark(first, first+max(1, 1<<r.d.order/8))
}

// newBlock makes the block with an index, in the first of the clusters that it
// counts: all of them are free.
func (r *refcounts) newBlock(index int64) (*refblock, error) {
	if index >= maxHost>>r.d.bits/r.d.refsPerBlock() {
		return nil, fmt.Errorf("the image cannot grow beyond %d bytes: %w", int64(maxHost), unix.EFBIG)
	}
	if index >= int64(len(r.table)) {
		if err := r.growTable(index); err != nil {
			return nil, err
		}
		if b, err := r.block(index); b != nil || err != nil {
			return b, err
		}
	}
	at := index * r.d.refsPerBlock() << r.d.bits
	if err := r.claim(at, 1); err != nil {
		return nil, err
	}
	if err := r.makeRoom(); err != nil {
		return nil, err
	}
	b := &refblock{index: index, at: at, counts: make([]byte, r.d.cluster)}
	b.mark(0, len(b.counts))
	r.set(b, 0, 1)
	r.blocks[index], r.table[index] = b, uint64(at)
	r.fresh = max(r.fresh, at+r.d.cluster)
	r.d.reserved.add(at)
	return b, nil
}

// claim prepares n clusters for their use: the store has them, and they are none
// of the tables.
func (r *refcounts) claim(at, n int64) error {
	if r.d.reserved.overlaps(at, n<<r.d.bits, &r.d.geometry) {
		return r.d.spoil(corrupt("the cluster at %#x is in use by a table and counted as free", at))
	}
	return r.reach(at + n<<r.d.bits)
}

// reach makes the store as long as end at least, and the clusters up to there used.
func (r *refcounts) reach(end int64) error {
	d := r.d
	if size := d.below.Size(); end > size {
		resizer, ok := d.below.(block.Resizer)
		if !ok || d.fixed {
			return fmt.Errorf("the image has no room to grow: %w", unix.ENOSPC)
		}
		if err := resizer.Resize(d.up(max(end, size+growth))); err != nil {
			if err := resizer.Resize(d.up(end)); err != nil {
				return err
			}
		}
		d.end.Store(d.up(d.below.Size()))
	}
	return nil
}

// run is a stretch of clusters, in bytes. It is clean if it reads as zeroes.
type run struct {
	at, length int64
	clean      bool
}

// take counts a run of free clusters: as many as can be had up to n, at least one.
// It returns how many.
func (r *refcounts) take(n int64) (c run, got int64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first, err := r.nextFree(r.free)
	if err != nil {
		return c, 0, err
	}
	r.free = first
	if got, err = r.freeFrom(first, n); err != nil {
		return c, 0, err
	}
	c.at, c.length = first<<r.d.bits, got<<r.d.bits
	if err := r.claim(c.at, got); err != nil {
		return run{}, 0, err
	}
	for i := range got {
		b, err := r.block((first + i) / r.d.refsPerBlock())
		if err != nil {
			r.uncount(first, i)
			return run{}, 0, err
		}
		r.set(b, (first+i)%r.d.refsPerBlock(), 1)
	}
	r.free = first + got
	if c.at >= r.fresh && !r.d.fixed {
		c.clean = true
	}
	r.fresh = max(r.fresh, c.at+c.length)
	return c, got, nil
}

// uncount makes n clusters free that were counted a moment ago.
func (r *refcounts) uncount(first, n int64) {
	for i := first; i < first+n; i++ {
		if b := r.blocks[i/r.d.refsPerBlock()]; b != nil {
			r.set(b, i%r.d.refsPerBlock(), 0)
		}
	}
}

// nextFree is the first free cluster from number i on. Blocks that there are not
// are made.
func (r *refcounts) nextFree(i int64) (int64, error) {
	per := r.d.refsPerBlock()
	for {
		b, err := r.block(i / per)
		if b == nil && err == nil {
			b, err = r.newBlock(i / per)
		}
		if err != nil {
			return 0, err
		}
		for k := i % per; k < per; k++ {
			if count(b.counts, k, r.d.order) == 0 {
				return i - i%per + k, nil
			}
		}
		i = (i/per + 1) * per
	}
}

// freeFrom is how many clusters from number first on are free, up to n.
func (r *refcounts) freeFrom(first, n int64) (int64, error) {
	per := r.d.refsPerBlock()
	for i := first; i < first+n; i++ {
		b, err := r.block(i / per)
		if err != nil {
			return 0, err
		}
		// The first cluster of a block that there is not will be that block.
		if b == nil || count(b.counts, i%per, r.d.order) != 0 {
			return i - first, nil
		}
	}
	return n, nil
}

// again counts one more reference to a cluster. It is false if the count can be no
// larger.
func (r *refcounts) again(at int64) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, per := at>>r.d.bits, r.d.refsPerBlock()
	b, err := r.block(i / per)
	if b == nil || err != nil {
		return false, err
	}
	v := count(b.counts, i%per, r.d.order)
	if v == 0 || v >= r.d.maxCount() {
		return false, nil
	}
	r.set(b, i%per, v+1)
	return true, nil
}

// count is how many references there are to the cluster at an offset.
func (r *refcounts) count(at int64) (uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, per := at>>r.d.bits, r.d.refsPerBlock()
	b, err := r.block(i / per)
	if b == nil || err != nil {
		return 0, err
	}
	return count(b.counts, i%per, r.d.order), nil
}

// drop counts one reference less to each cluster of a span.
func (r *refcounts) drop(s span) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dropLocked(s)
}

func (r *refcounts) dropLocked(s span) error {
	per := r.d.refsPerBlock()
	for i := s.at >> r.d.bits; i<<r.d.bits < s.at+s.length; i++ {
		b, err := r.block(i / per)
		if err != nil {
			return err
		}
		if b == nil || count(b.counts, i%per, r.d.order) == 0 {
			return r.d.spoil(corrupt("the cluster at %#x was in use and counted as free", i<<r.d.bits))
		}
		v := count(b.counts, i%per, r.d.order) - 1
		r.set(b, i%per, v)
		if v == 0 {
			r.free = min(r.free, i)
			r.d.reserved.remove(i << r.d.bits)
		}
	}
	return nil
}

// writeBack writes the blocks that have changed. What new ones count has to be in
// the container before the table points to them, as else nothing would be counted.
func (r *refcounts) writeBack() error {
	var fresh []*refblock
	for _, b := range r.blocks {
		if b.to == 0 {
			continue
		}
		from, to := b.from&^(block.SectorSize-1), min(len(b.counts), (b.to+block.SectorSize-1)&^(block.SectorSize-1))
		if err := r.d.writeBelow([][]byte{b.counts[from:to]}, b.at+int64(from)); err != nil {
			return err
		}
		if b.linked {
			b.from, b.to = 0, 0
			continue
		}
		fresh = append(fresh, b)
	}
	if fresh == nil {
		return nil
	}
	if err := r.d.below.Flush(); err != nil {
		return err
	}
	slices.SortFunc(fresh, func(a, b *refblock) int { return int(a.index - b.index) })
	for _, b := range fresh {
		entry := binary.BigEndian.AppendUint64(nil, uint64(b.at))
		if err := r.d.writeBelow([][]byte{entry}, r.tableAt+b.index*8); err != nil {
			return err
		}
		b.linked, b.from, b.to = true, 0, 0
	}
	return nil
}

// reachTo is reach without the lock.
func (r *refcounts) reachTo(end int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reach(end)
}
