package memory

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// newHoleMemory has every kind of border: RAM that ends where a ROM begins, a
// ROM that adjoins RAM, RAM that adjoins RAM, a hole, and RAM from 4 GiB.
func newHoleMemory(tb testing.TB) *Memory {
	m := newMemory(tb, 4*gib)
	rom, err := m.Add("rom", ROM, 3*gib, PageSize)
	must(tb, err)
	copy(rom.Host, "ROM CONTENTS")
	for gpa := uint64(3*gib + PageSize); gpa < 3*gib+3*PageSize; gpa += PageSize {
		_, err := m.Add("extra", RAM, gpa, PageSize)
		must(tb, err)
	}
	return m
}

func TestAccess(t *testing.T) {
	const low, rom, extra, high = 3 * gib, 3 * gib, 3*gib + PageSize, 4 * gib
	tests := []struct {
		name        string
		gpa, n      uint64
		slice, view string // why not; "" is fine
		read, write string
	}{
		{"start", 0, 16, "", "", "", ""},
		{"nothing", 1 << 51, 0, "", "", "", ""},
		{"end of low", low - 8, 8, "", "", "", ""},
		{"low into rom", low - 8, 16, whySplit, whySplit, "", whyReadOnly},
		{"rom", rom, 12, whyReadOnly, "", "", whyReadOnly},
		{"rom into extra", extra - 4, 8, whySplit, whySplit, "", whyReadOnly},
		{"extra into extra", extra + PageSize - 4, 8, whySplit, whySplit, "", ""},
		{"extra into hole", extra + 2*PageSize - 4, 8, whySplit, whySplit, whyUnmapped, whyUnmapped},
		{"hole", extra + 2*PageSize, 1, whyUnmapped, whyUnmapped, whyUnmapped, whyUnmapped},
		{"hole into high", high - 1, 2, whyUnmapped, whyUnmapped, whyUnmapped, whyUnmapped},
		{"high", high, gib, "", "", "", ""},
		{"beyond high", high + gib - 1, 2, whySplit, whySplit, whyUnmapped, whyUnmapped},
		{"top", ^uint64(0), 1, whyUnmapped, whyUnmapped, whyUnmapped, whyUnmapped},
		{"wraps", ^uint64(0) - 3, 8, whyUnmapped, whyUnmapped, whyUnmapped, whyUnmapped},
		{"whole address space", 0, ^uint64(0), whySplit, whySplit, whyReadOnly, whyReadOnly},
	}
	m := newHoleMemory(t)
	check := func(t *testing.T, what string, gpa, n uint64, err error, want string) {
		t.Helper()
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
			return
		}
		var a *AccessError
		if !errors.As(err, &a) || a.Why != want || a.GPA != gpa || a.Len != n {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, err := m.Slice(tt.gpa, tt.n)
			check(t, "Slice", tt.gpa, tt.n, err, tt.slice)
			if err == nil && (uint64(len(b)) != tt.n || uint64(cap(b)) != tt.n) {
				t.Errorf("Slice has %d bytes, room for %d, want %d", len(b), cap(b), tt.n)
			}
			_, err = m.View(tt.gpa, tt.n)
			check(t, "View", tt.gpa, tt.n, err, tt.view)
			if tt.n > 64 {
				return
			}
			p := make([]byte, tt.n)
			check(t, "ReadAt", tt.gpa, tt.n, m.ReadAt(p, tt.gpa), tt.read)
			check(t, "WriteAt", tt.gpa, tt.n, m.WriteAt(p, tt.gpa), tt.write)
			check(t, "Zero", tt.gpa, tt.n, m.Zero(tt.gpa, tt.n), tt.write)
		})
	}
	if err := m.Zero(0, ^uint64(0)); err == nil {
		t.Error("cleared the whole address space")
	}
}

// TestSpan: data that spans regions arrives in order, and a refused access
// changes nothing.
func TestSpan(t *testing.T) {
	m := newHoleMemory(t)
	const border = 3*gib + 2*PageSize // of the two extra regions
	want := []byte("across the border")
	must(t, m.WriteAt(want, border-6))
	got := make([]byte, len(want))
	must(t, m.ReadAt(got, border-6))
	if !bytes.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if v, err := m.Load8(border); v != ' ' || err != nil {
		t.Errorf("after the border: %q, %v", v, err)
	}
	if err := m.WriteAt(make([]byte, 2*PageSize), border-6); err == nil {
		t.Fatal("wrote into the hole")
	}
	must(t, m.ReadAt(got, border-6))
	if !bytes.Equal(got, want) {
		t.Errorf("a refused write left %q", got)
	}
	must(t, m.Zero(border-3, 6))
	must(t, m.ReadAt(got, border-6))
	if want := []byte("acr\x00\x00\x00\x00\x00\x00e border"); !bytes.Equal(got, want) {
		t.Errorf("after Zero %q, want %q", got, want)
	}
}

func TestTyped(t *testing.T) {
	m := newMemory(t, mib)
	const gpa = 0x1001 // not aligned
	must(t, m.Store64(gpa, 0x8877665544332211))
	if v, err := m.Load64(gpa); v != 0x8877665544332211 || err != nil {
		t.Errorf("Load64 %#x, %v", v, err)
	}
	if v, err := m.Load32(gpa + 4); v != 0x88776655 || err != nil {
		t.Errorf("Load32 %#x, %v", v, err)
	}
	if v, err := m.Load16(gpa + 1); v != 0x3322 || err != nil {
		t.Errorf("Load16 %#x, %v", v, err)
	}
	if v, err := m.Load8(gpa + 7); v != 0x88 || err != nil {
		t.Errorf("Load8 %#x, %v", v, err)
	}
	must(t, m.Store8(gpa, 0xaa))
	must(t, m.Store16(gpa+1, 0xbbcc))
	must(t, m.Store32(gpa+3, 0xdddddddd))
	if v, err := m.Load64(gpa); v != 0x88ddddddddbbccaa || err != nil {
		t.Errorf("after stores %#x, %v", v, err)
	}
	for name, err := range map[string]error{
		"Store16": m.Store16(mib-1, 0), "Store32": m.Store32(mib-3, 0), "Store64": m.Store64(mib-7, 0),
		"Store8": m.Store8(mib, 0),
	} {
		if err == nil {
			t.Errorf("%s past the end worked", name)
		}
	}
}

func TestAtomic(t *testing.T) {
	m := newHoleMemory(t)
	const gpa = 0x2000
	must(t, m.AtomicStore64(gpa, 0x8877665544332211))
	if v, err := m.AtomicLoad64(gpa); v != 0x8877665544332211 || err != nil {
		t.Errorf("AtomicLoad64 %#x, %v", v, err)
	}
	must(t, m.AtomicStore16(gpa+2, 0xabcd))
	must(t, m.AtomicStore16(gpa+4, 0x1234))
	if v, err := m.AtomicLoad32(gpa); v != 0xabcd2211 || err != nil {
		t.Errorf("AtomicLoad32 %#x, %v", v, err)
	}
	must(t, m.AtomicStore32(gpa, 0x01020304))
	for at, want := range map[uint64]uint16{gpa: 0x0304, gpa + 2: 0x0102, gpa + 4: 0x1234, gpa + 6: 0x8877} {
		if v, err := m.AtomicLoad16(at); v != want || err != nil {
			t.Errorf("AtomicLoad16 at %#x: %#x, %v; want %#x", at, v, err, want)
		}
	}
	if v, err := m.AtomicLoad16(3*gib - 2); v != 0 || err != nil {
		t.Errorf("last of a region: %#x, %v", v, err)
	}

	var a *AccessError
	for _, err := range []error{
		m.AtomicStore16(gpa+1, 0), m.AtomicStore32(gpa+2, 0), m.AtomicStore64(gpa+4, 0),
	} {
		if !errors.As(err, &a) || a.Why != whyMisaligned {
			t.Errorf("misaligned: %v", err)
		}
	}
	if err := m.AtomicStore16(3*gib, 1); !errors.As(err, &a) || a.Why != whyReadOnly {
		t.Errorf("to ROM: %v", err)
	}
	if _, err := m.AtomicLoad32(3 * gib); err != nil {
		t.Errorf("from ROM: %v", err)
	}
}

// TestAtomicNeighbours: two goroutines that each own half a word do not undo
// each other's stores.
func TestAtomicNeighbours(t *testing.T) {
	m := newMemory(t, mib)
	var wg sync.WaitGroup
	for half := range uint64(2) {
		wg.Go(func() {
			for i := range uint16(20000) {
				if err := m.AtomicStore16(half*2, i); err != nil {
					t.Error(err)
					return
				}
				if v, err := m.AtomicLoad16(half * 2); v != i || err != nil {
					t.Errorf("half %d: stored %d, loaded %d, %v", half, i, v, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestFile(t *testing.T) {
	m := newHoleMemory(t)
	data := bytes.Repeat([]byte("0123456789abcdef"), 400) // 6400 bytes
	name := filepath.Join(t.TempDir(), "image")
	must(t, os.WriteFile(name, data, 0o600))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()

	const gpa = 3*gib + PageSize + 100 // spans the two extra regions
	must(t, m.ReadFrom(f, 16, gpa, 6000))
	got := make([]byte, 6000)
	must(t, m.ReadAt(got, gpa))
	if !bytes.Equal(got, data[16:6016]) {
		t.Error("what was read from the file is not what is in it")
	}
	if err := m.ReadFrom(f, 6000, gpa, 1000); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("file too short: %v, want io.ErrUnexpectedEOF", err)
	}
	var a *AccessError
	if err := m.ReadFrom(f, 0, 3*gib, 10); !errors.As(err, &a) {
		t.Errorf("into ROM: %v", err)
	}
	if err := m.ReadFrom(f, 0, gpa, 3*PageSize); !errors.As(err, &a) {
		t.Errorf("into the hole: %v", err)
	}

	must(t, m.WriteTo(f, 100, gpa, 6000))
	written, err := os.ReadFile(name)
	must(t, err)
	var want []byte
	must(t, func() error { want = make([]byte, 6000); return m.ReadAt(want, gpa) }())
	if !bytes.Equal(written[100:6100], want) {
		t.Error("what was written to the file is not what is in memory")
	}
	if err := m.WriteTo(f, 0, 1<<40, 1); !errors.As(err, &a) {
		t.Errorf("from nowhere: %v", err)
	}
	closed, err := os.Open(name)
	must(t, err)
	must(t, closed.Close())
	if err := m.ReadFrom(closed, 0, gpa, 10); !errors.Is(err, os.ErrClosed) {
		t.Errorf("from a closed file: %v", err)
	}
	if err := m.WriteTo(closed, 0, gpa, 10); !errors.Is(err, os.ErrClosed) {
		t.Errorf("to a closed file: %v", err)
	}
}

func TestAccessErrorString(t *testing.T) {
	err := &AccessError{GPA: 0xa0000, Len: 2, Why: whyUnmapped}
	if got := err.Error(); !strings.Contains(got, "0xa0000") || !strings.Contains(got, whyUnmapped) {
		t.Errorf("got %q", got)
	}
}

// TestAllocs: accesses that succeed do not allocate, also with tracking on.
func TestAllocs(t *testing.T) {
	m := newMemory(t, mib)
	p := make([]byte, 64)
	for name, f := range map[string]func() error{
		"Slice":         func() error { _, err := m.Slice(0x1000, 64); return err },
		"View":          func() error { _, err := m.View(0x1000, 64); return err },
		"ReadAt":        func() error { return m.ReadAt(p, 0x1000) },
		"WriteAt":       func() error { return m.WriteAt(p, 0x1000) },
		"Zero":          func() error { return m.Zero(0x1000, 64) },
		"Load32":        func() error { _, err := m.Load32(0x1000); return err },
		"Store64":       func() error { return m.Store64(0x1000, 1) },
		"AtomicLoad16":  func() error { _, err := m.AtomicLoad16(0x1002); return err },
		"AtomicStore16": func() error { return m.AtomicStore16(0x1002, 1) },
		"MarkDirty":     func() error { m.MarkDirty(0x1000, 64); return nil },
	} {
		for _, tracking := range []bool{false, true} {
			if tracking {
				m.StartDirtyTracking()
			}
			if n := testing.AllocsPerRun(100, func() { must(t, f()) }); n != 0 {
				t.Errorf("%s: %v allocations, tracking %v", name, n, tracking)
			}
			m.StopDirtyTracking()
		}
	}
}

// FuzzAccess holds every access against a model of which addresses have
// memory and of what kind.
func FuzzAccess(f *testing.F) {
	m := newHoleMemory(f)
	type span struct {
		start, end uint64
		kind       Kind
	}
	spans := []span{
		{0, 3 * gib, RAM}, {3 * gib, 3*gib + PageSize, ROM}, {3*gib + PageSize, 3*gib + 2*PageSize, RAM},
		{3*gib + 2*PageSize, 3*gib + 3*PageSize, RAM}, {4 * gib, 5 * gib, RAM},
	}
	for _, s := range spans {
		f.Add(s.start, uint64(8))
		f.Add(s.start-1, uint64(2))
		f.Add(s.end-1, uint64(PageSize))
	}
	f.Add(^uint64(0), ^uint64(0))
	f.Add(uint64(0), ^uint64(0))
	f.Fuzz(func(t *testing.T, gpa, n uint64) {
		inOne, mapped, writable := modelAccess(gpa, n, func(at uint64) (uint64, Kind, bool) {
			for _, s := range spans {
				if at >= s.start && at < s.end {
					return s.end, s.kind, true
				}
			}
			return 0, 0, false
		})
		expect := func(what string, err error, ok bool) {
			t.Helper()
			if (err == nil) != ok {
				t.Errorf("%s at %#x, %#x bytes: %v, model says %v", what, gpa, n, err, ok)
			}
			var a *AccessError
			if err != nil && !errors.As(err, &a) {
				t.Errorf("%s: %T", what, err)
			}
		}
		b, err := m.Slice(gpa, n)
		expect("Slice", err, inOne && writable)
		if err == nil && uint64(len(b)) != n {
			t.Errorf("Slice of %#x has %#x bytes", n, len(b))
		}
		_, err = m.View(gpa, n)
		expect("View", err, inOne)
		m.MarkDirty(gpa, n)
		if n <= 4*PageSize {
			p := make([]byte, n)
			expect("ReadAt", m.ReadAt(p, gpa), mapped)
			expect("WriteAt", m.WriteAt(p, gpa), mapped && writable)
			expect("Zero", m.Zero(gpa, n), mapped && writable)
		}
		if n == 2 || n == 4 || n == 8 {
			load := map[uint64]func() error{
				2: func() error { _, err := m.AtomicLoad16(gpa); return err },
				4: func() error { _, err := m.AtomicLoad32(gpa); return err },
				8: func() error { _, err := m.AtomicLoad64(gpa); return err },
			}[n]
			expect("AtomicLoad", load(), inOne && gpa%n == 0)
		}
	})
}

// modelAccess says of an access whether it is in one region, whether there is
// memory all along, and whether all of it can be written.
func modelAccess(gpa, n uint64, at func(uint64) (end uint64, k Kind, ok bool)) (inOne, mapped, writable bool) {
	if n == 0 {
		return true, true, true
	}
	if gpa+n-1 < gpa { // beyond the top of 64 bits there is nothing
		return false, false, false
	}
	inOne, mapped, writable = true, true, true
	for last := gpa + n - 1; ; {
		end, kind, ok := at(gpa)
		if !ok {
			return false, false, false
		}
		writable = writable && kind == RAM
		if last < end {
			return inOne, mapped, writable
		}
		inOne = false
		gpa = end
	}
}

func BenchmarkLoad32(b *testing.B) {
	m := newMemory(b, 5*gib)
	for name, gpa := range map[string]uint64{"low": 0x1000, "high": 4*gib + 0x1000} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Load32(gpa); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAtomicStore16(b *testing.B) {
	m := newMemory(b, mib)
	b.ReportAllocs()
	for b.Loop() {
		must(b, m.AtomicStore16(0x1002, 7))
	}
}

func BenchmarkSlice(b *testing.B) {
	m := newMemory(b, 5*gib)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Slice(4*gib+0x1000, 4096); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadAt(b *testing.B) {
	m := newMemory(b, mib)
	p := make([]byte, 4096)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		must(b, m.ReadAt(p, 0x1000))
	}
}

func BenchmarkWriteAt(b *testing.B) {
	for _, tracking := range []bool{false, true} {
		name := map[bool]string{false: "plain", true: "tracking"}[tracking]
		b.Run(name, func(b *testing.B) {
			m := newMemory(b, mib)
			if tracking {
				m.StartDirtyTracking()
			}
			p := make([]byte, 4096)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				must(b, m.WriteAt(p, 0x1000))
			}
		})
	}
}
