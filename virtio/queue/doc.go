// Package queue is the device's side of virtqueues, split and packed (Virtual
// I/O Device specification 1.3, sections 2.6 to 2.8, and the legacy layout of
// section 2.7.2).
//
// A transport keeps a Config for each queue while the driver sets it up, and
// starts it: Start checks everything the driver has chosen and gives a Queue
// that runs. A device pops descriptor chains from it. Each is checked whole
// when it is popped, and from then on it is a Reader over what the driver sent
// and a Writer over the room it left for the answer; a device never sees a
// descriptor. Chains may be pushed back in any order and from any goroutine.
//
// The driver is hostile. All of its rings and buffers must lie in the machine's
// RAM (not in ROM or in the memory of a device, which can move and go away),
// and whatever breaks a rule is a Violation that names it: the queue is dead
// until its device is reset.
//
// Left out: VIRTIO_F_NOTIFY_ON_EMPTY, VIRTIO_F_NOTIFICATION_DATA, big-endian
// legacy drivers, and IOMMU translation.
package queue
