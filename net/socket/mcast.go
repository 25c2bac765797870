package socket

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"

	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/net/internal/soft"
)

// maxDatagram is the longest payload of UDP over IPv4, in bytes. It is less than
// MaxFrame.
const maxDatagram = 65507

// maxFailures is how many errors in a row end the receiver.
const maxFailures = 100

// receiveBuffer is what the kernel may keep of a group's datagrams, in bytes.
const receiveBuffer = 1 << 20

// Mcast is the host end of a multicast group.
type Mcast struct{ *soft.Port }

// NewMcast joins an IPv4 multicast group on the interface that the host's
// routes name for it. Datagrams stay on the local network (TTL 1), and reach
// other members on this host; the guest does not see its own.
func NewMcast(o Options) (*Mcast, error) {
	p, err := o.port("mcast")
	if err != nil {
		return nil, err
	}
	w, err := joinGroup(p, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("net: mcast %s: %w", o.hostPort(), err), p.Close())
	}
	p.Attach(w)
	p.SetCarrier(true)
	w.working.Go(w.receive)
	return &Mcast{Port: p}, nil
}

// mcastWire carries frames in datagrams.
type mcastWire struct {
	port     *soft.Port
	receiver *net.UDPConn // bound to the group
	sender   *net.UDPConn // connected to it, from a port of its own
	raw      syscall.RawConn
	self     netip.AddrPort // sender's
	working  sync.WaitGroup
	in       soft.Ring
	out      []byte // the frame to send, in one piece
}

func joinGroup(p *soft.Port, o Options) (*mcastWire, error) {
	group, err := netip.ParseAddr(o.Address)
	if err != nil || !group.Is4() || !group.IsMulticast() {
		return nil, errors.New("the address is not an IPv4 multicast address (224.0.0.0 to 239.255.255.255)")
	}
	to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(group, o.Port))
	w := &mcastWire{port: p}
	// The port may be in use by other members.
	if w.receiver, err = net.ListenMulticastUDP("udp4", nil, to); err != nil {
		return nil, fmt.Errorf("join the group: %w (the host needs a route for it)", err)
	}
	if w.sender, err = net.DialUDP("udp4", nil, to); err != nil {
		w.receiver.Close()
		return nil, fmt.Errorf("no route to the group: %w", err)
	}
	_ = w.receiver.SetReadBuffer(receiveBuffer) // or what the host allows
	w.self = w.sender.LocalAddr().(*net.UDPAddr).AddrPort()
	if w.raw, err = w.sender.SyscallConn(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// receive takes datagrams until the socket is closed.
func (w *mcastWire) receive() {
	frame := make([]byte, maxDatagram)
	for failed := 0; ; {
		n, from, err := w.receiver.ReadFromUDPAddrPort(frame)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// One may come of a network that is down; a socket with nothing else is broken.
			if failed++; failed > maxFailures {
				w.port.Log().Error("nothing is received from the multicast group any more", "error", err)
				w.port.SetCarrier(false)
				return
			}
			continue
		}
		failed = 0
		switch {
		case from == w.self:
		case n < hostnet.MinFrame:
			w.port.RxError()
		case !w.port.Plugged(), !w.in.Put([][]byte{frame[:n]}, n):
			w.port.Dropped()
		default:
			w.port.Notify(hostnet.ToReceive)
		}
	}
}

// Send implements soft.Wire.
func (w *mcastWire) Send(_ hostnet.Header, frame [][]byte, n int) error {
	if n > maxDatagram {
		return fmt.Errorf("a frame of %d bytes fits no datagram", n)
	}
	w.out = w.out[:0]
	for _, b := range frame {
		w.out = append(w.out, b...)
	}
	var err error
	// Not w.sender.Write, which waits.
	if e := w.raw.Write(func(fd uintptr) bool {
		_, err = syscall.Write(int(fd), w.out)
		return true
	}); e != nil {
		return soft.ErrLost
	}
	if err != nil {
		return soft.ErrLost // no route, no room: datagrams are lost as on a wire
	}
	return nil
}

// Receive implements soft.Wire.
func (w *mcastWire) Receive() (h hostnet.Header, frame [][]byte, err error) {
	if frame = w.in.Frame(); frame == nil {
		return h, nil, hostnet.ErrAgain
	}
	return h, frame, nil
}

// Done implements soft.Wire.
func (w *mcastWire) Done() { w.in.Next() }

// Ready implements soft.Wire. There is always room to send.
func (w *mcastWire) Ready(e hostnet.Events) hostnet.Events {
	if w.in.Empty() {
		e &^= hostnet.ToReceive
	}
	return e
}

// Close implements soft.Wire.
func (w *mcastWire) Close() error {
	err := errors.Join(w.receiver.Close(), w.sender.Close())
	w.working.Wait()
	return err
}
