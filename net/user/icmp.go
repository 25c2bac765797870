package user

import (
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
)

// Limits of echo requests.
const (
	maxPings    = 64 // on their way
	pingTimeout = 10 * time.Second
)

// echo passes an echo request on to the outside. It returns false for what the
// stack is to answer itself, or drop.
func (w *world) echo(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	h := header.ICMPv4(pkt.TransportHeader().Slice())
	if len(h) < header.ICMPv4MinimumSize || h.Type() != header.ICMPv4Echo {
		return false
	}
	to := addrPort(id.LocalAddress, 1)
	if at, ok := outside(to); !ok || at.Addr() != to.Addr() {
		return false // the router answers itself
	}
	if !w.pings.take() {
		return true
	}
	request := append(append([]byte(nil), h...), pkt.Data().AsRange().ToSlice()...)
	from := id.RemoteAddress
	if !w.spawn(func() {
		defer w.pings.give()
		reply, err := w.ping(to.Addr(), request)
		if err != nil {
			w.log.Debug("an echo request of the guest's has no answer", "to", to.Addr(), "error", err)
			return
		}
		w.sendICMP(id.LocalAddress, from, reply)
	}) {
		w.pings.give()
	}
	return true
}

// ping sends an echo request from one of the host's ping sockets and returns the
// reply, with the identifier of the request: the kernel has its own.
func (w *world) ping(to netip.Addr, request []byte) ([]byte, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_ICMP)
	if err != nil {
		return nil, os.NewSyscallError("socket", err) // net.ipv4.ping_group_range
	}
	f := os.NewFile(uintptr(fd), "ping socket")
	defer f.Close()
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: to.As4()}); err != nil {
		return nil, os.NewSyscallError("connect", err)
	}
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	defer w.until(c)()
	if err := c.SetDeadline(time.Now().Add(pingTimeout)); err != nil {
		return nil, err
	}
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	reply := make([]byte, len(request))
	for {
		n, err := c.Read(reply)
		if err != nil {
			return nil, err
		}
		h := header.ICMPv4(reply[:n])
		if n >= header.ICMPv4MinimumSize && h.Type() == header.ICMPv4EchoReply && h.Sequence() == header.ICMPv4(request).Sequence() {
			h.SetIdent(header.ICMPv4(request).Ident())
			h.SetChecksum(0)
			h.SetChecksum(^checksum.Checksum(h, 0))
			return h, nil
		}
	}
}

// sendICMP sends the guest a message from an address outside.
func (w *world) sendICMP(from, to tcpip.Address, message []byte) {
	r, err := w.stack.FindRoute(nic, from, to, ipv4Number, false)
	if err != nil {
		return
	}
	defer r.Release()
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{
		ReserveHeaderBytes: int(r.MaxHeaderLength()),
		Payload:            buffer.MakeWithData(message),
	})
	defer pkt.DecRef()
	pkt.TransportProtocolNumber = icmp.ProtocolNumber4
	// What cannot be sent is lost.
	_ = r.WritePacket(stack.NetworkHeaderParams{Protocol: icmp.ProtocolNumber4, TTL: r.DefaultTTL()}, pkt)
}
