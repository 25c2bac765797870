// Package memory is a machine's guest-physical memory, as the host sees it:
// mappings outside the Go heap, at the guest-physical addresses of a PC, with
// bounds-checked access to them.
//
// The RAM of a PC starts at 0. What does not fit below the PCI hole continues
// at 4 GiB (Split). Other regions, such as firmware, can be added.
//
// The guest reads and writes this memory while we do: nothing read from it may
// be trusted to stay the same, so what matters is read once and then checked.
// Plain accesses have no order that another processor could rely on; the
// Atomic ones do.
//
// Accesses may come from any number of goroutines. Adding, moving and removing
// regions are serialised among themselves; Remove and Close unmap memory, so
// before them the caller stops whoever may hold a slice of it: vCPUs and
// devices. An access that begins after Close gets an *AccessError.
//
// The package knows Linux's mmap and nothing of KVM. It leaves out NUMA
// placement and memory shared with other processes.
package memory

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// PageSize is the granularity, in bytes, of regions and of dirty tracking.
const PageSize = 4096

// maxGPA bounds guest-physical addresses: the architecture ends at 52 bits
// (Intel SDM volume 3, 4.1.4; AMD APM volume 2, 5.1).
const maxGPA = 1 << 52

// Config describes the RAM of a machine.
type Config struct {
	// Size is in bytes, a multiple of PageSize, at most 1 PiB.
	Size uint64
	// HugePage takes the RAM from the host's pool of huge pages of this size, 2 MiB
	// or 1 GiB: all of it is reserved at once, and a part of a page is a whole one.
	// 0 has the RAM take part in transparent huge pages.
	HugePage uint64
	// Mergeable lets the kernel share pages that are the same in several
	// machines (KSM).
	Mergeable bool
}

// Kind is what a region may be used for.
type Kind uint8

// Kinds of region.
const (
	RAM Kind = iota
	ROM      // the guest, and devices on its behalf, only read it
)

// String is "RAM" or "ROM".
func (k Kind) String() string {
	if k == ROM {
		return "ROM"
	}
	return "RAM"
}

// Region is a range of guest-physical addresses with memory behind it.
type Region struct {
	Name string
	Kind Kind
	GPA  uint64 // where it starts
	Size uint64 // bytes
	// Host is the memory itself. Writing to it is not seen by dirty tracking
	// until MarkDirty, and is how a ROM gets its contents.
	Host []byte
}

// Memory is a machine's guest-physical memory.
type Memory struct {
	config Config

	mu       sync.Mutex // held while the set of regions or the tracking changes
	tracking bool
	closed   bool
	reserved []byte // the address space of all RAM

	// regions is replaced, never modified, so that accesses need no lock. They
	// are sorted by address and do not overlap.
	regions atomic.Pointer[[]*region]
}

type region struct {
	Region
	owned bool                   // has a mapping of its own, outside Memory.reserved
	kept  atomic.Bool            // the host's pages stay: Discard clears them
	dirty atomic.Pointer[bitmap] // nil unless tracking
}

// Sizes of the PC's memory map (QEMU's pc machine has the same).
const (
	lowMax  = 0xe0000000 // RAM of this size or more is split,
	lowPart = 0xc0000000 // with this much of it below 4 GiB,
	// HighStart is the guest-physical address of the rest.
	HighStart = 1 << 32
)

// Split says how RAM of the given size is laid out: low bytes from address 0
// and high bytes from HighStart. RAM smaller than 3.5 GiB is all low; else 3 GiB
// of it is.
func Split(size uint64) (low, high uint64) {
	if size < lowMax {
		return size, 0
	}
	return lowPart, size - lowPart
}

// New maps the RAM of a machine. It takes address space; the host gives pages
// as they are first touched, or when Populate asks for them.
func New(c Config) (*Memory, error) {
	if err := Check(c); err != nil {
		return nil, err
	}
	m := &Memory{config: c}
	if err := m.mapRAM(); err != nil {
		return nil, fmt.Errorf("map %s of guest memory: %w", FormatSize(c.Size), err)
	}
	return m, nil
}

func (c Config) check() error {
	const maxSize = 1 << 50
	switch {
	case c.Size == 0:
		return fmt.Errorf("guest memory: no size given")
	case c.Size%PageSize != 0:
		return fmt.Errorf("guest memory: %d bytes is not a multiple of %d", c.Size, PageSize)
	case c.Size > maxSize:
		return fmt.Errorf("guest memory: %d bytes is more than 1 PiB", c.Size)
	case c.HugePage != 0 && c.HugePage != HugePage2M && c.HugePage != HugePage1G:
		return fmt.Errorf("guest memory: there are no huge pages of %s", FormatSize(c.HugePage))
	}
	return nil
}

// Close unmaps everything. Closing twice does nothing.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	m.closed = true
	regions := m.all()
	m.regions.Store(new([]*region))
	var errs []error
	for _, r := range regions {
		if r.owned {
			errs = append(errs, unmap(r.Host))
		}
	}
	return errors.Join(append(errs, unmap(m.reserved))...)
}

// all returns the regions; the slice is not to be modified.
func (m *Memory) all() []*region { return *m.regions.Load() }

// Regions returns the regions, sorted by address.
func (m *Memory) Regions() []Region {
	var list []Region
	for _, r := range m.all() {
		list = append(list, r.Region)
	}
	return list
}

// Size is the amount of RAM in bytes: Config.Size.
func (m *Memory) Size() uint64 { return m.config.Size }

// FormatSize writes a number of bytes with the largest unit that divides it.
func FormatSize(n uint64) string {
	units := [...]string{"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	u := 0
	for n != 0 && n%1024 == 0 && u < len(units)-1 {
		n /= 1024
		u++
	}
	return fmt.Sprintf("%d %s", n, units[u])
}
