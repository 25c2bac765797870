package vmm

import (
	"errors"
	"fmt"

	"github.com/govmm/govmm/kvm"
)

// MSRs that firmware sets before it starts a system (Intel SDM volume 4).
const (
	msrMiscEnable     = 0x1A0
	msrMTRRPhysBase0  = 0x200
	msrMTRRPhysMask0  = 0x201
	msrMTRRFix64K     = 0x250
	msrMTRRFix16KLow  = 0x258
	msrMTRRFix16KHigh = 0x259
	msrMTRRFix4KFirst = 0x268 // 0xC0000
	msrMTRRFix4KLast  = 0x26F // up to 0xFFFFF
	msrMTRRDefType    = 0x2FF
)

const (
	mtrrUncached        = 0
	mtrrWriteBack       = 6
	mtrrDefFixedEnabled = 1 << 10
	mtrrDefEnabled      = 1 << 11
	mtrrMaskValid       = 1 << 11
	miscFastStrings     = 1 << 0
)

// Local APIC registers (Intel SDM volume 3A, table 11-1), by byte offset into
// the register page.
const (
	apicLVTLINT0 = 0x350
	apicLVTLINT1 = 0x360

	apicDeliveryNMI    = 4 << 8
	apicDeliveryExtINT = 7 << 8
)

// vcpuState is all of a vCPU that a reset must put back: what KVM gave it at
// its creation.
type vcpuState struct {
	regs   kvm.Regs
	sregs  kvm.SRegs
	fpu    kvm.FPU
	xcrs   *kvm.XCRS // nil where KVM does not have it
	debug  kvm.DebugRegs
	events kvm.VCPUEvents
	lapic  kvm.LAPICState
	mp     kvm.MPState
	msrs   []kvm.MSREntry
}

// readState reads the state of a vCPU that has not run.
func readState(c *kvm.VCPU, msrs []uint32, hasXCRS bool) (*vcpuState, error) {
	var s vcpuState
	var errs [8]error
	s.regs, errs[0] = c.Regs()
	s.sregs, errs[1] = c.SRegs()
	s.fpu, errs[2] = c.FPU()
	s.debug, errs[3] = c.DebugRegs()
	s.events, errs[4] = c.Events()
	s.lapic, errs[5] = c.LAPIC()
	s.mp, errs[6] = c.MPState()
	if hasXCRS {
		var x kvm.XCRS
		x, errs[7] = c.XCRS()
		s.xcrs = &x
	}
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("vCPU %d: cannot read its state: %w", c.ID(), err)
	}
	s.msrs = readMSRs(c, msrs)
	return &s, nil
}

// readMSRs reads the MSRs that this vCPU has: KVM lists some that depend on
// features that the vCPU was not given, and stops at each of those.
func readMSRs(c *kvm.VCPU, list []uint32) []kvm.MSREntry {
	all := make([]kvm.MSREntry, len(list))
	for i, index := range list {
		all[i].Index = index
	}
	have := all[:0]
	for rest := all; len(rest) > 0; {
		n, err := c.MSRs(rest)
		have = append(have, rest[:n]...)
		if err == nil {
			break
		}
		rest = rest[n+1:]
	}
	return have
}

// writeState puts a state that readState read back. The order matters: the
// LAPIC depends on IA32_APIC_BASE in the sregs, the deadline MSR on the LAPIC,
// and pending events are the last word.
func writeState(c *kvm.VCPU, s *vcpuState) error {
	errs := []error{
		c.SetMPState(s.mp),
		c.SetRegs(s.regs),
		c.SetSRegs(s.sregs),
		c.SetFPU(s.fpu),
		c.SetDebugRegs(s.debug),
		c.SetLAPIC(s.lapic),
	}
	if s.xcrs != nil {
		errs = append(errs, c.SetXCRS(*s.xcrs))
	}
	writeMSRs(c, s.msrs)
	errs = append(errs, c.SetEvents(s.events))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("vCPU %d: cannot reset it: %w", c.ID(), err)
	}
	return nil
}

// writeMSRs writes what can be written: some of the MSRs that a vCPU lets us
// read are read-only, and those have not changed.
func writeMSRs(c *kvm.VCPU, msrs []kvm.MSREntry) {
	for len(msrs) > 0 {
		n, err := c.SetMSRs(msrs)
		if err == nil {
			return
		}
		msrs = msrs[min(n+1, len(msrs)):]
	}
}

// firmwareMSRs are what a BIOS leaves in the MSRs of every processor: fast
// strings on; memory cached but for the PCI hole and the VGA window. initial is
// the vCPU's reset state, low the bytes of RAM below 4 GiB.
func firmwareMSRs(initial []kvm.MSREntry, low uint64, physBits uint) []kvm.MSREntry {
	const wb8 = mtrrWriteBack * 0x0101010101010101
	var msrs []kvm.MSREntry
	set := func(index uint32, data uint64) {
		msrs = append(msrs, kvm.MSREntry{Index: index, Data: data})
	}
	for _, e := range initial {
		if e.Index == msrMiscEnable {
			set(msrMiscEnable, e.Data|miscFastStrings)
		}
	}
	set(msrMTRRFix64K, wb8)
	set(msrMTRRFix16KLow, wb8)
	set(msrMTRRFix16KHigh, mtrrUncached) // 0xA0000-0xBFFFF
	for index := uint32(msrMTRRFix4KFirst); index <= msrMTRRFix4KLast; index++ {
		set(index, wb8)
	}
	hole := pciHole(low)
	mask := (uint64(1)<<physBits - 1) &^ (1<<32 - hole - 1)
	set(msrMTRRPhysBase0, hole|mtrrUncached)
	set(msrMTRRPhysMask0, mask|mtrrMaskValid)
	set(msrMTRRDefType, mtrrDefEnabled|mtrrDefFixedEnabled|mtrrWriteBack)
	return msrs
}

// virtualWire connects the PIC to the boot processor's LINT0 and NMI to its
// LINT1, as a BIOS does (MultiProcessor Specification 1.4, 3.6.2.2).
func virtualWire(l *kvm.LAPICState) {
	setAPIC(l, apicLVTLINT0, apicDeliveryExtINT)
	setAPIC(l, apicLVTLINT1, apicDeliveryNMI)
}

func setAPIC(l *kvm.LAPICState, offset int, value uint32) {
	for i := range 4 {
		l.Regs[offset+i] = byte(value >> (8 * i))
	}
}
