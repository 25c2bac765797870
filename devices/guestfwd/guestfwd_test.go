package guestfwd

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/govmm/govmm/chardev"
	"github.com/govmm/govmm/tests/await"
)

// hostEnd is a back end of the test's, whose front end the test is told.
type hostEnd struct {
	chardev.Backend
	front chardev.Receiver

	mu    sync.Mutex
	out   []byte
	room  int
	asked int // calls of Ready
}

func (h *hostEnd) Attach(r chardev.Receiver) { h.front = r }

func (h *hostEnd) Write(p []byte) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := min(len(p), h.room)
	h.room -= n
	h.out = append(h.out, p[:n]...)
	return n
}

func (h *hostEnd) Ready() { h.asked++ }

func (h *hostEnd) make(room int) {
	h.mu.Lock()
	h.room += room
	h.mu.Unlock()
	h.front.(chardev.OutputReceiver).OutputReady()
}

func (h *hostEnd) carrier(up bool) { h.front.(chardev.CarrierReceiver).Carrier(up) }

func open(t *testing.T, c *Channel) io.ReadWriteCloser {
	t.Helper()
	conn, err := c.Open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// read reads all that there is until the end, or so many bytes.
func read(t *testing.T, r io.Reader, n int) string {
	t.Helper()
	b := make([]byte, n)
	got, err := io.ReadFull(r, b)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return string(b[:got])
}

func closeWrite(t *testing.T, c io.ReadWriteCloser) {
	t.Helper()
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
}

// One connection at a time, but one that has ended its side gives way.
func TestOneConnection(t *testing.T) {
	h := &hostEnd{room: 100}
	c := New(h)
	first := open(t, c)
	now, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Open(now); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a second connection: %v", err)
	}
	var closing sync.WaitGroup
	closing.Go(func() { closeWrite(t, first) })
	second := open(t, c) // perhaps before that
	closing.Wait()
	if _, err := first.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("writing to the first: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if _, err := second.Write([]byte("second")); err != nil {
		t.Errorf("the end of the first is that of the second: %v", err)
	}
	second.Close()
	third := open(t, c)
	c.Reset()
	if _, err := third.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading after a reset: %v", err)
	}
	open(t, c)
	if string(h.out) != "second" {
		t.Errorf("the host end has %q", h.out)
	}
}

// Input waits for a connection and for one that reads, and no longer than that.
func TestInput(t *testing.T) {
	h := &hostEnd{}
	c := New(h)
	h.carrier(true)
	if n := h.front.Receive([]byte("early")); n != 0 {
		t.Errorf("%d bytes taken for no connection", n)
	}
	conn := open(t, c)
	if h.asked != 1 {
		t.Errorf("asked for input %d times", h.asked)
	}
	big := bytes.Repeat([]byte("x"), bufferSize+10)
	if n := h.front.Receive(big); n != bufferSize {
		t.Errorf("%d bytes taken", n)
	}
	if n := h.front.Receive(big[:10]); n != 0 {
		t.Errorf("%d bytes taken without room", n)
	}
	if got := read(t, conn, 4); got != "xxxx" || h.asked != 2 {
		t.Errorf("%q, asked for input %d times", got, h.asked)
	}
	// The peer leaves: what it sent, and then the end.
	h.front.Receive([]byte("last"))
	h.carrier(false)
	h.carrier(true)
	if n := h.front.Receive([]byte("the next peer's")); n != 0 {
		t.Errorf("%d bytes of the next peer taken", n)
	}
	if got := read(t, conn, bufferSize+10); len(got) != bufferSize || got[bufferSize-4:] != "last" {
		t.Errorf("%d bytes, the last are %q", len(got), got[max(len(got)-4, 0):])
	}
	closeWrite(t, conn)
	next := open(t, c)
	h.front.Receive([]byte("hello"))
	if got := read(t, next, 5); got != "hello" {
		t.Errorf("the next connection reads %q", got)
	}
}

// Output waits for the host end, and for nothing once the connection is closed.
func TestOutput(t *testing.T) {
	h := &hostEnd{room: 3}
	c := New(h)
	conn := open(t, c)
	written := make(chan error, 1)
	go func() {
		_, err := conn.Write([]byte("abcdef"))
		written <- err
	}()
	h.make(2)
	h.make(1)
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if string(h.out) != "abcdef" {
		t.Errorf("the host end has %q", h.out)
	}
	go func() {
		_, err := conn.Write([]byte("no room"))
		written <- err
	}()
	conn.Close()
	if err := <-written; !errors.Is(err, net.ErrClosed) {
		t.Errorf("a write that was waiting: %v", err)
	}
}

// 1 MiB each way through a socket, and its leaving client is the end.
func TestSocket(t *testing.T) {
	await.NoGoroutines(t)
	path := filepath.Join(t.TempDir(), "socket")
	s, err := chardev.OpenSocket(chardev.SocketOptions{
		Options: chardev.Options{Name: "channel0"}, Network: "unix", Address: path, Listen: true, Patience: chardev.Endless,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	guest := open(t, New(s))
	host, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 1<<20)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	var sending sync.WaitGroup
	sending.Go(func() {
		if _, err := guest.Write(data); err != nil {
			t.Error(err)
		}
	})
	sending.Go(func() {
		if _, err := host.Write(data); err != nil {
			t.Error(err)
		}
	})
	var reading sync.WaitGroup
	for _, r := range []io.Reader{guest, host} {
		reading.Go(func() {
			got := make([]byte, len(data))
			if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, data) {
				t.Errorf("other bytes, or %v", err)
			}
		})
	}
	sending.Wait()
	reading.Wait()
	host.Close()
	if n, err := guest.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("after the client has left: %d bytes, %v", n, err)
	}
}
