package vmm

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/kvm"
)

// This file is the timers that are not devices of ours: the processors' TSC, and
// kvmclock, which KVM makes of it for its guests.

// CPUID bits of the TSC, and of what cannot be without it.
const (
	cpuidFeatures    = 1
	cpuidFeatures7   = 7
	cpuidFeaturesAMD = 0x80000001
	cpuidPowerAMD    = 0x80000007
	cpuidKVMTiming   = 0x40000010 // kHz of the TSC and of the local APICs' timers

	cpuid1EDXTSC        = 1 << 4
	cpuid7EBXTSCAdjust  = 1 << 1
	cpuidAMDEDXRDTSCP   = 1 << 27
	cpuidPowerInvariant = 1 << 8

	// kvmclock by either pair of MSRs, and that it can be read without a lock.
	cpuidKVMClock = 1<<0 | 1<<3 | 1<<24

	apicTimerKHz = 1_000_000 // of KVM's local APICs
)

// timerFeatures takes the TSC and kvmclock out of a vCPU's CPUID table where the
// domain does not want them, and adds the rate of the TSC if the domain gives one.
// The instruction RDTSC goes on to work in any case, as KVM cannot forbid it.
func (m *Machine) timerFeatures(table []kvm.CPUIDEntry) []kvm.CPUIDEntry {
	tsc := m.hasTimer("tsc")
	clock := tsc && m.hasTimer("kvmclock")
	khz := m.tscKHz()
	for i := range table {
		e := &table[i]
		switch e.Function {
		case cpuidFeatures:
			if !tsc {
				e.Edx &^= cpuid1EDXTSC
				e.Ecx &^= cpuid1ECXTSCDeadline
			}
		case cpuidFeatures7:
			if !tsc && e.Index == 0 {
				e.Ebx &^= cpuid7EBXTSCAdjust
			}
		case cpuidFeaturesAMD:
			if !tsc {
				e.Edx &^= cpuidAMDEDXRDTSCP
			}
		case cpuidPowerAMD:
			if !tsc {
				e.Edx &^= cpuidPowerInvariant
			}
		case cpuidKVM:
			if khz != 0 {
				e.Eax = max(e.Eax, cpuidKVMTiming)
			}
		case cpuidKVMFeatures:
			if !clock {
				e.Eax &^= cpuidKVMClock
			}
		}
	}
	if khz != 0 {
		table = append(table, kvm.CPUIDEntry{Function: cpuidKVMTiming, Eax: khz, Ebx: apicTimerKHz})
	}
	return table
}

// tscKHz is the rate of the TSC that the domain asks for, 0 if it does not.
func (m *Machine) tscKHz() uint32 {
	t := m.domain.Clock.Timer("tsc")
	if t == nil || t.Present == domcfg.No {
		return 0
	}
	return uint32((t.Frequency + 500) / 1000)
}

// tscTolerance is by how many parts per million two rates may differ and still
// be the same one to KVM.
const tscTolerance = 250

// setTSC gives a vCPU the rate that the domain asks for, or tells why this host
// cannot.
func (m *Machine) setTSC(c *kvm.VCPU) error {
	khz := m.tscKHz()
	if khz == 0 {
		return nil
	}
	host, err := c.TSCKHz()
	if err != nil {
		return hostError(err)
	}
	if sameRate(khz, host) {
		return nil
	}
	t := m.domain.Clock.Timer("tsc")
	refused := func(reason string) error {
		return hostError(fmt.Errorf("%s: frequency=\"%d\": %s; this host's TSC has %d: leave the frequency out, or give that one",
			timerPath(t), t.Frequency, reason, uint64(host)*1000))
	}
	switch {
	case t.Mode == domcfg.TSCNative:
		return refused(`with mode="native" the guest reads the processor's own TSC`)
	case m.vm.CheckExtension(kvm.CapTSCControl) == 0:
		return refused("this host's KVM cannot scale the TSC (no KVM_CAP_TSC_CONTROL)")
	}
	if err := c.SetTSCKHz(khz); err != nil {
		return refused(fmt.Sprintf("KVM does not take it (%v)", err))
	}
	return nil
}

func sameRate(a, b uint32) bool {
	difference := max(a, b) - min(a, b)
	return uint64(difference)*1e6 <= uint64(b)*tscTolerance
}

// timerPath names the element in messages.
func timerPath(t *domcfg.Timer) string { return cmp.Or(t.Path(), "clock/timer") }

// checkTSC tells why this host cannot do what the domain says of the TSC and of
// kvmclock, its rate apart.
func (m *Machine) checkTSC() error {
	table := m.cpuid.forVCPU(0)
	if t := m.domain.Clock.Timer("kvmclock"); t != nil && t.Present == domcfg.Yes && !offersKVMClock(table) {
		return hostError(fmt.Errorf("%s: this host's KVM does not offer kvmclock; leave the timer out", timerPath(t)))
	}
	t := m.domain.Clock.Timer("tsc")
	if t == nil || t.Present == domcfg.No {
		return nil
	}
	refused := func(reason, remedy string) error {
		return hostError(fmt.Errorf("%s: mode=%q: %s; %s", timerPath(t), t.Mode, reason, remedy))
	}
	switch {
	case t.Mode == domcfg.TSCParavirt && !offersKVMClock(table):
		return refused("this host's KVM does not offer kvmclock", "another mode does without")
	case t.Mode == domcfg.TSCSMPSafe && m.domain.VCPU.Count > 1:
		source, err := clockSource(os.DirFS("/sys"))
		if err != nil {
			return refused("whether the TSCs of this host's processors agree is not known: "+err.Error(), "use one vCPU, or another mode")
		}
		if source != "tsc" {
			return refused("this host does not keep its own time by the TSC, but by "+source+
				", so those of its processors need not agree", "use one vCPU, or another mode")
		}
	}
	return nil
}

func offersKVMClock(table []kvm.CPUIDEntry) bool {
	for _, e := range table {
		if e.Function == cpuidKVMFeatures {
			return e.Eax&cpuidKVMClock != 0
		}
	}
	return false
}

// clockSource is what the host's kernel keeps its time by.
func clockSource(sys fs.FS) (string, error) {
	text, err := fs.ReadFile(sys, "devices/system/clocksource/clocksource0/current_clocksource")
	return strings.TrimSpace(string(text)), err
}

// alignTSC makes the TSCs of all vCPUs one, for mode smpsafe. KVM does so by
// itself for vCPUs whose TSCs are set within the same second. Where it cannot be
// asked, that must do.
func (m *Machine) alignTSC() error {
	t := m.domain.Clock.Timer("tsc")
	if t == nil || t.Mode != domcfg.TSCSMPSafe || t.Present == domcfg.No {
		return nil
	}
	offset, err := m.cpus[0].kvm.TSCOffset()
	if errors.Is(err, unix.ENXIO) || errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	for _, v := range m.cpus[1:] {
		if err == nil {
			err = v.kvm.SetTSCOffset(offset)
		}
	}
	return hostError(err)
}
