package memory

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestDirtyTracking(t *testing.T) {
	m := newMemory(t, 128*PageSize)
	log := make([]uint64, DirtyWords(m.Size()))
	if len(log) != 2 {
		t.Fatalf("%d words for 128 pages", len(log))
	}
	if err := m.TakeDirty(0, log); err == nil || !strings.Contains(err.Error(), "not tracking") {
		t.Errorf("without tracking: %v", err)
	}
	must(t, m.Store8(0, 1)) // before tracking: not noted
	m.StartDirtyTracking()
	tests := []struct {
		name  string
		write func() error
		want  []uint64
	}{
		{"nothing", func() error { return nil }, []uint64{0, 0}},
		{"a byte", func() error { return m.Store8(5*PageSize, 1) }, []uint64{1 << 5, 0}},
		{"a word over a border", func() error { return m.Store64(6*PageSize-4, 1) }, []uint64{3 << 5, 0}},
		{"over a word of the bitmap", func() error { return m.WriteAt(make([]byte, 2*PageSize), 63*PageSize) },
			[]uint64{1 << 63, 1}},
		{"to the end of a page", func() error { return m.WriteAt(make([]byte, PageSize), 64*PageSize) }, []uint64{0, 1}},
		{"everything", func() error { return m.Zero(0, m.Size()) }, []uint64{^uint64(0), ^uint64(0)}},
		{"the last byte", func() error { return m.Store8(m.Size()-1, 1) }, []uint64{0, 1 << 63}},
		{"atomic", func() error { return m.AtomicStore16(2*PageSize, 1) }, []uint64{4, 0}},
		{"discard", func() error { return m.Discard(3*PageSize, 2*PageSize) }, []uint64{3 << 3, 0}},
		{"a refused write", func() error {
			if m.Store8(m.Size(), 1) == nil {
				return errors.New("not refused")
			}
			return nil
		}, []uint64{0, 0}},
		{"marked", func() error { m.MarkDirty(PageSize-1, 2); return nil }, []uint64{3, 0}},
		{"marked beyond the end", func() error { m.MarkDirty(127*PageSize, ^uint64(0)); return nil }, []uint64{0, 1 << 63}},
		{"from KVM", func() error { return m.MergeDirty(64*PageSize, []uint64{0xf0}) }, []uint64{0, 0xf0}},
	}
	for _, tt := range tests {
		must(t, tt.write())
		must(t, m.TakeDirty(0, log))
		if !slices.Equal(log, tt.want) {
			t.Errorf("%s: dirty %#x, want %#x", tt.name, log, tt.want)
		}
	}

	var a *AccessError
	for name, err := range map[string]error{
		"too long":   m.TakeDirty(0, make([]uint64, 3)),
		"off a word": m.TakeDirty(PageSize, log[:1]),
		"nowhere":    m.MergeDirty(1<<40, log),
		"beyond":     m.MergeDirty(64*PageSize, log),
	} {
		if !errors.As(err, &a) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m.StopDirtyTracking()
	must(t, m.Store8(0, 1))
	m.StartDirtyTracking()
	must(t, m.TakeDirty(0, log))
	if log[0] != 0 {
		t.Errorf("started again, dirty %#x", log)
	}
}

// TestDirtyAddedRegion: regions added while tracking take part, and keep what
// was noted when they move.
func TestDirtyAddedRegion(t *testing.T) {
	m := newMemory(t, mib)
	m.StartDirtyTracking()
	_, err := m.Add("vram", RAM, 16*mib, 64*PageSize)
	must(t, err)
	must(t, m.Store8(16*mib+3*PageSize, 1))
	must(t, m.Move(16*mib, 32*mib))
	log := make([]uint64, 1)
	must(t, m.TakeDirty(32*mib, log))
	if log[0] != 1<<3 {
		t.Errorf("dirty %#x, want page 3", log[0])
	}
}

// TestDirtyNoneLost: no write is missing from all of the logs that are taken
// while several goroutines write.
func TestDirtyNoneLost(t *testing.T) {
	m := newMemory(t, 64*PageSize)
	m.StartDirtyTracking()
	var wg sync.WaitGroup
	for w := range uint64(4) {
		wg.Go(func() {
			for page := w; page < 64; page += 4 {
				if err := m.Store8(page*PageSize, 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var seen uint64
	log := make([]uint64, 1)
	for range 100 {
		must(t, m.TakeDirty(0, log))
		seen |= log[0]
	}
	wg.Wait()
	must(t, m.TakeDirty(0, log))
	if seen |= log[0]; seen != ^uint64(0) {
		t.Errorf("pages seen %#x, want all 64", seen)
	}
}

func TestPopulateAndDiscard(t *testing.T) {
	const size = 8 * mib
	m := newMemory(t, size)
	if n, err := m.Resident(); n != 0 || err != nil {
		t.Errorf("new memory: %d bytes resident, %v", n, err)
	}
	must(t, m.Store8(5, 0x77))
	must(t, m.Populate(context.Background(), 1, size-1))
	if n, err := m.Resident(); n != size || err != nil {
		t.Errorf("populated: %d bytes resident, %v; want %d", n, err, size)
	}
	if v, err := m.Load8(5); v != 0x77 || err != nil {
		t.Errorf("Populate changed memory to %#x, %v", v, err)
	}

	must(t, m.Store8(PageSize-1, 1))
	must(t, m.Store8(PageSize, 2))
	must(t, m.Store8(2*PageSize, 3))
	must(t, m.Discard(PageSize-1, PageSize+2)) // one whole page
	for gpa, want := range map[uint64]uint8{PageSize - 1: 1, PageSize: 0, 2 * PageSize: 3} {
		if v, err := m.Load8(gpa); v != want || err != nil {
			t.Errorf("after Discard, %#x has %d, %v; want %d", gpa, v, err, want)
		}
	}
	must(t, m.Discard(100, 10)) // no whole page
	m.DiscardAll()
	if n, err := m.Resident(); n != 0 || err != nil {
		t.Errorf("all discarded: %d bytes resident, %v", n, err)
	}
	if v, err := m.Load8(5); v != 0 || err != nil {
		t.Errorf("discarded memory has %#x, %v", v, err)
	}

	var a *AccessError
	if err := m.Discard(size-1, 2); !errors.As(err, &a) {
		t.Errorf("Discard past the end: %v", err)
	}
	if err := m.Populate(context.Background(), size, 1); !errors.As(err, &a) {
		t.Errorf("Populate past the end: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := m.Populate(ctx, 0, size); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestTouch is the way of populating of old kernels.
func TestTouch(t *testing.T) {
	m := newMemory(t, mib)
	must(t, m.Store32(PageSize, 0xdeadbeef))
	b, err := m.Slice(0, mib)
	must(t, err)
	touch(b)
	if n, err := m.Resident(); n != mib || err != nil {
		t.Errorf("%d bytes resident, %v", n, err)
	}
	if v, err := m.Load32(PageSize); v != 0xdeadbeef || err != nil {
		t.Errorf("touch changed memory to %#x, %v", v, err)
	}
}
