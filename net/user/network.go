package user

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/net/internal/soft"
)

// nic is the stack's only interface.
const nic tcpip.NICID = 1

// routerMAC is that of 10.0.2.2 and 10.0.2.3, the one that QEMU's user network
// has.
const routerMAC = tcpip.LinkAddress("\x52\x55\x0a\x00\x02\x02")

// tcpBuffer is the window of a connection to the guest, in bytes. The guest is
// near, so that it need not be large.
const tcpBuffer = 512 << 10

// timeWait is how long a closed connection is remembered.
const timeWait = 5 * time.Second

// Network is a host end: the whole world behind a NAT. It has one queue pair.
type Network struct {
	*soft.Port
	world *world
}

// world is what is behind the port.
type world struct {
	options Options
	log     *slog.Logger
	port    *soft.Port
	end     *endpoint
	stack   *stack.Stack
	tcp     limit
	dns     limit
	pings   limit
	flows   flows
	leases  leases
	names   resolvers
	buffers sync.Pool // of *[copyBuffer]byte
	forward []net.Listener
	packets []net.PacketConn

	ctx       context.Context // until Close
	cancel    context.CancelFunc
	beginning sync.Mutex // held to begin, and to end that
	working   sync.WaitGroup
}

// New makes a network. Its forwards listen when it returns.
func New(o Options) (*Network, error) {
	err := o.complete()
	if err != nil {
		return nil, fmt.Errorf("net: user: %w", err)
	}
	w := &world{
		options: o, log: o.Log,
		tcp: newLimit(maxConnections), dns: newLimit(maxQueries), pings: newLimit(maxPings),
		names: resolvers{fixed: o.Resolvers, file: o.ResolvConf},
	}
	w.buffers.New = func() any { return new([copyBuffer]byte) }
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.end = newEndpoint(o.MTU)
	if w.port, err = soft.New(soft.Options{
		Name: o.Name, MTU: o.MTU, Offloads: hostnet.Csum | hostnet.TSO4, Configured: w.end.configure, Log: o.Log,
	}); err != nil {
		return nil, err
	}
	w.end.port = w.port
	w.port.Attach(w)
	if err := w.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("net: %s: %w", o.Name, err), w.port.Close())
	}
	w.port.SetCarrier(true)
	return &Network{Port: w.port, world: w}, nil
}

// start builds the stack and what serves it. What it has done when it fails,
// Close undoes.
func (w *world) start() error {
	w.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})
	if err := w.configure(); err != nil {
		return err
	}
	w.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, tcp.NewForwarder(w.stack, tcpBuffer, maxDials, w.connect).HandlePacket)
	w.stack.SetTransportProtocolHandler(udp.ProtocolNumber, udp.NewForwarder(w.stack, w.datagram).HandlePacket)
	w.stack.SetTransportProtocolHandler(icmp.ProtocolNumber4, w.echo)
	if err := w.serveDHCP(); err != nil {
		return fmt.Errorf("DHCP: %w", err)
	}
	if err := w.serveDNS(); err != nil {
		return fmt.Errorf("DNS: %w", err)
	}
	for _, f := range w.options.Forwards {
		if err := w.listen(f); err != nil {
			return fmt.Errorf("forward %s %v to the guest's port %d: %w", f.Protocol, f.Host, f.Port, err)
		}
	}
	return nil
}

// configure sets the stack up: its addresses are the router's and the name
// server's, and it answers for all others, too.
func (w *world) configure() error {
	sack, moderate := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true)
	wait := tcpip.TCPTimeWaitTimeoutOption(timeWait)
	for _, o := range []tcpip.SettableTransportProtocolOption{
		&sack, &moderate, &wait,
		&tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: tcpBuffer, Max: tcpBuffer},
		&tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: tcpBuffer, Max: tcpBuffer},
	} {
		if err := w.stack.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			return fmt.Errorf("TCP option %T: %v", o, err)
		}
	}
	if err := w.stack.CreateNIC(nic, w.end); err != nil {
		return fmt.Errorf("interface: %v", err)
	}
	for _, a := range []netip.Addr{router, dns} {
		address := tcpip.ProtocolAddress{
			Protocol:          ipv4.ProtocolNumber,
			AddressWithPrefix: tcpip.AddressWithPrefix{Address: tcpip.AddrFrom4(a.As4()), PrefixLen: prefix.Bits()},
		}
		if err := w.stack.AddProtocolAddress(nic, address, stack.AddressProperties{}); err != nil {
			return fmt.Errorf("address %v: %v", a, err)
		}
	}
	w.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}})
	if err := w.stack.SetPromiscuousMode(nic, true); err != nil {
		return fmt.Errorf("promiscuous mode: %v", err)
	}
	if err := w.stack.SetSpoofing(nic, true); err != nil {
		return fmt.Errorf("spoofing: %v", err)
	}
	return nil
}

// Close implements soft.Wire.
func (w *world) Close() error {
	w.beginning.Lock()
	w.cancel()
	w.beginning.Unlock()
	var errs []error
	for _, l := range w.forward {
		errs = append(errs, l.Close())
	}
	for _, p := range w.packets {
		errs = append(errs, p.Close())
	}
	w.end.shut()
	if w.stack != nil {
		w.stack.Close()
	}
	w.working.Wait()
	if w.stack != nil {
		w.stack.Destroy() // what was made meanwhile, too
	}
	w.end.drain()
	return errors.Join(errs...)
}

// begin is followed by working.Done, unless the network is closed.
func (w *world) begin() bool {
	w.beginning.Lock()
	defer w.beginning.Unlock()
	if w.ctx.Err() != nil {
		return false
	}
	w.working.Add(1)
	return true
}

// spawn runs f in a goroutine, which Close waits for. It returns false when the
// network is closed.
func (w *world) spawn(f func()) bool {
	if !w.begin() {
		return false
	}
	go func() {
		defer w.working.Done()
		f()
	}()
	return true
}

// until closes c when the network is closed, or when the function returned is
// called, which waits for that.
func (w *world) until(c io.Closer) (done func()) {
	closed := make(chan struct{})
	stop := context.AfterFunc(w.ctx, func() {
		defer close(closed)
		c.Close()
	})
	return func() {
		if !stop() {
			<-closed
			return
		}
		c.Close()
	}
}

// full turns an address and port into the stack's.
func full(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFrom4(a.Addr().As4()), Port: a.Port()}
}

// addrPort turns an address and port of the stack into ours.
func addrPort(a tcpip.Address, port uint16) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(a.AsSlice())
	return netip.AddrPortFrom(ip, port)
}

// outside is where on the host's network a destination is, false for what is
// nowhere: other addresses of the guest's network, and groups.
func outside(to netip.AddrPort) (netip.AddrPort, bool) {
	a := to.Addr()
	switch {
	case a == router:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), to.Port()), true
	case prefix.Contains(a), !a.Is4(), a.IsMulticast(), a.IsUnspecified(), a.IsLoopback(), a.As4()[0] >= 240, to.Port() == 0:
		return netip.AddrPort{}, false
	}
	return to, true
}

// limit counts what there may be so many of at a time.
type limit chan struct{}

func newLimit(n int) limit { return make(limit, n) }

// take reports whether there may be one more.
func (l limit) take() bool {
	select {
	case l <- struct{}{}:
		return true
	default:
		return false
	}
}

func (l limit) give() { <-l }
