// Package pci is the PCI transport of virtio (Virtual I/O Device specification
// 1.3, section 4.1): it shows a virtio.Device to the guest as a PCI function.
//
// The function is transitional. A modern driver finds its registers through
// vendor capabilities; a legacy driver finds them in an I/O BAR:
//
//	BAR0  I/O                    legacy header and device configuration
//	BAR1  32-bit memory          MSI-X table at 0, pending bits at 0x800
//	BAR4  64-bit, prefetchable   0x0000 common configuration
//	                             0x1000 ISR status
//	                             0x2000 device configuration
//	                             0x3000 notification, 4 bytes a queue
//
// The identifiers and all of these places are as in QEMU, so that a guest that
// was installed there finds the same hardware.
//
// A guest's write to a queue's doorbell becomes the signal of an eventfd inside
// KVM where the machine can do that, and goes by way of the registers' handler
// where it cannot. Either way it ends at the queue's queue.Doorbell, unless the
// device attends to it on the vCPU's thread (virtio.Attender).
//
// A driver that breaks a rule of the specification is told by
// DEVICE_NEEDS_RESET, with a line in the log, where the device cannot go on. A
// write that has no effect, because the register is read-only at the time, is
// dropped, with a line in the log.
//
// Left out: the bus master bit, which old drivers forget to set (queues and
// messages work without it); shared memory capabilities; notification data; the
// administration virtqueue.
package pci
