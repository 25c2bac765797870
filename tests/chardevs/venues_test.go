package chardevs

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/govmm/govmm/chardev"
)

func venues() []venue {
	tcp, unixSocket := chardev.SocketOptions{Network: "tcp"}, chardev.SocketOptions{Network: "unix"}
	return []venue{
		{name: "pty", follows: true, open: ptyVenue},
		{name: "dev", follows: true, early: true, open: devVenue},
		{name: "pipe", open: pipeVenue},
		{name: "tcp bind", follows: true, open: listeningVenue(tcp)},
		{name: "tcp connect", follows: true, open: connectingVenue(tcp)},
		{name: "unix bind", follows: true, open: listeningVenue(unixSocket)},
		{name: "unix connect", follows: true, open: connectingVenue(unixSocket)},
		{name: "tls bind", follows: true, open: listeningVenue(withTLS(tcp))},
		{name: "telnet bind", follows: true, open: listeningVenue(withTelnet(tcp))},
		{name: "telnets connect", follows: true, open: connectingVenue(withTLS(withTelnet(tcp)))},
	}
}

func ptyVenue(t *testing.T, e end) (chardev.Backend, func() visitor) {
	p, err := chardev.OpenPty(chardev.PtyOptions{Options: options, Patience: e.patience})
	return opened(t, p, err), func() visitor {
		f, err := os.OpenFile(p.Name(), os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
}

// devVenue is a serial port that is pulled out and put back.
func devVenue(t *testing.T, e end) (chardev.Backend, func() visitor) {
	path := filepath.Join(e.dir, "tty")
	plug := func() visitor {
		master, slave, err := pty.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer slave.Close()
		if _, err := term.MakeRaw(int(slave.Fd())); err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Dup(int(master.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(unix.SetNonblock(fd, true), master.Close()); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.Symlink(slave.Name(), path+".new"), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
		return plugged{os.NewFile(uintptr(fd), "ptmx"), path}
	}
	first := plug()
	h, err := chardev.OpenHostSerial(chardev.HostSerialOptions{Options: options, Path: path, Patience: e.patience})
	return opened(t, h, err), func() visitor {
		if v := first; v != nil {
			first = nil
			return v
		}
		return plug()
	}
}

// plugged is the other end of a serial port that is there.
type plugged struct {
	*os.File
	path string
}

// Close pulls it out. Its number may be another pty's at once.
func (p plugged) Close() error { return errors.Join(os.Remove(p.path), p.File.Close()) }

func pipeVenue(t *testing.T, e end) (chardev.Backend, func() visitor) {
	path := filepath.Join(e.dir, "pipe")
	makeFIFOs(t, path)
	p, err := chardev.OpenPipe(chardev.PipeOptions{Options: options, Path: path, Patience: e.patience})
	return opened(t, p, err), func() visitor {
		out, err := os.OpenFile(path+".out", os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		in, err := os.OpenFile(path+".in", os.O_WRONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		return fifos{out, in}
	}
}

// fifos are a pair of FIFOs.
type fifos struct {
	*os.File
	in *os.File
}

func (f fifos) Write(p []byte) (int, error) { return f.in.Write(p) }
func (f fifos) Close() error                { return errors.Join(f.File.Close(), f.in.Close()) }

// small keeps the kernel from taking megabytes for a visitor that does not read:
// what it takes for itself, and by the size of segments what it does at our end.
func small(network, _ string, raw syscall.RawConn) (err error) {
	ctlErr := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 64<<10)
		if err == nil && network != "unix" {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, 1024)
		}
	})
	return errors.Join(ctlErr, err)
}

func listeningVenue(o chardev.SocketOptions) func(*testing.T, end) (chardev.Backend, func() visitor) {
	return func(t *testing.T, e end) (chardev.Backend, func() visitor) {
		o := prepared(t, o, e, true)
		s := socket(t, o)
		return s, func() visitor {
			dialer := net.Dialer{Control: small}
			conn, err := dialer.DialContext(t.Context(), s.Addr().Network(), s.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			return speaking(t, o, e, conn)
		}
	}
}

func connectingVenue(o chardev.SocketOptions) func(*testing.T, end) (chardev.Backend, func() visitor) {
	return func(t *testing.T, e end) (chardev.Backend, func() visitor) {
		o := prepared(t, o, e, false)
		if o.Network == "tcp" {
			o.Address = freeTCP(t)
		}
		return socket(t, o), func() visitor {
			config := net.ListenConfig{Control: small}
			l, err := config.Listen(t.Context(), o.Network, o.Address)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			return speaking(t, o, e, conn)
		}
	}
}

// speaking is a connection with the protocols of a back end, seen from its peer.
func speaking(t *testing.T, o chardev.SocketOptions, e end, conn net.Conn) visitor {
	if o.TLS != nil {
		secure := tls.Server(conn, configTLS(t, e.dir, true))
		if o.Listen {
			secure = tls.Client(conn, configTLS(t, e.dir, false))
		}
		if err := secure.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		conn = secure
	}
	if !o.Telnet {
		return conn
	}
	// It agrees to binary transmission both ways, and to nothing else.
	if _, err := conn.Write([]byte("\xff\xfd\x00\xff\xfb\x00")); err != nil {
		t.Fatal(err)
	}
	return &telnetVisitor{Conn: conn}
}

// telnetVisitor speaks just enough of telnet.
type telnetVisitor struct {
	net.Conn
	command int // bytes of a command that have come
}

func (v *telnetVisitor) Read(p []byte) (int, error) {
	for {
		n, err := v.Conn.Read(p)
		kept := p[:0]
		for _, b := range p[:n] {
			switch {
			case v.command == 0 && b == 0xff:
				v.command = 1
			case v.command == 1 && b != 0xff:
				v.command = 2
			case v.command == 2:
				v.command = 0 // the option's number
			default:
				v.command = 0
				kept = append(kept, b)
			}
		}
		if len(kept) > 0 || err != nil {
			return len(kept), err
		}
	}
}

func (v *telnetVisitor) Write(p []byte) (int, error) {
	_, err := v.Conn.Write(bytes.ReplaceAll(p, []byte{0xff}, []byte{0xff, 0xff}))
	return len(p), err
}
