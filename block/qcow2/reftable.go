package qcow2

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// growTable makes a longer refcount table, which has an entry for the block with an
// index. It lies, with the blocks that count it, behind all that the old one could
// count, and takes its place with one write to the header. The caller holds the
// lock of the refcounts.
func (r *refcounts) growTable(index int64) error {
	d := r.d
	if err := r.writeBack(); err != nil {
		return err
	}
	old := int64(len(r.table))
	tables, blocks := d.layTable(max(old+old/2, index+1), old)
	if tables<<d.bits > maxRefcountTable {
		return fmt.Errorf("the image cannot grow: its refcount table would have more than %d bytes: %w", maxRefcountTable, unix.EFBIG)
	}
	at := old * d.refsPerBlock() << d.bits
	if err := r.claim(at, tables+blocks); err != nil {
		return err
	}
	table := make([]uint64, tables<<d.bits/8)
	copy(table, r.table)
	var made []*refblock
	for i := range blocks {
		b := &refblock{index: old + i, at: at + (tables+i)<<d.bits, counts: r.countsOf(i, tables+blocks), linked: true}
		if err := d.writeBelow([][]byte{b.counts}, b.at); err != nil {
			return err
		}
		table[b.index] = uint64(b.at)
		made = append(made, b)
	}
	if err := d.writeBelow([][]byte{appendBytes(nil, table)}, at); err != nil {
		return err
	}
	if err := d.below.Flush(); err != nil {
		return err
	}
	if err := d.switchTable(atRefcountTable, uint64(at), uint32(tables)); err != nil {
		return err
	}
	was := span{r.tableAt, old * 8}
	r.table, r.tableAt = table, at
	r.fresh = max(r.fresh, at+(tables+blocks)<<d.bits)
	for _, b := range made {
		r.blocks[b.index] = b
		d.reserved.add(b.at)
	}
	d.reserved.replace(was, span{at, tables << d.bits})
	return r.dropLocked(was)
}

// takeWhole counts n clusters one behind the other, for a table. They lie, with the
// blocks that count them, behind all that is counted so far.
func (r *refcounts) takeWhole(n int64) (c run, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.d
	first := r.lastBlock() + 1
	blocks := d.blocksFor(n)
	if first+blocks > int64(len(r.table)) {
		if err := r.growTable(first + blocks - 1); err != nil {
			return c, err
		}
		first = r.lastBlock() + 1
	}
	c = run{at: first * d.refsPerBlock() << d.bits, length: n << d.bits}
	if err := r.claim(c.at, n+blocks); err != nil {
		return run{}, err
	}
	for i := range blocks {
		if err := r.makeRoom(); err != nil {
			return run{}, err
		}
		b := &refblock{index: first + i, at: c.at + (n+i)<<d.bits, counts: r.countsOf(i, n+blocks)}
		b.mark(0, len(b.counts))
		r.blocks[b.index], r.table[b.index] = b, uint64(b.at)
		d.reserved.add(b.at)
	}
	r.fresh = max(r.fresh, c.at+(n+blocks)<<d.bits)
	return c, nil
}

// lastBlock is the index of the last refcount block, or -1.
func (r *refcounts) lastBlock() int64 {
	for i := int64(len(r.table)) - 1; i >= 0; i-- {
		if r.table[i] != 0 {
			return i
		}
	}
	return -1
}

// countsOf is refcount block i of those that count n clusters, all in use.
func (r *refcounts) countsOf(i, n int64) []byte {
	p := make([]byte, r.d.cluster)
	for k := range max(0, min(r.d.refsPerBlock(), n-i*r.d.refsPerBlock())) {
		setCount(p, k, r.d.order, 1)
	}
	return p
}

// blocksFor is how many blocks count n clusters and themselves.
func (g *geometry) blocksFor(n int64) (blocks int64) {
	for blocks = 1; n+blocks > blocks*g.refsPerBlock(); {
		blocks = (n + blocks + g.refsPerBlock() - 1) / g.refsPerBlock()
	}
	return blocks
}

// layTable says how many clusters a refcount table of so many entries at least has,
// and how many blocks count it and themselves, which are those from first on.
func (g *geometry) layTable(entries, first int64) (tables, blocks int64) {
	for {
		tables = g.clusters(max(entries, first+blocks) * 8)
		need := g.blocksFor(tables)
		if need <= blocks {
			return tables, blocks
		}
		blocks = need
	}
}

// switchTable has the header point to another table, and makes that durable.
func (d *Image) switchTable(offset int64, at uint64, size uint32) error {
	var p []byte
	if offset == atL1 {
		p = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(nil, size), at)
	} else {
		p = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, at), size)
	}
	if err := d.below.WriteVec([][]byte{p}, offset); err != nil {
		return fmt.Errorf("qcow2 header: %w", err)
	}
	return d.below.Flush()
}
