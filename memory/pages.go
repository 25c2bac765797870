package memory

import (
	"context"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Discard gives the whole pages within n bytes of RAM at gpa back to the host;
// they read as zero from then on. Memory that the host will not take back, or
// not give again (locked, huge pages), is cleared instead. The range lies in one
// region.
func (m *Memory) Discard(gpa, n uint64) error {
	if n == 0 {
		return nil
	}
	r, _, err := m.locateRAM(gpa, n)
	if err != nil {
		return err
	}
	first := roundUp(gpa, PageSize)
	last := (gpa + n) / PageSize * PageSize
	if first >= last {
		return nil
	}
	r.discard(first, last-first)
	return nil
}

// DiscardAll is Discard for all RAM.
func (m *Memory) DiscardAll() {
	for _, r := range m.all() {
		if r.Kind == RAM {
			r.discard(r.GPA, r.Size)
		}
	}
}

func (r *region) discard(gpa, n uint64) {
	b := r.Host[gpa-r.GPA:][:n]
	if r.kept.Load() || unix.Madvise(b, unix.MADV_DONTNEED) != nil {
		clear(b)
	}
	r.mark(gpa, n)
}

// populateStep is how much Populate asks for between two looks at its context.
const populateStep = 256 << 20

// Populate makes the host provide all pages of n bytes of RAM at gpa now
// rather than at first touch, without changing their contents. The range lies
// in one region.
func (m *Memory) Populate(ctx context.Context, gpa, n uint64) error {
	b, err := m.Slice(gpa, n)
	if err != nil {
		return err
	}
	// madvise wants whole pages; a region has nothing else around them.
	if head := gpa % PageSize; head != 0 {
		if b, err = m.Slice(gpa-head, n+head); err != nil {
			return err
		}
	}
	for len(b) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		step := b[:min(len(b), populateStep)]
		switch err := unix.Madvise(step, unix.MADV_POPULATE_WRITE); err {
		case nil:
		case unix.EINTR:
			continue
		case unix.EINVAL: // Linux before 5.14
			touch(step)
		default:
			return os.NewSyscallError("madvise MADV_POPULATE_WRITE", err)
		}
		b = b[len(step):]
	}
	return nil
}

// touch writes to each page without changing it, also while the guest runs.
func touch(b []byte) {
	for i := 0; i < len(b); i += PageSize {
		atomic.OrUint32((*uint32)(unsafe.Pointer(&b[i])), 0)
	}
}

// Resident is how many bytes of RAM and added regions the host has in its
// memory now.
func (m *Memory) Resident() (uint64, error) {
	const step = 256 << 20
	vec := make([]byte, step/PageSize)
	var pages uint64
	for _, r := range m.all() {
		for b := r.Host; len(b) > 0; {
			part := b[:min(len(b), step)]
			if err := mincore(part, vec); err != nil {
				return 0, err
			}
			for _, v := range vec[:len(part)/PageSize] {
				pages += uint64(v & 1)
			}
			b = b[len(part):]
		}
	}
	return pages * PageSize, nil
}

func mincore(b, vec []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_MINCORE,
		uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), uintptr(unsafe.Pointer(&vec[0])))
	if errno != 0 {
		return os.NewSyscallError("mincore", errno)
	}
	return nil
}
