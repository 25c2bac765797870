package console

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/govmm/govmm/chardev"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
)

// maxWrite is how many bytes are given to a back end at a time. The driver's
// buffers may be gigabytes long, and a reset waits for the Write in progress.
const maxWrite = 64 << 10

// Buffers that a driver gives and that are of no use.
var (
	errNoRoom         = errors.New("the driver gives a buffer for input that has no room for any")
	errMessageTooLong = errors.New("the driver gives a buffer for control messages that is shorter than one")
)

// port is one port. It is the front end of its back end.
type port struct {
	Port
	d       *Device
	removed atomic.Bool

	// Guarded by Device.mu.
	s        portState
	need     messages // control messages to be sent
	hostOpen bool     // somebody is at the back end
	cols     uint16   // of a console; 0 is not known
	rows     uint16

	// mu guards what follows. It is held while input goes into guest memory.
	mu         sync.Mutex
	rx, tx     *queue.Queue // nil while inactive; rx also after a violation
	interrupts virtio.Interrupts
	open       bool // the guest takes input
	starved    bool // the back end waits for Ready
}

// portState is what the driver and the device have told each other.
type portState struct {
	Announced bool // PORT_ADD was sent
	Ready     bool // PORT_READY has come
	GuestOpen bool
}

var (
	_ chardev.Receiver        = (*port)(nil)
	_ chardev.OutputReceiver  = (*port)(nil)
	_ chardev.CarrierReceiver = (*port)(nil)
)

func (d *Device) newPort(o Port) *port {
	if o.Backend == nil {
		o.Backend = chardev.NewNull(chardev.Options{Name: o.Name})
	}
	return &port{Port: o, d: d, hostOpen: o.Console}
}

// start begins to serve the port's queues. Device.mu is held.
func (p *port) start(r *run, open bool) {
	rx, tx := queues(p.ID)
	p.mu.Lock()
	p.rx, p.tx, p.interrupts = r.queues[rx], r.queues[tx], r.interrupts
	p.open = open
	p.s.GuestOpen = open && p != p.d.standIn
	p.feed()
	p.mu.Unlock()

	if q := r.queues[rx]; q != nil {
		r.serve(func() error {
			for q.Doorbell().Wait() && !r.stopped() {
				p.buffersAdded()
			}
			return nil
		})
	}
	if q := r.queues[tx]; q != nil {
		s := &sender{port: p, run: r, queue: q}
		r.serve(func() error { return queue.Serve(q, s.send) })
	}
}

// stop forgets the queues. Nothing of the port touches guest memory afterwards.
func (p *port) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rx, p.tx, p.interrupts, p.open = nil, nil, nil, false
}

// setOpen says whether the guest takes input.
func (p *port) setOpen(open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = open && p.interrupts != nil
	p.feed()
}

// Receive implements chardev.Receiver: it fills the driver's buffers.
func (p *port) Receive(b []byte) int {
	p.mu.Lock()
	q, interrupts := p.rx, p.interrupts
	n, err := p.fill(b)
	p.mu.Unlock()
	if n > 0 {
		q.Flush()
	}
	if err != nil {
		interrupts.NeedsReset(err)
	}
	return n
}

// fill is Receive with mu held.
func (p *port) fill(b []byte) (n int, err error) {
	for n < len(b) {
		c, err := p.buffer()
		if c == nil {
			p.starved = true
			return n, err
		}
		got, _ := c.Writer().Write(b[n:]) // short when b does not fit
		p.rx.Push(c, uint32(got))
		n += got
	}
	return n, nil
}

// buffer returns a buffer with room, or nil when there is none.
func (p *port) buffer() (*queue.Chain, error) {
	if p.rx == nil || !p.open {
		return nil, nil
	}
	for {
		c, err := p.rx.Pop()
		if c != nil && c.Writer().Len() == 0 {
			err = errNoRoom
		}
		if err != nil {
			p.rx = nil
			return nil, err
		}
		if c != nil || !p.rx.EnableNotify() {
			return c, nil
		}
	}
}

// buffersAdded is called when the driver has rung the receive queue's doorbell.
func (p *port) buffersAdded() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.feed()
}

// feed lets the back end go on when it waits and the port can take input. mu is
// held.
func (p *port) feed() {
	if p.starved && p.open && p.rx != nil {
		p.starved = false
		p.rx.DisableNotify()
		p.Backend.Ready()
	}
}

// OutputReady implements chardev.OutputReceiver: it wakes the sender.
func (p *port) OutputReady() {
	p.mu.Lock()
	q := p.tx
	p.mu.Unlock()
	if q != nil {
		q.Doorbell().Ring()
	}
}

// sender moves what the guest sends to the back end.
type sender struct {
	port  *port
	run   *run
	queue *queue.Queue
}

// send passes on a buffer. The doorbell says that the back end has room again;
// that the driver can ring it, too, does no harm.
func (s *sender) send(c *queue.Chain) error {
	for {
		if _, err := c.Reader().WriteTo(s); err == nil {
			s.queue.Push(c, 0)
			return nil
		}
		s.queue.Flush()
		if !s.queue.Wait() {
			return nil
		}
	}
}

// Write implements io.Writer for Reader.WriteTo, which takes a short write for
// what it is.
func (s *sender) Write(b []byte) (done int, _ error) {
	for done < len(b) && !s.run.stopped() {
		piece := b[done:min(len(b), done+maxWrite)]
		n := len(piece)
		if !s.port.removed.Load() {
			n = s.port.Backend.Write(piece)
		}
		done += n
		if n < len(piece) {
			break
		}
	}
	return done, nil
}
