// Package blk is the virtio block device (Virtual I/O Device specification 1.3,
// section 5.2): a disk with one or more request queues.
//
// Each queue has a goroutine that sleeps on its doorbell. It pops what the
// driver has made available, hands it to the disk as one batch, and interrupts
// the driver once for all that came back together. When the host has the data
// at hand this happens without a change of thread. Reads and writes that follow
// one another on the disk travel as one.
//
// A failure of the host's disk is handled by an ErrorPolicy: the driver is told,
// or is told of success, or the request is kept, the machine stops, and the
// request is done again when the machine goes on.
//
// A driver that leaves out the header or the status byte of a request cannot be
// answered, and its device needs a reset. Everything else that it may get wrong
// ends in the status byte.
//
// Left out: SIZE_MAX (a segment may have any size), LIFETIME, SECURE_ERASE and
// ZONED; of the legacy features, BARRIER and SCSI.
package blk
