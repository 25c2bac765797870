package net

import (
	"errors"

	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
)

var errLinkDown = errors.New("the link is down")

// After so many frames, or bytes, of a turn the driver sees what has been done,
// which may cost an interrupt.
const (
	batchFrames = 16
	batchBytes  = 64 << 10
)

// transmitter is a worker's side that serves a transmit queue.
type transmitter struct {
	run     *run
	queue   *queue.Queue
	host    hostnet.Queue
	allowed hostnet.Offload // what the driver may leave to us
	timer   *txTimer        // nil without Options.TxTimer
	phase   txPhase
	full    bool // the host had no room for the next frame

	header [hostnet.HeaderSize]byte // of the current frame
	vec    [][]byte                 // the frame
}

func newTransmitter(r *run, pair int, q *queue.Queue) *transmitter {
	t := &transmitter{
		run: r, queue: q, host: r.d.backend.Queue(pair),
		allowed: hostOffloads(r.features),
	}
	if r.d.txTimer {
		t.timer = &r.d.timers[pair].tx
	}
	return t
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

// turn sends frames. It returns how many, and whether there may be more that
// can be sent now.
func (t *transmitter) turn() (sent int, more bool, err error) {
	t.full = false
	if t.timer != nil && !t.open() {
		return 0, false, nil
	}
	total, bytes := 0, 0 // in all, and since the last flush
	for sent < turnFrames && total < turnBytes {
		c, err := t.queue.Pop()
		if err != nil {
			return sent, false, err
		}
		if c == nil {
			t.phase = txQuiet
			t.queue.Flush()
			return sent, false, nil
		}
		n := c.Reader().Len()
		if !t.send(c) {
			t.full = true
			t.queue.Flush()
			return sent, false, nil
		}
		sent, total, bytes = sent+1, total+n, bytes+n
		if sent%batchFrames == 0 || bytes >= batchBytes {
			t.queue.Flush()
			bytes = 0
		}
	}
	t.queue.Flush()
	return sent, true, nil
}

// send sends the frame of a chain and gives the chain back. It returns false
// when the host has no room; the chain is then still to be sent.
func (t *transmitter) send(c *queue.Chain) bool {
	d := t.run.d
	if !t.collect(c) {
		d.counters.txErrors.Add(1)
		t.queue.Push(c, 0)
		return true
	}
	err := t.offer()
	if errors.Is(err, hostnet.ErrAgain) {
		t.queue.Unpop(c)
		return false
	}
	if err != nil {
		// The link is down, the pair disabled, or there is no network any more,
		// which the driver sees by the link.
		d.counters.txDropped.Add(1)
	}
	t.queue.Push(c, 0)
	return true
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
