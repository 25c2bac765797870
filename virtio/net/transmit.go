package net

import (
	"errors"

	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
)

var errLinkDown = errors.New("the link is down")

// batch is how many frames are moved between two looks at whether the driver
// wants an interrupt.
const batch = 16

// transmitter serves a transmit queue.
type transmitter struct {
	run     *run
	queue   *queue.Queue
	host    hostnet.Queue
	allowed hostnet.Offload // what the driver may leave to us
	timer   *txTimer

	header [hostnet.HeaderSize]byte // of the current frame
	vec    [][]byte                 // the frame
}

func newTransmitter(r *run, pair int, q *queue.Queue) *transmitter {
	return &transmitter{
		run: r, queue: q, host: r.d.backend.Queue(pair),
		allowed: hostOffloads(r.features), timer: &r.d.timers[pair].tx,
	}
}

// hostOffloads are the offloads that a set of features lets the driver use. As
// for guestOffloads, those that lack what they depend on do not count.
func hostOffloads(f virtio.Features) hostnet.Offload {
	var o hostnet.Offload
	for _, x := range offloadFeatures {
		if f&x.host != 0 {
			o |= x.offload
		}
	}
	if o&hostnet.Csum == 0 {
		return 0
	}
	return o
}

// serve sends frames until the queue is paused or stopped.
func (t *transmitter) serve() error {
	if t.run.d.txTimer {
		return t.serveDelayed()
	}
	return queue.Serve(t.queue, t.send)
}

// send sends the frame of a chain and gives the chain back. When the host has
// no room, it waits.
func (t *transmitter) send(c *queue.Chain) error {
	d := t.run.d
	if !t.collect(c) {
		d.counters.txErrors.Add(1)
		t.queue.Push(c, 0)
		return nil
	}
	err := t.offer()
	for errors.Is(err, hostnet.ErrAgain) {
		t.queue.Flush()
		if t.run.stopping.Load() {
			t.queue.Unpop(c)
			return nil
		}
		if err = t.host.WaitSend(); err == nil {
			err = t.offer()
		}
	}
	if err != nil {
		// The link is down, the pair disabled, or there is no network any more,
		// which the driver sees by the link.
		d.counters.txDropped.Add(1)
	}
	t.queue.Push(c, 0)
	return nil
}

// offer gives the current frame to the host.
func (t *transmitter) offer() error {
	if !t.run.d.linkUp() {
		return errLinkDown
	}
	return t.host.Send(t.vec)
}

// collect makes the vector of a chain's frame, with a copy of the header that
// has been checked. It returns false when the frame makes no sense.
func (t *transmitter) collect(c *queue.Chain) bool {
	r, size := c.Reader(), t.run.header
	if r.ReadFull(t.header[:size]) != nil {
		return false
	}
	n := r.Len()
	if n < hostnet.MinFrame || n > hostnet.MaxFrame {
		return false
	}
	h, _ := hostnet.ParseHeader(t.header[:size])
	if !checkSent(&h, n, t.allowed) {
		return false
	}
	h.Put(t.header[:size])
	t.vec = append(t.vec[:0], t.header[:size])
	t.vec = append(t.vec, r.Iovecs()...)
	return true
}

// checkSent checks the header of a frame of n bytes that the driver sends
// (section 5.1.6.2), and leaves in it what the host needs to know.
func checkSent(h *hostnet.Header, n int, allowed hostnet.Offload) bool {
	h.NumBuffers = 0
	h.Flags &= hostnet.HeaderNeedsCsum // other flags have no meaning
	if h.Flags == 0 {
		if h.GSOType != hostnet.GSONone {
			return false // segments need checksums
		}
		*h = hostnet.Header{}
		return true
	}
	if allowed&hostnet.Csum == 0 || int(h.CsumStart)+int(h.CsumOffset)+2 > n {
		return false
	}
	if h.GSOType == hostnet.GSONone {
		h.HdrLen, h.GSOSize = 0, 0
		return true
	}
	need := gsoOffload(h.GSOType)
	if allowed&need != need || h.GSOSize == 0 {
		return false
	}
	h.HdrLen = uint16(min(int(h.HdrLen), n)) // a hint, which may be wrong
	return true
}
