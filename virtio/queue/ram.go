package queue

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/govmm/govmm/memory"
)

// ram is the part of guest memory that a driver may use for rings and buffers:
// the machine's RAM, which stays where it is as long as the machine lives.
// Memory of a device is refused, because it can move while a chain is held.
type ram struct {
	low, high []byte // from 0, and from memory.HighStart
	mem       *memory.Memory
}

func newRAM(mem *memory.Memory) (*ram, error) {
	lowSize, highSize := memory.Split(mem.Size())
	low, err := mem.Slice(0, lowSize)
	if err != nil {
		return nil, fmt.Errorf("virtqueue: RAM: %w", err)
	}
	high, err := mem.Slice(memory.HighStart, highSize)
	if err != nil {
		return nil, fmt.Errorf("virtqueue: RAM: %w", err)
	}
	return &ram{low: low, high: high, mem: mem}, nil
}

// slice returns n bytes at gpa, or nil when they are not all RAM. n is not 0.
func (r *ram) slice(gpa, n uint64) []byte {
	if size := uint64(len(r.low)); gpa < size {
		if n > size-gpa {
			return nil
		}
		return r.low[gpa : gpa+n : gpa+n]
	}
	gpa -= memory.HighStart // wraps to something large below it
	if size := uint64(len(r.high)); gpa < size && n <= size-gpa {
		return r.high[gpa : gpa+n : gpa+n]
	}
	return nil
}

// markDirty notes that a slice of RAM was written.
func (r *ram) markDirty(b []byte) {
	at := uintptr(unsafe.Pointer(&b[0]))
	gpa := uint64(at - uintptr(unsafe.Pointer(&r.low[0])))
	if gpa >= uint64(len(r.low)) {
		gpa = memory.HighStart + uint64(at-uintptr(unsafe.Pointer(&r.high[0])))
	}
	r.mem.MarkDirty(gpa, uint64(len(b)))
}

// The host is little-endian, as are virtqueues. What both sides may touch at a
// time is read and written by atomic operations, which also order what is
// around them: an index is loaded before the entries that it covers, and stored
// after them.

// word32 and word64 are aligned places in guest memory.
func word32(b []byte, offset int) *uint32 {
	return (*uint32)(unsafe.Pointer(&b[offset : offset+4][0]))
}

func word64(b []byte, offset int) *uint64 {
	return (*uint64)(unsafe.Pointer(&b[offset : offset+8][0]))
}

// cell16 is an aligned 16-bit place in guest memory. There are no 16-bit
// atomics: it is a half of the 32-bit word around it, which is in RAM too,
// since RAM is whole pages.
type cell16 struct {
	word  *uint32
	shift uint
}

func newCell16(b []byte, offset int) cell16 {
	p := unsafe.Pointer(&b[offset : offset+2][0])
	half := uintptr(p) & 2
	return cell16{word: (*uint32)(unsafe.Add(p, -int(half))), shift: uint(half) * 8}
}

func (c cell16) load() uint16 { return uint16(atomic.LoadUint32(c.word) >> c.shift) }

// store leaves the other half of the word, which belongs to somebody else, as
// it is.
func (c cell16) store(v uint16) {
	for {
		old := atomic.LoadUint32(c.word)
		if atomic.CompareAndSwapUint32(c.word, old, old&^(0xffff<<c.shift)|uint32(v)<<c.shift) {
			return
		}
	}
}

func load16(b []byte, offset int) uint16 { return binary.LittleEndian.Uint16(b[offset:]) }
