package user

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	hostnet "github.com/govmm/govmm/net"
)

const patience = 20 * time.Second

const guestMAC = tcpip.LinkAddress("\x52\x54\x00\x12\x34\x56")

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// works is must for errors of the stack.
func works(t testing.TB, err tcpip.Error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newNetwork makes a network for the time of the test.
func newNetwork(t testing.TB, o Options) *Network {
	t.Helper()
	n, err := New(o)
	must(t, err)
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return n
}

// machine is a guest: a TCP/IP stack that drives a host end as a NIC does.
type machine struct {
	t     testing.TB
	stack *stack.Stack
	end   *channel.Endpoint
}

// newMachine plugs a guest in, with an address if it is not to ask for one.
func newMachine(t testing.TB, n *Network, offloads hostnet.Offload, address bool) *machine {
	t.Helper()
	must(t, n.SetOffloads(offloads))
	m := &machine{t: t, end: channel.New(1024, uint32(n.MTU())+header.EthernetMinimumSize, guestMAC)}
	if offloads != 0 {
		m.end.SupportedGSOKind = stack.HostGSOSupported
		m.end.LinkEPCapabilities = stack.CapabilityRXChecksumOffload
	}
	m.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})
	works(t, m.stack.CreateNIC(nic, ethernet.New(m.end)))
	if address {
		works(t, m.stack.AddProtocolAddress(nic, tcpip.ProtocolAddress{
			Protocol:          ipv4.ProtocolNumber,
			AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4(guest.As4()), PrefixLen: 24},
		}, stack.AddressProperties{}))
	}
	gateway := tcpip.AddrFrom4(router.As4())
	m.stack.SetRouteTable([]tcpip.Route{
		{Destination: tcpip.AddressWithPrefix{Address: gateway, PrefixLen: 24}.Subnet(), NIC: nic},
		{Destination: header.IPv4EmptySubnet, Gateway: gateway, NIC: nic},
	})
	ctx, cancel := context.WithCancel(context.Background())
	var working sync.WaitGroup
	working.Go(func() { m.transmit(ctx, n) })
	working.Go(func() { m.receive(n) })
	t.Cleanup(func() {
		cancel()
		_ = n.Close() // told of once more by newNetwork
		working.Wait()
		m.stack.Destroy()
	})
	return m
}

func (m *machine) transmit(ctx context.Context, q hostnet.Queue) {
	for {
		pkt := m.end.ReadContext(ctx)
		if pkt == nil {
			return
		}
		head := make([]byte, hostnet.HeaderSize)
		vnetHeader(pkt).Put(head)
		err := q.Send(append([][]byte{head}, pkt.AsSlices()...))
		pkt.DecRef()
		if err != nil {
			return
		}
	}
}

func (m *machine) receive(q hostnet.Queue) {
	buf := make([]byte, hostnet.HeaderSize+hostnet.MaxFrame)
	for {
		n, _, err := q.Receive([][]byte{buf})
		if errors.Is(err, hostnet.ErrAgain) {
			_, err = q.Wait(hostnet.ToReceive, nil)
			if err != nil {
				return
			}
			continue
		}
		if err != nil {
			return
		}
		pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(buf[hostnet.HeaderSize:n])})
		m.end.InjectInbound(0, pkt)
		pkt.DecRef()
	}
}

// dial connects the guest to somewhere.
func (m *machine) dial(to netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return gonet.DialContextTCP(ctx, m.stack, full(to), ipv4.ProtocolNumber)
}

// dialUDP makes a UDP socket of the guest's.
func (m *machine) dialUDP(to netip.AddrPort) net.Conn {
	m.t.Helper()
	at := full(to)
	c, err := gonet.DialUDP(m.stack, nil, &at, ipv4.ProtocolNumber)
	must(m.t, err)
	must(m.t, c.SetDeadline(time.Now().Add(patience)))
	m.t.Cleanup(func() { c.Close() })
	return c
}

// bind makes a UDP socket of the guest's that takes from all.
func (m *machine) bind(port uint16) *gonet.UDPConn {
	m.t.Helper()
	c, err := gonet.DialUDP(m.stack, &tcpip.FullAddress{NIC: nic, Port: port}, nil, ipv4.ProtocolNumber)
	must(m.t, err)
	must(m.t, c.SetDeadline(time.Now().Add(patience)))
	m.t.Cleanup(func() { c.Close() })
	return c
}

// listen makes a TCP server of the guest's.
func (m *machine) listen(port uint16) net.Listener {
	m.t.Helper()
	l, err := gonet.ListenTCP(m.stack, tcpip.FullAddress{NIC: nic, Port: port}, ipv4.ProtocolNumber)
	must(m.t, err)
	m.t.Cleanup(func() { l.Close() })
	return l
}

// hostTCP is a TCP server of the host's.
func hostTCP(t testing.TB, address string, serve func(net.Conn)) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	must(t, err)
	var working sync.WaitGroup
	working.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			working.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); working.Wait() })
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// hostUDP is a UDP server of the host's, which answers each datagram.
func hostUDP(t testing.TB, address string, answer func([]byte) []byte) uint16 {
	t.Helper()
	c, err := net.ListenPacket("udp", net.JoinHostPort(address, "0"))
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, maxDatagram)
		for {
			n, from, err := c.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if b := answer(buf[:n]); err == nil && b != nil {
				_, _ = c.WriteTo(b, from)
			}
		}
	}()
	t.Cleanup(func() { c.Close(); <-done })
	return uint16(c.LocalAddr().(*net.UDPAddr).Port)
}

func at(address string, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(address), port)
}
