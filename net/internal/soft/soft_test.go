package soft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	hostnet "github.com/govmm/govmm/net"
)

// loop is a wire whose other end is itself.
type loop struct {
	port *Port
	ring Ring
	h    hostnet.Header
}

func (l *loop) Send(h hostnet.Header, frame [][]byte, n int) error {
	l.h = h
	if !l.ring.Put(frame, n) {
		return hostnet.ErrAgain
	}
	l.port.Notify(hostnet.ToReceive)
	return nil
}

func (l *loop) Receive() (hostnet.Header, [][]byte, error) {
	if f := l.ring.Frame(); f != nil {
		return l.h, f, nil
	}
	return l.h, nil, hostnet.ErrAgain
}

func (l *loop) Done() {
	l.ring.Next()
	l.port.Notify(hostnet.ToSend)
}

func (l *loop) Ready(e hostnet.Events) hostnet.Events {
	if l.ring.Empty() {
		e &^= hostnet.ToReceive
	}
	if !l.ring.Room() {
		e &^= hostnet.ToSend
	}
	return e
}

func (l *loop) Close() error { return nil }

func newLoop(t testing.TB, offloads hostnet.Offload) *Port {
	t.Helper()
	p, err := New(Options{Name: "loop", Offloads: offloads})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	p.Attach(&loop{port: p})
	return p
}

func frameOf(h hostnet.Header, n int) []byte {
	b := make([]byte, hostnet.HeaderSize+n)
	h.Put(b)
	for i := range n {
		b[hostnet.HeaderSize+i] = byte(i * 7)
	}
	return b
}

// Slices of any lengths, with rooms that are too small, keep the bytes.
func FuzzSlices(f *testing.F) {
	f.Add([]byte{12, 200}, []byte{5, 5, 5}, uint16(300), uint16(200), true)
	f.Add([]byte{0, 0}, []byte{}, uint16(20), uint16(0), false)
	p := newLoop(f, 0)
	split := func(b, lengths []byte) [][]byte {
		var out [][]byte
		for _, n := range lengths {
			k := min(int(n), len(b))
			out, b = append(out, b[:k]), b[k:]
		}
		return append(out, b)
	}
	f.Fuzz(func(t *testing.T, tx, rx []byte, n, room uint16, short bool) {
		header := hostnet.HeaderSize
		if short {
			header = hostnet.ShortHeaderSize
		}
		if err := p.SetHeaderSize(header); err != nil {
			t.Fatal(err)
		}
		sent := make([]byte, n)
		for i := header; i < len(sent); i++ {
			sent[i] = byte(i)
		}
		if err := p.Send(split(sent, tx)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, room)
		got, rest, err := p.Receive(split(buf, rx))
		if int(n) < header+hostnet.MinFrame {
			if !errors.Is(err, hostnet.ErrAgain) {
				t.Fatalf("%d bytes arrived: %v", n, err)
			}
			return
		}
		if err != nil || !bytes.Equal(append(buf[:got:got], rest...), sent) {
			t.Fatalf("a frame of %d bytes: %d in place, %d apart, %v", n, got, len(rest), err)
		}
	})
}

// A header asks for nothing that the wire has not.
func TestHeaders(t *testing.T) {
	p := newLoop(t, hostnet.Csum|hostnet.TSO4)
	for _, c := range []struct {
		h    hostnet.Header
		good bool
	}{
		{hostnet.Header{}, true},
		{hostnet.Header{Flags: hostnet.HeaderNeedsCsum, CsumStart: 34, CsumOffset: 16}, true},
		{hostnet.Header{Flags: hostnet.HeaderNeedsCsum, GSOType: hostnet.GSOTCPv4, GSOSize: 1460}, true},
		{hostnet.Header{Flags: hostnet.HeaderNeedsCsum, GSOType: hostnet.GSOTCPv4 | hostnet.GSOECN}, false},
		{hostnet.Header{GSOType: hostnet.GSOTCPv6}, false},
		{hostnet.Header{GSOType: hostnet.GSOUDP}, false},
		{hostnet.Header{GSOType: hostnet.GSOUDPL4}, false},
		{hostnet.Header{GSOType: 77}, false},
	} {
		before := p.Stats()
		if err := p.Send([][]byte{frameOf(c.h, 100)}); err != nil {
			t.Fatal(err)
		}
		if failed := p.Stats().TxErrors > before.TxErrors; failed == c.good {
			t.Errorf("%+v: failed: %v", c.h, failed)
		}
		if _, _, err := p.Receive(nil); (err == nil) != c.good {
			t.Errorf("%+v: %v", c.h, err)
		}
	}
	if p.SetOffloads(hostnet.TSO6) == nil || p.SetOffloads(hostnet.TSO4) == nil || p.SetHeaderSize(11) == nil || p.SetQueues(2) == nil {
		t.Error("impossible settings were accepted")
	}
}

// What cannot be sent for want of room can be when there is some.
func TestWaitForRoom(t *testing.T) {
	p := newLoop(t, 0)
	f := [][]byte{frameOf(hostnet.Header{}, 9000)}
	n := 0
	for ; p.Send(f) == nil; n++ {
	}
	if n == 0 || n > RingSize/9000 {
		t.Errorf("%d frames fitted", n)
	}
	done := make(chan error)
	go func() {
		for {
			ready, err := p.Wait(hostnet.ToSend, nil)
			if ready != 0 || err != nil {
				done <- err
				return
			}
		}
	}()
	for range n {
		if _, _, err := p.Receive(nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// However a stream is cut up, its frames are the same; a length that no frame
// has ends it, and nothing is read outside.
func FuzzRing(f *testing.F) {
	stream := func(lengths ...int) (b []byte) {
		for _, n := range lengths {
			b = append(binary.BigEndian.AppendUint32(b, uint32(n)), make([]byte, n)...)
		}
		return b
	}
	f.Add(stream(60, 0, 14, 1514), []byte{1, 2, 3, 200})
	f.Add([]byte{0, 1, 0, 19, 1}, []byte{})
	f.Fuzz(func(t *testing.T, stream, cuts []byte) {
		var r Ring
		frames, rest := 0, stream
		for i := 0; len(rest) > 0; i++ {
			k := len(rest)
			if i < len(cuts) {
				k = min(k, int(cuts[i]))
			}
			k = copy(r.Space(), rest[:k])
			rest = rest[k:]
			if _, err := r.Filled(k); err != nil {
				return
			}
			if i >= len(cuts) && k == 0 {
				break // full of a frame that is not taken
			}
			for b := r.Frame(); b != nil; b = r.Frame() {
				frames += len(b[0]) + len(b[1]) + lengthSize
				r.Next()
			}
		}
		if frames > len(stream) {
			t.Fatalf("%d bytes of frames in %d bytes", frames, len(stream))
		}
	})
}
