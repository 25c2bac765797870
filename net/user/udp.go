package user

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// Limits of UDP flows.
const (
	maxFlows    = 512
	flowIdle    = 2 * time.Minute
	flowIdleDNS = 10 * time.Second // to port 53: one answer, and no more
	dnsPort     = 53
)

// maxDatagram is the longest payload of UDP over IPv4, in bytes.
const maxDatagram = 65507

// datagram serves the first datagram of a flow. It is called by who injects the
// guest's frames, and does not block. What it returns says whether there is an
// answer at all.
func (w *world) datagram(r *udp.ForwarderRequest) bool {
	id := r.ID()
	to, ok := outside(addrPort(id.LocalAddress, id.LocalPort))
	if !ok || w.ctx.Err() != nil {
		return false
	}
	host, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		w.log.Debug("datagrams of the guest's cannot be sent", "to", to, "error", err)
		return false
	}
	var queue waiter.Queue
	ep, failed := r.CreateEndpoint(&queue)
	if failed != nil {
		host.Close()
		return true // the flow has been made meanwhile
	}
	idle := flowIdle
	if to.Port() == dnsPort {
		idle = flowIdleDNS
	}
	w.relay(gonet.NewUDPConn(&queue, ep), host, idle)
	return true
}

// datagrams is an end of a flow.
type datagrams interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
}

// relay moves datagrams both ways until none has come for some time.
func (w *world) relay(a, b datagrams, idle time.Duration) {
	f := w.flows.add(a, b)
	started := w.spawn(func() {
		defer w.flows.remove(f)
		defer w.until(a)()
		defer w.until(b)()
		var both sync.WaitGroup
		both.Go(func() { w.moveDatagrams(b, a, f, idle); a.Close(); b.Close() })
		both.Go(func() { w.moveDatagrams(a, b, f, idle); a.Close(); b.Close() })
		both.Wait()
	})
	if !started {
		a.Close()
		b.Close()
	}
}

func (w *world) moveDatagrams(dst, src datagrams, f *flow, idle time.Duration) {
	buf := w.buffers.Get().(*[copyBuffer]byte)
	defer w.buffers.Put(buf)
	for {
		_ = src.SetReadDeadline(time.Now().Add(idle)) // a closed one fails to read
		n, err := src.Read(buf[:])
		if err == nil {
			f.touch()
			_, err = dst.Write(buf[:n])
			if err == nil {
				continue
			}
		}
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() && f.idle() < idle {
			continue // the other direction is alive
		}
		return
	}
}

// flows are the UDP flows that there are.
type flows struct {
	mu  sync.Mutex
	all map[*flow]struct{}
}

// flow is a pair of sockets.
type flow struct {
	a, b datagrams
	used atomic.Int64 // time of the last datagram, in nanoseconds
}

func (f *flow) touch() { f.used.Store(time.Now().UnixNano()) }

func (f *flow) idle() time.Duration { return time.Duration(time.Now().UnixNano() - f.used.Load()) }

// add takes a new flow in. When there are too many, the one that has been idle
// for the longest time ends.
func (s *flows) add(a, b datagrams) *flow {
	f := &flow{a: a, b: b}
	f.touch()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[*flow]struct{})
	}
	if len(s.all) >= maxFlows {
		var oldest *flow
		for x := range s.all {
			if oldest == nil || x.used.Load() < oldest.used.Load() {
				oldest = x
			}
		}
		delete(s.all, oldest)
		oldest.a.Close()
		oldest.b.Close()
	}
	s.all[f] = struct{}{}
	return f
}

func (s *flows) remove(f *flow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.all, f)
}

// dialGuest makes a UDP flow to the guest.
func (w *world) dialGuest(port uint16) (*gonet.UDPConn, error) {
	from, to := full(netip.AddrPortFrom(router, 0)), full(netip.AddrPortFrom(guest, port))
	return gonet.DialUDP(w.stack, &from, &to, ipv4Number)
}
