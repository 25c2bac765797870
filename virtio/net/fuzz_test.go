package net

import (
	"log/slog"
	"testing"

	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/tests/await"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// fuzzing lets one device serve all calls of a fuzz target. The fuzzer has
// goroutines of its own, and does not like Helper to be called.
type fuzzing struct{ *testing.F }

func (fuzzing) Helper() {}

// FuzzControl has a driver send any command. It is answered, and the device
// goes on.
func FuzzControl(f *testing.F) {
	for _, seed := range []string{
		"\x00\x00\x01", "\x01\x00\x01\x00\x00\x00RTRTRT\x00\x00\x00\x00", "\x01\x00\xff\xff\xff\xff",
		"\x01\x01RTRTRT", "\x02\x00\x07\x00", "\x03\x00", "\x04\x00\x02\x00", "\x05\x00\x02\x00\x00\x00\x00\x00\x00\x00",
	} {
		f.Add([]byte(seed), uint8(3))
	}
	host := newFakeHost(fuzzing{f}, 2)
	m := start(fuzzing{f}, Options{Backend: host, QueuePairs: 2, Log: slog.New(slog.DiscardHandler)}, form{}, allControl)
	q := m.queues[4]
	buf, ack := q.Writable(4096), q.Writable(1)
	f.Fuzz(func(t *testing.T, data []byte, cut uint8) {
		n := copy(q.Bytes(buf), data)
		var bufs []queuetest.Buffer
		if k := min(int(cut), n); k > 0 {
			bufs = append(bufs, queuetest.Buffer{Addr: buf.Addr, Len: uint32(k)})
			n -= k
		}
		if n > 0 {
			bufs = append(bufs, queuetest.Buffer{Addr: buf.Addr + uint64(min(int(cut), len(data))), Len: uint32(n)})
		}
		q.Bytes(ack)[0] = 0xEE
		if written := q.Do(append(bufs, ack)...); written != 1 || q.Bytes(ack)[0] > ackErr {
			t.Errorf("%d bytes written, answer %d", written, q.Bytes(ack)[0])
		}
		if _, enabled, o := host.state(); enabled < 1 || enabled > 2 || o&^(hostnet.Csum|hostnet.TSO4) != 0 {
			t.Errorf("%d pairs, offloads %v", enabled, o)
		}
		fl := m.dev.active.Load().filter.Load()
		if len(fl.unicast) > maxTable || len(fl.multicast) > maxTable || fl.station&group != 0 {
			t.Errorf("filter %+v", fl)
		}
	})
}

// FuzzTransmit has a driver send any header and frame. What gets to the host
// makes sense.
func FuzzTransmit(f *testing.F) {
	f.Add(append(make([]byte, 12), frame(toAll, 60, 1)...), uint8(12))
	f.Add(append([]byte{1, 1, 54, 0, 50, 0, 34, 0, 16, 0, 0, 0}, frame(toAll, 100, 1)...), uint8(3))
	f.Add([]byte{1, 0x84}, uint8(0))
	host := newFakeHost(fuzzing{f}, 1)
	m := start(fuzzing{f}, Options{Backend: host, Log: slog.New(slog.DiscardHandler)}, form{}, allHost)
	q := m.tx(0)
	buf := q.Writable(70000)
	f.Fuzz(func(t *testing.T, data []byte, cut uint8) {
		n := copy(q.Bytes(buf), data)
		if n == 0 {
			return // a driver cannot make an empty buffer
		}
		bufs := []queuetest.Buffer{{Addr: buf.Addr, Len: uint32(n)}}
		if k := uint32(cut); k > 0 && int(k) < n {
			bufs = []queuetest.Buffer{{Addr: buf.Addr, Len: k}, {Addr: buf.Addr + uint64(k), Len: uint32(n) - k}}
		}
		if written := q.Do(bufs...); written != 0 {
			t.Errorf("%d bytes written", written)
		}
		for _, b := range host.queues[0].taken() {
			h, _ := hostnet.ParseHeader(b[:12])
			size := len(b) - 12
			if size < hostnet.MinFrame || size > hostnet.MaxFrame || h.Flags&^hostnet.HeaderNeedsCsum != 0 || int(h.HdrLen) > size {
				t.Errorf("a frame of %d bytes with header %+v", size, h)
			}
			if h.Flags != 0 && int(h.CsumStart)+int(h.CsumOffset)+2 > size {
				t.Errorf("a checksum outside of %d bytes: %+v", size, h)
			}
			if h.GSOType != 0 && (h.GSOSize == 0 || h.Flags == 0) {
				t.Errorf("segments: %+v", h)
			}
		}
	})
}

// FuzzReceive has any frame arrive in buffers of any size.
func FuzzReceive(f *testing.F) {
	f.Add(frame(toAll, 60, 1), uint16(12), uint16(100), true)
	f.Add(frame(toAll, 3000, 1), uint16(1526), uint16(0), true)
	f.Add(frame(toAll, 100, 1), uint16(20), uint16(200), false)
	f.Fuzz(func(t *testing.T, data []byte, first, second uint16, mergeable bool) {
		if len(data) < hostnet.MinFrame || len(data) > 5000 {
			return
		}
		features := FeatureMrgRxbuf
		if !mergeable {
			features = 0
		}
		host := newFakeHost(t, 1)
		m := start(t, Options{Backend: host}, form{}, features)
		q, posted := m.rx(0), map[uint16][]queuetest.Buffer{}
		room := 12 + max(int(first), 1) + int(second)
		parts := []uint32{12, uint32(max(first, 1))}
		if second > 0 {
			parts = append(parts, uint32(second))
		}
		chains := 1
		if mergeable {
			chains = (12 + len(data) + room - 1) / room
		}
		if chains*len(parts) > dataQueueSize || chains*room > 4<<20 {
			return
		}
		for range chains {
			post(q, posted, parts...)
		}
		q.Kick()
		host.queues[0].put(append(make([]byte, 12), data...))
		if !mergeable && room < 12+len(data) {
			await.That(t, "the frame dropped", func() bool { return m.dev.Stats().RxErrs == 1 })
			return
		}
		if h, got := m.got(q, posted); string(got) != string(data) || int(h.NumBuffers) != chains {
			t.Errorf("%d bytes in %d buffers, want %d in %d", len(got), h.NumBuffers, len(data), chains)
		}
	})
}
