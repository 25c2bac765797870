package socket

import (
	"bytes"
	"errors"
	"net"
	"testing"
	"time"

	hostnet "github.com/govmm/govmm/net"
)

const patience = 20 * time.Second

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// within fails the test when f does not return.
func within(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { f(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s: still waiting after %v", what, patience)
	}
}

// closing closes a back end at the end of the test.
func closing[B hostnet.Backend](t testing.TB, b B) B {
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

func server(t testing.TB, port uint16) *Stream {
	t.Helper()
	s, err := NewServer(Options{Address: "127.0.0.1", Port: port})
	must(t, err)
	return closing(t, s)
}

func client(t testing.TB, port uint16) *Stream {
	t.Helper()
	s, err := NewClient(Options{Address: "127.0.0.1", Port: port})
	must(t, err)
	return closing(t, s)
}

func mcast(t testing.TB, port uint16) *Mcast {
	t.Helper()
	m, err := NewMcast(Options{Address: "230.0.0.1", Port: port})
	must(t, err)
	return closing(t, m)
}

// freePort is a TCP port that nobody has.
func freePort(t testing.TB) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// linked waits until the link of a back end is so.
func linked(t testing.TB, b hostnet.Backend, up bool) {
	t.Helper()
	changed := make(chan struct{}, 1)
	b.OnLink(func(bool) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	defer b.OnLink(nil)
	within(t, "the link", func() {
		for b.Link() != up {
			<-changed
		}
	})
}

// frame is a broadcast frame of n bytes behind an empty header.
func frame(n int, fill byte) []byte {
	b := bytes.Repeat([]byte{fill}, hostnet.HeaderSize+n)
	clear(b[:hostnet.HeaderSize])
	copy(b[hostnet.HeaderSize:], "\xff\xff\xff\xff\xff\xff\x52\x54\x00\x00\x00\x01\x88\xb5")
	return b
}

// send gives a frame to a back end, waiting for room.
func send(t testing.TB, b hostnet.Backend, frame ...[]byte) {
	t.Helper()
	q := b.Queue(0)
	within(t, "send", func() {
		for {
			err := q.Send(frame)
			if !errors.Is(err, hostnet.ErrAgain) {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if _, err := q.Wait(hostnet.ToSend, nil); err != nil {
				t.Error(err)
				return
			}
		}
	})
}

// probe is a frame of passes.
var probe = frame(42, 0x55)

// passes waits until frames come through from one back end to another, which may
// not be ready when it is connected.
func passes(t testing.TB, from, to hostnet.Backend) {
	t.Helper()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		again := time.NewTicker(20 * time.Millisecond)
		defer again.Stop()
		for {
			_ = from.Queue(0).Send([][]byte{probe}) // one of them must arrive
			select {
			case <-again.C:
			case <-stop:
				return
			}
		}
	}()
	if got := receiveAny(t, to); !bytes.Equal(got, probe) {
		t.Errorf("received % x", got)
	}
	close(stop)
	<-stopped
}

// receive waits for a frame that is not one of passes.
func receive(t testing.TB, b hostnet.Backend) (got []byte) {
	t.Helper()
	for {
		if got = receiveAny(t, b); !bytes.Equal(got, probe) {
			return got
		}
	}
}

// receiveAny waits for a frame.
func receiveAny(t testing.TB, b hostnet.Backend) (got []byte) {
	t.Helper()
	q := b.Queue(0)
	within(t, "receive", func() {
		buf := make([]byte, 2000)
		for {
			n, rest, err := q.Receive([][]byte{buf[:5], buf[5:]})
			if err == nil {
				got = append(buf[:n:n], rest...)
				return
			}
			if !errors.Is(err, hostnet.ErrAgain) {
				t.Error(err)
				return
			}
			if _, err := q.Wait(hostnet.ToReceive, nil); err != nil {
				t.Error(err)
				return
			}
		}
	})
	return got
}

// exchange sends frames of all lengths from a to b.
func exchange(t testing.TB, a, b hostnet.Backend, lengths ...int) {
	t.Helper()
	for i, n := range lengths {
		sent := frame(n, byte(i+1))
		for j := hostnet.HeaderSize + 14; j < len(sent); j++ {
			sent[j] = byte(j*7 + i)
		}
		send(t, a, sent[:7], sent[7:20], sent[20:])
		if got := receive(t, b); !bytes.Equal(got, sent) {
			t.Errorf("a frame of %d bytes: received %d bytes that differ", n, len(got)-hostnet.HeaderSize)
		}
	}
}

// none fails when there is a frame.
func none(t testing.TB, b hostnet.Backend) {
	t.Helper()
	if n, rest, err := b.Queue(0).Receive(nil); !errors.Is(err, hostnet.ErrAgain) {
		t.Errorf("received %d bytes, %v", n+len(rest), err)
	}
}
