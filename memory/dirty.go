package memory

import (
	"fmt"
	"sync/atomic"
)

// bitmap has one bit a page; bit 0 of word 0 is a region's first page, as in
// KVM's dirty log.
type bitmap []atomic.Uint64

func newBitmap(size uint64) *bitmap {
	b := make(bitmap, DirtyWords(size))
	return &b
}

// DirtyWords is the length of a dirty bitmap for size bytes, in 64-bit words.
func DirtyWords(size uint64) int { return int((size/PageSize + 63) / 64) }

// mark notes a write to the region, which contains it. n is not 0 unless
// nothing was written.
func (r *region) mark(gpa, n uint64) {
	b := r.dirty.Load()
	if b == nil || n == 0 {
		return
	}
	first, last := (gpa-r.GPA)/PageSize, (gpa-r.GPA+n-1)/PageSize
	for word := first / 64; word <= last/64; word++ {
		mask := ^uint64(0)
		if word == first/64 {
			mask &= ^uint64(0) << (first % 64)
		}
		if word == last/64 {
			mask &= ^uint64(0) >> (63 - last%64)
		}
		if w := &(*b)[word]; w.Load()&mask != mask { // spare the bus a locked access
			w.Or(mask)
		}
	}
}

// StartDirtyTracking begins to note the pages that this package's methods
// write. It costs one bit of heap a page. Starting again clears what was noted.
func (m *Memory) StartDirtyTracking() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tracking = true
	for _, r := range m.all() {
		r.dirty.Store(newBitmap(r.Size))
	}
}

// StopDirtyTracking ends it and forgets what was noted.
func (m *Memory) StopDirtyTracking() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tracking = false
	for _, r := range m.all() {
		r.dirty.Store(nil)
	}
}

// MarkDirty notes a write that was made through a Slice or Region.Host. A
// range with no memory behind it is ignored; without tracking it costs next to
// nothing.
func (m *Memory) MarkDirty(gpa, n uint64) {
	for n > 0 {
		r := m.find(gpa)
		if r == nil {
			return
		}
		step := min(n, r.GPA+r.Size-gpa)
		r.mark(gpa, step)
		gpa, n = gpa+step, n-step
	}
}

// MergeDirty adds pages that something else noted, such as KVM for the guest's
// own writes: bit 0 of log[0] is the page at gpa, which is in a region at a
// multiple of 64 pages from its start.
func (m *Memory) MergeDirty(gpa uint64, log []uint64) error {
	words, err := m.dirtyWords(gpa, len(log))
	if err != nil {
		return err
	}
	for i, bits := range log {
		if bits != 0 {
			words[i].Or(bits)
		}
	}
	return nil
}

// TakeDirty copies the pages noted since the last call to log, and forgets
// them. log begins at gpa, as for MergeDirty. A write that runs at the same
// time is in this log or in the next.
func (m *Memory) TakeDirty(gpa uint64, log []uint64) error {
	words, err := m.dirtyWords(gpa, len(log))
	if err != nil {
		return err
	}
	for i := range log {
		log[i] = words[i].Swap(0)
	}
	return nil
}

// dirtyWords returns n words of a region's bitmap, beginning at gpa.
func (m *Memory) dirtyWords(gpa uint64, n int) ([]atomic.Uint64, error) {
	r := m.find(gpa)
	if r == nil {
		return nil, &AccessError{GPA: gpa, Len: uint64(n) * 64 * PageSize, Why: whyUnmapped}
	}
	b := r.dirty.Load()
	if b == nil {
		return nil, fmt.Errorf("dirty log at %#x: not tracking", gpa)
	}
	offset := gpa - r.GPA
	if offset%(64*PageSize) != 0 {
		return nil, &AccessError{GPA: gpa, Len: uint64(n) * 64 * PageSize, Why: whyMisaligned}
	}
	first := int(offset / (64 * PageSize))
	if n > len(*b)-first {
		return nil, &AccessError{GPA: gpa, Len: uint64(n) * 64 * PageSize, Why: whySplit}
	}
	return (*b)[first:][:n], nil
}
