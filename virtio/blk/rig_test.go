package blk

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/blocktest"
	"github.com/govmm/govmm/memory"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// patience is how long a test waits before it fails.
const patience = 20 * time.Second

const diskSize = 1 << 20

// rig is a device with a driver for each of its queues.
type rig struct {
	tb      testing.TB
	mem     *memory.Memory
	disk    *blocktest.Memory
	faulty  *blocktest.Faulty
	device  *Device
	drivers []*queuetest.Driver
	*queuetest.Driver
	queues  []*queue.Queue
	signals signals
	errors  chan block.IOError
}

// signals records what the device says to the transport.
type signals struct {
	changed chan struct{}
	broken  chan error
}

func (s signals) ConfigChanged()       { s.changed <- struct{}{} }
func (s signals) NeedsReset(why error) { s.broken <- why }

// setup says what a rig is made of, beyond the device.
type setup struct {
	Options
	ring     queuetest.Options
	readOnly bool
	without  virtio.Features // not negotiated
	idle     bool            // not activated
}

// pattern fills a disk so that each sector has other bytes.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i>>9*7 + i)
	}
	return p
}

func newRig(tb testing.TB, s setup) *rig {
	tb.Helper()
	r := &rig{
		tb:      tb,
		signals: signals{make(chan struct{}, 16), make(chan error, 16)},
		errors:  make(chan block.IOError, 64),
	}
	o := s.Options
	if o.Backend == nil {
		r.disk = blocktest.NewMemory(pattern(diskSize), s.readOnly)
		r.faulty = blocktest.NewFaulty(r.disk)
		o.Backend = r.faulty
		tb.Cleanup(func() { r.must(r.faulty.Close()) })
	}
	if o.OnError == nil {
		o.OnError = func(e block.IOError) { r.errors <- e }
	}
	if s.ring.Size == 0 {
		s.ring.Size = 64
	}
	if o.QueueSize == 0 {
		o.QueueSize = s.ring.Size
	}
	if s.ring.Room == 0 {
		s.ring.Room = 4 << 20
	}
	var err error
	r.device, err = New(o)
	r.must(err)
	tb.Cleanup(r.device.Close)
	n := uint64(len(r.device.QueueSizes()))
	space := (s.ring.Room + 1<<20) &^ (memory.PageSize - 1)
	r.mem, err = memory.New(memory.Config{Size: n * space})
	r.must(err)
	tb.Cleanup(func() { r.must(r.mem.Close()) })
	tb.Cleanup(r.device.Close) // before its memory goes away
	for i := range n {
		ring := s.ring
		ring.Index, ring.Base = int(i), i*space
		r.drivers = append(r.drivers, queuetest.New(tb, r.mem, ring))
	}
	r.Driver = r.drivers[0]
	if !s.idle {
		r.activate(r.device.Features() &^ s.without)
	}
	return r
}

func (r *rig) activate(f virtio.Features) {
	r.tb.Helper()
	r.queues = nil
	for _, d := range r.drivers {
		r.queues = append(r.queues, d.Start())
	}
	r.must(r.device.Activate(virtio.Activation{Features: f, Queues: r.queues, Interrupts: r.signals}))
}

func (r *rig) must(err error) {
	if err != nil {
		r.tb.Helper()
		r.tb.Fatal(err)
	}
}

// header is that of a request.
func header(kind uint32, sector uint64) []byte {
	h := binary.LittleEndian.AppendUint32(nil, kind)
	h = binary.LittleEndian.AppendUint32(h, 0)
	return binary.LittleEndian.AppendUint64(h, sector)
}

// segment is one of a discard or write zeroes request.
func segment(sector uint64, count, flags uint32) []byte {
	s := binary.LittleEndian.AppendUint64(nil, sector)
	s = binary.LittleEndian.AppendUint32(s, count)
	return binary.LittleEndian.AppendUint32(s, flags)
}

// sent is a request that the device has.
type sent struct {
	id     uint16
	room   []queuetest.Buffer
	driver *queuetest.Driver
}

// unwritten is what the writable part is filled with.
const unwritten = 0xEE

// send makes a request available: a header, data, and room for an answer of n
// bytes and the status.
func (r *rig) send(kind uint32, sector uint64, data []byte, n int) sent {
	r.tb.Helper()
	bufs := []queuetest.Buffer{r.Readable(header(kind, sector))}
	if len(data) > 0 {
		bufs = append(bufs, r.Readable(data))
	}
	s := sent{driver: r.Driver}
	if n > 0 {
		s.room = append(s.room, r.Writable(uint32(n)))
	}
	s.room = append(s.room, r.Writable(1))
	r.fill(s.room)
	s.id = r.Add(append(bufs, s.room...)...)
	r.Kick()
	return s
}

func (r *rig) fill(bufs []queuetest.Buffer) {
	for _, b := range bufs {
		copy(r.Bytes(b), bytes.Repeat([]byte{unwritten}, int(b.Len)))
	}
}

// answer is what came back.
type answer struct {
	status byte
	data   []byte // without the status
	used   uint32
}

// wait waits for the next request to come back, which must be s.
func (r *rig) wait(s sent) answer {
	r.tb.Helper()
	u := s.driver.Wait()
	if u.ID != s.id {
		r.tb.Fatalf("request %d came back, not %d", u.ID, s.id)
	}
	return r.answer(s, u)
}

func (r *rig) answer(s sent, u queuetest.Used) answer {
	var all []byte
	for _, b := range s.room {
		all = append(all, r.Bytes(b)...)
	}
	return answer{all[len(all)-1], all[:len(all)-1], u.Len}
}

func (r *rig) do(kind uint32, sector uint64, data []byte, n int) answer {
	r.tb.Helper()
	return r.wait(r.send(kind, sector, data, n))
}

// expect does a request and checks its status and used length.
func (r *rig) expect(kind uint32, sector uint64, data []byte, n int, status byte, used uint32) answer {
	r.tb.Helper()
	a := r.do(kind, sector, data, n)
	if a.status != status || a.used != used {
		r.tb.Fatalf("request %d at sector %#x: status %d, %d bytes used; want %d, %d", kind, sector, a.status, a.used, status, used)
	}
	return a
}

// content is the disk's, read past the device.
func (r *rig) content(off int64, n int) []byte {
	r.tb.Helper()
	p := make([]byte, n)
	r.must(block.ReadAt(r.disk, p, off))
	return p
}

// await waits for something on a channel.
func await[T any](tb testing.TB, c <-chan T, what string) T {
	tb.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		tb.Fatal("waited too long for", what)
		panic("unreachable")
	}
}

// nothing fails if there is something on a channel.
func nothing[T any](tb testing.TB, c <-chan T, what string) {
	tb.Helper()
	select {
	case v := <-c:
		tb.Fatalf("unexpected %s: %v", what, v)
	default:
	}
}
