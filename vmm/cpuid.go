package vmm

import (
	"math/bits"
	"slices"

	"github.com/govmm/govmm/kvm"
)

// CPUID bits that a vCPU's leaves are tailored in (Intel SDM volume 2A, CPUID;
// AMD APM volume 3, appendix E; Linux Documentation/virt/kvm/x86/cpuid.rst).
const (
	cpuidTopology    = 0xB
	cpuidTopologyV2  = 0x1F
	cpuidCache       = 4
	cpuidCacheAMD    = 0x8000001D
	cpuidNodeAMD     = 0x8000001E
	cpuidSizes       = 0x80000008
	cpuidKVM         = 0x40000000
	cpuidKVMFeatures = 0x40000001

	cpuid1ECXTSCDeadline = 1 << 24
	cpuid1ECXX2APIC      = 1 << 21
	cpuid1ECXHypervisor  = 1 << 31
	cpuid1EDXHTT         = 1 << 28
)

// cpuidTable tailors what this host's KVM can give (supported) for each vCPU of
// a machine. Every vCPU is a socket of one core and one thread.
type cpuidTable struct {
	supported   []kvm.CPUIDEntry
	tscDeadline bool // the in-kernel APIC has the TSC-deadline timer
}

func newCPUIDTable(sys *kvm.System) (*cpuidTable, error) {
	supported, err := sys.SupportedCPUID()
	if err != nil {
		return nil, err
	}
	return &cpuidTable{
		supported:   supported,
		tscDeadline: sys.CheckExtension(kvm.CapTSCDeadlineTimer) > 0,
	}, nil
}

// forVCPU is the table of the vCPU with the given APIC id.
func (t *cpuidTable) forVCPU(apicID uint32) []kvm.CPUIDEntry {
	out := make([]kvm.CPUIDEntry, 0, len(t.supported)+2)
	for _, e := range t.supported {
		switch e.Function {
		case 1:
			e.Ebx = e.Ebx&0x0000FFFF | 1<<16 | apicID<<24
			e.Ecx |= cpuid1ECXHypervisor | cpuid1ECXX2APIC
			if t.tscDeadline {
				e.Ecx |= cpuid1ECXTSCDeadline
			}
			e.Edx &^= cpuid1EDXHTT
		case cpuidCache, cpuidCacheAMD:
			// Nobody shares a cache: one core in the package, one thread in it.
			// The level and the size stay the host's.
			e.Eax &= 0x00003FFF
		case cpuidTopology, cpuidTopologyV2:
			continue // written below, whether the host has them or not
		case cpuidSizes:
			e.Ecx = 0 // one core in the package, APIC ids of no core bits
		case cpuidNodeAMD:
			e.Eax, e.Ebx, e.Ecx = apicID, e.Ebx&^0xFFFF, 0
		}
		out = append(out, e)
	}
	if maxBasicLeaf(out) >= cpuidTopology {
		out = append(out, topology(cpuidTopology, apicID)...)
	}
	if maxBasicLeaf(out) >= cpuidTopologyV2 {
		out = append(out, topology(cpuidTopologyV2, apicID)...)
	}
	return out
}

// topology is leaf 0xB or 0x1F: a thread level and a core level with one
// processor each, and the end.
//
//	EAX 4:0 shift to the next level's id; EBX logical processors at the level;
//	ECX 7:0 subleaf, 15:8 level type (1 thread, 2 core); EDX x2APIC id
func topology(function, apicID uint32) []kvm.CPUIDEntry {
	level := func(index, kind, count uint32) kvm.CPUIDEntry {
		return kvm.CPUIDEntry{
			Function: function, Index: index, Flags: kvm.CPUIDSignificantIndex,
			Ebx: count, Ecx: index | kind<<8, Edx: apicID,
		}
	}
	return []kvm.CPUIDEntry{level(0, 1, 1), level(1, 2, 1), level(2, 0, 0)}
}

func maxBasicLeaf(table []kvm.CPUIDEntry) uint32 {
	i := slices.IndexFunc(table, func(e kvm.CPUIDEntry) bool { return e.Function == 0 })
	if i < 0 {
		return 0
	}
	return table[i].Eax
}

// physicalBits is the width of guest-physical addresses.
func (t *cpuidTable) physicalBits() uint {
	for _, e := range t.supported {
		if e.Function == cpuidSizes && e.Eax&0xFF != 0 {
			return uint(e.Eax & 0xFF)
		}
	}
	return 36
}

// signature is the processor's family, model and stepping, and its features, as
// leaf 1 has them in EAX and EDX; the MP tables repeat them.
func (t *cpuidTable) signature() (eax, edx uint32) {
	for _, e := range t.supported {
		if e.Function == 1 {
			return e.Eax, e.Edx
		}
	}
	return 0, 0
}

// fitsPhysical reports whether an address space of size bytes can be addressed.
func (t *cpuidTable) fitsPhysical(size uint64) bool {
	return bits.Len64(size-1) <= int(t.physicalBits())
}
