package user

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

// leaseTime is for how long an address is given; it is never taken away.
const leaseTime = 24 * time.Hour

// maxLeases is how many addresses there are, from 10.0.2.15 on.
const maxLeases = 16

// maxMessage is the longest DHCP message that is read, in bytes.
const maxMessage = 2048

// serveDHCP answers the DHCP clients of the guest.
func (w *world) serveDHCP() error {
	var queue waiter.Queue
	ep, err := w.stack.NewEndpoint(udp.ProtocolNumber, ipv4Number, &queue)
	if err != nil {
		return errors.New(err.String())
	}
	if err := ep.Bind(tcpip.FullAddress{NIC: nic, Port: dhcpv4.ServerPort}); err != nil {
		ep.Close()
		return errors.New(err.String())
	}
	ep.SocketOptions().SetBroadcast(true)
	c := gonet.NewUDPConn(&queue, ep)
	w.spawn(func() {
		defer w.until(c)()
		buf := make([]byte, maxMessage)
		for {
			n, _, err := c.ReadFrom(buf)
			if w.ctx.Err() != nil {
				return
			}
			if err != nil {
				continue
			}
			reply, err := w.answerDHCP(buf[:n])
			if err != nil {
				w.log.Debug("a DHCP message of the guest's is not answered", "error", err)
				continue
			}
			// A client without address can be reached by a broadcast alone.
			_, _ = c.WriteTo(reply.ToBytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: dhcpv4.ClientPort})
		}
	})
	return nil
}

// answerDHCP is the reply to a message (RFC 2131, section 4.3).
func (w *world) answerDHCP(b []byte) (*dhcpv4.DHCPv4, error) {
	m, err := dhcpv4.FromBytes(b)
	if err != nil {
		return nil, err
	}
	if m.OpCode != dhcpv4.OpcodeBootRequest {
		return nil, errors.New("it is a reply")
	}
	if id := m.ServerIdentifier(); id != nil && !id.Equal(router.AsSlice()) {
		return nil, fmt.Errorf("it is for the server %v", id)
	}
	kind := dhcpv4.MessageTypeAck
	switch t := m.MessageType(); t {
	case dhcpv4.MessageTypeDiscover:
		kind = dhcpv4.MessageTypeOffer
	case dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeInform, dhcpv4.MessageTypeNone: // BOOTP has none
	default:
		return nil, fmt.Errorf("nothing answers %v", t)
	}
	if m.MessageType() == dhcpv4.MessageTypeInform {
		return w.dhcpReply(m, kind, netip.Addr{})
	}
	address, ok := w.leases.get(m.ClientHWAddr)
	if !ok {
		return nil, errors.New("all addresses are taken")
	}
	if wanted := wantedAddress(m); m.MessageType() == dhcpv4.MessageTypeRequest && wanted != address {
		return dhcpv4.NewReplyFromRequest(m,
			dhcpv4.WithMessageType(dhcpv4.MessageTypeNak),
			dhcpv4.WithOption(dhcpv4.OptServerIdentifier(router.AsSlice())))
	}
	return w.dhcpReply(m, kind, address)
}

// wantedAddress is what a request is about: a choice, or a lease to renew.
func wantedAddress(m *dhcpv4.DHCPv4) netip.Addr {
	ip := m.RequestedIPAddress()
	if ip == nil {
		ip = m.ClientIPAddr
	}
	a, _ := netip.AddrFromSlice(ip.To4())
	return a
}

func (w *world) dhcpReply(m *dhcpv4.DHCPv4, kind dhcpv4.MessageType, address netip.Addr) (*dhcpv4.DHCPv4, error) {
	options := []dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithServerIP(router.AsSlice()),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(router.AsSlice())),
		dhcpv4.WithNetmask(net.CIDRMask(prefix.Bits(), 32)),
		dhcpv4.WithRouter(router.AsSlice()),
		dhcpv4.WithDNS(dns.AsSlice()),
	}
	if w.options.MTU != defaultMTU {
		options = append(options, dhcpv4.WithGeneric(dhcpv4.OptionInterfaceMTU, binary.BigEndian.AppendUint16(nil, uint16(w.options.MTU))))
	}
	if address.IsValid() {
		options = append(options, dhcpv4.WithYourIP(address.AsSlice()), dhcpv4.WithLeaseTime(uint32(leaseTime/time.Second)))
	}
	return dhcpv4.NewReplyFromRequest(m, options...)
}

// leases are the addresses that have been given away, in the order of asking.
type leases struct {
	mu      sync.Mutex
	clients []string
}

// get returns the address of a client, which stays the same.
func (l *leases) get(mac net.HardwareAddr) (netip.Addr, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.clients, string(mac))
	if i < 0 {
		if len(l.clients) == maxLeases {
			return netip.Addr{}, false
		}
		i = len(l.clients)
		l.clients = append(l.clients, string(mac))
	}
	a := guest.As4()
	a[3] += byte(i)
	return netip.AddrFrom4(a), true
}
