// Package vhost lets the Linux kernel serve the rings of a virtio-net device:
// vhost-net moves frames between guest memory and a tap in a kernel thread, so
// that they cost no exit to user space (linux/vhost.h, vhost_types.h).
//
// A [Net] is opened before the driver negotiates, because [Net.Filter] says
// what the kernel can do. Start hands the rings over, Stop takes them back with
// the places where the kernel stopped. The control queue stays with the device.
//
// The kernel knows split rings only. It sees guest memory at our addresses of
// it, and is told of all of it; there is no IOMMU in between.
package vhost
