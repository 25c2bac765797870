package user

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
)

const ipv4Number tcpip.NetworkProtocolNumber = ipv4.ProtocolNumber

// acceptPause follows an error of a listener, such as too many open files.
const acceptPause = 100 * time.Millisecond

// listen opens the host's port of a forward.
func (w *world) listen(f Forward) error {
	at := f.Host.String()
	if f.Host.Addr() == netip.IPv6Unspecified() {
		at = fmt.Sprintf(":%d", f.Host.Port()) // also where there is no IPv6
	}
	if f.Protocol == "udp" {
		c, err := net.ListenPacket("udp", at)
		if err != nil {
			return err
		}
		w.packets = append(w.packets, c)
		w.spawn(func() { w.receiveForward(c.(*net.UDPConn), f.Port) })
		return nil
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		return err
	}
	w.forward = append(w.forward, l)
	w.spawn(func() { w.acceptForward(l, f.Port) })
	return nil
}

// Forwarded is where the forwards listen, those of TCP before those of UDP.
func (n *Network) Forwarded() (at []net.Addr) {
	for _, l := range n.world.forward {
		at = append(at, l.Addr())
	}
	for _, p := range n.world.packets {
		at = append(at, p.LocalAddr())
	}
	return at
}

func (w *world) acceptForward(l net.Listener, port uint16) {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			select {
			case <-time.After(acceptPause):
			case <-w.ctx.Done():
			}
			continue
		}
		if !w.tcp.take() {
			c.Close()
			continue
		}
		if !w.spawn(func() {
			defer w.tcp.give()
			w.toGuest(c, port)
		}) {
			c.Close()
			return
		}
	}
}

// toGuest joins a connection from outside to the guest's port.
func (w *world) toGuest(c net.Conn, port uint16) {
	ctx, cancel := context.WithTimeout(w.ctx, dialTimeout)
	defer cancel()
	to := netip.AddrPortFrom(guest, port)
	g, err := gonet.DialTCPWithBind(ctx, w.stack, full(netip.AddrPortFrom(router, 0)), full(to), ipv4Number)
	if err != nil {
		w.log.Debug("a connection to the guest fails", "to", to, "error", err)
		c.Close()
		return
	}
	w.join(g, c)
}

// receiveForward makes a flow to the guest of each peer's datagrams.
func (w *world) receiveForward(c *net.UDPConn, port uint16) {
	peers := &peers{socket: c, flows: make(map[netip.AddrPort]*peer)}
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // of a datagram sent before
		}
		p := peers.get(from)
		if p == nil {
			g, err := w.dialGuest(port)
			if err != nil {
				w.log.Debug("datagrams to the guest cannot be sent", "port", port, "error", err)
				continue
			}
			p = peers.add(from)
			w.relay(g, p, flowIdle)
		}
		p.give(buf[:n])
	}
}

// peers are those who send to a forwarded port.
type peers struct {
	socket *net.UDPConn
	mu     sync.Mutex
	flows  map[netip.AddrPort]*peer
}

func (s *peers) get(from netip.AddrPort) *peer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flows[from]
}

func (s *peers) add(from netip.AddrPort) *peer {
	p := &peer{of: s, at: from, in: make(chan []byte, peerQueue), closed: make(chan struct{})}
	p.deadline = time.NewTimer(flowIdle)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flows[from] = p
	return p
}

// peerQueue is how many datagrams of a peer may wait.
const peerQueue = 64

// peer is the part of a socket's traffic that is with one address.
type peer struct {
	of       *peers
	at       netip.AddrPort
	in       chan []byte
	deadline *time.Timer
	once     sync.Once
	closed   chan struct{}
}

// give adds a datagram, unless there are too many.
func (p *peer) give(b []byte) {
	select {
	case p.in <- append([]byte(nil), b...):
	default:
	}
}

// Read takes the next datagram.
func (p *peer) Read(b []byte) (int, error) {
	select {
	case d := <-p.in:
		return copy(b, d), nil
	case <-p.closed:
		return 0, net.ErrClosed
	case <-p.deadline.C:
		return 0, timeout{}
	}
}

// timeout is the error of a deadline.
type timeout struct{}

func (timeout) Error() string   { return "i/o timeout" }
func (timeout) Timeout() bool   { return true }
func (timeout) Temporary() bool { return true }

// Write sends one back.
func (p *peer) Write(b []byte) (int, error) { return p.of.socket.WriteToUDPAddrPort(b, p.at) }

// SetReadDeadline limits the time of Read.
func (p *peer) SetReadDeadline(t time.Time) error {
	p.deadline.Reset(time.Until(t))
	return nil
}

// Close forgets the peer.
func (p *peer) Close() error {
	p.once.Do(func() {
		close(p.closed)
		p.deadline.Stop()
		p.of.mu.Lock()
		defer p.of.mu.Unlock()
		delete(p.of.flows, p.at)
	})
	return nil
}
