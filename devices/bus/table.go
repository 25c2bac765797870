package bus

import (
	"cmp"
	"slices"
)

// slot is one registered range. It keeps the last address instead of the size,
// so that a range may end at the very top of a 64-bit bus.
type slot struct {
	base, last uint64
	name       string
	handler    Handler
}

func (s slot) asRange() Range {
	return Range{Base: s.base, Size: s.last - s.base + 1, Name: s.name}
}

// table is an immutable set of slots that do not overlap, by ascending
// address. The bases stand apart to keep what a lookup touches together in the
// cache.
type table struct {
	bases []uint64
	slots []slot
	// pages is an index of a small bus: for each page of addresses, the first
	// slot that reaches into it or lies beyond. A large bus has none.
	pages []uint16
}

const (
	pageBits = 3       // devices on the port bus have 8 ports or less, mostly
	indexed  = 0x10000 // the largest bus that gets an index
)

// newTable returns the table of slots, which are in order, for a bus that ends
// at last.
func newTable(slots []slot, last uint64) *table {
	t := &table{slots: slots, bases: make([]uint64, len(slots))}
	for i := range slots {
		t.bases[i] = slots[i].base
	}
	if last >= indexed {
		return t
	}
	t.pages = make([]uint16, last>>pageBits+1)
	i := 0
	for page := range t.pages {
		for i < len(slots) && slots[i].last < uint64(page)<<pageBits {
			i++
		}
		t.pages[page] = uint16(i)
	}
	return t
}

// find returns the slot that holds addr, or nil. It runs on every device exit
// of every vCPU: hence the index, and the binary search written out.
func (t *table) find(addr uint64) *slot {
	if t.pages != nil {
		return t.findIndexed(addr)
	}
	lo, hi := 0, len(t.bases)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		if t.bases[mid] <= addr {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return nil
	}
	if s := &t.slots[lo-1]; addr <= s.last {
		return s
	}
	return nil
}

func (t *table) findIndexed(addr uint64) *slot {
	page := addr >> pageBits
	if page >= uint64(len(t.pages)) {
		return nil
	}
	for i := int(t.pages[page]); i < len(t.slots); i++ {
		s := &t.slots[i]
		if addr <= s.last {
			if addr < s.base {
				return nil
			}
			return s
		}
	}
	return nil
}

// overlapping returns a slot that shares an address with s, or nil.
func overlapping(slots []slot, s slot) *slot {
	for i := range slots {
		if o := &slots[i]; s.base <= o.last && o.base <= s.last {
			return o
		}
	}
	return nil
}

// with returns a copy of slots with s in its place.
func with(slots []slot, s slot) []slot {
	i, _ := slices.BinarySearchFunc(slots, s.base, func(o slot, base uint64) int {
		return cmp.Compare(o.base, base)
	})
	return slices.Concat(slots[:i], []slot{s}, slots[i:])
}

// without returns a copy of slots that lacks the one at index i.
func without(slots []slot, i int) []slot {
	return slices.Concat(slots[:i], slots[i+1:])
}
