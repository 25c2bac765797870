package socket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/net/internal/soft"
)

// A client that cannot connect tries again after retryFirst, and then after
// twice as long each time, up to retryMost.
const (
	retryFirst = 100 * time.Millisecond
	retryMost  = 5 * time.Second
)

// Stream is the host end of a TCP connection, which comes and goes.
type Stream struct {
	*soft.Port
	wire *streamWire
}

// NewServer listens at the address. It does not wait for a client.
func NewServer(o Options) (*Stream, error) {
	return newStream("server", o, func() (connector, error) {
		l, err := net.Listen("tcp", o.hostPort())
		if err != nil {
			return nil, err
		}
		return &acceptor{listener: l}, nil
	})
}

// NewClient connects to the address, now or as soon as that is possible.
func NewClient(o Options) (*Stream, error) {
	return newStream("client", o, func() (connector, error) {
		if o.Address == "" {
			return nil, errors.New("no address to connect to")
		}
		return &dialer{address: o.hostPort()}, nil
	})
}

func newStream(kind string, o Options, open func() (connector, error)) (*Stream, error) {
	p, err := o.port(kind)
	if err != nil {
		return nil, err
	}
	connect, err := open()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("net: %s %s: %w", kind, o.hostPort(), err), p.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &streamWire{port: p, log: p.Log(), connect: connect, cancel: cancel, toSend: make(chan struct{}, 1), room: make(chan struct{}, 1)}
	p.Attach(w)
	w.working.Go(func() { w.run(ctx) })
	return &Stream{Port: p, wire: w}, nil
}

// Addr is where a server listens; nil for a client.
func (s *Stream) Addr() net.Addr {
	if a, ok := s.wire.connect.(*acceptor); ok {
		return a.listener.Addr()
	}
	return nil
}

// connector makes connections, one after the other.
type connector interface {
	// next waits for a connection, until ctx or the end of the connector.
	next(ctx context.Context, log *slog.Logger) (net.Conn, error)
	Close() error
}

// acceptor is a server.
type acceptor struct{ listener net.Listener }

func (a *acceptor) next(ctx context.Context, log *slog.Logger) (net.Conn, error) {
	for wait := retryFirst; ; wait = min(2*wait, retryMost) {
		c, err := a.listener.Accept()
		if err == nil || errors.Is(err, net.ErrClosed) {
			return c, err
		}
		// Too many open files, or a client that has gone already.
		log.Warn("cannot accept a network peer", "error", err)
		if err := pause(ctx, wait); err != nil {
			return nil, err
		}
	}
}

func (a *acceptor) Close() error { return a.listener.Close() }

// dialer is a client.
type dialer struct {
	address string
	last    time.Time // when a connection was made
	wait    time.Duration
}

func (d *dialer) next(ctx context.Context, log *slog.Logger) (net.Conn, error) {
	if time.Since(d.last) > retryMost {
		d.wait = 0 // the last one was of use
	}
	said := false
	for {
		if err := pause(ctx, d.wait); err != nil {
			return nil, err
		}
		d.wait = min(max(2*d.wait, retryFirst), retryMost)
		c, err := new(net.Dialer).DialContext(ctx, "tcp", d.address)
		if err == nil {
			d.last = time.Now()
			return c, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !said {
			log.Warn("no connection to the network peer; trying on", "address", d.address, "error", err)
			said = true
		}
	}
}

func (d *dialer) Close() error { return nil }

// pause waits, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// streamWire carries frames over a connection.
type streamWire struct {
	port      *soft.Port
	log       *slog.Logger
	connect   connector
	cancel    context.CancelFunc
	working   sync.WaitGroup
	connected atomic.Bool

	in, out soft.Ring
	toSend  chan struct{} // holds one when out has something
	room    chan struct{} // holds one when in has room again
}

// run has one connection after the other.
func (w *streamWire) run(ctx context.Context) {
	for {
		c, err := w.connect.next(ctx, w.log)
		if err != nil {
			return // closed
		}
		peer := c.RemoteAddr().String()
		w.log.Info("a network peer is connected", "peer", peer)
		err = w.serve(ctx, c)
		if ctx.Err() != nil {
			return
		}
		w.log.Warn("the network peer is gone", "peer", peer, "error", err)
	}
}

// serve moves frames until the connection ends, and returns why.
func (w *streamWire) serve(ctx context.Context, c net.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	w.in.Cut()
	w.out.Reset()
	w.connected.Store(true)
	w.port.SetCarrier(true)

	var sender sync.WaitGroup
	var sendErr error
	sender.Go(func() {
		sendErr = w.send(ctx, c)
		cancel()
	})
	err := w.receive(ctx, c)
	w.connected.Store(false)
	cancel()
	c.Close()
	sender.Wait()
	w.port.SetCarrier(false)
	w.port.Notify(hostnet.ToSend) // whoever waits for room has it now
	if sendErr != nil && !errors.Is(sendErr, net.ErrClosed) {
		return sendErr
	}
	return err
}

// send writes what is in the ring, all at a time.
func (w *streamWire) send(ctx context.Context, c net.Conn) error {
	for {
		bytes := net.Buffers(w.out.Bytes())
		n, err := bytes.WriteTo(c)
		if err != nil {
			return err
		}
		if n > 0 {
			w.out.Taken(int(n))
			w.port.Notify(hostnet.ToSend)
			continue
		}
		select {
		case <-w.toSend:
		case <-ctx.Done():
			return nil
		}
	}
}

// receive reads into the ring.
func (w *streamWire) receive(ctx context.Context, c net.Conn) error {
	for {
		space := w.in.Space()
		if len(space) == 0 {
			select {
			case <-w.room:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		n, err := c.Read(space)
		more, bad := w.in.Filled(n)
		if more {
			if !w.port.Plugged() {
				w.discard()
			}
			w.port.Notify(hostnet.ToReceive)
		}
		switch {
		case bad != nil:
			return bad
		case errors.Is(err, io.EOF):
			return errors.New("it has closed the connection")
		case err != nil:
			return err
		}
	}
}

// discard drops the frames that came while the machine was not connected, and
// those from before that.
func (w *streamWire) discard() {
	for w.in.Frame() != nil {
		w.in.Next()
		w.port.Dropped()
	}
}

// Send implements soft.Wire.
func (w *streamWire) Send(_ hostnet.Header, frame [][]byte, n int) error {
	if !w.connected.Load() {
		return soft.ErrLost
	}
	if !w.out.Put(frame, n) {
		return hostnet.ErrAgain
	}
	signal(w.toSend)
	return nil
}

// Receive implements soft.Wire.
func (w *streamWire) Receive() (h hostnet.Header, frame [][]byte, err error) {
	for {
		if frame = w.in.Frame(); frame == nil {
			return h, nil, hostnet.ErrAgain
		}
		if len(frame[0])+len(frame[1]) >= hostnet.MinFrame {
			return h, frame, nil
		}
		w.port.RxError()
		w.Done()
	}
}

// Done implements soft.Wire.
func (w *streamWire) Done() {
	w.in.Next()
	signal(w.room)
}

// Ready implements soft.Wire.
func (w *streamWire) Ready(e hostnet.Events) hostnet.Events {
	if w.in.Empty() {
		e &^= hostnet.ToReceive
	}
	if w.connected.Load() && !w.out.Room() {
		e &^= hostnet.ToSend
	}
	return e
}

// Close implements soft.Wire.
func (w *streamWire) Close() error {
	w.cancel()
	err := w.connect.Close()
	w.working.Wait()
	return err
}

// signal puts one into a channel that holds one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
