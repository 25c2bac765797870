package memory

import (
	"sync/atomic"
	"unsafe"
)

// The Atomic accesses are whole and in order: the guest never sees or makes
// half of one, and they are sequentially consistent with each other and order
// the plain accesses around them (the Go memory model's synchronising
// operations, on x86-64 a plain load, and a locked store). A ring's index is
// loaded before the entries that it covers are read, and stored after they are
// written; a store of our index followed by a load of the guest's flags keeps
// that order too, which plain x86 accesses would not.
//
// gpa must be a multiple of the size. Numbers are little-endian, as is the
// host.

// AtomicLoad16 reads 16 bits at gpa.
func (m *Memory) AtomicLoad16(gpa uint64) (uint16, error) {
	_, b, err := m.locateAligned(gpa, 2)
	if err != nil {
		return 0, err
	}
	word, shift := word16(gpa, b)
	return uint16(atomic.LoadUint32(word) >> shift), nil
}

// AtomicLoad32 reads 32 bits at gpa.
func (m *Memory) AtomicLoad32(gpa uint64) (uint32, error) {
	_, b, err := m.locateAligned(gpa, 4)
	if err != nil {
		return 0, err
	}
	return atomic.LoadUint32((*uint32)(unsafe.Pointer(&b[0]))), nil
}

// AtomicLoad64 reads 64 bits at gpa.
func (m *Memory) AtomicLoad64(gpa uint64) (uint64, error) {
	_, b, err := m.locateAligned(gpa, 8)
	if err != nil {
		return 0, err
	}
	return atomic.LoadUint64((*uint64)(unsafe.Pointer(&b[0]))), nil
}

// AtomicStore16 writes 16 bits to RAM at gpa.
func (m *Memory) AtomicStore16(gpa uint64, v uint16) error {
	r, b, err := m.locateAlignedRAM(gpa, 2)
	if err != nil {
		return err
	}
	// There are no 16-bit atomics: exchange the word around it. The exchange
	// fails only when the other half has changed in between.
	word, shift := word16(gpa, b)
	for {
		old := atomic.LoadUint32(word)
		if atomic.CompareAndSwapUint32(word, old, old&^(0xffff<<shift)|uint32(v)<<shift) {
			break
		}
	}
	r.mark(gpa, 2)
	return nil
}

// AtomicStore32 writes 32 bits to RAM at gpa.
func (m *Memory) AtomicStore32(gpa uint64, v uint32) error {
	r, b, err := m.locateAlignedRAM(gpa, 4)
	if err != nil {
		return err
	}
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&b[0])), v)
	r.mark(gpa, 4)
	return nil
}

// AtomicStore64 writes 64 bits to RAM at gpa.
func (m *Memory) AtomicStore64(gpa uint64, v uint64) error {
	r, b, err := m.locateAlignedRAM(gpa, 8)
	if err != nil {
		return err
	}
	atomic.StoreUint64((*uint64)(unsafe.Pointer(&b[0])), v)
	r.mark(gpa, 8)
	return nil
}

// word16 returns the aligned 32-bit word around the two bytes at gpa, and how
// far up they are in it. Regions are whole pages, so the word lies inside.
func word16(gpa uint64, b []byte) (word *uint32, shift uint64) {
	within := gpa & 2
	return (*uint32)(unsafe.Add(unsafe.Pointer(&b[0]), -int(within))), within * 8
}

// locateAligned is locate of n bytes at a multiple of n.
func (m *Memory) locateAligned(gpa, n uint64) (*region, []byte, error) {
	if gpa%n != 0 {
		return nil, nil, &AccessError{GPA: gpa, Len: n, Why: whyMisaligned}
	}
	return m.locate(gpa, n)
}

// locateAlignedRAM is locateRAM of n bytes at a multiple of n.
func (m *Memory) locateAlignedRAM(gpa, n uint64) (*region, []byte, error) {
	if gpa%n != 0 {
		return nil, nil, &AccessError{GPA: gpa, Len: n, Why: whyMisaligned}
	}
	return m.locateRAM(gpa, n)
}
