package memory

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePageSize is the size of an x86-64 huge page. RAM regions start at
// multiples of it in the guest and in the host, so that one huge page can back
// one page-table entry of either.
const hugePageSize = 2 << 20

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
	lowRoom := roundUp(low, hugePageSize)
	// One huge page more than needed, to align the start.
	reserved, err := unix.Mmap(-1, 0, int(lowRoom+roundUp(high, hugePageSize)+hugePageSize), protNone, mapLazy)
	if err != nil {
		return explainMmap(err, false)
	}
	m.reserved = reserved
	defer func() {
		if err != nil {
			unmap(reserved)
		}
	}()

	start := uintptr(unsafe.Pointer(&reserved[0]))
	pad := roundUp(uint64(start), hugePageSize) - uint64(start)
	regions := []*region{}
	add := func(name string, gpa, size, offset uint64) error {
		host := reserved[offset:][:size:size]
		if err := m.backRAM(host); err != nil {
			return err
		}
		regions = append(regions, &region{
			Region: Region{Name: name, Kind: RAM, GPA: gpa, Size: size, Host: host},
		})
		return nil
	}
	if err := add("low RAM", 0, low, pad); err != nil {
		return err
	}
	if high > 0 {
		if err := add("high RAM", HighStart, high, pad+lowRoom); err != nil {
			return err
		}
	}
	m.publish(regions)
	return nil
}

// backRAM puts memory behind a part of the reservation.
func (m *Memory) backRAM(host []byte) error {
	flags := mapLazy
	if m.config.HugeTLB {
		// Reserved now: a pool that runs dry later would be a SIGBUS.
		flags = mapAnonymous | unix.MAP_HUGETLB | unix.MAP_HUGE_2MB
	}
	addr := unsafe.Pointer(&host[0])
	if _, err := unix.MmapPtr(-1, 0, addr, uintptr(len(host)), protRW, flags|unix.MAP_FIXED); err != nil {
		return explainMmap(err, m.config.HugeTLB)
	}
	advise(host, unix.MADV_DONTFORK, unix.MADV_DONTDUMP)
	if !m.config.HugeTLB {
		advise(host, unix.MADV_HUGEPAGE)
	}
	if m.config.Mergeable {
		advise(host, unix.MADV_MERGEABLE)
	}
	if m.config.Locked {
		if err := unix.Mlock(host); err != nil {
			return explainMlock(err)
		}
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
		return nil, explainMmap(err, false)
	}
	advise(host, unix.MADV_DONTFORK, unix.MADV_DONTDUMP)
	return host, nil
}

func unmap(mem []byte) error {
	return os.NewSyscallError("munmap", unix.Munmap(mem))
}

// explainMmap says which limit stood in the way.
func explainMmap(err error, hugeTLB bool) error {
	switch {
	case !errors.Is(err, unix.ENOMEM):
		return os.NewSyscallError("mmap", err)
	case hugeTLB:
		return fmt.Errorf("%w: the host has not enough free 2 MiB huge pages (sysctl vm.nr_hugepages)", err)
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
