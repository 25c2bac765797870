// Package net is the virtio network device (Virtual I/O Device specification
// 1.3, section 5.1): a NIC with one or more pairs of queues, and a control
// queue.
//
// # Data
//
// Each pair has a goroutine, which sends and receives in turns: most frames are
// answered at once, and the answer is found without a wait. Frames go between
// guest memory and the host end by vectored I/O, without being copied. With
// nothing to do either way it sleeps, on the doorbell of the transmit queue and
// on the host end.
//
// When the driver has given it no receive buffers it does not read, so that
// frames wait in the host's queue, which is where they are dropped if there are
// too many. Only then is it notified of new buffers. When the host has no room
// for a frame, the transmit queue waits.
//
// With vhost, the kernel serves the data queues while the link is up. It knows
// no receive filter.
//
// Which receive queue a frame comes in by is the host end's choice. A tap
// follows the flow: it takes the pair that the driver last sent by (section
// 5.1.6.5.5, automatic receive steering).
//
// # The driver
//
// A chain that cannot be answered, or a receive buffer that cannot hold a
// header, marks the device DEVICE_NEEDS_RESET. A frame that makes no sense is
// dropped and counted. A control command that makes no sense is answered with
// VIRTIO_NET_ERR and changes nothing.
//
// Left out: RSS and hash reports, notification coalescing, statistics of the
// device (VIRTIO_NET_F_DEVICE_STATS), STANDBY, and the reset of single queues.
package net
