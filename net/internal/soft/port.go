package soft

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/net/internal/linkstate"
)

// ErrLost is a Wire's answer that it cannot take a frame, which is lost.
var ErrLost = errors.New("the frame is lost")

// Wire moves frames. Send, Receive and Done are called by one goroutine a
// direction, Ready by any. None of them blocks.
type Wire interface {
	// Send takes a frame, in slices that hold n bytes of Ethernet frame,
	// MinFrame to MaxFrame. The slices are not kept. The error is net.ErrAgain, ErrLost,
	// or another for a frame that makes no sense.
	Send(h hostnet.Header, frame [][]byte, n int) error

	// Receive returns the next frame. Its slices are valid until Done, which
	// follows each Receive without error. The error is net.ErrAgain.
	Receive() (h hostnet.Header, frame [][]byte, err error)
	Done()

	// Ready is which of the events there are. After it was not ready for one,
	// the wire calls Port.Notify when it is.
	Ready(e hostnet.Events) hostnet.Events

	// Close ends the wire's work. It is called once.
	Close() error
}

// Options describe a Port.
type Options struct {
	Name     string          // for messages, such as "server 127.0.0.1:5000"
	MTU      int             // bytes; 0 means 1500
	Offloads hostnet.Offload // that the wire has
	// Configured is told what the front end takes, when that has changed. It may
	// be nil.
	Configured func(hostnet.Offload)
	Log        *slog.Logger // nil discards
}

// Port is a host end. It is a net.Backend, and its only queue pair.
type Port struct {
	name       string
	log        *slog.Logger
	mtu        int
	offloads   hostnet.Offload
	configured func(hostnet.Offload)
	wire       Wire
	header     atomic.Int32
	link       linkstate.Link
	unplugged  atomic.Bool // by SetLink
	closed     atomic.Bool
	closeOnce  sync.Once
	closeErr   error

	events events
	rx, tx side
	spill  []byte // what did not fit; made when first needed
}

// side is one direction.
type side struct {
	waiting atomic.Bool // for Notify
	header  [hostnet.HeaderSize]byte
	vec     [][]byte

	frames, bytes, dropped, errors atomic.Uint64
}

var (
	_ hostnet.Backend = (*Port)(nil)
	_ hostnet.Queue   = (*Port)(nil)
)

// New makes a port without a wire, whose link is down. Attach follows, or Close.
func New(o Options) (*Port, error) {
	p := &Port{name: o.Name, log: o.Log, mtu: o.MTU, offloads: o.Offloads, configured: o.Configured}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.mtu == 0 {
		p.mtu = 1500
	}
	p.header.Store(hostnet.HeaderSize)
	if err := p.events.open(); err != nil {
		return nil, fmt.Errorf("net: %s: %w", p.name, err)
	}
	return p, nil
}

// Attach gives the port its wire, before anything else is done with it.
func (p *Port) Attach(w Wire) { p.wire = w }

// Log is where the wire logs, too.
func (p *Port) Log() *slog.Logger { return p.log }

// SetCarrier sets the link's state, which at first is down.
func (p *Port) SetCarrier(up bool) { p.link.Set(up) }

// Plugged reports whether the machine is connected. While it is not, the wire
// drops what comes for it.
func (p *Port) Plugged() bool { return !p.unplugged.Load() }

// Dropped counts a frame for the guest that the wire has dropped.
func (p *Port) Dropped() { p.rx.dropped.Add(1) }

// RxError counts a frame for the guest that made no sense.
func (p *Port) RxError() { p.rx.errors.Add(1) }

// Notify tells who waits for an event that it may be there.
func (p *Port) Notify(e hostnet.Events) {
	if e&hostnet.ToReceive != 0 && p.rx.waiting.Swap(false) {
		p.events.set(rxReady)
	}
	if e&hostnet.ToSend != 0 && p.tx.waiting.Swap(false) {
		p.events.set(txReady)
	}
}

// Queues implements net.Backend. There is one.
func (p *Port) Queues() int { return 1 }

// Queue implements net.Backend.
func (p *Port) Queue(int) hostnet.Queue { return p }

// SetQueues implements net.Backend.
func (p *Port) SetQueues(n int) error {
	if err := p.state(); err != nil {
		return err
	}
	if n != 1 {
		return fmt.Errorf("net: %s: %d queue pairs are not the one there is", p.name, n)
	}
	return nil
}

// SetHeaderSize implements net.Backend.
func (p *Port) SetHeaderSize(n int) error {
	if err := p.state(); err != nil {
		return err
	}
	if n != hostnet.ShortHeaderSize && n != hostnet.HeaderSize {
		return fmt.Errorf("net: %s: a header of %d bytes is neither %d nor %d", p.name, n, hostnet.ShortHeaderSize, hostnet.HeaderSize)
	}
	p.header.Store(int32(n))
	return nil
}

// Offloads implements net.Backend.
func (p *Port) Offloads() hostnet.Offload { return p.offloads }

// SetOffloads implements net.Backend.
func (p *Port) SetOffloads(o hostnet.Offload) error {
	if err := p.state(); err != nil {
		return err
	}
	if more := o &^ p.offloads; more != 0 {
		return fmt.Errorf("net: %s: offloads %v are not possible", p.name, more)
	}
	if o != 0 && o&hostnet.Csum == 0 {
		return fmt.Errorf("net: %s: offloads %v need csum", p.name, o)
	}
	if p.configured != nil {
		p.configured(o)
	}
	return nil
}

// MTU implements net.Backend.
func (p *Port) MTU() int { return p.mtu }

// Link implements net.Backend.
func (p *Port) Link() bool { return p.link.Get() }

// OnLink implements net.Backend.
func (p *Port) OnLink(f func(up bool)) { p.link.Listen(f) }

// SetLink implements net.Backend.
func (p *Port) SetLink(up bool) error {
	if err := p.state(); err != nil {
		return err
	}
	p.unplugged.Store(!up)
	return nil
}

// Stats implements net.Backend.
func (p *Port) Stats() hostnet.Stats {
	return hostnet.Stats{
		RxFrames: p.rx.frames.Load(), RxBytes: p.rx.bytes.Load(),
		RxDropped: p.rx.dropped.Load(), RxErrors: p.rx.errors.Load(),
		TxFrames: p.tx.frames.Load(), TxBytes: p.tx.bytes.Load(),
		TxDropped: p.tx.dropped.Load(), TxErrors: p.tx.errors.Load(),
	}
}

// Close implements net.Backend.
func (p *Port) Close() error {
	p.closeOnce.Do(func() {
		p.closed.Store(true)
		p.link.Close()
		p.events.set(woken)
		if p.wire != nil {
			if err := p.wire.Close(); err != nil {
				p.closeErr = fmt.Errorf("net: %s: close: %w", p.name, err)
			}
		}
		p.events.close()
	})
	return p.closeErr
}

func (p *Port) state() error {
	if p.closed.Load() {
		return hostnet.ErrClosed
	}
	return nil
}
