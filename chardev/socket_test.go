package chardev

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/tests/await"
)

// random is n bytes, of every value, the same in each run of a test.
func random(t testing.TB, n int) []byte {
	p := make([]byte, n)
	source := rand.NewChaCha8(sha256.Sum256([]byte(t.Name())))
	_, _ = source.Read(p) // never fails
	return p
}

func openSocket(t testing.TB, opts SocketOptions) *Socket {
	t.Helper()
	opts.Name = "serial0"
	s, err := OpenSocket(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// localTCP listens on a port that is free.
var localTCP = SocketOptions{Network: "tcp", Address: "127.0.0.1:0", Listen: true}

func dialSocket(t testing.TB, s *Socket) net.Conn {
	t.Helper()
	conn, err := net.Dial(s.Addr().Network(), s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// exchange sends random bytes both ways at once, and checks that they arrive.
func exchange(t testing.TB, s Backend, front *frontEnd, conn io.ReadWriter, size int) {
	t.Helper()
	want := random(t, size)
	sent := make(chan error, 1)
	go func() {
		_, err := conn.Write(want)
		sent <- err
	}()
	got := make(chan []byte, 1)
	go func() {
		p := make([]byte, size)
		n, err := io.ReadFull(conn, p)
		if err != nil {
			t.Error(err)
		}
		got <- p[:n]
	}()
	before := len(front.input())
	writeAll(t, s, want)
	if err := <-sent; err != nil {
		t.Error(err)
	}
	if p := <-got; !bytes.Equal(p, want) {
		t.Errorf("%d bytes of output arrived of %d, or others", len(p), size)
	}
	await.That(t, "the input", func() bool { return len(front.input())-before >= size })
	if front.input()[before:] != string(want) {
		t.Error("other input arrived than was sent")
	}
}

func TestSocketListens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	for name, opts := range map[string]SocketOptions{
		"tcp":  localTCP,
		"unix": {Network: "unix", Address: path, Listen: true},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			s, front := openSocket(t, opts), newFrontEnd()
			s.Attach(front)
			if up, _ := front.carrier(); up {
				t.Error("carrier without a client")
			}
			for range 3 {
				conn := dialSocket(t, s)
				front.waitCarrier(t, true)
				exchange(t, s, front, conn, 1<<20)
				conn.Close()
				front.waitCarrier(t, false)
			}
			mustClose(t, s)
			if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the socket's file is left: %v", err)
			}
			if st := s.Stats(); st.In != 3<<20 || st.Out != 3<<20 || st.Dropped != 0 {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

// TestSocketConnects: nobody is there at the start; then somebody comes, leaves
// and returns.
func TestSocketConnects(t *testing.T) {
	noLeaks(t)
	path := filepath.Join(t.TempDir(), "socket")
	s, front := openSocket(t, SocketOptions{Network: "unix", Address: path}), newFrontEnd()
	s.Attach(front)
	writeAll(t, s, []byte("before "))
	for range 2 {
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		front.waitCarrier(t, true)
		p := make([]byte, 7)
		if _, err := io.ReadFull(conn, p); err != nil || string(p) != "before " {
			t.Errorf("the first output is %q, %v", p, err)
		}
		exchange(t, s, front, conn, 1<<16)
		conn.Close()
		front.waitCarrier(t, false)
		writeAll(t, s, []byte("before "))
	}
	mustClose(t, s)
}

// TestSocketKeepsLastOutput: what nobody reads is kept up to the buffer's size.
func TestSocketKeepsLastOutput(t *testing.T) {
	noLeaks(t)
	s, front := openSocket(t, localTCP), newFrontEnd()
	s.Attach(front)
	all := random(t, 3*BufferSize)
	writeAll(t, s, all)
	if st := s.Stats(); st.Dropped != 2*BufferSize {
		t.Errorf("stats %+v", st)
	}
	got := make([]byte, BufferSize)
	if _, err := io.ReadFull(dialSocket(t, s), got); err != nil || !bytes.Equal(got, all[2*BufferSize:]) {
		t.Errorf("the newest output did not arrive: %v", err)
	}
	mustClose(t, s)
}

// TestSocketBackPressure: a client that does not read holds the guest up, until
// it leaves or the patience with it ends.
func TestSocketBackPressure(t *testing.T) {
	for name, patience := range map[string]time.Duration{"leaves": Endless, "stalls": 50 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			opts := localTCP
			opts.Patience = patience
			s, front := openSocket(t, opts), newFrontEnd()
			s.Attach(front)
			conn := dialSocket(t, s)
			front.waitCarrier(t, true)
			if name == "leaves" {
				fillUp(t, s)
				if st := s.Stats(); st.Dropped != 0 {
					t.Errorf("stats with a client: %+v", st)
				}
				conn.Close()
			}
			await.That(t, "output accepted and dropped", func() bool {
				s.Write(pattern(4096))
				return s.Stats().Dropped > 0
			})
			if name == "stalls" {
				if _, err := io.ReadFull(conn, make([]byte, 1<<20)); err != nil {
					t.Error(err)
				}
				conn.Close()
			}
			mustClose(t, s)
		})
	}
}

// TestSocketSecondClient waits until the first has left.
func TestSocketSecondClient(t *testing.T) {
	noLeaks(t)
	s, front := openSocket(t, localTCP), newFrontEnd()
	s.Attach(front)
	first := dialSocket(t, s)
	front.waitCarrier(t, true)
	second := dialSocket(t, s)
	if _, err := second.Write([]byte("second")); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Write([]byte("first ")); err != nil {
		t.Fatal(err)
	}
	front.waitInput(t, "first ")
	first.Close()
	front.waitInput(t, "first second")
	mustClose(t, s)
}

// TestSocketClientInPassing: one that has left before its turn is heard, but the
// output is kept for one who can read it.
func TestSocketClientInPassing(t *testing.T) {
	noLeaks(t)
	s, front := openSocket(t, localTCP), newFrontEnd()
	writeAll(t, s, []byte("kept"))
	passing := dialSocket(t, s)
	if _, err := passing.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	passing.Close()
	s.Attach(front)
	front.waitInput(t, "hello")
	got := make([]byte, 4)
	if _, err := io.ReadFull(dialSocket(t, s), got); err != nil || string(got) != "kept" {
		t.Errorf("output %q, %v", got, err)
	}
	mustClose(t, s)
}

// TestSocketGuestTakesNothing: neither Close nor a client that left hangs, and a
// guest that reads late gets all.
func TestSocketGuestTakesNothing(t *testing.T) {
	noLeaks(t)
	s, front := openSocket(t, localTCP), newFrontEnd()
	front.room = 0
	s.Attach(front)
	conn := dialSocket(t, s)
	want := random(t, 100<<10)
	if _, err := conn.Write(want); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	for len(front.input()) < len(want) {
		before := len(front.input())
		front.allow(1000)
		s.Ready()
		await.That(t, "some input", func() bool { return len(front.input()) > before })
	}
	if front.input() != string(want) {
		t.Error("other input than was sent")
	}
	front.waitCarrier(t, false)
	conn = dialSocket(t, s)
	if _, err := conn.Write(want); err != nil {
		t.Fatal(err)
	}
	front.waitCarrier(t, true)
	mustClose(t, s)
}

func TestSocketStale(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	opts := SocketOptions{Network: "unix", Address: path, Listen: true}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSocket(opts); err == nil || !strings.Contains(err.Error(), "another program's socket") {
		t.Errorf("error %v for a socket in use", err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	old := unix.Umask(0)
	defer unix.Umask(old)
	s := openSocket(t, opts)
	if st, err := os.Lstat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	// A file that another program has put there is not ours to remove.
	if err := errors.Join(os.Remove(path), os.WriteFile(path, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	mustClose(t, s)
	if _, err := os.Lstat(path); err != nil {
		t.Error("Close removed the file of another")
	}
}

func TestSocketErrors(t *testing.T) {
	dir := t.TempDir()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		opts SocketOptions
		want string
	}{
		"in use":    {SocketOptions{Network: "tcp", Address: taken.Addr().String(), Listen: true}, "address already in use (choose another service"},
		"foreign":   {SocketOptions{Network: "tcp", Address: "192.0.2.1:1", Listen: true}, "0.0.0.0 is all of them"},
		"service":   {SocketOptions{Network: "tcp", Address: "127.0.0.1:nosuch"}, `service "nosuch" is neither`},
		"no port":   {SocketOptions{Network: "tcp", Address: "127.0.0.1"}, "missing port"},
		"long":      {SocketOptions{Network: "unix", Address: "/" + strings.Repeat("x", 107)}, "at most 107 bytes"},
		"file":      {SocketOptions{Network: "unix", Address: file, Listen: true}, "is not a socket"},
		"directory": {SocketOptions{Network: "unix", Address: dir, Listen: true}, "is not a socket"},
		"nowhere":   {SocketOptions{Network: "unix", Address: dir + "/a/b", Listen: true}, "create the directory first"},
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			test.opts.Name = "serial0"
			_, err := OpenSocket(test.opts)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "serial0: ") {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
}

func TestUDP(t *testing.T) {
	noLeaks(t)
	peer, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	u, err := OpenUDP(UDPOptions{Peer: peer.LocalAddr().String(), Local: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	front := newFrontEnd()
	u.Attach(front)
	if up, _ := front.carrier(); !up {
		t.Error("no carrier")
	}
	for _, size := range []int{1, datagramSize, 10000} {
		want := random(t, size)
		writeAll(t, u, want)
		var got []byte
		buf := make([]byte, 1<<16)
		for len(got) < size {
			n, from, err := peer.ReadFromUDP(buf)
			if err != nil || n > datagramSize || from.Port != u.LocalAddr().(*net.UDPAddr).Port {
				t.Fatalf("%d bytes from %v: %v", n, from, err)
			}
			got = append(got, buf[:n]...)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%d bytes arrived as others", size)
		}
		before := len(front.input())
		if _, err := peer.WriteTo(want, u.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		await.That(t, "input", func() bool { return front.input()[before:] == string(want) })
	}
	// Nobody there is no error, and no reason to stop.
	addr := peer.LocalAddr().(*net.UDPAddr)
	peer.Close()
	for range 10 {
		before := u.Stats().Out
		writeAll(t, u, []byte("into the void"))
		await.That(t, "it sent", func() bool { return u.Stats().Out > before })
	}
	if peer, err = net.ListenUDP("udp", addr); err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	before := len(front.input())
	if _, err := peer.WriteTo([]byte("back"), u.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	await.That(t, "input", func() bool { return front.input()[before:] == "back" })
	mustClose(t, u)
	if st := u.Stats(); st.Errors != 0 {
		t.Errorf("stats %+v", st)
	}
}
