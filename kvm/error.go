package kvm

import (
	"golang.org/x/sys/unix"
)

// Error is a KVM ioctl (or an mmap of a vCPU) that the kernel refused.
type Error struct {
	Op  string     // the ioctl's name, for example "KVM_CREATE_VM"
	Err unix.Errno // what the kernel answered
}

// Error names the ioctl, the kernel's answer and, where the answer has one
// usual cause, that cause.
func (e *Error) Error() string {
	s := e.Op + ": " + e.Err.Error()
	if hint := e.hint(); hint != "" {
		s += " (" + hint + ")"
	}
	return s
}

// Unwrap returns the errno.
func (e *Error) Unwrap() error { return e.Err }

func (e *Error) hint() string {
	create := e.Op == reqCreateVM.String()
	switch {
	case create && e.Err == unix.EBUSY:
		return "another hypervisor on this host holds the CPU's virtualization extensions"
	case create && e.Err == unix.EOPNOTSUPP:
		return "virtualization is disabled in the host's firmware"
	case e.Op == reqCreateVCPU.String() && e.Err == unix.EEXIST:
		return "a vCPU with this id exists, or existed, in this VM"
	case e.Op == reqSetUserMemoryRegion.String() && e.Err == unix.EEXIST:
		return "the range overlaps another memory slot"
	case e.Err == unix.ENOTTY:
		return "this host's KVM does not have it"
	}
	return ""
}
