package bus

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// Bus is an address space in which every address belongs to at most one
// device. Read and Write may be called by any number of vCPUs while another
// one moves a range (a guest writing a PCI base address register): they work
// on an immutable table that Add, Remove and Move replace.
//
// An access that lies within one range reaches its handler whole. Any other
// access, crossing the end of a range or starting outside of one, is broken
// into bytes, lowest address first, as the PC's bridges do for a device
// narrower than the access; bytes that nobody answers read as 0xFF and are
// dropped on writes, and so are bytes beyond the end of the bus.
type Bus struct {
	name string
	last uint64

	mu    sync.Mutex // orders the writers of table
	table atomic.Pointer[table]
}

// Range is a registered part of a bus, for debugging output.
type Range struct {
	Base uint64
	Size uint64 // bytes
	Name string
}

// String gives the range as "0x3f8-0x3ff serial0".
func (r Range) String() string {
	return fmt.Sprintf("%#x-%#x %s", r.Base, r.Base+r.Size-1, r.Name)
}

// New returns an empty bus of size addresses, counted from 0: 0x10000 for
// port I/O. A size of 0 stands for the full 64-bit address space.
func New(name string, size uint64) *Bus {
	b := &Bus{name: name, last: size - 1}
	b.table.Store(newTable(nil, b.last))
	return b
}

// Add registers size bytes from base as answered by h. It refuses a range that
// is empty, wraps around, reaches beyond the bus, or overlaps another one.
func (b *Bus) Add(base, size uint64, name string, h Handler) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := slot{base: base, last: base + size - 1, name: name, handler: h}
	if err := b.check(s, size); err != nil {
		return err
	}
	return b.insert(b.table.Load().slots, s)
}

// Remove takes away the range registered at base. An access that another vCPU
// has begun may still be running in its handler when Remove returns.
func (b *Bus) Remove(base uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.table.Load()
	i, ok := slices.BinarySearch(t.bases, base)
	if !ok {
		return fmt.Errorf("%s: no range starts at %#x", b.name, base)
	}
	b.table.Store(newTable(without(t.slots, i), b.last))
	return nil
}

// Move registers the range at base anew at newBase, in one step: every access
// sees it either in the old place or in the new one. When the new place is
// refused, the range stays where it was.
func (b *Bus) Move(base, newBase uint64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.table.Load()
	i, ok := slices.BinarySearch(t.bases, base)
	if !ok {
		return fmt.Errorf("%s: no range starts at %#x", b.name, base)
	}
	s := t.slots[i]
	size := s.last - s.base + 1
	s.base, s.last = newBase, newBase+(s.last-s.base)
	if err := b.check(s, size); err != nil {
		return err
	}
	return b.insert(without(t.slots, i), s)
}

// Ranges lists what is registered, by ascending address.
func (b *Bus) Ranges() []Range {
	t := b.table.Load()
	ranges := make([]Range, len(t.slots))
	for i, s := range t.slots {
		ranges[i] = s.asRange()
	}
	return ranges
}

// Read fills data from the device at addr and reports whether any device
// answered. What nobody answers reads as 0xFF.
func (b *Bus) Read(addr uint64, data []byte) bool {
	t := b.table.Load()
	if s := t.find(addr); s != nil && uint64(len(data))-1 <= s.last-addr {
		s.handler.Read(addr-s.base, data)
		return true
	}
	answered := false
	for i := range data {
		data[i] = 0xFF
		if s := b.findByte(t, addr, i); s != nil {
			s.handler.Read(addr+uint64(i)-s.base, data[i:i+1])
			answered = true
		}
	}
	return answered
}

// Write hands data to the device at addr and reports whether any device
// answered.
func (b *Bus) Write(addr uint64, data []byte) bool {
	t := b.table.Load()
	if s := t.find(addr); s != nil && uint64(len(data))-1 <= s.last-addr {
		s.handler.Write(addr-s.base, data)
		return true
	}
	answered := false
	for i := range data {
		if s := b.findByte(t, addr, i); s != nil {
			s.handler.Write(addr+uint64(i)-s.base, data[i:i+1])
			answered = true
		}
	}
	return answered
}

// findByte finds who answers byte i of an access at addr. An access that runs
// over the top of the address space does not come back at the bottom.
func (b *Bus) findByte(t *table, addr uint64, i int) *slot {
	a := addr + uint64(i)
	if a < addr {
		return nil
	}
	return t.find(a)
}

func (b *Bus) check(s slot, size uint64) error {
	switch {
	case size == 0:
		return fmt.Errorf("%s: %s at %#x is empty", b.name, s.name, s.base)
	case s.last < s.base:
		return fmt.Errorf("%s: %s at %#x with %#x bytes wraps around", b.name, s.name, s.base, size)
	case s.last > b.last:
		return fmt.Errorf("%s: %s reaches beyond the last address, %#x", b.name, s.asRange(), b.last)
	}
	return nil
}

// insert makes slots and s the new table, unless s overlaps one of them.
func (b *Bus) insert(slots []slot, s slot) error {
	if o := overlapping(slots, s); o != nil {
		return fmt.Errorf("%s: %s overlaps %s", b.name, s.asRange(), o.asRange())
	}
	b.table.Store(newTable(with(slots, s), b.last))
	return nil
}
