package vmm

import (
	"fmt"

	"github.com/govmm/govmm/kvm"
)

// registers describes where a vCPU is, in one line.
func (v *vcpu) registers() string {
	regs, err := v.kvm.Regs()
	if err != nil {
		return fmt.Sprintf("registers unknown (%v)", err)
	}
	sregs, err := v.kvm.SRegs()
	if err != nil {
		return fmt.Sprintf("RIP %#x (%v)", regs.RIP, err)
	}
	return fmt.Sprintf("RIP %#x (linear %#x) RSP %#x CS %#x CR0 %#x CR2 %#x CR3 %#x CR4 %#x EFER %#x",
		regs.RIP, sregs.CS.Base+regs.RIP, regs.RSP, sregs.CS.Selector, sregs.CR0, sregs.CR2, sregs.CR3, sregs.CR4, sregs.EFER)
}

// tripleFault explains a vCPU that shut down: an exception while the handler
// of a double fault was being entered.
func (v *vcpu) tripleFault() string {
	sregs, err := v.kvm.SRegs()
	if err == nil && sregs.CS.Base == 0xFFFF0000 && sregs.CR0&1 == 0 {
		// KVM on AMD processors resets the vCPU before it reports the shutdown.
		return fmt.Sprintf("triple fault on %s; this host's KVM reset its registers before telling, so the place is not known: %s",
			v.name(), v.registers())
	}
	return fmt.Sprintf("triple fault on %s at %s", v.name(), v.registers())
}

// internalError explains a guest that KVM gave up.
func (v *vcpu) internalError(e *kvm.InternalError) string {
	text := fmt.Sprintf("%v; %s", e, v.registers())
	if e.Suberror == kvm.InternalErrorEmulation {
		text += "; a KVM that interprets the guest's kernel code knows only some instructions" +
			" (govmm check tells whether this one does)"
	}
	return text
}

// failedEntry explains a state that the processor refused to run.
func (v *vcpu) failedEntry() string {
	f := v.kvm.Exit().FailEntry()
	return fmt.Sprintf("hardware reason %#x on host CPU %d; %s", f.HardwareReason, f.CPU, v.registers())
}

// runFailed explains a KVM_RUN that returned an error.
func (v *vcpu) runFailed(err error) Exit {
	detail := fmt.Sprintf("%v; %s", err, v.registers())
	if v.kvm.Exit().Reason() == kvm.ExitMemoryFault {
		f := v.kvm.Exit().MemoryFault()
		detail = fmt.Sprintf("%v: guest memory at %#x, %d bytes, could not be provided; %s", err, f.GPA, f.Size, v.registers())
	}
	return Exit{Cause: CauseHost, Source: v.name(), Detail: detail}
}
