package qcow2

import (
	"encoding/binary"
	"fmt"

	"github.com/govmm/govmm/block"
)

// compare looks at what the refcounts say, and makes them right as far as it may.
func (c *checker) compare(repair Repair) error {
	per := c.refsPerBlock()
	for index := int64(0); index*per < int64(len(c.refs)) || index < int64(len(c.table)); index++ {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		missing, err := c.compareBlock(index, repair)
		if err != nil {
			return err
		}
		c.rebuilds = c.rebuilds || missing
	}
	if c.rebuilds && repair == RepairAll {
		if err := c.rebuild(); err != nil {
			return err
		}
	}
	if err := c.compareFlags(repair); err != nil {
		return err
	}
	if repair != RepairNothing && c.result.Repaired+c.result.Recovered > 0 {
		return c.below.Flush()
	}
	return nil
}

// compareBlock looks at the refcount block with an index. It is missing if there is
// none and one is needed.
func (c *checker) compareBlock(index int64, repair Repair) (missing bool, err error) {
	per := c.refsPerBlock()
	first := index * per
	refs := c.refs[min(first, int64(len(c.refs))):min(first+per, int64(len(c.refs)))]
	if index >= int64(len(c.table)) || c.table[index] == 0 {
		for _, n := range refs {
			if n > 0 {
				c.result.Wrong++
				missing = true
			}
		}
		return missing, nil
	}
	at := int64(c.table[index])
	p := make([]byte, c.cluster)
	if err := c.below.ReadVec([][]byte{p[:min(c.cluster, c.below.Size()-at)]}, at); err != nil {
		return false, err
	}
	changed := false
	for i := range per {
		want := uint64(0)
		if i < int64(len(refs)) {
			want = uint64(refs[i])
		}
		have := count(p, i, c.order)
		if have == want {
			continue
		}
		if have > want {
			c.result.Leaked++
			if repair == RepairNothing {
				continue
			}
			c.result.Recovered++
		} else {
			c.result.Wrong++
			if repair != RepairAll || want > c.maxCount() {
				continue
			}
			c.result.Repaired++
		}
		setCount(p, i, c.order, want)
		changed = true
	}
	if changed {
		return false, c.below.WriteVec([][]byte{p[:min(c.cluster, c.below.Size()-at)]}, at)
	}
	return false, nil
}

// rebuild writes new refcounts behind the end of the image, and has the header
// point to them.
func (c *checker) rebuild() error {
	r, ok := c.below.(block.Resizer)
	if !ok {
		return fmt.Errorf("the store cannot grow, as new refcounts need: %w", ErrUnsupported)
	}
	// What the old ones have becomes free.
	c.unmark(int64(c.header.tableOffset), int64(c.header.tableClusters)<<c.bits)
	for _, at := range c.table {
		if at != 0 {
			c.unmark(int64(at), c.cluster)
		}
	}
	used := int64(len(c.refs))
	tables, blocks := c.layFirst(used)
	if tables<<c.bits > maxRefcountTable {
		return fmt.Errorf("new refcounts would have a table of %d bytes; the most is %d: %w", tables<<c.bits, maxRefcountTable, ErrUnsupported)
	}
	for range tables + blocks {
		c.refs = append(c.refs, 1)
	}
	if err := r.Resize((used + tables + blocks) << c.bits); err != nil {
		return err
	}
	table := make([]uint64, blocks)
	p := make([]byte, c.cluster)
	for i := range blocks {
		clear(p)
		for k, n := range c.refs[i*c.refsPerBlock() : min((i+1)*c.refsPerBlock(), int64(len(c.refs)))] {
			if uint64(n) > c.maxCount() {
				return fmt.Errorf("cluster %d is referred to %d times, and refcounts have %d bits: %w", i*c.refsPerBlock()+int64(k), n, 1<<c.order, ErrUnsupported)
			}
			setCount(p, int64(k), c.order, uint64(n))
		}
		table[i] = uint64((used + tables + i) << c.bits)
		if err := c.below.WriteVec([][]byte{p}, int64(table[i])); err != nil {
			return err
		}
	}
	at := used << c.bits
	if err := c.below.WriteVec([][]byte{appendBytes(nil, table)}, at); err != nil {
		return err
	}
	if err := c.below.Flush(); err != nil {
		return err
	}
	d := Image{geometry: c.geometry, below: c.below}
	if err := d.switchTable(atRefcountTable, uint64(at), uint32(tables)); err != nil {
		return err
	}
	c.end = c.up(c.below.Size())
	c.result.End = c.end
	c.result.Repaired, c.result.Recovered = c.result.Wrong, c.result.Leaked
	return nil
}

// unmark takes back a reference.
func (c *checker) unmark(at, n int64) {
	for i := at >> c.bits; i<<c.bits < at+n; i++ {
		c.refs[i]--
	}
}

// compareFlags looks whether the disk's entries have COPIED if and only if nothing
// else refers to their clusters.
func (c *checker) compareFlags(repair Repair) error {
	for i, entry := range c.l1 {
		at := int64(entry & offsetMask)
		if !c.inside(at) {
			continue
		}
		if fixed := c.flagged(entry, at); fixed != entry {
			if err := c.fix(int64(c.header.l1Offset)+int64(i)*8, fixed, repair); err != nil {
				return err
			}
		}
		words, err := c.readTable(at)
		if err != nil {
			return err
		}
		for k := 0; k < len(words); k += c.words {
			w := words[k]
			host := int64(w & offsetMask)
			if w&flagCompressed != 0 || !c.inside(host) {
				continue
			}
			if fixed := c.flagged(w, host); fixed != w {
				if err := c.fix(at+int64(k)*8, fixed, repair); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (c *checker) inside(at int64) bool {
	return at >= c.cluster && c.aligned(at) && at < c.end
}

// flagged is an entry for the cluster at an offset with the COPIED flag as it
// should be.
func (c *checker) flagged(entry uint64, at int64) uint64 {
	if c.refs[at>>c.bits] == 1 {
		return entry | flagCopied
	}
	return entry &^ flagCopied
}

// fix notes that the entry at an offset is wrong, and may put another there.
func (c *checker) fix(at int64, entry uint64, repair Repair) error {
	c.result.Wrong++
	if repair != RepairAll {
		return nil
	}
	c.result.Repaired++
	return c.below.WriteVec([][]byte{binary.BigEndian.AppendUint64(nil, entry)}, at)
}

// clean takes the marks off an image that is sound.
func (c *checker) clean() error {
	f := c.header.incompatible
	if !c.result.Sound() || f&(incompatDirty|incompatCorrupt) == 0 {
		return nil
	}
	p := binary.BigEndian.AppendUint64(nil, f&^(incompatDirty|incompatCorrupt))
	if err := c.below.WriteVec([][]byte{p}, atIncompatible); err != nil {
		return fmt.Errorf("qcow2 header: %w", err)
	}
	return c.below.Flush()
}
