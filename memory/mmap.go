package memory

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sizes of x86-64 huge pages, in bytes. RAM regions start at multiples of the first one, or
// of Config.HugePage, in the guest and in the host, so that one huge page can back one
// page-table entry of either.
const (
	HugePage2M = 2 << 20
	HugePage1G = 1 << 30
)

const (
	protNone = unix.PROT_NONE
	protRW   = unix.PROT_READ | unix.PROT_WRITE

	mapAnonymous = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS
	// A guest is given more than it uses; the host's commit limit is not ours
	// to spend on it.
	mapLazy = mapAnonymous | unix.MAP_NORESERVE
)

// mapRAM reserves address space for all RAM in one piece, and maps the low and
// the high part into it.
func (m *Memory) mapRAM() (err error) {
	low, high := Split(m.config.Size)
	page := cmp.Or(m.config.HugePage, HugePage2M)
	lowRoom, highRoom := roundUp(low, page), roundUp(high, page)
	// One huge page more than needed, to align the start.
	reserved, err := unix.Mmap(-1, 0, int(lowRoom+highRoom+page), protNone, mapLazy)
	if err != nil {
		return explainMmap(err)
	}
	m.reserved = reserved
	defer func() {
		if err != nil {
			unmap(reserved)
		}
	}()

	start := uintptr(unsafe.Pointer(&reserved[0]))
	pad := roundUp(uint64(start), page) - uint64(start)
	regions := []*region{}
	add := func(name string, gpa, size, offset, room uint64) error {
		if err := m.backRAM(reserved[offset:][:room]); err != nil {
			return err
		}
		r := &region{Region: Region{Name: name, Kind: RAM, GPA: gpa, Size: size, Host: reserved[offset:][:size:size]}}
		// A page that has gone back to the pool is not there for us again.
		r.kept.Store(m.config.HugePage != 0)
		regions = append(regions, r)
		return nil
	}
	if err := add("low RAM", 0, low, pad, lowRoom); err != nil {
		return err
	}
	if high > 0 {
		if err := add("high RAM", HighStart, high, pad+lowRoom, highRoom); err != nil {
			return err
		}
	}
	m.publish(regions)
	return nil
}

// backRAM puts memory behind a part of the reservation.
func (m *Memory) backRAM(host []byte) error {
	flags := mapLazy
	switch m.config.HugePage {
	case HugePage2M:
		// Reserved now: a pool that runs dry later would be a SIGBUS.
		flags = mapAnonymous | unix.MAP_HUGETLB | unix.MAP_HUGE_2MB
	case HugePage1G:
		flags = mapAnonymous | unix.MAP_HUGETLB | unix.MAP_HUGE_1GB
	}
	addr := unsafe.Pointer(&host[0])
	if _, err := unix.MmapPtr(-1, 0, addr, uintptr(len(host)), protRW, flags|unix.MAP_FIXED); err != nil {
		if m.config.HugePage != 0 {
			return fmt.Errorf("%w: %s", err, m.pool())
		}
		return explainMmap(err)
	}
	advise(host, unix.MADV_DONTFORK, unix.MADV_DONTDUMP)
	if m.config.HugePage == 0 {
		advise(host, unix.MADV_HUGEPAGE)
	}
	if m.config.Mergeable {
		advise(host, unix.MADV_MERGEABLE)
	}
	return nil
}

// Lock keeps the RAM from being swapped out (mlock(2)), and so takes all of it now, what
// Populate has not. The error names the limit that stands in the way.
func (m *Memory) Lock() error {
	for _, r := range m.all() {
		if r.Kind != RAM || r.owned {
			continue
		}
		if err := unix.Mlock(r.Host); err != nil {
			return explainMlock(err)
		}
		r.kept.Store(true)
	}
	return nil
}

// advise gives hints, which a kernel built without the feature refuses: no
// reason to fail.
func advise(host []byte, hints ...int) {
	for _, hint := range hints {
		_ = unix.Madvise(host, hint)
	}
}

// mapPages maps the memory of an added region.
func mapPages(size uint64) ([]byte, error) {
	host, err := unix.Mmap(-1, 0, int(size), protRW, mapLazy)
	if err != nil {
		return nil, explainMmap(err)
	}
	advise(host, unix.MADV_DONTFORK, unix.MADV_DONTDUMP)
	return host, nil
}

func unmap(mem []byte) error {
	return os.NewSyscallError("munmap", unix.Munmap(mem))
}

// explainMmap says which limit stood in the way.
func explainMmap(err error) error {
	if !errors.Is(err, unix.ENOMEM) {
		return os.NewSyscallError("mmap", err)
	}
	if n := addressSpaceLimit(); n != unlimited {
		return fmt.Errorf("%w: %s is %s", err, addressSpaceSource, FormatSize(n))
	}
	if mode, _ := os.ReadFile("/proc/sys/vm/overcommit_memory"); strings.TrimSpace(string(mode)) == "2" {
		return fmt.Errorf("%w: the host promises no more memory than it has (sysctl vm.overcommit_memory is 2)", err)
	}
	return fmt.Errorf("%w: not enough address space", err)
}

func explainMlock(err error) error {
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &lim) == nil && lim.Cur != unlimited {
		return fmt.Errorf("mlock: %w: the process may lock %s (RLIMIT_MEMLOCK, ulimit -l)", err, FormatSize(lim.Cur))
	}
	return os.NewSyscallError("mlock", err)
}

func roundUp(n, unit uint64) uint64 { return (n + unit - 1) / unit * unit }
