package balloon

import (
	"encoding/binary"
	"slices"
	"sync"
	"testing"

	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/memory"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

func newMemory(t testing.TB, size uint64) *memory.Memory {
	t.Helper()
	mem, err := memory.New(memory.Config{Size: size})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := mem.Close(); err != nil {
			t.Error(err)
		}
	})
	return mem
}

// guest is the machine around a balloon, and its driver.
type guest struct {
	t     testing.TB
	dev   *Device
	mem   *memory.Memory
	clock *clock.Fake
	form  queuetest.Options
	q     []*queuetest.Driver // by index, nil where not set up

	mu      sync.Mutex
	config  int
	broken  error
	actuals []uint64
}

func (g *guest) ConfigChanged() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.config++
}

func (g *guest) NeedsReset(why error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.broken == nil {
		g.broken = why
	}
}

func (g *guest) why() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.broken
}

func (g *guest) configChanges() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.config
}

func (g *guest) changes() []uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.actuals)
}

// ramSize is the memory of most tests. Their queues lie at its start.
const ramSize = 64 << 20

// newGuest makes a balloon, which does not run.
func newGuest(t testing.TB, form queuetest.Options, o Options) *guest {
	t.Helper()
	if o.Memory == nil {
		o.Memory = newMemory(t, ramSize)
	}
	g := &guest{t: t, form: form, mem: o.Memory, clock: &clock.Fake{}}
	o.Name, o.Clock = "balloon", g.clock
	o.Changed = func(actual uint64) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.actuals = append(g.actuals, actual)
	}
	dev, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	g.dev = dev
	t.Cleanup(dev.Reset)
	return g
}

// activate starts the device with the given queues beside inflate and deflate.
func (g *guest) activate(f virtio.Features, more ...int) {
	g.t.Helper()
	sizes := g.dev.QueueSizes()
	g.q = make([]*queuetest.Driver, len(sizes))
	queues := make([]*queue.Queue, len(sizes))
	for _, i := range append([]int{inflateQueue, deflateQueue}, more...) {
		o := g.form
		o.Index, o.Size, o.Room = i, sizes[i], 1<<20
		o.Base = uint64(i) * (2 << 20)
		g.q[i] = queuetest.New(g.t, g.mem, o)
		queues[i] = g.q[i].Start()
	}
	if err := g.dev.Activate(virtio.Activation{Features: f, Queues: queues, Interrupts: g}); err != nil {
		g.t.Fatal(err)
	}
}

// list is an array of page frame numbers.
func list(pages ...uint32) []byte {
	var b []byte
	for _, p := range pages {
		b = binary.LittleEndian.AppendUint32(b, p)
	}
	return b
}

// count is the page frame numbers from first on.
func count(first uint32, n int) []uint32 {
	pages := make([]uint32, n)
	for i := range pages {
		pages[i] = first + uint32(i)
	}
	return pages
}

// fill makes the host provide memory, which is then not zero.
func (g *guest) fill(gpa, n uint64) {
	g.t.Helper()
	b, err := g.mem.Slice(gpa, n)
	if err != nil {
		g.t.Fatal(err)
	}
	for i := range b {
		b[i] = 0xaa
	}
}

// at is a byte of memory.
func (g *guest) at(gpa uint64) byte {
	g.t.Helper()
	v, err := g.mem.Load8(gpa)
	if err != nil {
		g.t.Fatal(err)
	}
	return v
}

func (g *guest) resident() uint64 {
	g.t.Helper()
	n, err := g.mem.Resident()
	if err != nil {
		g.t.Fatal(err)
	}
	return n
}

// watchDiscards notes what the device discards. It is for before activate.
func (g *guest) watchDiscards() *discards {
	d := &discards{discard: g.dev.ram.discard}
	g.dev.ram.discard = d.note
	return d
}

type discards struct {
	discard func(gpa, n uint64) error
	mu      sync.Mutex
	list    [][2]uint64 // address and length, in bytes
}

func (d *discards) note(gpa, n uint64) error {
	d.mu.Lock()
	d.list = append(d.list, [2]uint64{gpa, n})
	d.mu.Unlock()
	return d.discard(gpa, n)
}

func (d *discards) take() [][2]uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := d.list
	d.list = nil
	return list
}

// forms are the kinds of queue that a driver may negotiate.
var forms = map[string]queuetest.Options{
	"split":            {},
	"split, events":    {EventIndex: true, Indirect: true},
	"packed":           {Packed: true},
	"packed, events":   {Packed: true, EventIndex: true, Indirect: true},
	"packed, in order": {Packed: true, EventIndex: true, InOrder: true},
	"split, in order":  {InOrder: true},
}
