package socket

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	hostnet "github.com/govmm/govmm/net"
)

func TestStreamCarriesFrames(t *testing.T) {
	port := freePort(t)
	c := client(t, port) // before there is a server
	s := server(t, port)
	linked(t, s, true)
	linked(t, c, true)
	lengths := []int{14, 15, 60, 1514, 9014, 65536, hostnet.MaxFrame}
	exchange(t, s, c, lengths...)
	exchange(t, c, s, lengths...)
	if a, b := s.Stats(), c.Stats(); a.TxBytes != b.RxBytes || a.TxFrames != 7 || b.RxFrames != 7 || a.TxErrors+a.TxDropped+b.RxErrors+b.RxDropped != 0 {
		t.Errorf("stats %+v and %+v", a, b)
	}
}

// The bytes of a frame on the wire are those of QEMU.
func TestStreamFormat(t *testing.T) {
	s := server(t, freePort(t))
	c, err := net.Dial("tcp", s.Addr().String())
	must(t, err)
	defer c.Close()
	linked(t, s, true)
	f := frame(60, 3)
	want := append([]byte{0, 0, 0, 60}, f[hostnet.HeaderSize:]...)
	send(t, s, f)
	got := make([]byte, len(want))
	_, err = io.ReadFull(c, got)
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("on the wire: % x", got)
	}
	for _, b := range want { // one by one
		_, err := c.Write([]byte{b})
		must(t, err)
	}
	if got := receive(t, s); !bytes.Equal(got, f) {
		t.Errorf("received % x", got)
	}
}

// A server takes the next client when one has gone, and begins anew at a frame.
func TestServerNextClient(t *testing.T) {
	s := server(t, freePort(t))
	send(t, s, frame(60, 1)) // nobody is there
	if got := s.Stats(); got.TxDropped != 1 {
		t.Errorf("without a client: %+v", got)
	}
	for i := range 3 {
		c, err := net.Dial("tcp", s.Addr().String())
		must(t, err)
		linked(t, s, true)
		whole := append([]byte{0, 0, 0, 60}, frame(60, byte(i))[hostnet.HeaderSize:]...)
		_, err = c.Write(append(whole, whole[:30]...)) // and half of one
		must(t, err)
		if got := receive(t, s); got[len(got)-1] != byte(i) {
			t.Errorf("received % x", got)
		}
		must(t, c.Close())
		linked(t, s, false)
		none(t, s)
	}
}

func TestClientConnectsAgain(t *testing.T) {
	port := freePort(t)
	s := server(t, port)
	c := client(t, port)
	linked(t, c, true)
	must(t, s.Close())
	linked(t, c, false)
	again := server(t, port)
	linked(t, c, true)
	linked(t, again, true)
	exchange(t, c, again, 100)
}

// A peer that is none is thrown out, and the next one served.
func TestHostilePeer(t *testing.T) {
	s := server(t, freePort(t))
	for _, bad := range []string{"\xff\xff\xff\xff", "GET / HTTP/1.0\r\n\r\n", "\x00\x01\x00\x13"} {
		c, err := net.Dial("tcp", s.Addr().String())
		must(t, err)
		_, err = io.WriteString(c, bad)
		must(t, err)
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("%q is answered", bad)
		}
		c.Close()
	}
	c, err := net.Dial("tcp", s.Addr().String())
	must(t, err)
	defer c.Close()
	var runts []byte
	for n := range hostnet.MinFrame {
		runts = append(binary.BigEndian.AppendUint32(runts, uint32(n)), make([]byte, n)...)
	}
	good := frame(60, 9)
	_, err = c.Write(append(append(runts, 0, 0, 0, 60), good[hostnet.HeaderSize:]...))
	must(t, err)
	if got := receive(t, s); !bytes.Equal(got, good) {
		t.Errorf("after runts: % x", got)
	}
	if got := s.Stats(); got.RxErrors != hostnet.MinFrame {
		t.Errorf("stats %+v", got)
	}
}

// A peer that does not read stops the sender, and no memory grows.
func TestStreamBackPressure(t *testing.T) {
	port := freePort(t)
	s, c := server(t, port), client(t, port)
	linked(t, s, true)
	linked(t, c, true)
	f := [][]byte{frame(9000, 1)}
	sent := 0
	// The kernel's buffers end somewhere, as what is received is not taken.
	for q := c.Queue(0); !full(s) || !full(c); {
		switch err := q.Send(f); {
		case err == nil:
			sent++
		case !errors.Is(err, hostnet.ErrAgain):
			t.Fatal(err)
		}
		if sent > 1e6 {
			t.Fatal("there is room without end")
		}
	}
	for range sent {
		receive(t, s)
	}
	exchange(t, c, s, 1514)
}

// full reports whether the ring in which frames wait has no room.
func full(s *Stream) bool { return !s.wire.in.Room() || !s.wire.out.Room() }

// The cable of a machine that is pulled out lets nothing through later.
func TestStreamUnplugged(t *testing.T) {
	port := freePort(t)
	s, c := server(t, port), client(t, port)
	linked(t, s, true)
	linked(t, c, true)
	must(t, s.SetLink(false))
	send(t, c, frame(60, 1))
	within(t, "the drop", func() {
		for s.Stats().RxDropped == 0 {
			if _, err := s.Queue(0).Wait(hostnet.ToReceive, nil); err != nil {
				t.Error(err)
			}
		}
	})
	must(t, s.SetLink(true))
	none(t, s)
	exchange(t, c, s, 60)
}

func TestStreamErrors(t *testing.T) {
	s := server(t, freePort(t))
	taken := uint16(s.Addr().(*net.TCPAddr).Port)
	for _, c := range []struct {
		make func(Options) (*Stream, error)
		o    Options
		want string
	}{
		{NewServer, Options{Address: "127.0.0.1", Port: taken}, "server 127.0.0.1:" + fmt.Sprint(taken) + ": listen"},
		{NewServer, Options{Address: "192.0.2.99", Port: 5000}, "cannot assign requested address"},
		{NewServer, Options{Address: "127.0.0.1"}, "port 0"},
		{NewClient, Options{Port: 5000}, "no address"},
	} {
		if _, err := c.make(c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.o, err, c.want)
		}
	}
}

func TestCloseEndsWaits(t *testing.T) {
	for name, b := range map[string]hostnet.Backend{
		"server": server(t, freePort(t)), "client": client(t, freePort(t)), "mcast": mcast(t, 4999),
	} {
		done := make(chan error)
		go func() {
			for {
				if _, err := b.Queue(0).Wait(hostnet.ToReceive, nil); err != nil {
					done <- err
					return
				}
			}
		}()
		must(t, b.Close())
		within(t, name, func() {
			if err := <-done; !errors.Is(err, hostnet.ErrClosed) {
				t.Errorf("%s: the waiter got %v", name, err)
			}
		})
		if err := b.Queue(0).Send(nil); !errors.Is(err, hostnet.ErrClosed) {
			t.Errorf("%s: send after Close: %v", name, err)
		}
	}
}
