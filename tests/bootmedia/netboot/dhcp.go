package netboot

import (
	"errors"
	"net"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

const (
	dhcpServerPort = 67
	dhcpClientPort = 68
	lease          = time.Hour
)

// iPXE's options are encapsulated in option 175. Its no-pxedhcp (176) says that
// there is no proxy DHCP server to wait for.
const ipxeEncapsulated = 175

var ipxeNoProxy = []byte{176, 1, 1}

func (s *Server) serveDHCP() {
	buffer := make([]byte, 2048)
	to := &net.UDPAddr{IP: net.IPv4bcast, Port: dhcpClientPort}
	for {
		n, err := s.dhcp.Read(buffer)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // such as an interface that is down for a while
			s.o.Log.Debug("DHCP", "error", err)
			continue
		}
		request, err := dhcpv4.FromBytes(buffer[:n])
		if err != nil {
			s.o.Log.Debug("DHCP: no message", "error", err)
			continue
		}
		reply, err := s.o.answer(request)
		if err != nil {
			s.o.Log.Error("DHCP", "error", err)
			continue
		}
		if reply == nil {
			continue
		}
		s.o.Log.Debug("DHCP", "client", request.ClientHWAddr, "request", request.MessageType(), "reply", reply.MessageType())
		if reply.MessageType() == dhcpv4.MessageTypeAck {
			s.mu.Lock()
			s.acks++
			s.mu.Unlock()
		}
		// The client has no address yet, so its answer is broadcast.
		if _, err := s.dhcp.WriteTo(reply.ToBytes(), to); err != nil {
			s.o.Log.Error("DHCP", "error", err)
		}
	}
}

// answer is the answer to a client's message, or nil if it gets none.
func (o Options) answer(request *dhcpv4.DHCPv4) (*dhcpv4.DHCPv4, error) {
	if request.OpCode != dhcpv4.OpcodeBootRequest {
		return nil, nil
	}
	server, client := net.IP(o.Address.Addr().AsSlice()), net.IP(o.Client.AsSlice())
	var kind dhcpv4.MessageType
	switch request.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		kind = dhcpv4.MessageTypeOffer
	case dhcpv4.MessageTypeRequest:
		if id := request.ServerIdentifier(); id != nil && !id.Equal(server) {
			return nil, nil // it took another server's offer
		}
		if wanted := request.RequestedIPAddress(); wanted != nil && !wanted.Equal(client) {
			return dhcpv4.NewReplyFromRequest(request,
				dhcpv4.WithMessageType(dhcpv4.MessageTypeNak), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(server)))
		}
		kind = dhcpv4.MessageTypeAck
	default:
		return nil, nil
	}
	reply, err := dhcpv4.NewReplyFromRequest(request,
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithYourIP(client),
		dhcpv4.WithServerIP(server),
		dhcpv4.WithNetmask(net.CIDRMask(o.Address.Bits(), 32)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(server)),
		dhcpv4.WithOption(dhcpv4.OptIPAddressLeaseTime(lease)),
		dhcpv4.WithOption(dhcpv4.OptTFTPServerName(server.String())),
		dhcpv4.WithOption(dhcpv4.OptBootFileName(o.BootFile)),
		dhcpv4.WithGeneric(dhcpv4.GenericOptionCode(ipxeEncapsulated), ipxeNoProxy))
	if err != nil {
		return nil, err
	}
	reply.BootFileName = o.BootFile
	return reply, nil
}
