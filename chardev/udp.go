package chardev

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// datagramSize is how much output a datagram carries: what fits into a frame of
// Ethernet, as a netconsole's does.
const datagramSize = 1400

// UDPOptions are the options of OpenUDP.
type UDPOptions struct {
	Options

	// Peer is the host:service that output is sent to and input comes from. An
	// empty host is this one.
	Peer string

	// Local is the host:service that input comes to; "" is any.
	Local string
}

// UDP is the back end that sends output as datagrams to one peer, and takes those
// of that peer as input (type='udp'). The connection is always up, and lossy:
// what nobody receives is lost without being counted.
type UDP struct {
	port
	conn *net.UDPConn
}

// OpenUDP fails when an address is wrong, or taken.
func OpenUDP(opts UDPOptions) (*UDP, error) {
	fail := func(err error) (*UDP, error) { return nil, fmt.Errorf("%s: udp: %w", opts.Name, err) }
	peer, err := net.ResolveUDPAddr("udp", opts.Peer)
	if err != nil {
		return fail(err)
	}
	if peer.Port == 0 {
		return fail(fmt.Errorf("%s: the peer needs a service from 1 to 65535", opts.Peer))
	}
	var local *net.UDPAddr
	if opts.Local != "" {
		if local, err = net.ResolveUDPAddr("udp", opts.Local); err != nil {
			return fail(err)
		}
	}
	conn, err := net.DialUDP("udp", local, peer)
	if err != nil {
		return fail(fmt.Errorf("%w%s", err, listenAdvice(err)))
	}
	u := &UDP{conn: conn}
	u.init(opts.Options, true)
	u.main = u.newOutput("sending to udp "+opts.Peer, udpSink{conn}, blockWhenFull, true)
	in := udpSource{conn}
	u.input, u.run = in, func() { u.copyInput(in, 64<<10) }
	u.close = conn.Close
	return u, nil
}

// LocalAddr is where input comes to.
func (u *UDP) LocalAddr() net.Addr { return u.conn.LocalAddr() }

// udpSource and udpSink are the two directions of a socket. That nobody has
// received an earlier datagram is what either may be told at any time.
type (
	udpSource struct{ conn *net.UDPConn }
	udpSink   struct{ conn *net.UDPConn }
)

func (s udpSource) Read(p []byte) (int, error) {
	for {
		n, err := s.conn.Read(p)
		if err == nil && n == 0 || unheard(err) {
			continue
		}
		return n, err
	}
}

func (s udpSource) interrupt() bool { return s.conn.SetReadDeadline(past()) == nil }

func (s udpSink) Write(p []byte) (n int, err error) {
	p = p[:min(len(p), datagramSize)]
	for range 2 {
		if n, err = s.conn.Write(p); !unheard(err) {
			break
		}
	}
	if unheard(err) {
		return len(p), nil
	}
	return n, err
}

func (s udpSink) interrupt() bool { return s.conn.SetWriteDeadline(past()) == nil }

// unheard reports whether an error is the news that the peer's host has nobody
// who receives, or cannot be reached now.
func unheard(err error) bool {
	return errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.EHOSTUNREACH) || errors.Is(err, unix.ENETUNREACH)
}
