package chardev

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// SocketOptions are the options of OpenSocket.
type SocketOptions struct {
	Options

	// Network is "tcp" or "unix".
	Network string

	// Address is host:service for tcp, where an empty host is every address to
	// listen on and this host to connect to; and for unix the path, at most 107
	// bytes.
	Address string

	// Listen waits for clients at Address. The default is to connect to it.
	Listen bool

	// Telnet talks the telnet protocol: see [Socket]. For tcp only.
	Telnet bool

	// TLS, when not nil, encrypts: see [ServerTLS] and [ClientTLS].
	TLS *tls.Config

	// Patience is as in PtyOptions.
	Patience time.Duration
}

// Socket is the back end at a stream socket (type='tcp' and type='unix').
//
// With Listen it has one client at a time. Others are accepted by the kernel and
// wait until that has left; they get their turn in the order in which they came.
// Without, it connects, and does so again whenever the connection ends or cannot
// be made: after 100 ms, then less and less often, until every 5 s. In both cases
// nobody needs to be there when the machine starts.
//
// The connection is up while there is a peer. The end of what the peer sends is
// the end of the connection. What is true of a slow or an absent client of a
// [Pty] is true here; the bytes that the kernel has taken count as delivered,
// whether or not the client reads them.
//
// The telnet protocol (RFC 854) is that of a server when listening: it offers to
// echo (RFC 857) and to suppress go-ahead (858), and asks for binary
// transmission (856) in both directions. A peer that has not agreed to that within
// half a second sees lines end as RFC 854 says. A break is passed on both ways.
type Socket struct {
	linked
	listener *listener // nil without Listen
	telnet   bool
}

// OpenSocket begins to listen, or to connect. The error says what is wrong with
// the address; that nobody is there is none.
func OpenSocket(opts SocketOptions) (*Socket, error) {
	s := &Socket{telnet: opts.Telnet}
	release := func() error { return nil }
	if opts.Network == "unix" {
		if err := checkSocketPath(opts.Address); err != nil {
			return nil, fmt.Errorf("%s: %w", opts.Name, err)
		}
	} else if err := checkService(opts.Address); err != nil {
		return nil, fmt.Errorf("%s: %w", opts.Name, err)
	}
	if opts.Listen {
		l, err := listen(opts.Network, opts.Address)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", opts.Name, err)
		}
		s.listener = l
		release = l.close
		s.next = func(ctx context.Context) link {
			return accept(ctx, l, &s.port, func(ctx context.Context, conn net.Conn) (link, error) {
				return establish(ctx, conn, opts)
			})
		}
	} else {
		var pauses backOff
		s.next = func(ctx context.Context) link { return s.dial(ctx, opts, &pauses) }
	}
	s.start(opts.Options, opts.Patience, opts.Network+" "+opts.Address, release)
	return s, nil
}

// Addr is the address that is listened on; nil without Listen.
func (s *Socket) Addr() net.Addr {
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// SetBreak implements BreakSender: the beginning of a break is sent by telnet.
// Nobody being connected, it is lost.
func (s *Socket) SetBreak(on bool) {
	if t, ok := s.connection().(*telnetLink); ok && on {
		t.sendBreak()
	}
}

// handshakeTime is how long a peer has for the TLS handshake. Other clients wait
// meanwhile.
const handshakeTime = 10 * time.Second

// goodbyeTime is how long a peer has to take the end of TLS.
const goodbyeTime = 100 * time.Millisecond

// establish makes a link of a connection, with its TLS and telnet.
func establish(ctx context.Context, conn net.Conn, opts SocketOptions) (link, error) {
	if opts.TLS == nil && !opts.Telnet {
		return plainLink(ctx, conn)
	}
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	peer := socketLink{conn, raw}
	if opts.TLS != nil {
		secure := tls.Client
		if opts.Listen {
			secure = tls.Server
		}
		t := secure(conn, opts.TLS)
		limited, cancel := context.WithTimeout(ctx, handshakeTime)
		defer cancel()
		if err := t.HandshakeContext(limited); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("TLS with %s: %w", conn.RemoteAddr(), err)
		}
		peer.Conn = t
	}
	if !opts.Telnet {
		return &peer, nil
	}
	t := newTelnetLink(&peer, opts.Listen)
	if err := t.negotiate(ctx); err != nil {
		_ = t.Close()
		return nil, fmt.Errorf("telnet with %s: %w", conn.RemoteAddr(), err)
	}
	return t, nil
}

// plainLink makes a link of a connection without any protocol.
func plainLink(_ context.Context, conn net.Conn) (link, error) {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return &rawLink{conn, raw}, nil
}

// accept waits for the next client.
func accept(ctx context.Context, l *listener, p *port, establish func(context.Context, net.Conn) (link, error)) link {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var pauses backOff
	for {
		conn, err := l.Accept()
		if err == nil {
			var c link
			if c, err = establish(ctx, conn); err == nil {
				return c
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		p.errs.report("a client could not be served", err)
		// Without file descriptors, Accept fails again at once.
		if conn == nil && !pauses.wait(ctx) {
			return nil
		}
	}
}

// dial connects, as often as it takes.
func (s *Socket) dial(ctx context.Context, opts SocketOptions, pauses *backOff) link {
	if !pauses.since.IsZero() && !pauses.wait(ctx) {
		return nil
	}
	for said := false; ; {
		var d net.Dialer
		conn, err := d.DialContext(ctx, opts.Network, opts.Address)
		if err == nil {
			var c link
			if c, err = establish(ctx, conn, opts); err == nil {
				pauses.connected()
				return c
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if !said {
			said = true
			s.errs.report("cannot connect, and goes on trying", err)
		}
		if !pauses.wait(ctx) {
			return nil
		}
	}
}

// checkService reports an address whose service is not known on this host.
func checkService(address string) error {
	_, service, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if _, err = net.LookupPort("tcp", service); err != nil {
		return fmt.Errorf("service %q is neither a port's number, 1 to 65535, nor a name in /etc/services", service)
	}
	return nil
}

// socketLink is a connection through a layer that has to write all it began.
type socketLink struct {
	net.Conn
	raw syscall.RawConn
}

func (c *socketLink) peerGone() bool { return hungUp(c.raw) }

// Close implements link. TLS says goodbye, for which there is room, or else it
// does not wait.
func (c *socketLink) Close() error {
	if t, ok := c.Conn.(*tls.Conn); ok {
		kill := time.AfterFunc(goodbyeTime, func() { _ = t.NetConn().Close() })
		defer kill.Stop()
	}
	return c.Conn.Close()
}

// hungUp reports whether the peer of a socket has closed it, or its sending half.
func hungUp(raw syscall.RawConn) bool {
	gone := true
	_ = raw.Control(func(fd uintptr) { // fails only when it is closed
		ev, err := pollNow(int(fd), unix.POLLRDHUP)
		gone = err == nil && ev != 0
	})
	return gone
}

// rawLink is a plain connection.
type rawLink struct {
	net.Conn
	raw syscall.RawConn
}

func (c *rawLink) peerGone() bool { return hungUp(c.raw) }

// Write writes as much as there is room for, once there is any: what a slow
// client has taken is progress before the rest of p is.
func (c *rawLink) Write(p []byte) (int, error) {
	return writeSome(c.raw, func(fd int) (int, error) {
		return unix.SendmsgN(fd, p, nil, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
	})
}

// listener is a listening socket.
type listener struct {
	net.Listener
	path  string // of a unix socket
	inode os.FileInfo
}

// listen begins to listen.
func listen(network, address string) (*listener, error) {
	if network != "unix" {
		l, err := net.Listen(network, address)
		if err != nil {
			return nil, fmt.Errorf("%w%s", err, listenAdvice(err))
		}
		return &listener{Listener: l}, nil
	}
	if err := removeStale(address); err != nil {
		return nil, err
	}
	// The mode of the socket before it has a name is that of its file, so there
	// is no moment at which others could connect.
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		ctlErr := raw.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) })
		return errors.Join(ctlErr, err)
	}}
	l, err := config.Listen(context.Background(), network, address)
	if err != nil {
		return nil, fmt.Errorf("%w%s", err, listenAdvice(err))
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	inode, err := os.Lstat(address)
	if err != nil {
		_ = l.Close()
		return nil, err
	}
	return &listener{l, address, inode}, nil
}

// close stops listening, and removes the file of a unix socket if that is still
// ours.
func (l *listener) close() error {
	err := l.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil // when the input ended
	}
	if l.path == "" {
		return err
	}
	if now, statErr := os.Lstat(l.path); statErr == nil && os.SameFile(now, l.inode) {
		err = errors.Join(err, os.Remove(l.path))
	}
	return err
}

// listenAdvice adds what to do about an error of listening.
func listenAdvice(err error) string {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return " (choose another service, or end the program that has it: ss -ltp shows it)"
	case errors.Is(err, unix.EACCES):
		return " (ports below 1024 need CAP_NET_BIND_SERVICE; a socket's directory must be writable)"
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return " (the host has no such address; 0.0.0.0 is all of them)"
	case errors.Is(err, unix.ENOENT):
		return " (create the directory first)"
	}
	return ""
}

// maxSocketPath is how long the path of a unix socket may be (unix(7)).
const maxSocketPath = 107

func checkSocketPath(path string) error {
	if len(path) > maxSocketPath {
		return fmt.Errorf("the path of a unix socket has at most %d bytes, and %s has %d", maxSocketPath, path, len(path))
	}
	return nil
}

// removeStale removes a socket that nobody listens on any more.
func removeStale(path string) error {
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case st.Mode().Type() != os.ModeSocket:
		return fmt.Errorf("%s exists and is not a socket: remove it or choose another path", path)
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		_ = conn.Close()
		return fmt.Errorf("%s is another program's socket, which listens on it: choose another path", path)
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}
