// Package kvm is a typed layer over the Linux KVM API for x86-64
// (Documentation/virt/kvm/api.rst in the kernel sources).
//
// A System is /dev/kvm, a VM is a virtual machine, a VCPU is a virtual
// processor with its kvm_run page. Each owns one file descriptor and gives it
// back in Close; the kernel keeps a machine alive until its last descriptor is
// closed, so the order of closing does not matter.
//
// Errors from the kernel are *Error, which names the ioctl and wraps the
// errno: errors.Is(err, unix.EPERM) works.
//
// The package knows nothing of guest memory layout, devices or interrupt
// policy; it turns calls into ioctls and kvm_run pages into exits. It leaves
// out confidential computing (SEV, TDX, guest_memfd), the in-kernel PIT, Xen
// guests and the dirty ring: a machine that has met one of them sees a named
// exit reason.
//
// Register and state structs come from github.com/bobuhiro11/gokvm where they
// match the kernel's; a test compares the ioctl numbers, which carry the
// struct sizes. The rest is defined here.
package kvm
