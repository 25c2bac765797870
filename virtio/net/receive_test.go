package net

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/tests/await"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// TestReceive has frames of all lengths arrive in all kinds of buffers.
func TestReceive(t *testing.T) {
	modes := []struct {
		name   string
		want   virtio.Features
		legacy bool
		parts  []uint32 // of a buffer
	}{
		{"mergeable", FeatureMrgRxbuf, false, []uint32{1526}},
		{"mergeable, smallest", FeatureMrgRxbuf, false, []uint32{12}},
		{"mergeable, in parts", FeatureMrgRxbuf, false, []uint32{5, 9, 100}},
		{"mergeable, legacy", FeatureMrgRxbuf, true, []uint32{4096}},
		{"one buffer", 0, false, []uint32{hostnet.HeaderSize + hostnet.MaxFrame}},
		{"one buffer, in parts", 0, false, []uint32{12, 17, 1, 65536}},
		{"one buffer, legacy", 0, true, []uint32{10, 65536}},
	}
	for _, mode := range modes {
		for name, f := range forms {
			if mode.legacy && f.Packed {
				continue // legacy drivers know no packed queues
			}
			t.Run(mode.name+"/"+name, func(t *testing.T) {
				a, peer := newPair(t, 1)
				f.legacy = mode.legacy
				m := start(t, Options{Backend: a, Packed: true}, f, mode.want)
				q, posted := m.rx(0), map[uint16][]queuetest.Buffer{}
				room := 0
				for _, n := range mode.parts {
					room += int(n)
				}
				for i, n := range []int{14, 15, 17, 18, 19, 60, 1000, 1514} {
					sent := frame(toAll, n, byte(i+1))
					for have := 0; have < m.header()+n; have += room {
						post(q, posted, mode.parts...)
					}
					q.Kick()
					send(t, peer.Queue(0), sent)
					h, got := m.got(q, posted)
					if !bytes.Equal(got, sent) {
						t.Fatalf("frame of %d bytes: got %d bytes %x", n, len(got), got)
					}
					want := (m.header() + n + room - 1) / room
					if m.header() == hostnet.ShortHeaderSize {
						want = 0
					}
					if h != (hostnet.Header{NumBuffers: uint16(want)}) {
						t.Errorf("frame of %d bytes: header %+v, want %d buffers", n, h, want)
					}
				}
				if s := m.dev.Stats(); s.RxPackets != 8 || s.RxErrs+s.RxDrop+s.RxFiltered != 0 {
					t.Errorf("stats %+v", s)
				}
			})
		}
	}
}

// TestReceiveLong has frames that are longer than expected, before the device
// has seen that there are such, and after.
func TestReceiveLong(t *testing.T) {
	a, peer := newPair(t, 1)
	m := start(t, Options{Backend: a}, form{}, FeatureMrgRxbuf)
	q, posted := m.rx(0), map[uint16][]queuetest.Buffer{}
	for i, n := range []int{1514, 40000, hostnet.MaxFrame, 60, 60, 30000} {
		for len(posted) < 45 {
			post(q, posted, 1526)
		}
		q.Kick()
		sent := frame(toAll, n, byte(i+1))
		send(t, peer.Queue(0), sent)
		if _, got := m.got(q, posted); !bytes.Equal(got, sent) {
			t.Fatalf("frame %d of %d bytes: got %d", i, n, len(got))
		}
	}
}

// TestReceiveCalm ends the offer of much room.
func TestReceiveCalm(t *testing.T) {
	x := &receiver{mergeable: true, usual: 1500, expect: 1500}
	x.adapt(1501)
	if x.expect != hostnet.HeaderSize+hostnet.MaxFrame {
		t.Errorf("expects %d after a long frame", x.expect)
	}
	for range calm - 1 {
		x.adapt(60)
	}
	if x.expect == 1500 {
		t.Error("forgets too soon")
	}
	x.adapt(60)
	if x.expect != 1500 {
		t.Errorf("expects %d after short frames", x.expect)
	}
}

// TestReceiveWaits gives the device no buffers, then too few of them: the frame
// stays with the host, and what has been taken already waits.
func TestReceiveWaits(t *testing.T) {
	host := newFakeHost(t, 1)
	m := start(t, Options{Backend: host}, form{}, FeatureMrgRxbuf)
	q, posted := m.rx(0), map[uint16][]queuetest.Buffer{}
	sent := append(make([]byte, 12), frame(toAll, 3000, 7)...)
	host.queues[0].put(sent)
	if n := host.queues[0].waiting(); n != 1 {
		t.Fatal("the device took a frame without having a buffer")
	}
	post(q, posted, 1526)
	q.Kick()
	await.That(t, "the frame taken", func() bool { return host.queues[0].waiting() == 0 })
	post(q, posted, 1526)
	q.Kick()
	if _, got := m.got(q, posted); !bytes.Equal(got, sent[12:]) {
		t.Errorf("got %d bytes", len(got))
	}

	// This driver never gives more.
	post(q, posted, 1526)
	q.Kick()
	host.queues[0].put(sent)
	await.That(t, "the device waiting", func() bool { _, ok := m.clock.Next(); return ok })
	m.clock.Advance(rxPatience)
	await.That(t, "the frame dropped", func() bool { return m.dev.Stats().RxDrop == 1 })
	short := append(make([]byte, 12), frame(toAll, 60, 8)...)
	host.queues[0].put(short)
	if _, got := m.got(q, posted); !bytes.Equal(got, short[12:]) {
		t.Errorf("got %x", got)
	}
}

// TestReceiveUnwanted has frames that the driver cannot take.
func TestReceiveUnwanted(t *testing.T) {
	all := FeatureGuestCSUM | FeatureGuestTSO4 | FeatureGuestTSO6 | FeatureGuestECN | FeatureGuestUFO | FeatureGuestUSO4 | FeatureGuestUSO6
	csum := hostnet.Header{Flags: hostnet.HeaderNeedsCsum, CsumStart: 34, CsumOffset: 16}
	valid := hostnet.Header{Flags: hostnet.HeaderDataValid}
	gso := func(kind uint8) hostnet.Header {
		h := csum
		h.GSOType, h.GSOSize, h.HdrLen = kind, 1000, 54
		return h
	}
	bare := hostnet.Header{}
	for _, tt := range []struct {
		name   string
		want   virtio.Features
		header hostnet.Header
		given  *hostnet.Header // nil: not
	}{
		{"checksum, taken", all, csum, &csum},
		{"checksum, not negotiated", 0, csum, nil},
		{"verified, taken", all, valid, &valid},
		{"verified, not negotiated", 0, valid, &bare},
		{"tso4, taken", all, gso(hostnet.GSOTCPv4), ptr(gso(hostnet.GSOTCPv4))},
		{"tso4 with ecn, taken", all, gso(hostnet.GSOTCPv4 | hostnet.GSOECN), ptr(gso(hostnet.GSOTCPv4 | hostnet.GSOECN))},
		{"tso4 with ecn, not negotiated", all &^ FeatureGuestECN, gso(hostnet.GSOTCPv4 | hostnet.GSOECN), nil},
		{"tso4, not negotiated", FeatureGuestCSUM | FeatureGuestTSO6, gso(hostnet.GSOTCPv4), nil},
		{"tso4 without checksum", FeatureGuestTSO4, gso(hostnet.GSOTCPv4), nil},
		{"tso6, taken", all, gso(hostnet.GSOTCPv6), ptr(gso(hostnet.GSOTCPv6))},
		{"ufo, taken", all, gso(hostnet.GSOUDP), ptr(gso(hostnet.GSOUDP))},
		{"uso, taken", all, gso(hostnet.GSOUDPL4), ptr(gso(hostnet.GSOUDPL4))},
		{"uso, one half", all &^ FeatureGuestUSO6, gso(hostnet.GSOUDPL4), nil},
		{"unknown", all, gso(99), nil},
		{"ecn alone", all, gso(hostnet.GSOECN), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			host := newFakeHost(t, 1)
			m := start(t, Options{Backend: host}, form{}, tt.want|FeatureMrgRxbuf)
			q, posted := m.rx(0), map[uint16][]queuetest.Buffer{}
			b := append(make([]byte, 12), frame(toAll, 1514, 1)...)
			tt.header.Put(b)
			host.queues[0].put(b)
			mark := append(make([]byte, 12), frame(toAll, 60, 2)...)
			host.queues[0].put(mark)
			post(q, posted, 2000)
			post(q, posted, 2000)
			q.Kick()
			h, got := m.got(q, posted)
			if tt.given == nil {
				if len(got) != 60 || m.dev.Stats().RxErrs != 1 {
					t.Errorf("got %d bytes, header %+v, stats %+v", len(got), h, m.dev.Stats())
				}
				return
			}
			want := *tt.given
			want.NumBuffers = 1
			if h != want || len(got) != 1514 {
				t.Errorf("got %d bytes, header %+v, want %+v", len(got), h, want)
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }

// TestReceiveTooLong has no mergeable buffers, and frames that do not fit.
func TestReceiveTooLong(t *testing.T) {
	a, peer := newPair(t, 1)
	m := start(t, Options{Backend: a}, form{}, 0)
	q, posted := m.rx(0), map[uint16][]queuetest.Buffer{}
	post(q, posted, 100)
	q.Kick()
	send(t, peer.Queue(0), frame(toAll, 89, 1))
	send(t, peer.Queue(0), frame(toAll, 5000, 1))
	send(t, peer.Queue(0), frame(toAll, 88, 2))
	if _, got := m.got(q, posted); !bytes.Equal(got, frame(toAll, 88, 2)) {
		t.Errorf("got %x", got)
	}
	if n := m.dev.Stats().RxErrs; n != 2 {
		t.Errorf("%d errors", n)
	}
}

// TestReceiveHostile has buffers that no driver may give.
func TestReceiveHostile(t *testing.T) {
	for name, bufs := range map[string]func(q *queuetest.Driver) []queuetest.Buffer{
		"readable": func(q *queuetest.Driver) []queuetest.Buffer {
			return []queuetest.Buffer{q.Readable(make([]byte, 2000))}
		},
		"readable part": func(q *queuetest.Driver) []queuetest.Buffer {
			return []queuetest.Buffer{q.Readable([]byte{1}), q.Writable(2000)}
		},
		"no header": func(q *queuetest.Driver) []queuetest.Buffer { return []queuetest.Buffer{q.Writable(11)} },
		"outside": func(*queuetest.Driver) []queuetest.Buffer {
			return []queuetest.Buffer{{Addr: 1 << 40, Len: 2000, Write: true}}
		},
	} {
		for _, want := range []virtio.Features{0, FeatureMrgRxbuf} {
			t.Run(fmt.Sprintf("%s/%#x", name, uint64(want)), func(t *testing.T) {
				a, peer := newPair(t, 1)
				m := start(t, Options{Backend: a}, form{}, want)
				m.rx(0).Add(bufs(m.rx(0))...)
				m.rx(0).Kick()
				await.That(t, "the device needing a reset", func() bool { return m.why() != nil })
				send(t, peer.Queue(0), frame(toAll, 60, 1)) // goes nowhere
				m.dev.Pause()
				m.dev.Resume()
				m.rests() // it still needs one
				m.dev.Reset()
				m.activate(form{}, want)
				q, posted := m.rx(0), map[uint16][]queuetest.Buffer{}
				post(q, posted, 2000)
				q.Kick()
				if _, got := m.got(q, posted); len(got) != 60 {
					t.Errorf("after the reset: %d bytes", len(got))
				}
			})
		}
	}
}

// TestReceiveBatch has the driver interrupted once for several frames.
func TestReceiveBatch(t *testing.T) {
	host := newFakeHost(t, 1)
	m := start(t, Options{Backend: host}, form{Options: queuetest.Options{EventIndex: true}}, FeatureMrgRxbuf)
	q, posted := m.rx(0), map[uint16][]queuetest.Buffer{}
	for range 8 {
		host.queues[0].put(append(make([]byte, 12), frame(toAll, 60, 2)...))
		post(q, posted, 1526)
	}
	q.EnableInterrupts()
	q.Kick()
	await.That(t, "all frames", func() bool { return host.queues[0].waiting() == 0 })
	select {
	case <-q.Line():
	case <-time.After(await.Patience):
		t.Fatal("no interrupt")
	}
	for i := range 8 {
		if _, ok := q.Used(); !ok {
			t.Fatalf("the interrupt came after %d frames", i)
		}
	}
}
