package user

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// Limits of TCP connections.
const (
	maxConnections = 512
	maxDials       = 128 // of the guest's that are not connected yet
	dialTimeout    = 30 * time.Second

	// halfClosed is how long a connection may be idle of which one direction has
	// ended.
	halfClosed = 10 * time.Minute

	// A guest that does not answer is found gone after the sum of these.
	keepIdle     = 2 * time.Minute
	keepInterval = 15 * time.Second
	keepCount    = 5
)

// copyBuffer is the size in bytes of what is moved at a time.
const copyBuffer = 128 << 10

// connect serves a connection that the guest asks for, in a goroutine of its
// own.
func (w *world) connect(r *tcp.ForwarderRequest) {
	if !w.begin() {
		r.Complete(false)
		return
	}
	defer w.working.Done()
	if !w.tcp.take() {
		r.Complete(true)
		return
	}
	id := r.ID()
	to := addrPort(id.LocalAddress, id.LocalPort)
	defer w.tcp.give()
	host, err := w.dial(to)
	if err != nil {
		w.log.Debug("a connection of the guest's fails", "to", to, "error", err)
		// A host that does not answer is silent for the guest, too.
		r.Complete(!errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded))
		return
	}
	var queue waiter.Queue
	ep, failed := r.CreateEndpoint(&queue)
	r.Complete(failed != nil)
	if failed != nil {
		host.Close()
		return
	}
	keepAlive(ep)
	w.join(gonet.NewTCPConn(&queue, ep), host)
}

// keepAlive lets an endpoint find out that the guest is gone.
func keepAlive(ep tcpip.Endpoint) {
	idle, interval := tcpip.KeepaliveIdleOption(keepIdle), tcpip.KeepaliveIntervalOption(keepInterval)
	// No endpoint refuses these.
	_ = ep.SetSockOpt(&idle)
	_ = ep.SetSockOpt(&interval)
	_ = ep.SetSockOptInt(tcpip.KeepaliveCountOption, keepCount)
	ep.SocketOptions().SetKeepAlive(true)
}

// dial connects to where the guest wants to.
func (w *world) dial(to netip.AddrPort) (io.ReadWriteCloser, error) {
	ctx, cancel := context.WithTimeout(w.ctx, dialTimeout)
	defer cancel()
	if open := w.options.Channels[to]; open != nil {
		return open(ctx)
	}
	if to == netip.AddrPortFrom(dns, dnsPort) {
		return w.dialDNS(ctx)
	}
	at, ok := outside(to)
	if !ok {
		return nil, syscall.EHOSTUNREACH
	}
	return new(net.Dialer).DialContext(ctx, "tcp4", at.String())
}

// join moves data both ways until both directions have ended, and closes both
// ends. The end of one direction is passed on.
func (w *world) join(a, b io.ReadWriteCloser) {
	defer w.until(a)()
	defer w.until(b)()
	var moved atomic.Uint64
	var both sync.WaitGroup
	ended := make(chan struct{}, 2)
	for _, x := range [][2]io.ReadWriteCloser{{a, b}, {b, a}} {
		both.Go(func() {
			if w.move(x[1], x[0], &moved) != nil || closeWrite(x[1]) != nil {
				a.Close()
				b.Close()
			}
			ended <- struct{}{}
		})
	}
	<-ended
	idle := time.NewTicker(halfClosed)
	defer idle.Stop()
	for before := moved.Load(); ; {
		select {
		case <-ended:
			both.Wait()
			return
		case <-idle.C:
			now := moved.Load()
			if now == before {
				a.Close()
				b.Close()
			}
			before = now
		}
	}
}

// move copies until the end of src.
func (w *world) move(dst io.Writer, src io.Reader, moved *atomic.Uint64) error {
	buf := w.buffers.Get().(*[copyBuffer]byte)
	defer w.buffers.Put(buf)
	for {
		n, err := src.Read(buf[:])
		if n > 0 {
			moved.Add(1)
			if _, err := dst.Write(buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// closeWrite tells the peer that nothing more comes.
func closeWrite(c io.Closer) error {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return c.Close()
}
