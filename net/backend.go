package net

import (
	"errors"

	"golang.org/x/sys/unix"
)

// MaxFrame is the longest Ethernet frame, in bytes without the virtio_net_hdr:
// a segmentation offload's 64 KiB, and a VLAN tagged Ethernet header.
const MaxFrame = 64<<10 + 18

// MinFrame is the shortest, an Ethernet header. Padding to 60 bytes is not
// needed on wires that are software.
const MinFrame = 14

// MaxQueues is how many queue pairs a back end may have (a tap's limit).
const MaxQueues = 256

var (
	// ErrAgain says that nothing can be received, or sent, at the moment.
	// Wait waits for that to change.
	ErrAgain = errors.New("net: nothing can be transferred now")

	// ErrDisabled is the answer of a queue that SetQueues has turned off. It
	// is not final.
	ErrDisabled = errors.New("net: the queue is disabled")

	// ErrClosed is the answer of a back end that has been closed.
	ErrClosed = errors.New("net: the back end is closed")
)

// Backend is the host end of a NIC. Its methods may be called from any
// goroutine, those of its queues as their documentation says.
type Backend interface {
	// Queues is the number of queue pairs, 1 to MaxQueues.
	Queues() int

	// Queue returns pair i, 0 <= i < Queues().
	Queue(i int) Queue

	// SetQueues enables pairs 0 to n-1, 1 <= n <= Queues(), and disables the
	// others: the host then sends nothing to them. At first only pair 0 is
	// enabled. A waiter on a pair that becomes disabled gets ErrDisabled.
	SetQueues(n int) error

	// SetHeaderSize sets the length in bytes of the virtio_net_hdr before each
	// frame, in both directions: ShortHeaderSize, or HeaderSize as at first. No frame
	// may be on its way meanwhile.
	SetHeaderSize(n int) error

	// Offloads is what the back end can do, in both directions: which frames
	// Send takes besides complete ones, and what SetOffloads can enable.
	Offloads() Offload

	// SetOffloads sets which frames the front end takes from Receive besides
	// complete ones; at first none. All others the host completes before. The set must
	// be part of Offloads.
	SetOffloads(o Offload) error

	// MTU is the size in bytes of the largest packet that the network takes,
	// without the Ethernet header.
	MTU() int

	// Link reports whether the host's side of the link is up.
	Link() bool

	// OnLink sets the function that is called with the new state after Link
	// has changed. It replaces the one set before; nil removes it. Calls never
	// overlap. f must neither block nor call OnLink or Close. A call to the
	// old function may still be running on return.
	OnLink(f func(up bool))

	// SetLink connects or disconnects the machine, as the host sees it; at first it is
	// connected. The front end tells the guest, and sends nothing meanwhile.
	SetLink(up bool) error

	// Stats returns the traffic until now.
	Stats() Stats

	// Close ends all waits with ErrClosed, and removes what the back end made
	// on the host. When it returns, no queue touches the slices it was given any
	// more. A vhost device that uses a queue must have been stopped. Close waits
	// for a running call of OnLink's function, so the caller holds no lock that
	// it takes. Later calls return the same error.
	Close() error
}

// Events are what a queue can wait for.
type Events uint8

const (
	ToReceive Events = 1 << iota // there is a frame to receive
	ToSend                       // there is room to send
)

// Queue is one queue pair. One goroutine may receive while another sends; Wait,
// Wake and FD are for any.
//
// Errors other than ErrAgain and ErrDisabled are final: the host's end is closed
// (ErrClosed) or has been lost, which is logged once and takes Link down. Every
// later call returns the same.
type Queue interface {
	// Send gives one frame to the host and never blocks. It returns nil if the
	// host took it, and also if it is lost, as on a real wire: because it is
	// too short, too long, or has a header that makes no sense (Stats.TxErrors),
	// or because the host cannot take any (Stats.TxDropped). ErrAgain means that
	// the host has no room: the front end may drop the frame or offer it again
	// when there is room (ToSend).
	//
	// The slices are not kept, and are read once: a guest that changes them
	// meanwhile changes its own frame.
	Send(frame [][]byte) error

	// Receive takes one frame from the host and never blocks. It fills the
	// slices of buf in their order. n is the length of the frame in buf, its
	// header included. What did not fit in buf is returned as rest, which is
	// valid until the next Receive. Longer frames than MaxFrame are dropped
	// and never returned.
	//
	// The header's NumBuffers is undefined; it is for the front end to fill in.
	Receive(buf [][]byte) (n int, rest []byte, err error)

	// Wait blocks until one of the events, or those of the other descriptors,
	// or Wake. It returns which of the events there are, as far as it knows, and
	// sets Revents of the others. It may return for no reason. With no events
	// it returns no error but ErrClosed, so that others can be waited for when
	// the queue cannot be used. The caller blocks in the kernel and holds a
	// thread.
	Wait(events Events, others []unix.PollFd) (Events, error)

	// Wake makes a Wait that is running, or else the next one, return before
	// its time. Where several goroutines wait, it reaches one of them.
	Wake()

	// FD is the file descriptor that vhost-net can drive, -1 when there is
	// none. It is valid until Close. While vhost has it, the queue's other
	// methods are not to be used.
	FD() int
}

// Offload is a set of things a sender may leave to the receiver. The bits are
// those of the TUNSETOFFLOAD ioctl (linux/if_tun.h).
type Offload uint32

// The offloads. All others need Csum, and TSOECN needs TSO4 or TSO6.
const (
	Csum   Offload = 1 << 0 // TUN_F_CSUM: TCP and UDP checksums
	TSO4   Offload = 1 << 1 // TUN_F_TSO4: TCP over IPv4 segmentation
	TSO6   Offload = 1 << 2 // TUN_F_TSO6: TCP over IPv6 segmentation
	TSOECN Offload = 1 << 3 // TUN_F_TSO_ECN: TSO of segments with ECN
	UFO    Offload = 1 << 4 // TUN_F_UFO: UDP fragmentation
	USO4   Offload = 1 << 5 // TUN_F_USO4: UDP over IPv4 segmentation; only with USO6
	USO6   Offload = 1 << 6 // TUN_F_USO6: UDP over IPv6 segmentation; only with USO4
)

// Stats counts the traffic of a back end, as the guest sees it: Tx is what it
// sends. Bytes are those of Ethernet frames.
type Stats struct {
	RxFrames  uint64
	RxBytes   uint64
	RxDropped uint64 // the guest did not take them in time
	RxErrors  uint64 // too long
	TxFrames  uint64
	TxBytes   uint64
	TxDropped uint64 // the host did not take them
	TxErrors  uint64 // too short or long, or with a bad header
}
