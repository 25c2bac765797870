package boot

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// E820Type is an address range type of ACPI, section 15 "System Address Map
// Interfaces". The values are also those of the PVH memory map.
type E820Type uint32

// The types in use.
const (
	E820RAM      E820Type = 1
	E820Reserved E820Type = 2
	E820ACPI     E820Type = 3 // ACPI tables, reclaimable once read
	E820NVS      E820Type = 4 // ACPI non-volatile storage
	E820Unusable E820Type = 5
)

// String returns the word that Linux prints for the type.
func (t E820Type) String() string {
	switch t {
	case E820RAM:
		return "usable"
	case E820Reserved:
		return "reserved"
	case E820ACPI:
		return "ACPI data"
	case E820NVS:
		return "ACPI NVS"
	case E820Unusable:
		return "unusable"
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// E820Entry is one range of the memory map: Size bytes at guest-physical Base.
type E820Entry struct {
	Base, Size uint64
	Type       E820Type
}

// End returns the first address after the range.
func (e E820Entry) End() uint64 { return e.Base + e.Size }

func (e E820Entry) String() string {
	return fmt.Sprintf("%#x-%#x %v", e.Base, e.End()-1, e.Type)
}

// e820Max is the size of the table in boot_params.
const e820Max = 128

// E820Map returns the memory map of a PC with low bytes of RAM from address 0
// and high bytes from 4 GiB: conventional memory up to the extended BIOS data
// area, that area and the BIOS area reserved, no RAM between the two, and RAM
// from 1 MiB on. The ranges of reserved are cut out of RAM with their own
// types (ACPI tables, for example); among themselves they must not overlap.
//
// The map is sorted by address. It is an error if low is under 1 MiB or over
// 4 GiB, a range is empty or wraps around, or more than 128 ranges come out.
func E820Map(low, high uint64, reserved []E820Entry) ([]E820Entry, error) {
	switch {
	case low < oneMiB:
		return nil, fmt.Errorf("memory map: %d bytes of RAM below 4 GiB; a PC needs at least 1 MiB", low)
	case low > HighBase:
		return nil, fmt.Errorf("memory map: %d bytes of RAM below 4 GiB", low)
	case high > 1<<52-HighBase:
		return nil, fmt.Errorf("memory map: %d bytes of RAM above 4 GiB are beyond the 52-bit address space", high)
	}
	m := []E820Entry{
		{0, EBDABase, E820RAM},
		{EBDABase, EBDASize, E820Reserved},
		{BIOSBase, BIOSSize, E820Reserved},
	}
	if low > oneMiB {
		m = append(m, E820Entry{oneMiB, low - oneMiB, E820RAM})
	}
	if high > 0 {
		m = append(m, E820Entry{HighBase, high, E820RAM})
	}
	for i, r := range reserved {
		if r.Size == 0 || r.End() < r.Base {
			return nil, fmt.Errorf("memory map: reserved range %#x+%#x is empty or wraps around", r.Base, r.Size)
		}
		if r.Type == E820RAM {
			return nil, fmt.Errorf("memory map: range %v is among the reserved ones", r)
		}
		for _, o := range reserved[:i] {
			if r.Base < o.End() && o.Base < r.End() {
				return nil, fmt.Errorf("memory map: reserved ranges %v and %v overlap", o, r)
			}
		}
		m = append(cutOut(m, r), r)
	}
	slices.SortFunc(m, func(a, b E820Entry) int { return cmp.Compare(a.Base, b.Base) })
	m = joinEqual(m)
	if len(m) > e820Max {
		return nil, fmt.Errorf("memory map: %d ranges, and the boot protocol has room for %d", len(m), e820Max)
	}
	return m, nil
}

// cutOut removes r from every range of m.
func cutOut(m []E820Entry, r E820Entry) []E820Entry {
	var out []E820Entry
	for _, e := range m {
		if r.End() <= e.Base || e.End() <= r.Base {
			out = append(out, e)
			continue
		}
		if e.Base < r.Base {
			out = append(out, E820Entry{e.Base, r.Base - e.Base, e.Type})
		}
		if r.End() < e.End() {
			out = append(out, E820Entry{r.End(), e.End() - r.End(), e.Type})
		}
	}
	return out
}

// joinEqual joins neighbours of one type.
func joinEqual(m []E820Entry) []E820Entry {
	out := m[:0]
	for _, e := range m {
		if n := len(out); n > 0 && out[n-1].End() == e.Base && out[n-1].Type == e.Type {
			out[n-1].Size += e.Size
			continue
		}
		out = append(out, e)
	}
	return out
}

// errNoRoom is wrapped by the errors of arena.
var errNoRoom = errors.New("no room in guest RAM")

// arena hands out guest RAM to the parts that are loaded, so that no two of
// them overlap. Its ranges are free RAM, sorted.
type arena struct{ free []E820Entry }

// newArena starts with the RAM of a memory map, less what this package writes
// below 1 MiB (see layout.go).
func newArena(m []E820Entry) *arena {
	a := &arena{}
	for _, e := range m {
		if e.Type == E820RAM {
			a.free = append(a.free, e)
		}
	}
	a.free = cutOut(a.free, E820Entry{Base: 0, Size: LowEnd})
	return a
}

// claim takes exactly n bytes at gpa.
func (a *arena) claim(gpa, n uint64) error {
	if n == 0 {
		return nil
	}
	for _, e := range a.free {
		if e.Base <= gpa && gpa < e.End() && n <= e.End()-gpa {
			a.free = cutOut(a.free, E820Entry{Base: gpa, Size: n})
			return nil
		}
	}
	return fmt.Errorf("%d bytes at %#x: %w", n, gpa, errNoRoom)
}

// window is where n bytes may go: at multiples of align (a power of two) from
// minimum on, wholly below limit.
type window struct{ n, align, minimum, limit uint64 }

// in returns the first place that w has in e, and how many.
func (w window) in(e E820Entry) (first, count uint64) {
	start, end := max(e.Base, w.minimum), min(e.End(), w.limit)
	first = alignUp(start, w.align)
	if first < start || first >= end || w.n > end-first {
		return 0, 0
	}
	return first, (end-first-w.n)/w.align + 1
}

// lowest finds the lowest free place, without taking it.
func (a *arena) lowest(w window) (uint64, bool) {
	for _, e := range a.free {
		if first, count := w.in(e); count > 0 {
			return first, true
		}
	}
	return 0, false
}

// highest finds the highest free place, without taking it.
func (a *arena) highest(w window) (uint64, bool) {
	for _, e := range slices.Backward(a.free) {
		if first, count := w.in(e); count > 0 {
			return first + (count-1)*w.align, true
		}
	}
	return 0, false
}

// places counts the free places; place returns one of them.
func (a *arena) places(w window) uint64 {
	var total uint64
	for _, e := range a.free {
		_, count := w.in(e)
		total += count
	}
	return total
}

func (a *arena) place(i uint64, w window) uint64 {
	for _, e := range a.free {
		first, count := w.in(e)
		if i < count {
			return first + i*w.align
		}
		i -= count
	}
	return 0
}

func alignUp(v, align uint64) uint64 { return (v + align - 1) &^ (align - 1) }
