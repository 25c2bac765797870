package memory

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// hugePageDir is where the kernel has its pools of huge pages (the kernel's
// Documentation/admin-guide/mm/hugetlbpage.rst).
const hugePageDir = "/sys/kernel/mm/hugepages/"

// HugePool is the host's pool of huge pages of one size, in pages.
type HugePool struct {
	Size uint64 // of a page, in bytes
	// Free are those that nobody uses or has reserved; the kernel may find as many as Surplus
	// more when they are asked for.
	Total, Free, Surplus uint64
}

// HugePages looks at a pool. The error is that the host has no pages of the size.
func HugePages(size uint64) (HugePool, error) {
	p := HugePool{Size: size}
	var reserved, allowed, surplus uint64
	for name, v := range map[string]*uint64{
		"nr_hugepages": &p.Total, "free_hugepages": &p.Free, "resv_hugepages": &reserved,
		"nr_overcommit_hugepages": &allowed, "surplus_hugepages": &surplus,
	} {
		text, err := os.ReadFile(p.file(name))
		if err != nil {
			return p, fmt.Errorf("this host has no huge pages of %s: %w", FormatSize(size), err)
		}
		if *v, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err != nil {
			return p, fmt.Errorf("%s: %w", p.file(name), err)
		}
	}
	p.Free -= min(reserved, p.Free)
	p.Surplus = allowed - min(surplus, allowed)
	return p, nil
}

func (p HugePool) file(name string) string {
	return fmt.Sprintf("%shugepages-%dkB/%s", hugePageDir, p.Size>>10, name)
}

// DefaultHugePage is the size of the host's huge pages where none is said, in bytes, or 0 for a
// host that has none.
func DefaultHugePage() uint64 {
	text, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(text)) {
		var kib uint64
		if _, err := fmt.Sscanf(line, "Hugepagesize: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	return 0
}

// Check says why New would fail now: what is wrong with c, or that the host's pool has not
// enough huge pages.
func Check(c Config) error {
	if err := c.check(); err != nil || c.HugePage == 0 {
		return err
	}
	p, err := HugePages(c.HugePage)
	if err != nil {
		return err
	}
	low, high := Split(c.Size)
	need := (roundUp(low, p.Size) + roundUp(high, p.Size)) / p.Size
	if need <= p.Free+p.Surplus {
		return nil
	}
	return fmt.Errorf("%d huge pages of %s are needed and %d are free: echo %d >%s makes more, while the host's memory is not in pieces",
		need, FormatSize(p.Size), p.Free, p.Total+need-p.Free, p.file("nr_hugepages"))
}

// pool says how the pool is.
func (m *Memory) pool() string {
	p, err := HugePages(m.config.HugePage)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("of the host's %d huge pages of %s %d are free (%s)", p.Total, FormatSize(p.Size), p.Free, p.file("nr_hugepages"))
}
