package qcow2

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/govmm/govmm/block"
)

// CheckResult is what Check found.
type CheckResult struct {
	Clusters   int64 // of data
	Compressed int64 // clusters of the disk that are compressed
	Tables     int64 // of the second level
	Invalid    int64 // entries that make no sense
	Wrong      int64 // clusters counted less often than they are referred to, and entries with a wrong COPIED flag
	Repaired   int64 // of these
	Leaked     int64 // clusters counted more often than they are referred to
	Recovered  int64 // of these
	End        int64 // of the last cluster in use, in bytes
}

// Sound reports whether every entry of the tables makes sense now. Leaks do no
// harm.
func (r CheckResult) Sound() bool { return r.Invalid == 0 && r.Wrong == r.Repaired }

func (r CheckResult) String() string {
	return fmt.Sprintf("%d clusters of data, %d compressed, %d invalid entries, %d wrong counts or flags of which %d repaired, %d leaked clusters of which %d recovered",
		r.Clusters, r.Compressed, r.Invalid, r.Wrong, r.Repaired, r.Leaked, r.Recovered)
}

// Repair is what Check may change.
type Repair uint8

// The kinds of Repair.
const (
	RepairNothing Repair = iota
	RepairLeaks          // clusters that are counted too often
	RepairAll            // all counts and flags
)

// maxChecked is the most clusters that a store may have to be checked: 128 GiB of
// the smallest ones, 16 TiB of the usual ones.
const maxChecked = 256 << 20

// Check looks through all tables of the image in a store, which must not be open
// as an Image, and compares the refcounts with what the tables refer to. What it
// repairs is durable afterwards; an image that is sound then is no longer marked as
// dirty or corrupt. Memory is 4 bytes for each cluster of the store, at most 1 GiB.
func Check(ctx context.Context, below block.Layer, repair Repair) (CheckResult, error) {
	h, err := readHeader(below)
	if err != nil {
		return CheckResult{}, err
	}
	c := &checker{geometry: newGeometry(h), ctx: ctx, below: below, header: h}
	c.end = c.up(below.Size())
	if n := c.end >> c.bits; n > maxChecked {
		return c.result, unsupported("checking an image of %d clusters; the most is %d", n, maxChecked)
	}
	c.refs = make([]uint32, c.end>>c.bits)
	err = c.walk()
	if err == nil {
		err = c.compare(repair)
	}
	if err == nil && repair == RepairAll {
		err = c.clean()
	}
	if err != nil {
		return c.result, fmt.Errorf("checking a qcow2 image: %w", err)
	}
	return c.result, nil
}

// checker looks through an image.
type checker struct {
	geometry
	ctx    context.Context
	below  block.Layer
	header *header
	end    int64 // of the store, rounded up to clusters

	l1    []uint64 // of the disk
	table []uint64 // of refcount blocks
	refs  []uint32 // references to each cluster

	rebuilds bool // the refcounts have to be written anew
	result   CheckResult
}

// mark notes a reference to n bytes, times over. It is false if they are not in
// the store.
func (c *checker) mark(at, n int64, times uint32) bool {
	if at < 0 || n < 0 || at > c.end || n > c.end-at {
		return false
	}
	for i := at >> c.bits; i<<c.bits < at+n; i++ {
		c.refs[i] += times
		c.result.End = max(c.result.End, (i+1)<<c.bits)
	}
	return true
}

// markCluster notes a reference to a cluster behind the header.
func (c *checker) markCluster(at int64, times uint32) bool {
	return c.aligned(at) && at >= c.cluster && c.mark(at, c.cluster, times)
}

// walk notes all references there are.
func (c *checker) walk() (err error) {
	h := c.header
	c.mark(0, c.cluster, 1)
	if c.table, err = readWords(c.below, int64(h.tableOffset), int64(h.tableClusters)<<c.bits/8); err != nil {
		return fmt.Errorf("refcount table: %w", err)
	}
	c.mark(int64(h.tableOffset), int64(h.tableClusters)<<c.bits, 1)
	for i, at := range c.table {
		if at != 0 && !c.markCluster(int64(at), 1) {
			c.result.Wrong++
			c.rebuilds = true
			c.table[i] = 0
		}
	}
	if c.l1, err = readWords(c.below, int64(h.l1Offset), int64(h.l1Size)); err != nil {
		return fmt.Errorf("L1 table: %w", err)
	}
	c.mark(int64(h.l1Offset), int64(h.l1Size)*8, 1)
	snapshots, table, err := readSnapshots(c.below, h, &c.geometry)
	if err != nil {
		return err
	}
	c.mark(table.at, table.length, 1)
	// A table that several L1 tables share is looked through once.
	tables := make(map[int64]uint32)
	c.markTables(tables, c.l1)
	for _, s := range snapshots {
		l1, err := readWords(c.below, s.l1.at, s.l1.length/8)
		if err != nil {
			return fmt.Errorf("L1 table of snapshot %s: %w", s.ID, err)
		}
		c.mark(s.l1.at, s.l1.length, 1)
		c.markTables(tables, l1)
	}
	for at, times := range tables {
		if err := c.walkTable(at, times); err != nil {
			return err
		}
	}
	return c.walkBitmaps()
}

// markTables notes the references of an L1 table.
func (c *checker) markTables(tables map[int64]uint32, l1 []uint64) {
	for _, entry := range l1 {
		at := int64(entry & offsetMask)
		switch {
		case entry == 0:
		case !c.markCluster(at, 1):
			c.result.Invalid++
		default:
			if tables[at] == 0 {
				c.result.Tables++
			}
			tables[at]++
		}
	}
}

// readTable reads a table of the size of a cluster.
func (c *checker) readTable(at int64) ([]uint64, error) {
	if err := c.ctx.Err(); err != nil {
		return nil, err
	}
	p := make([]byte, c.cluster)
	if err := c.below.ReadVec([][]byte{p[:min(c.cluster, c.below.Size()-at)]}, at); err != nil {
		return nil, err
	}
	return appendWords(make([]uint64, 0, len(p)/8), p), nil
}

// walkTable notes the references of an L2 table that is referred to so many times.
func (c *checker) walkTable(at int64, times uint32) error {
	words, err := c.readTable(at)
	if err != nil {
		return err
	}
	for i := 0; i < len(words); i += c.words {
		if words[i] == 0 && words[i+c.words-1] == 0 {
			continue
		}
		e, err := c.decode(words[i:])
		s := c.references(e)
		switch {
		case err != nil || s.length > 0 && !e.compressed && !c.markCluster(s.at, times):
			c.result.Invalid++
		case e.compressed:
			if !c.mark(s.at, min(s.length, c.end-s.at), times) {
				c.result.Invalid++
			}
			c.result.Compressed++
		case s.length > 0:
			c.result.Clusters++
		}
	}
	return nil
}

// A bitmap's entry in the directory of bitmaps:
//
//	 0  offset of its table   8  entries of it   12  flags
//	16  type   17  granularity   18  length of name   20  length of the extra data
//
// then the extra data and the name, filled up to a multiple of 8. An entry of the
// table is the offset of a cluster, or has no offset.
const bitmapHeader = 24

// walkBitmaps notes the references of bitmaps. What does not know of them has
// cleared the bit that says that they are of use, and they are leaks.
func (c *checker) walkBitmaps() error {
	const consistent = 1 << 0 // of autoclear
	b := c.header.bitmaps
	if b == nil || b.count == 0 || c.header.autoclear&consistent == 0 {
		return nil
	}
	at, left := int64(b.directoryOffset), int64(b.directoryLength)
	if left < 0 || left > maxSnapshotTable || !c.aligned(at) || !c.mark(at, left, 1) {
		c.result.Invalid++
		return nil
	}
	var p [bitmapHeader]byte
	for range b.count {
		if left < bitmapHeader {
			c.result.Invalid++
			return nil
		}
		if err := readWithin(c.below, p[:], at); err != nil {
			return err
		}
		if err := c.walkBitmap(int64(binary.BigEndian.Uint64(p[0:])), int64(binary.BigEndian.Uint32(p[8:]))); err != nil {
			return err
		}
		n := bitmapHeader + int64(binary.BigEndian.Uint16(p[18:])) + int64(binary.BigEndian.Uint32(p[20:]))
		n = (n + 7) &^ 7
		at, left = at+n, left-n
	}
	return nil
}

// walkBitmap notes the references of one.
func (c *checker) walkBitmap(table, entries int64) error {
	if entries*8 > maxL1 || !c.aligned(table) || !c.mark(table, entries*8, 1) {
		c.result.Invalid++
		return nil
	}
	words, err := readWords(c.below, table, entries)
	if err != nil {
		return err
	}
	for _, w := range words {
		if at := int64(w & offsetMask); at != 0 && !c.markCluster(at, 1) {
			c.result.Invalid++
		}
	}
	return c.ctx.Err()
}
