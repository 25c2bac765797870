package memory

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
	tib = 1 << 40
)

func newMemory(tb testing.TB, size uint64) *Memory {
	tb.Helper()
	m, err := New(Config{Size: size})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { must(tb, m.Close()) })
	return m
}

func must(tb testing.TB, err error) {
	if err != nil {
		tb.Helper()
		tb.Fatal(err)
	}
}

func TestLayout(t *testing.T) {
	tests := []struct {
		size      uint64
		low, high uint64
	}{
		{PageSize, PageSize, 0},
		{128 * mib, 128 * mib, 0},
		{3584*mib - PageSize, 3584*mib - PageSize, 0},
		{3584 * mib, 3 * gib, 512 * mib},
		{5 * gib, 3 * gib, 2 * gib},
		{5*gib + 4*kib, 3 * gib, 2*gib + 4*kib},
		{tib, 3 * gib, tib - 3*gib},
	}
	for _, tt := range tests {
		t.Run(FormatSize(tt.size), func(t *testing.T) {
			m := newMemory(t, tt.size)
			want := []Region{{Name: "low RAM", GPA: 0, Size: tt.low}}
			if tt.high > 0 {
				want = append(want, Region{Name: "high RAM", GPA: 4 * gib, Size: tt.high})
			}
			regions := m.Regions()
			if len(regions) != len(want) {
				t.Fatalf("%d regions, want %d", len(regions), len(want))
			}
			for i, r := range regions {
				w := want[i]
				if r.Name != w.Name || r.Kind != RAM || r.GPA != w.GPA || r.Size != w.Size || uint64(len(r.Host)) != w.Size {
					t.Errorf("region %d: %s %s at %#x, %#x bytes, %#x mapped; want %+v",
						i, r.Kind, r.Name, r.GPA, r.Size, len(r.Host), w)
				}
				host := uint64(uintptr(unsafe.Pointer(&r.Host[0])))
				if host%HugePage2M != r.GPA%HugePage2M {
					t.Errorf("region %d: host %#x is not congruent with guest %#x", i, host, r.GPA)
				}
			}
			// Both ends of each part are there, and new memory is zero.
			for _, r := range regions {
				for _, gpa := range []uint64{r.GPA, r.GPA + r.Size - 8} {
					if v, err := m.Load64(gpa); v != 0 || err != nil {
						t.Errorf("at %#x: %#x, %v", gpa, v, err)
					}
					must(t, m.Store64(gpa, ^gpa))
					if v, err := m.Load64(gpa); v != ^gpa || err != nil {
						t.Errorf("at %#x: %#x, %v", gpa, v, err)
					}
				}
			}
			if m.Size() != tt.size {
				t.Errorf("size %d, want %d", m.Size(), tt.size)
			}
		})
	}
}

func TestConfigErrors(t *testing.T) {
	for says, c := range map[string]Config{
		"no size":                {},
		"multiple of 4096":       {Size: 3584*mib - 1},
		"more than 1 PiB":        {Size: 2 << 50},
		"no huge pages of 4 MiB": {Size: 4 * mib, HugePage: 4 * mib},
	} {
		m, err := New(c)
		if err == nil {
			m.Close()
			t.Errorf("%+v: no error", c)
		} else if !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %q does not say %q", c, err, says)
		}
	}
}

// TestAddressSpaceLimit runs into RLIMIT_AS, which is this process's own: it
// leaves room for the rest of the process, and is put back at once.
func TestAddressSpaceLimit(t *testing.T) {
	statm, err := os.ReadFile("/proc/self/statm")
	must(t, err)
	pages, err := strconv.ParseUint(strings.Fields(string(statm))[0], 10, 64)
	must(t, err)
	limit := roundUp(pages*PageSize, gib) + 8*gib

	var old unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_AS, &old))
	must(t, unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: limit, Max: old.Max}))
	m, err := New(Config{Size: 64 * gib})
	l, limited, limitErr := HostLimit()
	must(t, unix.Setrlimit(unix.RLIMIT_AS, &old))
	if err == nil {
		m.Close()
		t.Fatalf("64 GiB were mapped with 8 GiB left of %s", FormatSize(limit))
	}
	for _, part := range []string{"64 GiB", "RLIMIT_AS", FormatSize(limit)} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
	if !errors.Is(err, unix.ENOMEM) {
		t.Errorf("%v is not ENOMEM", err)
	}
	must(t, limitErr)
	if !limited || l.Bytes > limit {
		t.Errorf("HostLimit is %s, %v; want at most %s", l, limited, FormatSize(limit))
	}
}

// pool has the host make huge pages of 2 MiB, for a test that needs some, and returns how
// many are free then. Other tests on this host may use the pool as well.
func pool(t *testing.T, more uint64) HugePool {
	t.Helper()
	p, err := HugePages(HugePage2M)
	must(t, err)
	if os.Geteuid() != 0 || p.Free >= more {
		return p
	}
	file, before := p.file("nr_hugepages"), p.Total
	must(t, os.WriteFile(file, fmt.Append(nil, before+more), 0))
	t.Cleanup(func() { must(t, os.WriteFile(file, fmt.Append(nil, before), 0)) })
	p, err = HugePages(HugePage2M)
	must(t, err)
	return p
}

// TestHugePages takes huge pages if the host has a pool of them, and is told what
// to do if not.
func TestHugePages(t *testing.T) {
	p := pool(t, 3)
	const size = 5 * mib // three pages
	m, err := New(Config{Size: size, HugePage: HugePage2M})
	if p.Free < 3 {
		if err == nil || !strings.Contains(err.Error(), "3 huge pages of 2 MiB are needed") || !strings.Contains(err.Error(), "nr_hugepages") {
			t.Errorf("%v does not say what to do", err)
		}
		t.Skipf("the host makes no huge pages: %+v", p)
	}
	must(t, err)
	defer m.Close()
	must(t, m.Populate(t.Context(), 0, size))
	now, err := HugePages(HugePage2M)
	must(t, err)
	if now.Free > p.Free-3 {
		t.Errorf("of %d pages %d are free", p.Free, now.Free)
	}
	if got := kernelPageSize(t, m.Regions()[0].Host); got != 2048 {
		t.Errorf("the pages have %d KiB", got)
	}
	must(t, m.Store8(size-1, 1))
	must(t, m.Store8(4*mib, 1))
	must(t, m.Discard(4*mib, mib))
	for _, gpa := range []uint64{4 * mib, size - 1} {
		if v, err := m.Load8(gpa); v != 0 || err != nil {
			t.Errorf("after Discard: %d, %v", v, err)
		}
	}
	must(t, m.Store8(0, 1))
	m.DiscardAll()
	if v, err := m.Load8(0); v != 0 || err != nil {
		t.Errorf("after DiscardAll: %d, %v", v, err)
	}
	must(t, m.Lock())
}

// kernelPageSize is that of the pages behind a mapping, in KiB, by smaps.
func kernelPageSize(t *testing.T, host []byte) (kib int) {
	t.Helper()
	smaps, err := os.ReadFile("/proc/self/smaps")
	must(t, err)
	start := fmt.Sprintf("%x-", uintptr(unsafe.Pointer(&host[0])))
	found := false
	for line := range strings.Lines(string(smaps)) {
		found = found || strings.HasPrefix(line, start)
		if _, err := fmt.Sscanf(line, "KernelPageSize: %d kB", &kib); err == nil && found {
			return kib
		}
	}
	t.Fatalf("no mapping starts at %s", start)
	return 0
}

// TestTooFewHugePages asks for more than any host has.
func TestTooFewHugePages(t *testing.T) {
	for _, size := range []uint64{HugePage2M, HugePage1G} {
		p, err := HugePages(size)
		if err != nil {
			t.Log(err) // a processor without them
			continue
		}
		m, err := New(Config{Size: 256 << 40, HugePage: size})
		if err == nil {
			m.Close()
		}
		want := fmt.Sprintf("%d huge pages of %s are needed and %d are free: echo ", 256<<40/size, FormatSize(size), p.Free)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), p.file("nr_hugepages")) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if size := DefaultHugePage(); size != 0 && size%HugePage2M != 0 {
		t.Errorf("the default is %d", size)
	}
}

func TestLockedMergeable(t *testing.T) {
	m, err := New(Config{Size: mib, Mergeable: true})
	must(t, err)
	defer m.Close()
	must(t, m.Lock())
	if n, err := m.Resident(); n < mib || err != nil {
		t.Errorf("locked, but %d bytes are resident, %v", n, err)
	}
	must(t, m.Store8(0x1000, 7))
	must(t, m.Discard(0x1000, PageSize))
	if v, err := m.Load8(0x1000); v != 0 || err != nil {
		t.Errorf("after Discard: %d, %v", v, err)
	}
	if n, err := m.Resident(); n < mib || err != nil {
		t.Errorf("after Discard %d bytes are resident, %v", n, err)
	}
}

// TestLockLimit: more than RLIMIT_MEMLOCK is refused by name, without the
// privilege that overrides it.
func TestLockLimit(t *testing.T) {
	err := explainMlock(unix.ENOMEM)
	var lim unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_MEMLOCK, &lim))
	if lim.Cur != unlimited && !strings.Contains(err.Error(), "RLIMIT_MEMLOCK") {
		t.Errorf("%v does not name the limit", err)
	}
	if !errors.Is(err, unix.ENOMEM) {
		t.Errorf("%v is not ENOMEM", err)
	}
}

// TestClose: nothing stays mapped, and accesses fail rather than fault.
func TestClose(t *testing.T) {
	m, err := New(Config{Size: 5 * gib})
	must(t, err)
	rom, err := m.Add("firmware", ROM, 0xfffc0000, 256*kib)
	must(t, err)
	hosts := []uintptr{hostAddr(rom)}
	for _, r := range m.Regions() {
		hosts = append(hosts, hostAddr(r))
	}
	must(t, m.Close())
	must(t, m.Close())
	for _, host := range hosts {
		if isMapped(t, host) {
			t.Errorf("host address %#x is still mapped", host)
		}
	}
	var access *AccessError
	if _, err := m.Load32(0); !errors.As(err, &access) {
		t.Errorf("Load32 after Close: %v", err)
	}
	if _, err := m.Slice(0, 1); !errors.As(err, &access) {
		t.Errorf("Slice after Close: %v", err)
	}
	if err := m.WriteAt([]byte{1}, 0); !errors.As(err, &access) {
		t.Errorf("WriteAt after Close: %v", err)
	}
	if _, err := m.Add("more", RAM, 0, PageSize); err == nil {
		t.Error("Add after Close worked")
	}
	m.DiscardAll()
	m.MarkDirty(0, 100)
	m.StartDirtyTracking()
	if got := m.Regions(); len(got) != 0 {
		t.Errorf("regions after Close: %v", got)
	}
}

func hostAddr(r Region) uintptr { return uintptr(unsafe.Pointer(&r.Host[0])) }

// isMapped asks by mincore, which fails with ENOMEM where nothing is mapped.
func isMapped(t *testing.T, addr uintptr) bool {
	t.Helper()
	var vec [1]byte
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, addr, PageSize, uintptr(unsafe.Pointer(&vec)))
	if errno != 0 && errno != unix.ENOMEM {
		t.Fatal(errno)
	}
	return errno == 0
}

func TestRegionSet(t *testing.T) {
	m := newMemory(t, 5*gib)
	rom, err := m.Add("firmware", ROM, 0xfffc0000, 256*kib)
	must(t, err)
	copy(rom.Host, "reset vector")
	if _, err := m.Add("vram", RAM, 0xe0000000, 16*mib); err != nil {
		t.Fatal(err)
	}
	names := func() (list []string) {
		for _, r := range m.Regions() {
			list = append(list, r.Name)
		}
		return list
	}
	if got, want := names(), []string{"low RAM", "vram", "firmware", "high RAM"}; !slices.Equal(got, want) {
		t.Errorf("regions %q, want %q", got, want)
	}

	errs := []struct {
		name      string
		gpa, size uint64
		says      string
	}{
		{"over low RAM", 3*gib - PageSize, 2 * PageSize, "overlaps low RAM at 0x0-0xbfffffff"},
		{"inside", 0xe0001000, PageSize, "overlaps vram"},
		{"around", 0xd0000000, 0x20000000, "overlaps vram"},
		{"no size", 0xd0000000, 0, "whole number"},
		{"half a page", 0xd0000000, 2048, "whole number"},
		{"off a page", 0xd0000001, PageSize, "whole number"},
		{"end of the address space", 1<<52 - PageSize, 2 * PageSize, "52 bits"},
		{"wraps", ^uint64(PageSize - 1), PageSize, "52 bits"},
		{"huge", 0xd0000000, ^uint64(PageSize - 1), "52 bits"},
	}
	for _, tt := range errs {
		if _, err := m.Add(tt.name, RAM, tt.gpa, tt.size); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v does not say %q", tt.name, err, tt.says)
		}
	}

	must(t, m.Store32(0xe0000010, 0xc0ffee))
	must(t, m.Move(0xe0000000, 0xe0800000)) // onto a part of itself
	if v, err := m.Load32(0xe0800010); v != 0xc0ffee || err != nil {
		t.Errorf("moved memory: %#x, %v", v, err)
	}
	if _, err := m.Load32(0xe0000010); err == nil {
		t.Error("the old address still works")
	}
	if err := m.Move(0xe0800000, 0xfff00000); err == nil {
		t.Error("moved onto the firmware")
	}
	if err := m.Move(0, 0xd0000000); err == nil {
		t.Error("moved the RAM")
	}
	must(t, m.Remove(0xe0800000))
	if _, err := m.Load32(0xe0800010); err == nil {
		t.Error("removed memory still works")
	}
	if err := m.Remove(0xe0800000); err == nil {
		t.Error("removed twice")
	}
	if err := m.Remove(0); err == nil {
		t.Error("removed the RAM")
	}
}

func TestFormatSize(t *testing.T) {
	for want, n := range map[string]uint64{
		"0 bytes": 0, "4 KiB": 4096, "4097 bytes": 4097, "1 TiB": tib, "1536 MiB": 1536 * mib,
	} {
		if got := FormatSize(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}
