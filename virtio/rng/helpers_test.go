package rng

import (
	"sync"
	"testing"

	"github.com/govmm/govmm/memory"
	"github.com/govmm/govmm/tests/await"
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
	*queuetest.Driver
	dev *Device
	transport
}

// start activates a device with a queue of the given form.
func start(t testing.TB, o Options, form queuetest.Options) *machine {
	t.Helper()
	await.NoGoroutines(t)
	dev, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{dev: dev}
	form.Size = dev.QueueSizes()[0]
	m.Driver = queuetest.New(t, newMemory(t, 16<<20), form)
	q := m.Driver.Start()
	t.Cleanup(dev.Reset)
	if err := dev.Activate(virtio.Activation{Queues: []*queue.Queue{q}, Interrupts: m}); err != nil {
		t.Fatal(err)
	}
	return m
}

// forms are the kinds of queue that a driver may negotiate.
var forms = map[string]queuetest.Options{
	"split":              {},
	"split, events":      {EventIndex: true, Indirect: true},
	"packed":             {Packed: true},
	"packed, events":     {Packed: true, EventIndex: true, Indirect: true},
	"packed, in order":   {Packed: true, EventIndex: true, InOrder: true},
	"split, in order":    {InOrder: true, Indirect: true},
	"split, large rings": {Base: 1 << 20, Room: 8 << 20},
}
