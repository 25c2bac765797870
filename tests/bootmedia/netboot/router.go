package netboot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// ICMPv6 messages of neighbour discovery (RFC 4861, sections 4.1 and 4.2).
const (
	routerSolicitation  = 133
	routerAdvertisement = 134
	discoveryHops       = 255
)

// listenRouter is a socket for ICMPv6 messages of an interface, also those to
// all routers.
func listenRouter(device string) (*net.IPConn, error) {
	link, err := net.InterfaceByName(device)
	if err != nil {
		return nil, err
	}
	group := &unix.IPv6Mreq{Multiaddr: [16]byte(net.IPv6linklocalallrouters), Interface: uint32(link.Index)}
	config := net.ListenConfig{Control: func(network, address string, c syscall.RawConn) error {
		var optionErr error
		err := c.Control(func(fd uintptr) {
			optionErr = errors.Join(
				unix.SetsockoptIPv6Mreq(int(fd), unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, group),
				unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, discoveryHops),
				unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, discoveryHops))
		})
		return errors.Join(err, optionErr, bindTo(device)(network, address, c))
	}}
	packets, err := config.ListenPacket(context.Background(), "ip6:ipv6-icmp", "::")
	if err != nil {
		return nil, err
	}
	conn, ok := packets.(*net.IPConn)
	if !ok {
		packets.Close()
		return nil, fmt.Errorf("a socket of type %T", packets)
	}
	return conn, nil
}

// serveRouter tells clients that look for an IPv6 router that there is none to
// use. iPXE would wait a quarter of a minute for one before it goes on with what
// DHCP told it.
func (s *Server) serveRouter() {
	// Type, code, checksum (filled in by the kernel), hop limit, flags, and
	// a lifetime of 0: not a router by default.
	advertisement := []byte{routerAdvertisement, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	buffer := make([]byte, 1500)
	for {
		n, peer, err := s.router.ReadFromIP(buffer)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n == 0 || buffer[0] != routerSolicitation {
			continue
		}
		to := &net.IPAddr{IP: net.IPv6linklocalallnodes, Zone: s.o.Interface}
		_, err = s.router.WriteToIP(advertisement, to)
		// There is no address to send from until the interface has made sure of
		// its own. The client asks again.
		s.o.Log.Debug("router advertisement", "client", peer, "error", err)
	}
}
