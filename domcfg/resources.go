package domcfg

// MemoryBacking is the element memoryBacking: where the guest's memory comes from on the host.
type MemoryBacking struct {
	Elem
	HugePages bool
}

func (m *MemoryBacking) code(c *coder) { c.flag("hugepages", &m.HugePages) }

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
