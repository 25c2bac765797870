// Package queuetest is the driver's side of virtqueues, for tests of queues and
// of virtio devices: an honest driver that lays out rings in guest memory,
// split or packed, direct or indirect, with flags or event indexes (Virtual I/O
// Device specification 1.3, sections 2.7 and 2.8).
package queuetest

import (
	"testing"
	"time"

	"github.com/govmm/govmm/memory"
	"github.com/govmm/govmm/virtio/queue"
)

// patience is how long a driver waits for its device before the test fails.
const patience = 20 * time.Second

// Options describe a queue and where it lies.
type Options struct {
	Index int
	Size  uint16
	// MaxSize is what the device allows; 0 means Size.
	MaxSize uint16
	Packed, EventIndex,
	Indirect, InOrder bool
	// Base is where in guest memory the rings begin, a multiple of 4096. Buffers
	// follow them, and after these Room bytes, by default 1 MiB, are not used.
	Base, Room uint64
}

// Buffer is an element of a request, in guest memory. The device may read it,
// or with Write write to it.
type Buffer struct {
	Addr  uint64
	Len   uint32
	Write bool
}

// Used is what the device says of a request that it has done with.
type Used struct {
	ID  uint16 // as Add returned it
	Len uint32 // bytes written
}

// Driver drives one queue. It is for one goroutine.
type Driver struct {
	tb      testing.TB
	timeout *time.Timer // of Wait
	mem     *memory.Memory
	o       Options
	config  queue.Config
	ring    ring
	alloc   uint64 // next free address
	end     uint64
	tables  map[uint16]uint64 // indirect tables to use again
	line    Line
	bell    *queue.Doorbell
}

// ring is one of the two forms of a queue.
type ring interface {
	// add writes a request for publish to make available. It returns false
	// when there is no room.
	add(bufs []Buffer, indirect bool) (id uint16, ok bool)
	// publish reports whether the device wants to be notified.
	publish() bool
	used() (Used, bool)
	// interrupts asks for an interrupt at the next used buffer, or for none.
	interrupts(on bool)
}

// New lays out a queue in memory. Whatever goes wrong fails the test.
func New(tb testing.TB, mem *memory.Memory, o Options) *Driver {
	tb.Helper()
	if o.MaxSize == 0 {
		o.MaxSize = o.Size
	}
	if o.Room == 0 {
		o.Room = 1 << 20
	}
	d := &Driver{tb: tb, mem: mem, o: o, tables: map[uint16]uint64{}, line: NewLine(), timeout: time.NewTimer(patience)}
	d.config = queue.Config{
		Index: o.Index, MaxSize: o.MaxSize, Size: o.Size, Ready: true,
		Packed: o.Packed, EventIndex: o.EventIndex, Indirect: o.Indirect, InOrder: o.InOrder,
		Desc: o.Base,
	}
	c := &d.config
	if o.Packed {
		c.Driver = c.Desc + 16*uint64(o.Size)
		c.Device = c.Driver + 4
		d.alloc = c.Device + 4
	} else {
		c.Driver, c.Device = queue.LegacyLayout(c.Desc, o.Size)
		d.alloc = c.Device + 6 + 8*uint64(o.Size)
	}
	d.end = d.alloc + o.Room
	d.must(mem.Zero(o.Base, d.alloc-o.Base))
	if o.Packed {
		d.ring = newPacked(d)
	} else {
		d.ring = newSplit(d)
	}
	return d
}

// Config is the queue as a transport has it when the driver has set it up.
func (d *Driver) Config() queue.Config { return d.config }

// Start starts the queue with a doorbell and an interrupt line of its own. Both
// are closed with the test.
func (d *Driver) Start() *queue.Queue {
	d.tb.Helper()
	bell, err := queue.NewDoorbell()
	d.must(err)
	q, err := d.config.Start(d.mem, bell, d.line)
	d.must(err)
	d.Attach(bell, d.line)
	d.tb.Cleanup(func() {
		q.Stop()
		d.must(bell.Close())
	})
	return q
}

// Attach sets the doorbell that Kick rings and the line that Wait waits for,
// when the queue was not started by Start.
func (d *Driver) Attach(bell *queue.Doorbell, line Line) { d.bell, d.line = bell, line }

// Line is the interrupt line of the queue.
func (d *Driver) Line() Line { return d.line }

// Alloc takes n bytes of guest memory for buffers. They are not given back.
func (d *Driver) Alloc(n uint32) uint64 {
	d.tb.Helper()
	addr := d.alloc
	d.alloc += uint64(n)
	if d.alloc > d.end {
		d.tb.Fatalf("queuetest: no room for %d bytes", n)
	}
	return addr
}

// Readable is a buffer with the data, in newly taken memory.
func (d *Driver) Readable(data []byte) Buffer {
	d.tb.Helper()
	addr := d.Alloc(uint32(len(data)))
	d.must(d.mem.WriteAt(data, addr))
	return Buffer{Addr: addr, Len: uint32(len(data))}
}

// Writable is a buffer for an answer of n bytes, in newly taken memory.
func (d *Driver) Writable(n uint32) Buffer {
	d.tb.Helper()
	return Buffer{Addr: d.Alloc(n), Len: n, Write: true}
}

// Bytes is the memory of a buffer.
func (d *Driver) Bytes(b Buffer) []byte {
	d.tb.Helper()
	p, err := d.mem.Slice(b.Addr, uint64(b.Len))
	d.must(err)
	return p
}

// Add writes a request, readable buffers first, for Publish or Kick to make
// available, and returns its id.
func (d *Driver) Add(bufs ...Buffer) uint16 { return d.add(bufs, false) }

// AddIndirect is Add by way of an indirect table.
func (d *Driver) AddIndirect(bufs ...Buffer) uint16 { return d.add(bufs, true) }

func (d *Driver) add(bufs []Buffer, indirect bool) uint16 {
	d.tb.Helper()
	id, ok := d.TryAdd(indirect, bufs...)
	if !ok {
		d.tb.Fatal("queuetest: the ring is full")
	}
	return id
}

// TryAdd is Add or AddIndirect, but for a full ring, when it returns false.
func (d *Driver) TryAdd(indirect bool, bufs ...Buffer) (id uint16, ok bool) {
	d.tb.Helper()
	return d.ring.add(bufs, indirect)
}

// Publish makes available what was added, and reports whether the device wants
// to be notified of it.
func (d *Driver) Publish() bool { return d.ring.publish() }

// Kick is Publish, and rings the doorbell if the device wants that.
func (d *Driver) Kick() {
	if d.Publish() {
		d.bell.Ring()
	}
}

// Used returns the next used request. It returns false when there is none.
func (d *Driver) Used() (Used, bool) { return d.ring.used() }

// EnableInterrupts asks for an interrupt at the next used buffer.
func (d *Driver) EnableInterrupts() { d.ring.interrupts(true) }

// DisableInterrupts asks for none.
func (d *Driver) DisableInterrupts() { d.ring.interrupts(false) }

// Wait waits for the next used request, by interrupt.
func (d *Driver) Wait() Used {
	d.tb.Helper()
	d.timeout.Reset(patience)
	defer d.timeout.Stop()
	for {
		// Asking first and looking afterwards leaves no gap.
		d.EnableInterrupts()
		if u, ok := d.Used(); ok {
			return u
		}
		select {
		case <-d.line:
		case <-d.timeout.C:
			d.tb.Fatal("queuetest: the device used no buffer and raised no interrupt")
		}
	}
}

// Do sends one request, waits until the device has done with it, and returns
// how many bytes were written.
func (d *Driver) Do(bufs ...Buffer) uint32 {
	d.tb.Helper()
	id := d.Add(bufs...)
	d.Kick()
	u := d.Wait()
	if u.ID != id {
		d.tb.Fatalf("queuetest: the device used request %d, not %d", u.ID, id)
	}
	return u.Len
}

// table returns the memory for the indirect table of a request.
func (d *Driver) table(id uint16) uint64 {
	addr, ok := d.tables[id]
	if !ok {
		addr = d.Alloc(16 * uint32(d.o.MaxSize))
		d.tables[id] = addr
	}
	return addr
}

func (d *Driver) must(err error) {
	if err != nil {
		d.tb.Helper()
		d.tb.Fatalf("queuetest: %v", err)
	}
}

func (d *Driver) load16(gpa uint64) uint16 {
	v, err := d.mem.AtomicLoad16(gpa)
	d.must(err)
	return v
}

func (d *Driver) store16(gpa uint64, v uint16) { d.must(d.mem.AtomicStore16(gpa, v)) }

// Descriptor writes a descriptor at gpa; tag is next (split) or the buffer id
// (packed). Hostile tests write their own with it.
func (d *Driver) Descriptor(gpa uint64, b Buffer, flags, tag uint16) {
	if b.Write {
		flags |= flagWrite
	}
	d.must(d.mem.Store64(gpa, b.Addr))
	d.must(d.mem.Store32(gpa+8, b.Len))
	first, second := tag, flags
	if !d.o.Packed {
		first, second = flags, tag
	}
	d.must(d.mem.Store16(gpa+12, first))
	d.store16(gpa+14, second)
}

// Flags of descriptors.
const (
	flagNext     = 1 << 0
	flagWrite    = 1 << 1
	flagIndirect = 1 << 2
	flagAvail    = 1 << 7
	flagUsed     = 1 << 15
)

// Line is an interrupt line that a test can wait for.
type Line chan struct{}

// NewLine makes one.
func NewLine() Line { return make(Line, 1) }

// Interrupt implements queue.Interrupter. Interrupts that nobody has waited for
// are one.
func (l Line) Interrupt() {
	select {
	case l <- struct{}{}:
	default:
	}
}

// Raised takes an interrupt, and reports whether there was one.
func (l Line) Raised() bool {
	select {
	case <-l:
		return true
	default:
		return false
	}
}
