// Package balloon is the traditional virtio memory balloon (Virtual I/O Device
// specification 1.3, section 5.5): the guest gives memory back to the host,
// because the host asks for it (inflation), or because it has memory that is
// free (free page reporting); and it tells the host how it uses its memory.
//
// Pages that are given back are discarded at once and read as zero when the
// guest uses them again. Only the machine's RAM can be given back.
//
// # Queue numbers
//
// The specification gives each queue a number of its own, and says that some
// queues exist only with their feature. There are two readings of that: a
// driver either skips the numbers of queues that do not exist, or counts them
// out. Linux and QEMU count them out. Both kinds of driver are served: free
// page hinting is never offered, so that whatever queue a driver enables after
// those it must have is the reporting queue.
//
// Left out: VIRTIO_BALLOON_F_FREE_PAGE_HINT, which serves migration;
// VIRTIO_F_RING_RESET; big-endian legacy drivers.
package balloon

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/memory"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
)

// Feature bits (section 5.5.3).
const (
	FeatureMustTellHost virtio.Features = 1 << 0
	FeatureStats        virtio.Features = 1 << 1
	FeatureDeflateOnOOM virtio.Features = 1 << 2
	FeaturePagePoison   virtio.Features = 1 << 4
	FeatureReporting    virtio.Features = 1 << 5
)

// Queues (section 5.5.2). See the package comment on the last ones.
const (
	inflateQueue = iota
	deflateQueue
	statsQueue
	hintQueue
	reportingQueue
	queueCount
)

// queueSize is that of QEMU.
const queueSize = 128

// Options are what a balloon is made of.
type Options struct {
	Name   string         // the device in messages, for instance "balloon0"
	Memory *memory.Memory // the machine's; required
	Clock  clock.Clock    // times the statistics; required

	// Target is what SetTarget sets, in bytes; 0 is all of the RAM.
	Target uint64
	// DeflateOnOOM lets the guest take memory back when it has no other.
	DeflateOnOOM bool
	// MustTellHost makes the guest ask before it uses memory again. The device
	// has no need of that; it is for a host that has, and costs the guest time.
	MustTellHost bool
	// FreePageReporting lets the guest give back memory that is free now.
	FreePageReporting bool
	// StatsInterval is what SetStatsInterval sets.
	StatsInterval time.Duration

	// Changed, when not nil, is told what Actual is whenever it changes. It
	// runs on vCPU threads and must not block.
	Changed func(actual uint64)
	Log     *slog.Logger // nil discards
}

// Device is a memory balloon. It implements virtio.Device.
type Device struct {
	name     string
	ram      ram
	clock    clock.Clock
	log      *bus.GuestLog
	features virtio.Features
	changed  func(actual uint64)
	stats    stats

	mu     sync.Mutex
	config config
	run    *run // nil while inactive
}

var _ virtio.Device = (*Device)(nil)

// run is the device between an Activate and a Reset.
type run struct {
	d          *Device
	features   virtio.Features
	interrupts virtio.Interrupts
	queues     []*queue.Queue
	stop       chan struct{} // closed by Reset
	goroutines sync.WaitGroup
	pages      pageList // of the inflate queue's goroutine
}

// New returns an inactive device.
func New(o Options) (*Device, error) {
	d := &Device{
		name: o.Name, clock: o.Clock, changed: o.Changed,
		log:      bus.NewGuestLog(o.Log, o.Name),
		features: FeatureStats | virtio.FeaturePackedRing | virtio.FeatureInOrder,
	}
	if d.changed == nil {
		d.changed = func(uint64) {}
	}
	if o.DeflateOnOOM {
		d.features |= FeatureDeflateOnOOM
	}
	if o.MustTellHost {
		d.features |= FeatureMustTellHost
	}
	if o.FreePageReporting {
		// A guest whose free pages hold a pattern must be able to say so.
		d.features |= FeatureReporting | FeaturePagePoison
	}
	if err := d.ram.init(o.Memory); err != nil {
		return nil, fmt.Errorf("%s: %w", o.Name, err)
	}
	if o.Target == 0 {
		o.Target = d.ram.size
	}
	if err := d.SetTarget(o.Target); err != nil {
		return nil, err
	}
	d.stats.init(o.Clock)
	return d, d.SetStatsInterval(o.StatsInterval)
}

// Type implements virtio.Device.
func (d *Device) Type() virtio.Type { return virtio.Balloon }

// Features implements virtio.Device.
func (d *Device) Features() virtio.Features { return d.features }

// QueueSizes implements virtio.Device.
func (d *Device) QueueSizes() []uint16 {
	n := statsQueue + 1
	if d.features.Has(FeatureReporting) {
		n = queueCount
	}
	sizes := make([]uint16, n)
	for i := range sizes {
		sizes[i] = queueSize
	}
	return sizes
}

// Activate implements virtio.Device.
func (d *Device) Activate(a virtio.Activation) error {
	if a.Queues[inflateQueue] == nil || a.Queues[deflateQueue] == nil {
		return errors.New("the driver has not enabled the balloon's inflate and deflate queues")
	}
	r := &run{
		d: d, features: a.Features, interrupts: a.Interrupts, queues: a.Queues,
		stop: make(chan struct{}),
	}
	d.mu.Lock()
	d.run = r
	d.mu.Unlock()
	r.serve(a.Queues[inflateQueue], r.inflate)
	r.serve(a.Queues[deflateQueue], r.deflate)
	if q := a.Queues[statsQueue]; q != nil && a.Features.Has(FeatureStats) {
		d.stats.start(q)
		r.serve(q, d.stats.receive)
	}
	if q := r.reportingQueue(); q != nil {
		r.serve(q, r.report)
	}
	return nil
}

// reportingQueue finds the queue on which the driver reports free pages, or
// nil.
func (r *run) reportingQueue() *queue.Queue {
	if !r.features.Has(FeatureReporting) {
		return nil
	}
	first := hintQueue
	if !r.features.Has(FeatureStats) {
		first = statsQueue
	}
	for i := reportingQueue; i >= first; i-- {
		if q := r.queues[i]; q != nil {
			return q
		}
	}
	return nil
}

// serve gives the chains of a queue to f. Its error is the end of the device.
func (r *run) serve(q *queue.Queue, f func(q *queue.Queue, c *queue.Chain) error) {
	r.goroutines.Go(func() {
		err := queue.Serve(q, func(c *queue.Chain) error { return f(q, c) })
		if err != nil {
			r.interrupts.NeedsReset(err)
		}
	})
}

func (r *run) stopped() bool {
	select {
	case <-r.stop:
		return true
	default:
		return false
	}
}

// Reset implements virtio.Device. What was in the balloon is the guest's again.
func (d *Device) Reset() {
	d.mu.Lock()
	r := d.run
	d.run = nil
	d.mu.Unlock()
	if r != nil {
		close(r.stop)
		for _, q := range r.queues {
			if q != nil {
				q.Stop()
			}
		}
		r.goroutines.Wait()
		d.stats.stop()
	}
	d.mu.Lock()
	changed := d.config.reset()
	d.mu.Unlock()
	if changed {
		d.changed(d.ram.size)
	}
}
