package net

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/memory"
	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/tests/await"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

var testMAC = [6]byte{0x52, 0x54, 0, 1, 2, 3}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newMemory(t testing.TB, size uint64) *memory.Memory {
	t.Helper()
	mem, err := memory.New(memory.Config{Size: size})
	must(t, err)
	t.Cleanup(func() { must(t, mem.Close()) })
	return mem
}

// transport notes what the device tells its driver.
type transport struct {
	mu     sync.Mutex
	config int
	broken error
}

func (s *transport) ConfigChanged() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.config++
}

func (s *transport) changes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config
}

func (s *transport) NeedsReset(why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = why
	}
}

func (s *transport) why() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// machine is a device that runs, and its driver.
type machine struct {
	*transport
	t       testing.TB
	mem     *memory.Memory
	dev     *Device
	clock   *clock.Fake
	form    form
	feature virtio.Features
	queues  []*queuetest.Driver
}

// form is how a driver sets up its queues.
type form struct {
	queuetest.Options
	legacy bool
	absent []int // queues that it does not enable
}

// forms are the kinds of queue that a driver may negotiate.
var forms = map[string]form{
	"split":           {},
	"split, events":   {Options: queuetest.Options{EventIndex: true, Indirect: true}},
	"packed":          {Options: queuetest.Options{Packed: true}},
	"packed, events":  {Options: queuetest.Options{Packed: true, EventIndex: true, Indirect: true}},
	"split, in order": {Options: queuetest.Options{InOrder: true}},
}

// newPair makes the wire that the device under test is at one end of.
func newPair(t testing.TB, queues int) (device, peer *hostnet.Pair) {
	t.Helper()
	a, b, err := hostnet.NewPair(hostnet.PairOptions{Queues: queues})
	must(t, err)
	t.Cleanup(func() {
		must(t, a.Close())
		must(t, b.Close())
	})
	return a, b
}

// start makes a device and activates it.
func start(t testing.TB, o Options, f form, want virtio.Features) *machine {
	t.Helper()
	if _, ok := t.(fuzzing); !ok {
		await.NoGoroutines(t)
	}
	m := &machine{t: t, clock: &clock.Fake{}, mem: newMemory(t, 64<<20)}
	o.MAC = testMAC
	if o.Clock == nil {
		o.Clock = m.clock
	}
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	o.Memory = m.mem
	dev, err := New(o)
	must(t, err)
	m.dev = dev
	t.Cleanup(dev.Close)
	m.activate(f, want)
	return m
}

// activate does what transport and driver do between reset and DRIVER_OK.
func (m *machine) activate(f form, want virtio.Features) {
	m.t.Helper()
	m.transport, m.form = &transport{}, f
	m.feature = want & m.dev.Features()
	if !f.legacy {
		m.feature |= virtio.FeatureVersion1
	}
	m.queues = nil
	sizes := m.dev.QueueSizes()
	queues := make([]*queue.Queue, len(sizes))
	base := uint64(1 << 20)
	for i, size := range sizes {
		qo := f.Options
		qo.Index, qo.Base, qo.Room, qo.MaxSize = i, base, 6<<20, size
		if qo.Size == 0 || qo.Size > size {
			qo.Size = size
		}
		base += 7 << 20
		d := queuetest.New(m.t, m.mem, qo)
		m.queues = append(m.queues, d)
		if !slices.Contains(f.absent, i) {
			queues[i] = d.Start()
		}
	}
	m.t.Cleanup(m.dev.Reset) // before the queues are stopped
	must(m.t, m.dev.Activate(virtio.Activation{Features: m.feature, Queues: queues, Interrupts: m}))
}

// rests waits until no data queue is served.
func (m *machine) rests() {
	m.t.Helper()
	done := make(chan struct{})
	go func() { m.dev.active.Load().serving.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(await.Patience):
		m.t.Fatal("the device still serves its queues")
	}
}

func (m *machine) header() int { return headerSize(m.feature) }

func (m *machine) rx(pair int) *queuetest.Driver { return m.queues[2*pair] }
func (m *machine) tx(pair int) *queuetest.Driver { return m.queues[2*pair+1] }

// control sends a command and returns the answer.
func (m *machine) control(command uint16, data ...byte) byte {
	m.t.Helper()
	q := m.queues[len(m.queues)-1]
	if !m.feature.Has(FeatureMQ) {
		q = m.queues[2]
	}
	out := q.Readable(append([]byte{byte(command >> 8), byte(command)}, data...))
	ack := q.Writable(1)
	q.Bytes(ack)[0] = 0xEE
	if n := q.Do(out, ack); n != 1 {
		m.t.Errorf("command %#x: %d bytes written", command, n)
	}
	return q.Bytes(ack)[0]
}

// frame is an Ethernet frame of n bytes.
func frame(to string, n int, fill byte) []byte {
	b := bytes.Repeat([]byte{fill}, n)
	copy(b, to)
	copy(b[6:], "\x52\x54\x00\x00\x00\x01\x88\xb5")
	return b
}

const toAll = "\xff\xff\xff\xff\xff\xff"

// wait waits for an event of the peer.
func wait(q hostnet.Queue, event hostnet.Events) error {
	_, err := q.Wait(event, nil)
	return err
}

// send has the peer send a frame.
func send(t testing.TB, q hostnet.Queue, frame []byte) {
	t.Helper()
	f := [][]byte{make([]byte, hostnet.HeaderSize), frame}
	err := q.Send(f)
	for err == hostnet.ErrAgain {
		must(t, wait(q, hostnet.ToSend))
		err = q.Send(f)
	}
	must(t, err)
}

// receive waits for the peer to get a frame.
func receive(t testing.TB, q hostnet.Queue) []byte {
	t.Helper()
	type result struct {
		b   []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		buf := make([]byte, hostnet.HeaderSize+hostnet.MaxFrame)
		for {
			n, _, err := q.Receive([][]byte{buf})
			if err == hostnet.ErrAgain {
				if err = wait(q, hostnet.ToReceive); err == nil {
					continue
				}
			}
			if err != nil {
				done <- result{nil, err}
				return
			}
			done <- result{buf[hostnet.HeaderSize:n], nil}
			return
		}
	}()
	select {
	case r := <-done:
		must(t, r.err)
		return r.b
	case <-time.After(await.Patience):
		t.Fatal("the device sent nothing")
		return nil
	}
}

// got puts together the frame that a driver finds in its buffers.
func (m *machine) got(q *queuetest.Driver, posted map[uint16][]queuetest.Buffer) (h hostnet.Header, frame []byte) {
	m.t.Helper()
	take := func() []byte {
		u := q.Wait()
		var b []byte
		for _, buf := range posted[u.ID] {
			b = append(b, q.Bytes(buf)...)
		}
		delete(posted, u.ID)
		if int(u.Len) > len(b) {
			m.t.Fatalf("%d bytes written to a buffer of %d", u.Len, len(b))
		}
		return b[:u.Len]
	}
	all := slices.Clone(take())
	h, _ = hostnet.ParseHeader(all[:m.header()])
	for i := 1; i < int(h.NumBuffers); i++ {
		all = append(all, take()...)
	}
	return h, all[m.header():]
}

// post gives the device a receive buffer of the given parts.
func post(q *queuetest.Driver, posted map[uint16][]queuetest.Buffer, parts ...uint32) {
	var bufs []queuetest.Buffer
	for _, n := range parts {
		b := q.Writable(n)
		copy(q.Bytes(b), bytes.Repeat([]byte{0xEE}, int(n)))
		bufs = append(bufs, b)
	}
	posted[q.Add(bufs...)] = bufs
}

func le16(v uint16) []byte { return binary.LittleEndian.AppendUint16(nil, v) }
func le32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
func le64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }
