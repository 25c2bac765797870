package kvm

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// VCPU is a virtual processor. All its ioctls, Run among them, must come from
// one thread (runtime.LockOSThread): KVM takes a vCPU to the thread that
// calls, at a cost. SetImmediateExit may be called from any goroutine. Close
// must not be called while another method runs.
type VCPU struct {
	fd   int
	id   int
	vm   *VM
	exit Exit
}

// ID is the vCPU's id, which is its APIC id.
func (c *VCPU) ID() int { return c.id }

// FD is the file descriptor of the vCPU.
func (c *VCPU) FD() int { return c.fd }

// Close unmaps the kvm_run page, which makes everything got from Exit invalid,
// and closes the descriptor. Closing twice does nothing.
func (c *VCPU) Close() error {
	return errors.Join(c.exit.unmap(), closeFD(&c.fd))
}

func (c *VCPU) ptr(req request, arg unsafe.Pointer) error {
	_, err := ioctlPtr(c.fd, req, arg)
	return err
}

// Regs reads the general-purpose registers.
func (c *VCPU) Regs() (r Regs, err error) {
	err = c.ptr(reqGetRegs, unsafe.Pointer(&r))
	return r, err
}

// SetRegs writes the general-purpose registers.
func (c *VCPU) SetRegs(r Regs) error { return c.ptr(reqSetRegs, unsafe.Pointer(&r)) }

// SRegs reads the segment and control registers.
func (c *VCPU) SRegs() (s SRegs, err error) {
	err = c.ptr(reqGetSRegs, unsafe.Pointer(&s))
	return s, err
}

// SetSRegs writes the segment and control registers.
func (c *VCPU) SetSRegs(s SRegs) error { return c.ptr(reqSetSRegs, unsafe.Pointer(&s)) }

// SRegs2 reads the segment and control registers and the PDPTRs (CapSRegs2).
func (c *VCPU) SRegs2() (s SRegs2, err error) {
	err = c.ptr(reqGetSRegs2, unsafe.Pointer(&s))
	return s, err
}

// SetSRegs2 writes the segment and control registers and the PDPTRs
// (CapSRegs2).
func (c *VCPU) SetSRegs2(s SRegs2) error { return c.ptr(reqSetSRegs2, unsafe.Pointer(&s)) }

// FPU reads the x87 and SSE state.
func (c *VCPU) FPU() (f FPU, err error) {
	err = c.ptr(reqGetFPU, unsafe.Pointer(&f))
	return f, err
}

// SetFPU writes the x87 and SSE state, except MXCSR, which KVM leaves alone:
// SetXSave has it.
func (c *VCPU) SetFPU(f FPU) error { return c.ptr(reqSetFPU, unsafe.Pointer(&f)) }

// xsaveSize is the size of kvm_xsave without its dynamic part.
const xsaveSize = 4096

// XSave reads the extended processor state in XSAVE's standard format, laid
// out as CPUID leaf 0xD of the host says. It is 4096 bytes, or more when a
// dynamic feature (AMX) is enabled (CapXSave, CapXSave2).
func (c *VCPU) XSave() ([]byte, error) {
	size, req := c.xsaveLayout()
	b := make([]byte, size)
	return b, c.ptr(req, unsafe.Pointer(&b[0]))
}

// SetXSave writes the extended processor state, as read by XSave from a vCPU
// with the same features.
func (c *VCPU) SetXSave(b []byte) error {
	if size, _ := c.xsaveLayout(); len(b) < size { // the kernel reads that much
		return &Error{Op: reqSetXSave.String(), Err: unix.EINVAL}
	}
	return c.ptr(reqSetXSave, unsafe.Pointer(&b[0]))
}

func (c *VCPU) xsaveLayout() (size int, get request) {
	if n := c.vm.CheckExtension(CapXSave2); n > xsaveSize {
		return n, reqGetXSave2
	}
	return xsaveSize, reqGetXSave
}

// XCRS reads the extended control registers (CapXCRS).
func (c *VCPU) XCRS() (x XCRS, err error) {
	err = c.ptr(reqGetXCRS, unsafe.Pointer(&x))
	return x, err
}

// SetXCRS writes the extended control registers (CapXCRS).
func (c *VCPU) SetXCRS(x XCRS) error { return c.ptr(reqSetXCRS, unsafe.Pointer(&x)) }

// DebugRegs reads the guest's debug registers.
func (c *VCPU) DebugRegs() (d DebugRegs, err error) {
	err = c.ptr(reqGetDebugRegs, unsafe.Pointer(&d))
	return d, err
}

// SetDebugRegs writes the guest's debug registers.
func (c *VCPU) SetDebugRegs(d DebugRegs) error { return c.ptr(reqSetDebugRegs, unsafe.Pointer(&d)) }

// LAPIC reads the local APIC; it needs CreateIRQChip.
func (c *VCPU) LAPIC() (l LAPICState, err error) {
	err = c.ptr(reqGetLAPIC, unsafe.Pointer(&l))
	return l, err
}

// SetLAPIC writes the local APIC; it needs CreateIRQChip.
func (c *VCPU) SetLAPIC(l LAPICState) error { return c.ptr(reqSetLAPIC, unsafe.Pointer(&l)) }

// MPState reads whether the vCPU runs, is halted, or waits for INIT or SIPI.
func (c *VCPU) MPState() (s MPState, err error) {
	err = c.ptr(reqGetMPState, unsafe.Pointer(&s))
	return s, err
}

// SetMPState writes the multiprocessing state.
func (c *VCPU) SetMPState(s MPState) error { return c.ptr(reqSetMPState, unsafe.Pointer(&s)) }

// Events reads the pending exceptions, interrupts, NMIs and SMIs.
func (c *VCPU) Events() (e VCPUEvents, err error) {
	err = c.ptr(reqGetVCPUEvents, unsafe.Pointer(&e))
	return e, err
}

// SetEvents writes the pending exceptions, interrupts, NMIs and SMIs.
func (c *VCPU) SetEvents(e VCPUEvents) error { return c.ptr(reqSetVCPUEvents, unsafe.Pointer(&e)) }

// NMI makes a non-maskable interrupt pending, without asking LINT1.
func (c *VCPU) NMI() error {
	_, err := ioctl(c.fd, reqNMI, 0)
	return err
}

// SMI makes a system management interrupt pending (CapX86SMM).
func (c *VCPU) SMI() error {
	_, err := ioctl(c.fd, reqSMI, 0)
	return err
}

// Interrupt injects an interrupt vector, when there is no in-kernel
// controller. The guest must be ready for it: see Exit.ReadyForInterrupt.
func (c *VCPU) Interrupt(vector uint8) error {
	v := uint32(vector)
	return c.ptr(reqInterrupt, unsafe.Pointer(&v))
}

// Translate walks the guest's page tables for a linear address, as they are
// now. Valid is 0 when the address is not mapped.
func (c *VCPU) Translate(linear uint64) (Translation, error) {
	t := Translation{LinearAddress: linear}
	err := c.ptr(reqTranslate, unsafe.Pointer(&t))
	return t, err
}

// TSCKHz is the vCPU's TSC frequency in kHz (CapGetTSCKHz). It is 0 with EIO
// as the error when the host's TSC is not stable.
func (c *VCPU) TSCKHz() (uint32, error) {
	khz, err := ioctl(c.fd, reqGetTSCKHz, 0)
	return uint32(khz), err
}

// SetTSCKHz sets the vCPU's TSC frequency in kHz. Without CapTSCControl only
// values close to the host's, or higher ones by trapping, work.
func (c *VCPU) SetTSCKHz(khz uint32) error {
	_, err := ioctl(c.fd, reqSetTSCKHz, uintptr(khz))
	return err
}

// The attribute that is a vCPU's TSC offset (KVM_VCPU_TSC_CTRL,
// KVM_VCPU_TSC_OFFSET; Documentation/virt/kvm/devices/vcpu.rst, section 4).
const (
	vcpuTSCCtrl   = 0
	vcpuTSCOffset = 0
)

// TSCOffset is what the vCPU's TSC is ahead of the host's, modulo 2^64, in
// counts at the vCPU's own rate. The error is ENXIO, ENOTTY or EINVAL where KVM
// does not tell: before Linux 5.16.
func (c *VCPU) TSCOffset() (uint64, error) {
	var offset uint64
	a := deviceAttr{group: vcpuTSCCtrl, attr: vcpuTSCOffset, addr: unsafe.Pointer(&offset)}
	_, err := ioctlPtr(c.fd, reqGetDeviceAttr, unsafe.Pointer(&a))
	return offset, err
}

// SetTSCOffset sets what TSCOffset tells.
func (c *VCPU) SetTSCOffset(offset uint64) error {
	a := deviceAttr{group: vcpuTSCCtrl, attr: vcpuTSCOffset, addr: unsafe.Pointer(&offset)}
	_, err := ioctlPtr(c.fd, reqSetDeviceAttr, unsafe.Pointer(&a))
	return err
}

// KVMClockCtrl tells a guest that uses kvmclock that it was paused, so that its
// soft-lockup watchdog stays quiet. EINVAL means that it does not use kvmclock.
func (c *VCPU) KVMClockCtrl() error {
	_, err := ioctl(c.fd, reqKVMClockCtrl, 0)
	return err
}

// EnableCap turns on a capability of the vCPU (KVM_ENABLE_CAP, CapEnableCap).
func (c *VCPU) EnableCap(cp Cap, args ...uint64) error {
	return doEnableCap(c.fd, cp, args)
}

// Bits of GuestDebug.Control.
const (
	GuestDebugEnable     uint32 = 1 << 0
	GuestDebugSingleStep uint32 = 1 << 1
	GuestDebugSWBP       uint32 = 1 << 16 // int3 ends in ExitDebug
	GuestDebugHWBP       uint32 = 1 << 17 // DebugReg holds breakpoints
	GuestDebugInjectDB   uint32 = 1 << 18
	GuestDebugInjectBP   uint32 = 1 << 19
	GuestDebugBlockIRQ   uint32 = 1 << 20
)

// GuestDebug asks for debug events to end in ExitDebug (kvm_guest_debug).
type GuestDebug struct {
	Control  uint32
	_        uint32
	DebugReg [8]uint64 // DR0-DR3 and DR7 at their own numbers
}

// SetGuestDebug sets which debug events end in ExitDebug; the zero GuestDebug
// ends it.
func (c *VCPU) SetGuestDebug(d GuestDebug) error { return c.ptr(reqSetGuestDebug, unsafe.Pointer(&d)) }

// SetSignalMask sets the thread's signal mask during Run: bit n-1 blocks signal
// n (KVM_SET_SIGNAL_MASK). SetImmediateExit is the cheaper way to stop a Run.
func (c *VCPU) SetSignalMask(mask uint64) error {
	// kvm_signal_mask: the length of the set, then the set, unaligned.
	arg := [3]uint32{8, uint32(mask), uint32(mask >> 32)}
	return c.ptr(reqSetSignalMask, unsafe.Pointer(&arg))
}

// ClearSignalMask undoes SetSignalMask.
func (c *VCPU) ClearSignalMask() error { return c.ptr(reqSetSignalMask, nil) }

// SetupMCE gives the vCPU machine-check banks: mcgCap is the value of
// IA32_MCG_CAP, within System.MCECap.
func (c *VCPU) SetupMCE(mcgCap uint64) error { return c.ptr(reqSetupMCE, unsafe.Pointer(&mcgCap)) }

// MCECap is the greatest IA32_MCG_CAP a vCPU can have (CapMCE); the number of
// banks comes from CheckExtension(CapMCE).
func (s *System) MCECap() (mcgCap uint64, err error) {
	_, err = ioctlPtr(s.fd, reqGetMCECapSupported, unsafe.Pointer(&mcgCap))
	return mcgCap, err
}
