package nic

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	hostnet "github.com/govmm/govmm/net"
)

// Card is what a Wire serves. Its methods are called by the Wire's goroutine
// alone and do not block.
type Card interface {
	// Transmit returns the next frame that the driver sends, without FCS, nil if
	// there is none. It is valid until the next call.
	Transmit() []byte

	// Ready reports whether the card could receive a frame now. When that
	// changes, it calls Kick.
	Ready() bool

	// Receive takes a frame of MinFrame bytes or more. It returns false when the
	// frame has to wait until the driver has given more room, and is offered again.
	Receive(frame []byte) bool
}

// turnFrames is how many frames a direction moves before the other one has its
// turn.
const turnFrames = 64

// Stats are the traffic of a card, named as in the net group of libvirt's domain
// statistics. Rx is what the guest receives. Bytes are those of Ethernet frames.
type Stats struct {
	RxBytes, RxPackets, RxErrs, RxDrop uint64
	TxBytes, TxPackets, TxErrs, TxDrop uint64
}

// Wire joins a card to a host end.
type Wire struct {
	card    Card
	backend hostnet.Backend
	queue   hostnet.Queue
	changed func(up bool) // of the link

	mu       sync.Mutex // serialises starting and stopping
	running  bool
	stopping atomic.Bool
	serving  sync.WaitGroup

	unplugged atomic.Bool // by SetLink
	hostUp    atomic.Bool
	txDropped atomic.Uint64

	// Of the goroutine.
	buf     []byte   // what is being received: header and frame
	vec     [][]byte // what is being sent
	header  [hostnet.HeaderSize]byte
	waiting []byte // a received frame that the card has had no room for
	unsent  []byte // a frame that the host has had no room for
	lost    bool   // the host end
}

// NewWire returns a wire that is not served yet. changed is called when the
// link, as the guest sees it, may have changed; it does not block. The back end
// is the caller's to close, after the wire.
func NewWire(card Card, backend hostnet.Backend, changed func(up bool)) (*Wire, error) {
	w := &Wire{card: card, backend: backend, queue: backend.Queue(0), changed: changed}
	if err := errors.Join(backend.SetHeaderSize(hostnet.HeaderSize), backend.SetOffloads(0), backend.SetQueues(1)); err != nil {
		return nil, fmt.Errorf("set up the host end: %w", err)
	}
	w.buf = make([]byte, hostnet.HeaderSize+hostnet.MaxFrame)
	w.hostUp.Store(backend.Link())
	backend.OnLink(func(up bool) {
		w.hostUp.Store(up)
		w.linkChanged()
	})
	return w, nil
}

// Start serves the card, until Stop.
func (w *Wire) Start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running {
		return
	}
	w.running = true
	w.stopping.Store(false)
	w.serving.Go(w.serve)
}

// Stop ends the service. No method of the card is called any more when it
// returns.
func (w *Wire) Stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.running {
		return
	}
	w.running = false
	w.stopping.Store(true)
	w.Kick()
	w.serving.Wait()
}

// Close stops for good and lets go of the back end.
func (w *Wire) Close() {
	w.backend.OnLink(nil)
	w.Stop()
}

// Kick has the goroutine look at the card.
func (w *Wire) Kick() { w.queue.Wake() }

// Link reports whether there is a link, for what the guest can see.
func (w *Wire) Link() bool { return !w.unplugged.Load() && w.hostUp.Load() }

// SetLink connects or disconnects the guest; at first it is connected.
func (w *Wire) SetLink(up bool) error {
	if w.unplugged.Swap(!up) == !up {
		return nil
	}
	w.linkChanged()
	return w.backend.SetLink(up)
}

func (w *Wire) linkChanged() {
	w.changed(w.Link())
	w.Kick()
}

// SetMAC has the host end follow the card's own address, which the driver has set,
// if it can. All multicast frames stay wanted: a card knows only a hash of those that are.
func (w *Wire) SetMAC(mac [6]byte) {
	if host, ok := w.backend.(hostnet.Filterer); ok {
		host.SetFilter(hostnet.Filter{MAC: mac, AllMulticast: true})
	}
}

// Stats returns the traffic until now.
func (w *Wire) Stats() Stats {
	s := w.backend.Stats()
	return Stats{
		RxBytes: s.RxBytes, RxPackets: s.RxFrames, RxErrs: s.RxErrors, RxDrop: s.RxDropped,
		TxBytes: s.TxBytes, TxPackets: s.TxFrames, TxErrs: s.TxErrors, TxDrop: s.TxDropped + w.txDropped.Load(),
	}
}

// serve moves frames until Stop.
func (w *Wire) serve() {
	for !w.stopping.Load() {
		moved := w.transmit()
		moved = w.receive() || moved
		if moved {
			continue
		}
		var events hostnet.Events
		if !w.lost {
			if w.unsent != nil {
				events |= hostnet.ToSend
			}
			if w.waiting == nil && w.Link() && w.card.Ready() {
				events |= hostnet.ToReceive
			}
		}
		// What is lost is told of by the host end; the driver sees no link.
		if _, err := w.queue.Wait(events, nil); err != nil {
			if w.lost {
				return // not even waiting is possible
			}
			w.lost = true
		}
	}
}

// transmit sends frames. It reports whether there may be more to do.
func (w *Wire) transmit() bool {
	for range turnFrames {
		frame := w.unsent
		if frame == nil {
			if frame = w.card.Transmit(); frame == nil {
				return false
			}
		}
		w.unsent = nil
		if !w.Link() || w.lost {
			w.txDropped.Add(1)
			continue
		}
		w.vec = append(w.vec[:0], w.header[:], frame)
		if err := w.queue.Send(w.vec); errors.Is(err, hostnet.ErrAgain) {
			w.unsent = frame
			return false
		} else if err != nil {
			w.txDropped.Add(1)
		}
	}
	return true
}

// receive takes frames from the host. It reports whether there may be more to
// do.
func (w *Wire) receive() bool {
	for range turnFrames {
		if w.waiting == nil {
			if w.lost || !w.Link() || !w.card.Ready() {
				return false
			}
			w.vec = append(w.vec[:0], w.buf)
			n, _, err := w.queue.Receive(w.vec)
			if err != nil {
				w.lost = w.lost || !errors.Is(err, hostnet.ErrAgain) && !errors.Is(err, hostnet.ErrDisabled)
				return false
			}
			w.waiting = w.buf[hostnet.HeaderSize:n]
		}
		if !w.card.Receive(w.waiting) {
			return false
		}
		w.waiting = nil
	}
	return true
}
