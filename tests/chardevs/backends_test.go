package chardevs

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/chardev"
	"github.com/govmm/govmm/tests/await"
)

// backEnd is a back end, and the program at its other end.
type backEnd struct {
	name   string
	oneWay bool // output only
	// window is how many bytes may be on their way, where the host end loses what
	// is too much: the guest and the program wait for each other then. 0 is any
	// number.
	window int
	open   func(t *testing.T, e end) (chardev.Backend, io.ReadWriter)
}

// end is what a back end is opened with.
type end struct {
	dir      string // for files
	patience time.Duration
}

var options = chardev.Options{Name: "device"}

func backEnds() []backEnd {
	tcp, unixSocket := chardev.SocketOptions{Network: "tcp"}, chardev.SocketOptions{Network: "unix"}
	return []backEnd{
		{name: "stdio", open: openStdio},
		{name: "file", oneWay: true, open: openFile},
		{name: "vc", open: openVC},
		{name: "pty", open: openPty},
		{name: "dev", open: openDev},
		{name: "pipe", open: openPipe},
		{name: "udp", window: 32 << 10, open: openUDP},
		{name: "tcp bind", open: listening(tcp, socatTo("TCP:%s"))},
		{name: "tcp connect", open: connecting(tcp, socatAt("TCP-LISTEN:%s,reuseaddr"))},
		{name: "unix bind", open: listening(unixSocket, socatTo("UNIX-CONNECT:%s"))},
		{name: "unix connect", open: connecting(unixSocket, socatAt("UNIX-LISTEN:%s"))},
		{name: "tls bind", open: listening(withTLS(tcp), socatTo("OPENSSL:%s,"+clientCertificate))},
		{name: "tls connect", open: connecting(withTLS(tcp), socatAt("OPENSSL-LISTEN:%s,reuseaddr,"+serverCertificate))},
		{name: "telnet bind", open: listening(withTelnet(tcp), telnetTo)},
		{name: "telnet connect", open: connecting(withTelnet(tcp), selfAt)},
		{name: "telnets bind", open: listening(withTLS(withTelnet(tcp)), telnetThroughTLS)},
		{name: "telnets connect", open: connecting(withTLS(withTelnet(tcp)), selfAt)},
	}
}

func opened(t *testing.T, b chardev.Backend, err error) chardev.Backend {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() }) // the peers may be gone
	return b
}

func openStdio(t *testing.T, _ end) (chardev.Backend, io.ReadWriter) {
	in, toGuest, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromGuest, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, f := range []*os.File{in, toGuest, fromGuest, out} {
			f.Close()
		}
	})
	b, err := chardev.NewStdio(chardev.StdioOptions{Options: options, In: in, Out: out})
	return opened(t, b, err), pipes{toGuest, fromGuest}
}

func openFile(t *testing.T, e end) (chardev.Backend, io.ReadWriter) {
	path := filepath.Join(e.dir, "file")
	b, err := chardev.OpenFile(chardev.FileOptions{Options: options, Path: path})
	return opened(t, b, err), &tail{t: t, path: path}
}

func openVC(t *testing.T, e end) (chardev.Backend, io.ReadWriter) {
	path := filepath.Join(e.dir, "screen")
	b, err := chardev.OpenVC(chardev.VCOptions{Options: options, Path: path})
	return opened(t, b, err), socat(t, "UNIX-CONNECT:"+path)
}

func openPty(t *testing.T, e end) (chardev.Backend, io.ReadWriter) {
	p, err := chardev.OpenPty(chardev.PtyOptions{Options: options, Patience: e.patience})
	return opened(t, p, err), socat(t, p.Name()+",rawer")
}

func openDev(t *testing.T, e end) (chardev.Backend, io.ReadWriter) {
	path := filepath.Join(e.dir, "tty")
	peer := socat(t, "PTY,rawer,link="+path)
	await.That(t, "the pty in raw mode", func() bool { return isRaw(path) }) // or socat would make it so later
	h, err := chardev.OpenHostSerial(chardev.HostSerialOptions{Options: options, Path: path, Patience: e.patience})
	return opened(t, h, err), peer
}

// isRaw reports whether there is a terminal in raw mode.
func isRaw(path string) bool {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	t, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil && t.Lflag&unix.ICANON == 0
}

func openPipe(t *testing.T, e end) (chardev.Backend, io.ReadWriter) {
	path := filepath.Join(e.dir, "pipe")
	makeFIFOs(t, path)
	p, err := chardev.OpenPipe(chardev.PipeOptions{Options: options, Path: path, Patience: e.patience})
	return opened(t, p, err), socat(t, path+".out!!"+path+".in")
}

func makeFIFOs(t *testing.T, path string) {
	t.Helper()
	for _, end := range []string{".in", ".out"} {
		if err := unix.Mkfifo(path+end, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func openUDP(t *testing.T, _ end) (chardev.Backend, io.ReadWriter) {
	theirs := freeUDP(t)
	u, err := chardev.OpenUDP(chardev.UDPOptions{Options: options, Peer: theirs, Local: "127.0.0.1:0"})
	return opened(t, u, err), socat(t, fmt.Sprintf("UDP4:%s,bind=%s", u.LocalAddr(), theirs))
}

// freeUDP is an address that nobody has just now.
func freeUDP(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}

// program starts the program at an address.
type program func(t *testing.T, o chardev.SocketOptions, e end) io.ReadWriter

// listening is a socket that listens, and a program that connects.
func listening(o chardev.SocketOptions, start program) func(*testing.T, end) (chardev.Backend, io.ReadWriter) {
	return func(t *testing.T, e end) (chardev.Backend, io.ReadWriter) {
		o := prepared(t, o, e, true)
		s := socket(t, o)
		if o.Network == "tcp" {
			o.Address = s.Addr().String()
		}
		return s, start(t, o, e)
	}
}

// connecting is a socket that connects, and a program that listens.
func connecting(o chardev.SocketOptions, start program) func(*testing.T, end) (chardev.Backend, io.ReadWriter) {
	return func(t *testing.T, e end) (chardev.Backend, io.ReadWriter) {
		o := prepared(t, o, e, false)
		if o.Network == "tcp" {
			o.Address = freeTCP(t)
		}
		peer := start(t, o, e)
		return socket(t, o), peer
	}
}

// prepared is o with an address and certificates.
func prepared(t *testing.T, o chardev.SocketOptions, e end, listen bool) chardev.SocketOptions {
	t.Helper()
	o.Options, o.Listen, o.Patience = options, listen, e.patience
	if o.Address = "127.0.0.1:0"; o.Network == "unix" {
		o.Address = filepath.Join(e.dir, "socket")
	}
	if o.TLS != nil {
		certificates(t, e.dir)
		o.TLS = configTLS(t, e.dir, listen)
	}
	return o
}

func socket(t *testing.T, o chardev.SocketOptions) *chardev.Socket {
	t.Helper()
	s, err := chardev.OpenSocket(o)
	opened(t, s, err)
	return s
}

// freeTCP is an address that nobody listens on just now.
func freeTCP(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
