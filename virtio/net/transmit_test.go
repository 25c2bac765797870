package net

import (
	"bytes"
	"testing"

	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/tests/await"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// TestTransmit sends frames of all lengths, cut in all kinds of ways.
func TestTransmit(t *testing.T) {
	for _, legacy := range []bool{false, true} {
		for name, f := range forms {
			if legacy && f.Packed {
				continue
			}
			t.Run(name, func(t *testing.T) {
				a, peer := newPair(t, 1)
				f.legacy = legacy
				m := start(t, Options{Backend: a, Packed: true}, f, 0)
				q := m.tx(0)
				for i, n := range []int{14, 60, 1514, 9014, hostnet.MaxFrame} {
					sent := frame(toAll, n, byte(i))
					all := append(make([]byte, m.header()), sent...)
					for _, cut := range []int{0, 1, m.header(), m.header() + 14} {
						var bufs []queuetest.Buffer
						if cut > 0 && cut < len(all) {
							bufs = append(bufs, q.Readable(all[:cut]), q.Readable(all[cut:]))
						} else {
							bufs = append(bufs, q.Readable(all))
						}
						q.Do(bufs...)
						if got := receive(t, peer.Queue(0)); !bytes.Equal(got, sent) {
							t.Fatalf("%d bytes, cut at %d: got %d", n, cut, len(got))
						}
					}
				}
				if s := m.dev.Stats(); s.TxPackets != 20 || s.TxErrs+s.TxDrop != 0 {
					t.Errorf("stats %+v", s)
				}
			})
		}
	}
}

const allHost = FeatureCSUM | FeatureHostTSO4 | FeatureHostTSO6 | FeatureHostECN | FeatureHostUFO | FeatureHostUSO

// TestTransmitHeader says what becomes of a header, with the frame of 100 bytes.
func TestTransmitHeader(t *testing.T) {
	csum := func(start, offset uint16) hostnet.Header {
		return hostnet.Header{Flags: hostnet.HeaderNeedsCsum, CsumStart: start, CsumOffset: offset}
	}
	gso := func(kind uint8, size, length uint16) hostnet.Header {
		h := csum(34, 16)
		h.GSOType, h.GSOSize, h.HdrLen = kind, size, length
		return h
	}
	flags := func(h hostnet.Header, f uint8) hostnet.Header { h.Flags = f; return h }
	for _, tt := range []struct {
		name string
		want virtio.Features
		in   hostnet.Header
		out  *hostnet.Header // nil: dropped
	}{
		{"empty", 0, hostnet.Header{}, &hostnet.Header{}},
		{"leftovers", 0, hostnet.Header{HdrLen: 9, GSOSize: 9, CsumStart: 9, CsumOffset: 9, NumBuffers: 9}, &hostnet.Header{}},
		{"unknown flags", 0, hostnet.Header{Flags: 0xFE}, &hostnet.Header{}},
		{"checksum", FeatureCSUM, csum(34, 16), ptr(csum(34, 16))},
		{"checksum at the end", FeatureCSUM, csum(80, 18), ptr(csum(80, 18))},
		{"checksum beyond the end", FeatureCSUM, csum(80, 19), nil},
		{"checksum from beyond the end", FeatureCSUM, csum(0xFFFF, 0), nil},
		{"checksum that wraps", FeatureCSUM, csum(0xFFFF, 0xFFFF), nil},
		{"checksum, not negotiated", 0, csum(34, 16), nil},
		{"tso4", allHost, gso(1, 50, 54), ptr(gso(1, 50, 54))},
		{"tso4, header too long", allHost, gso(1, 50, 0xFFFF), ptr(gso(1, 50, 100))},
		{"tso4 with ecn", allHost, gso(0x81, 50, 54), ptr(gso(0x81, 50, 54))},
		{"tso4, ecn not negotiated", allHost &^ FeatureHostECN, gso(0x81, 50, 54), nil},
		{"tso4, not negotiated", allHost &^ FeatureHostTSO4, gso(1, 50, 54), nil},
		{"tso4, checksums not negotiated", allHost &^ FeatureCSUM, gso(1, 50, 54), nil},
		{"tso4 without checksum", allHost, flags(gso(1, 50, 54), 0), nil},
		{"tso4 without size", allHost, gso(1, 0, 54), nil},
		{"tso6", allHost, gso(4, 50, 54), ptr(gso(4, 50, 54))},
		{"ufo", allHost, gso(3, 50, 54), ptr(gso(3, 50, 54))},
		{"uso", allHost, gso(5, 50, 54), ptr(gso(5, 50, 54))},
		{"unknown", allHost, gso(2, 50, 54), nil},
		{"ecn alone", allHost, gso(0x80, 50, 54), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			host := newFakeHost(t, 1)
			m := start(t, Options{Backend: host}, form{}, tt.want)
			b := append(make([]byte, 12), frame(toAll, 100, 5)...)
			tt.in.Put(b)
			m.tx(0).Do(m.tx(0).Readable(b))
			sent := host.queues[0].taken()
			if tt.out == nil {
				if len(sent) != 0 || m.dev.Stats().TxErrs != 1 {
					t.Errorf("%d sent, stats %+v", len(sent), m.dev.Stats())
				}
				return
			}
			if len(sent) != 1 {
				t.Fatalf("%d sent, stats %+v", len(sent), m.dev.Stats())
			}
			if h, _ := hostnet.ParseHeader(sent[0][:12]); h != *tt.out {
				t.Errorf("header %+v, want %+v", h, *tt.out)
			}
			if !bytes.Equal(sent[0][12:], b[12:]) {
				t.Error("the frame differs")
			}
		})
	}
}

// TestTransmitBad has chains that are no frames. The queue goes on.
func TestTransmitBad(t *testing.T) {
	host := newFakeHost(t, 1)
	m := start(t, Options{Backend: host}, form{}, 0)
	q := m.tx(0)
	long := q.Readable(make([]byte, 1<<20))
	for i, bufs := range [][]queuetest.Buffer{
		{q.Readable([]byte{0})},
		{q.Readable(make([]byte, 11))},
		{q.Readable(make([]byte, 12))},
		{q.Readable(make([]byte, 12+13))},
		{q.Writable(100)},
		{q.Readable(make([]byte, 12)), q.Readable(make([]byte, hostnet.MaxFrame+1))},
		{long, long, long, long},
	} {
		if n := q.Do(bufs...); n != 0 {
			t.Errorf("chain %d: %d bytes written", i, n)
		}
		if n := m.dev.Stats().TxErrs; n != uint64(i+1) {
			t.Errorf("chain %d: %d errors", i, n)
		}
	}
	q.Do(q.Readable(append(make([]byte, 12), frame(toAll, 60, 1)...)), q.Writable(5))
	if n := len(host.queues[0].taken()); n != 1 {
		t.Errorf("%d frames sent", n)
	}
	if m.why() != nil {
		t.Errorf("needs reset: %v", m.why())
	}
}

// TestTransmitHostile breaks the rules of the ring.
func TestTransmitHostile(t *testing.T) {
	host := newFakeHost(t, 1)
	m := start(t, Options{Backend: host}, form{}, 0)
	m.tx(0).Add(queuetest.Buffer{Addr: 1 << 40, Len: 100})
	m.tx(0).Kick()
	await.That(t, "the device needing a reset", func() bool { return m.why() != nil })
}

// TestTransmitFull has a host without room: frames wait, and do so across a
// pause, but not when the link goes down.
func TestTransmitFull(t *testing.T) {
	host := newFakeHost(t, 1)
	m := start(t, Options{Backend: host}, form{}, 0)
	q := m.tx(0)
	b := append(make([]byte, 12), frame(toAll, 60, 1)...)
	host.change(func() { host.full = true })
	q.Add(q.Readable(b))
	q.Add(q.Readable(b))
	q.Kick()
	host.queues[0].blocked(t)
	m.dev.Pause()
	for _, q := range m.dev.active.Load().queues {
		if n := q.InFlight(); n != 0 {
			t.Errorf("queue %d: %d chains in flight while paused", q.Index(), n)
		}
	}
	m.dev.Resume()
	host.queues[0].blocked(t)
	if _, ok := q.Used(); ok {
		t.Fatal("a frame was given up")
	}
	host.change(func() { host.full = false })
	q.Wait()
	q.Wait()
	if n := len(host.queues[0].taken()); n != 2 {
		t.Errorf("%d frames sent", n)
	}
	host.change(func() { host.full = true })
	q.Add(q.Readable(b))
	q.Kick()
	host.queues[0].blocked(t)
	must(t, m.dev.SetLink(false))
	q.Wait()
	if s := m.dev.Stats(); s.TxDrop != 1 {
		t.Errorf("stats %+v", s)
	}
}

// TestTransmitTimer sends in batches.
func TestTransmitTimer(t *testing.T) {
	for name, f := range forms {
		t.Run(name, func(t *testing.T) {
			host := newFakeHost(t, 1)
			m := start(t, Options{Backend: host, TxTimer: true, Packed: true}, f, 0)
			q := m.tx(0)
			b := append(make([]byte, 12), frame(toAll, 60, 1)...)
			for round := range 3 {
				q.Add(q.Readable(b))
				q.Kick()
				await.That(t, "the timer", func() bool { _, ok := m.clock.Next(); return ok })
				for range 19 {
					q.Add(q.Readable(b))
				}
				q.Kick()
				m.clock.Advance(TxDelay - 1)
				if n := len(host.queues[0].taken()); n != 0 {
					t.Fatalf("round %d: %d frames sent too early", round, n)
				}
				m.clock.Advance(1)
				for range 20 {
					q.Wait()
				}
				if n := len(host.queues[0].taken()); n != 20 {
					t.Errorf("round %d: %d frames sent", round, n)
				}
			}
			q.Add(q.Readable(b))
			q.Kick()
			m.dev.Pause() // must not wait for the timer
			m.dev.Resume()
			await.That(t, "the frame", func() bool {
				m.clock.Advance(TxDelay)
				return len(host.queues[0].taken()) == 1
			})
		})
	}
}
