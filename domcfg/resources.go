package domcfg

import (
	"cmp"
	"errors"
)

// MemoryBacking is the element memoryBacking: where the guest's memory comes from on the host.
type MemoryBacking struct {
	Elem
	HugePages *HugePages

	// Newer than the document:

	NoSharePages bool // with other machines' (KSM); they are not, anyhow
	Locked       bool // never swapped out
	Allocation   *Allocation
}

// HugePages is the element hugepages.
type HugePages struct {
	Elem
	Pages []*HugePage // newer than the document: of which size; none for the host's default
}

// HugePage is a size of huge pages.
type HugePage struct {
	Elem
	Size uint64
	Unit string // of Size; KiB if absent
}

// Bytes returns the size of a page.
func (p *HugePage) Bytes() uint64 {
	unit, _ := unitBytes(cmp.Or(p.Unit, "KiB"))
	k, _ := toKiB(p.Size, unit)
	return k.Bytes()
}

// Allocation is when memory is taken from the host.
type Allocation struct {
	Elem
	Mode    string // immediate or ondemand
	Threads uint   // that take it; 0 for as many as there are CPUs
}

// AllocateImmediately is the Mode of an Allocation that takes all memory at start.
const AllocateImmediately = "immediate"

func (m *MemoryBacking) code(c *coder) {
	child(c, "hugepages", &m.HugePages)
	c.flag("nosharepages", &m.NoSharePages)
	c.flag("locked", &m.Locked)
	child(c, "allocation", &m.Allocation)
}

func (h *HugePages) code(c *coder) { children(c, "page", &h.Pages) }

func (p *HugePage) code(c *coder) {
	number(c.attr("size").required(), &p.Size, 1, maxKiB)
	value(c.attr("unit"), &p.Unit, func(text string) (string, error) {
		if _, ok := unitBytes(cmp.Or(text, "?")); !ok {
			return "", errors.New("is no unit of memory such as KiB, M or GB")
		}
		return text, nil
	}, func(text string) string { return text })
}

func (a *Allocation) code(c *coder) {
	enum(c.attr("mode"), &a.Mode, AllocateImmediately, "ondemand")
	number(c.attr("threads"), &a.Threads, 1, 4096)
}

// BlkioTune is the element blkiotune.
type BlkioTune struct {
	Elem
	Weight uint // I/O weight, 100 to 1000; 0 for the host's default
}

func (b *BlkioTune) code(c *coder) { number(c.leaf("weight"), &b.Weight, 100, 1000) }

// MemTune is the element memtune: limits on the memory of the whole process. Amounts from
// Unlimited on are no limit; 0 is not given.
type MemTune struct {
	Elem
	HardLimit     KiB
	SoftLimit     KiB
	SwapHardLimit KiB // of memory and swap together; above HardLimit
	MinGuarantee  KiB
}

func (m *MemTune) code(c *coder) {
	c.kib("hard_limit", &m.HardLimit)
	c.kib("soft_limit", &m.SoftLimit)
	c.kib("swap_hard_limit", &m.SwapHardLimit)
	c.kib("min_guarantee", &m.MinGuarantee)
}

// maxVCPUs is the most virtual CPUs that APIC ids of 8 bits can name; 255 is the broadcast.
const maxVCPUs = 255

// VCPU is the element vcpu.
type VCPU struct {
	Count   uint   // maximum number of virtual CPUs, 1 to 255
	Current uint   // how many of them are online at start; 0 for all
	CPUSet  CPUSet // host CPUs they may run on
}

func (v *VCPU) code(c *coder) {
	c.attr("cpuset").cpuset(&v.CPUSet)
	number(c.attr("current"), &v.Current, 1, maxVCPUs)
	number(c.body(), &v.Count, 1, maxVCPUs)
}

// CPUTune is the element cputune.
type CPUTune struct {
	Elem
	Shares   uint // relative weight, 2 to 262144; 0 for the host's default
	Pins     []*VCPUPin
	Emulator *EmulatorPin // newer than the document
}

// EmulatorPin ties all threads but those of the virtual CPUs to host CPUs.
type EmulatorPin struct {
	Elem
	CPUSet CPUSet
}

// VCPUPin ties one virtual CPU to host CPUs.
type VCPUPin struct {
	Elem
	VCPU   *uint
	CPUSet CPUSet
}

func (t *CPUTune) code(c *coder) {
	number(c.leaf("shares"), &t.Shares, 2, 262144)
	children(c, "vcpupin", &t.Pins)
	child(c, "emulatorpin", &t.Emulator)
}

func (p *EmulatorPin) code(c *coder) { c.attr("cpuset").required().cpuset(&p.CPUSet) }

func (p *VCPUPin) code(c *coder) {
	optional(c.attr("vcpu").required(), &p.VCPU, 0, 1<<31-1)
	c.attr("cpuset").required().cpuset(&p.CPUSet)
}
