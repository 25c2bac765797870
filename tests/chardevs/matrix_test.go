package chardevs

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/chardev"
	"github.com/govmm/govmm/tests/await"
)

// size is how many bytes go each way.
const size = 1 << 20

// backEnd is a back end, and the program at its other end.
type backEnd struct {
	name   string
	oneWay bool // output only
	open   func(t *testing.T, dir string) (chardev.Backend, io.ReadWriter)
}

var options = chardev.Options{Name: "device"}

var backEnds = []backEnd{
	{"tcp bind", false, func(t *testing.T, _ string) (chardev.Backend, io.ReadWriter) {
		s := socket(t, chardev.SocketOptions{Network: "tcp", Address: "127.0.0.1:0", Listen: true})
		return s, socat(t, "TCP:"+s.Addr().String())
	}},
	{"tcp connect", false, func(t *testing.T, _ string) (chardev.Backend, io.ReadWriter) {
		port := freePort(t)
		peer := socat(t, fmt.Sprintf("TCP-LISTEN:%d,reuseaddr", port))
		return socket(t, chardev.SocketOptions{Network: "tcp", Address: fmt.Sprintf("127.0.0.1:%d", port)}), peer
	}},
	{"telnet bind", false, func(t *testing.T, _ string) (chardev.Backend, io.ReadWriter) {
		s := socket(t, chardev.SocketOptions{Network: "tcp", Address: "127.0.0.1:0", Listen: true, Telnet: true})
		c := socket(t, chardev.SocketOptions{Network: "tcp", Address: s.Addr().String(), Telnet: true})
		return s, joined(t, c)
	}},
	{"tls bind", false, func(t *testing.T, dir string) (chardev.Backend, io.ReadWriter) {
		certificates(t, dir)
		config, err := chardev.ServerTLS(dir)
		if err != nil {
			t.Fatal(err)
		}
		s := socket(t, chardev.SocketOptions{Network: "tcp", Address: "127.0.0.1:0", Listen: true, TLS: config})
		return s, socat(t, fmt.Sprintf("OPENSSL:%s,cafile=%[2]s/ca-cert.pem,cert=%[2]s/client-cert.pem,key=%[2]s/client-key.pem,commonname=localhost",
			s.Addr(), dir))
	}},
	{"tls connect", false, func(t *testing.T, dir string) (chardev.Backend, io.ReadWriter) {
		certificates(t, dir)
		config, err := chardev.ClientTLS(dir, "localhost")
		if err != nil {
			t.Fatal(err)
		}
		port := freePort(t)
		peer := socat(t, fmt.Sprintf("OPENSSL-LISTEN:%d,reuseaddr,cafile=%[2]s/ca-cert.pem,cert=%[2]s/server-cert.pem,key=%[2]s/server-key.pem",
			port, dir))
		return socket(t, chardev.SocketOptions{Network: "tcp", Address: fmt.Sprintf("127.0.0.1:%d", port), TLS: config}), peer
	}},
	{"unix bind", false, func(t *testing.T, dir string) (chardev.Backend, io.ReadWriter) {
		path := filepath.Join(dir, "socket")
		s := socket(t, chardev.SocketOptions{Network: "unix", Address: path, Listen: true})
		return s, socat(t, "UNIX-CONNECT:"+path)
	}},
	{"unix connect", false, func(t *testing.T, dir string) (chardev.Backend, io.ReadWriter) {
		path := filepath.Join(dir, "socket")
		peer := socat(t, "UNIX-LISTEN:"+path)
		return socket(t, chardev.SocketOptions{Network: "unix", Address: path}), peer
	}},
	{"pty", false, func(t *testing.T, _ string) (chardev.Backend, io.ReadWriter) {
		p, err := chardev.OpenPty(chardev.PtyOptions{Options: options})
		return opened(t, p, err), socat(t, p.Name()+",rawer")
	}},
	{"dev", false, func(t *testing.T, dir string) (chardev.Backend, io.ReadWriter) {
		path := filepath.Join(dir, "tty")
		peer := socat(t, "PTY,rawer,link="+path)
		await.That(t, "the pty", func() bool { _, err := os.Stat(path); return err == nil })
		h, err := chardev.OpenHostSerial(chardev.HostSerialOptions{Options: options, Path: path})
		return opened(t, h, err), peer
	}},
	{"pipe", false, func(t *testing.T, dir string) (chardev.Backend, io.ReadWriter) {
		path := filepath.Join(dir, "pipe")
		for _, end := range []string{".in", ".out"} {
			if err := unix.Mkfifo(path+end, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		p, err := chardev.OpenPipe(chardev.PipeOptions{Options: options, Path: path})
		backend, peer := opened(t, p, err), socat(t, path+".out!!"+path+".in")
		await.That(t, "the reader", func() bool {
			f, err := os.OpenFile(path+".out", os.O_WRONLY|unix.O_NONBLOCK, 0)
			if err == nil {
				f.Close()
			}
			return err == nil
		})
		return backend, peer
	}},
	{"file", true, func(t *testing.T, dir string) (chardev.Backend, io.ReadWriter) {
		path := filepath.Join(dir, "file")
		f, err := chardev.OpenFile(chardev.FileOptions{Options: options, Path: path})
		return opened(t, f, err), &tail{t: t, path: path}
	}},
}

// TestMatrix sends random bytes both ways at once, and finds them as they were.
func TestMatrix(t *testing.T) {
	for _, b := range backEnds {
		for _, f := range frontEnds {
			t.Run(b.name+"/"+f.name, func(t *testing.T) {
				backend, peer := b.open(t, t.TempDir())
				output, input := random(t, "output"), random(t, "input")
				sent := make(chan error, 1)
				if b.oneWay || f.oneWay {
					input = nil
					sent <- nil
				} else {
					go func() {
						_, err := peer.Write(input)
						sent <- err
					}()
				}
				arrived := make(chan error, 1)
				go func() {
					got, err := readFull(peer, len(output))
					if err == nil && !bytes.Equal(got, output) {
						err = fmt.Errorf("other output arrived than was sent")
					} else if err != nil {
						err = fmt.Errorf("%d bytes of output arrived: %w", len(got), err)
					}
					arrived <- err
				}()
				var got []byte
				f.run(t, &patientBackend{Backend: backend}, output, func(p []byte) bool {
					got = append(got, p...)
					return len(got) < len(input)
				})
				if err := <-arrived; err != nil {
					t.Error(err)
				}
				if err := <-sent; err != nil {
					t.Error(err)
				}
				if !bytes.Equal(got, input) {
					t.Errorf("%d bytes of input arrived of %d, or others", len(got), len(input))
				}
				if s := backend.Stats(); s.Dropped != 0 || s.Errors != 0 {
					t.Errorf("stats %+v", s)
				}
			})
		}
	}
}

// random is what is sent.
func random(t *testing.T, way string) []byte {
	p := make([]byte, size)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(t.Name() + way))).Read(p) // never fails
	return p
}

func opened(t *testing.T, b chardev.Backend, err error) chardev.Backend {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() }) // the peers may be gone
	return b
}

func socket(t *testing.T, o chardev.SocketOptions) *chardev.Socket {
	t.Helper()
	o.Options = options
	s, err := chardev.OpenSocket(o)
	opened(t, s, err)
	return s
}

// freePort is one that nobody listens on just now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// pipes are the standard input and output of a program.
type pipes struct {
	io.Writer
	io.Reader
}

// program starts a program that ends with the test.
func program(t *testing.T, pkg, name string, args ...string) io.ReadWriter {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: apt-get install %s", name, pkg)
	}
	c := exec.Command(path, args...)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if t.Failed() {
			t.Logf("%v: %s", c.Args, &stderr)
		}
	})
	return pipes{in, out}
}

// socat joins its standard input and output to an address.
func socat(t *testing.T, address string) io.ReadWriter {
	t.Helper()
	return program(t, "socat", "socat", "-", address)
}

// tail reads a file that grows, and goes on at its end.
type tail struct {
	t    *testing.T
	path string
	at   int64
}

func (f *tail) Write([]byte) (int, error) { return 0, errEnded }

func (f *tail) Read(p []byte) (n int, err error) {
	await.That(f.t, "more in the file", func() bool {
		file, openErr := os.Open(f.path)
		if openErr != nil {
			err = openErr
			return true
		}
		defer file.Close()
		n, err = file.ReadAt(p, f.at)
		return n > 0
	})
	f.at += int64(n)
	if err == io.EOF {
		err = nil
	}
	return n, err
}
