package kvm

import (
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// runPage is the head of struct kvm_run, shared with the kernel:
//
//	  0  request_interrupt_window, immediate_exit, 6 bytes of padding
//	  8  exit_reason
//	 12  ready_for_interrupt_injection, if_flag, flags (16 bits)
//	 16  cr8
//	 24  apic_base
//	 32  the exit's own data, 256 bytes
//	288  kvm_valid_regs, kvm_dirty_regs, synchronised registers (2048 bytes)
//
// The data of port I/O lies further on in the mapping, at io.data_offset.
type runPage struct {
	control           uint32 // request_interrupt_window and immediate_exit
	_                 uint32
	exitReason        uint32
	readyForInterrupt uint8
	ifFlag            uint8
	flags             uint16
	cr8               uint64
	apicBase          uint64
	data              [32]uint64
	validRegs         uint64
	dirtyRegs         uint64
	syncRegs          [2048]byte
}

// Bits of runPage.control, which is two byte-sized flags.
const (
	controlInterruptWindow = 1 << 0
	controlImmediateExit   = 1 << 8
)

// Bits of runPage.flags.
const (
	runFlagSMM = 1 << 0
)

// Run runs the guest on the calling thread until something needs user space,
// and returns what: the details are in Exit until the next Run. It does not
// allocate.
//
// ExitIntr means that nothing happened: a signal, immediate exit, or a state
// change of a waiting vCPU made KVM return. Signals also come from the Go
// runtime, at any time. The caller looks whether it has to stop, and runs again.
//
// An error is a *Error; with EFAULT or EHWPOISON, Exit.Reason may be
// ExitMemoryFault and say where.
func (c *VCPU) Run() (ExitReason, error) {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(c.fd), uintptr(reqRun), 0)
	switch errno {
	case 0:
		return c.exit.Reason(), nil
	case unix.EINTR, unix.EAGAIN:
		return ExitIntr, nil
	default:
		return c.exit.Reason(), &Error{Op: reqRun.String(), Err: errno}
	}
}

// Complete gives KVM the answer to the last exit without running the guest.
// Until then the vCPU is in the middle of an instruction: between a port, MMIO
// or MSR exit and any look at, or change of, its registers comes a Complete.
// ExitIntr means that it is done; another reason is the next part of the same
// instruction, to be handled like one from Run and followed by Complete again.
//
// It uses the immediate-exit flag and leaves it off, so whoever sets that to
// stop the vCPU also keeps a note of its own.
func (c *VCPU) Complete() (ExitReason, error) {
	c.SetImmediateExit(true)
	defer c.SetImmediateExit(false)
	return c.Run()
}

// Exit is the vCPU's kvm_run page: why Run returned, and where the answer goes.
func (c *VCPU) Exit() *Exit { return &c.exit }

// SetImmediateExit true makes the next Run, or one that has not yet entered
// the guest, return ExitIntr at once. It also completes a pending port or MMIO
// access, whose answer KVM takes at the start of Run. It may be called from any
// goroutine until Close; to stop a vCPU that is in the guest, follow it by Kick.
func (c *VCPU) SetImmediateExit(on bool) { c.exit.setControl(controlImmediateExit, on) }

// RequestInterruptWindow true makes Run return ExitIRQWindowOpen when the guest
// can take an interrupt; it is of use without an in-kernel controller.
func (c *VCPU) RequestInterruptWindow(on bool) { c.exit.setControl(controlInterruptWindow, on) }

// setControl changes one flag; another goroutine may change the other.
func (e *Exit) setControl(flag uint32, on bool) {
	if on {
		atomic.OrUint32(&e.run.control, flag)
	} else {
		atomic.AndUint32(&e.run.control, ^flag)
	}
}

// KickSignal is what Kick sends.
//
// The Go runtime uses SIGURG to preempt goroutines. Its handler is always
// installed and takes an unasked-for SIGURG for a preemption that is no longer
// wanted, so one more is harmless; and KVM_RUN is never restarted after a
// signal, whatever SA_RESTART says. No other signal is free of side effects
// without the program giving up one of its own.
const KickSignal = unix.SIGURG

// Kick interrupts a thread of this process that is in VCPU.Run, which returns
// ExitIntr. Set immediate exit first: a signal that comes just before the
// thread enters the kernel would be lost, and the flag is not.
//
// tid is from unix.Gettid on the vCPU's thread. A thread that has ended is not
// an error: there is nothing left to interrupt.
func Kick(tid int) error {
	err := unix.Tgkill(unix.Getpid(), tid, KickSignal)
	if err == nil || err == unix.ESRCH {
		return nil
	}
	return fmt.Errorf("kick thread %d: %w", tid, os.NewSyscallError("tgkill", err))
}

// newExit decodes a kvm_run mapping of at least the size of runPage.
func newExit(mem []byte) Exit {
	return Exit{mem: mem, run: (*runPage)(unsafe.Pointer(unsafe.SliceData(mem)))}
}

func (e *Exit) unmap() error {
	if e.mem == nil {
		return nil
	}
	err := unix.Munmap(e.mem)
	e.mem, e.run = nil, nil
	return os.NewSyscallError("munmap kvm_run", err)
}
