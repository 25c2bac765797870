package blk

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
)

// Feature bits (section 5.2.3).
const (
	FeatureSegMax      virtio.Features = 1 << 2
	FeatureGeometry    virtio.Features = 1 << 4
	FeatureRO          virtio.Features = 1 << 5
	FeatureBlkSize     virtio.Features = 1 << 6
	FeatureFlush       virtio.Features = 1 << 9
	FeatureTopology    virtio.Features = 1 << 10
	FeatureConfigWCE   virtio.Features = 1 << 11
	FeatureMQ          virtio.Features = 1 << 12
	FeatureDiscard     virtio.Features = 1 << 13
	FeatureWriteZeroes virtio.Features = 1 << 14
)

// Limits of Options.
const (
	DefaultQueueSize = 256
	MinQueueSize     = 4
	MaxQueueSize     = 1024
	MaxQueues        = 256
	// SerialLength is how many bytes of the serial number the driver can read.
	SerialLength = 20
)

// Options describe a disk.
type Options struct {
	// Backend is the host end. The caller closes it, after the device.
	Backend block.Backend
	// Serial is what VIRTIO_BLK_T_GET_ID answers; bytes beyond SerialLength are
	// cut off.
	Serial string
	// Queues is the number of request queues, one for each vCPU being best.
	// 0 stands for 1, the most is MaxQueues.
	Queues int
	// QueueSize is the greatest size of each, a power of 2 from MinQueueSize to
	// MaxQueueSize. 0 stands for DefaultQueueSize.
	QueueSize uint16
	// BlockSize is the logical block size in bytes that the driver is shown, a
	// power of 2 from 512 to 64 KiB. 0 stands for 512, which is what the
	// partition table of most images counts in.
	BlockSize int
	// PhysicalBlockSize is the unit in bytes in which the driver is told the disk
	// writes, a power of 2 from BlockSize to 16 MiB. 0 stands for the back end's.
	PhysicalBlockSize int
	// Packed offers packed virtqueues (VIRTIO_F_RING_PACKED).
	Packed bool

	ErrorPolicy block.ErrorPolicy
	// OnError is told of each request that the host's disk has failed, whatever
	// the policy says; the guest can cause any number of calls. It is called in
	// the middle of I/O: it must neither block nor call the Device. When
	// IOError.Action is StopOnError, whoever it tells stops the vCPUs, calls Pause, and
	// later Resume. Required for policies that stop.
	OnError func(e block.IOError)

	// Log takes what the machine's owner should know. Nil discards it.
	Log *slog.Logger
}

// Device is a virtio block device. It is a virtio.Device and a
// virtio.QueueResetter.
type Device struct {
	backend   block.Backend
	topology  block.Topology
	serial    [SerialLength]byte
	queues    int
	queueSize uint16
	blockSize int
	packed    bool
	readOnly  bool
	policy    block.ErrorPolicy
	onError   func(block.IOError)
	log       *slog.Logger

	capacity   atomic.Int64 // bytes
	cache      cacheMode
	interrupts atomic.Pointer[virtio.Interrupts] // of the last activation
	counters   []counters                        // by queue

	// halted keeps the queues from being served, from when a request was kept
	// until Resume.
	halted atomic.Bool

	// mu serialises the calls that start and stop queues. It is held while
	// these wait for the disk.
	mu       sync.Mutex
	paused   bool
	features virtio.Features
	active   []*requestQueue // by queue, nil where there is none

	// attends is whether requests are short enough for vCPUs' threads. They
	// find the active queues without a lock.
	attends  bool
	attended []atomic.Pointer[requestQueue]
}

var (
	_ virtio.Device        = (*Device)(nil)
	_ virtio.QueueResetter = (*Device)(nil)
	_ virtio.Attender      = (*Device)(nil)
)

// New makes a disk. The back end's OnResize function is the device's from then
// on, until Close.
func New(o Options) (*Device, error) {
	if o.Backend == nil {
		return nil, errors.New("virtio disk: no back end")
	}
	if o.Queues == 0 {
		o.Queues = 1
	}
	if o.QueueSize == 0 {
		o.QueueSize = DefaultQueueSize
	}
	if o.BlockSize == 0 {
		o.BlockSize = block.SectorSize
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("virtio disk: %w", err)
	}
	d := &Device{
		backend: o.Backend, topology: o.Backend.Topology(),
		queues: o.Queues, queueSize: o.QueueSize, blockSize: o.BlockSize,
		packed: o.Packed, readOnly: o.Backend.ReadOnly(),
		policy: o.ErrorPolicy, onError: o.OnError, log: o.Log,
		counters: make([]counters, o.Queues),
		active:   make([]*requestQueue, o.Queues),
		attended: make([]atomic.Pointer[requestQueue], o.Queues),
	}
	if b, ok := o.Backend.(block.Briefer); ok {
		d.attends = b.Brief()
	}
	if o.PhysicalBlockSize != 0 {
		d.topology.PhysicalBlockSize = o.PhysicalBlockSize
	}
	copy(d.serial[:], o.Serial)
	d.cache.init(o.Backend, o.Log)
	d.capacity.Store(o.Backend.Size())
	o.Backend.OnResize(func(int64) { d.Resized() })
	d.Resized() // in case it was just before
	return d, nil
}

func (o *Options) check() error {
	powerOf2 := func(n int) bool { return n&(n-1) == 0 }
	switch size := int(o.QueueSize); {
	case o.Queues < 1 || o.Queues > MaxQueues:
		return fmt.Errorf("%d queues: a disk has from 1 to %d", o.Queues, MaxQueues)
	case size < MinQueueSize || size > MaxQueueSize || !powerOf2(size):
		return fmt.Errorf("queue size %d is not a power of 2 from %d to %d", size, MinQueueSize, MaxQueueSize)
	case o.BlockSize < block.SectorSize || o.BlockSize > maxBlockSize || !powerOf2(o.BlockSize):
		return fmt.Errorf("block size %d is not a power of 2 from %d to %d", o.BlockSize, block.SectorSize, maxBlockSize)
	case o.PhysicalBlockSize != 0 && (o.PhysicalBlockSize < o.BlockSize || o.PhysicalBlockSize > maxPhysicalBlock || !powerOf2(o.PhysicalBlockSize)):
		return fmt.Errorf("physical block size %d is not a power of 2 from %d to %d", o.PhysicalBlockSize, o.BlockSize, maxPhysicalBlock)
	case !o.ErrorPolicy.Known():
		return fmt.Errorf("unknown error policy %d", o.ErrorPolicy)
	case o.OnError == nil && o.ErrorPolicy.Stops():
		return fmt.Errorf("error policy %v needs somebody who stops the machine (OnError)", o.ErrorPolicy)
	}
	return nil
}

// The largest logical and physical block sizes, in bytes.
const (
	maxBlockSize     = 64 << 10
	maxPhysicalBlock = 16 << 20
)

// Close resets the device and lets go of the back end.
func (d *Device) Close() {
	d.backend.OnResize(nil)
	d.Reset()
}

// Type implements virtio.Device.
func (d *Device) Type() virtio.Type { return virtio.Block }

// Features implements virtio.Device.
func (d *Device) Features() virtio.Features {
	f := FeatureSegMax | FeatureGeometry | FeatureBlkSize | FeatureTopology | FeatureFlush | FeatureConfigWCE
	if d.readOnly {
		f |= FeatureRO
	} else {
		f |= FeatureDiscard | FeatureWriteZeroes
	}
	if d.queues > 1 {
		f |= FeatureMQ
	}
	if d.packed {
		f |= virtio.FeaturePackedRing
	}
	return f
}

// QueueSizes implements virtio.Device.
func (d *Device) QueueSizes() []uint16 {
	sizes := make([]uint16, d.queues)
	for i := range sizes {
		sizes[i] = d.queueSize
	}
	return sizes
}

// Activate implements virtio.Device.
func (d *Device) Activate(a virtio.Activation) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.features = a.Features
	d.interrupts.Store(&a.Interrupts)
	d.cache.negotiated(a.Features)
	for i, q := range a.Queues {
		if q == nil {
			continue
		}
		if err := d.enable(i, q); err != nil {
			d.disable(d.active)
			return err
		}
	}
	return nil
}

// Reset implements virtio.Device. It waits for the host's disk to do what is in
// flight. Requests that were kept are forgotten.
func (d *Device) Reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.disable(d.active)
	d.halted.Store(false)
	d.features = 0
	d.cache.reset()
}

// EnableQueue implements virtio.QueueResetter.
func (d *Device) EnableQueue(index int, q *queue.Queue) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.enable(index, q)
}

// ResetQueue implements virtio.QueueResetter. It waits as Reset does.
func (d *Device) ResetQueue(index int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.disable(d.active[index : index+1])
}

// Attends implements virtio.Attender.
func (d *Device) Attends() bool { return d.attends }

// Attend implements virtio.Attender.
func (d *Device) Attend(index int) bool {
	r := d.attended[index].Load()
	return r != nil && r.attend()
}

// enable starts a queue. mu is held.
func (d *Device) enable(index int, q *queue.Queue) error {
	r, err := newRequestQueue(d, index, q)
	if err != nil {
		return err
	}
	d.active[index] = r
	if d.paused {
		q.Pause()
	} else {
		r.start()
	}
	d.attended[index].Store(r)
	return nil
}

// disable stops queues for good and removes them. mu is held.
func (d *Device) disable(queues []*requestQueue) {
	for _, r := range queues {
		if r != nil {
			d.attended[r.queue.Index()].Store(nil)
			r.queue.Stop()
		}
	}
	for i, r := range queues {
		if r == nil {
			continue
		}
		r.wait()
		if err := r.disk.Close(); err != nil {
			d.log.Error("cannot close a queue of the disk", "queue", r.queue.Index(), "error", err)
		}
		queues[i] = nil
	}
}

// Pause stops the serving of requests, and waits for the host's disk to do what
// is in flight. What fails meanwhile and is kept by the error policy is done
// again after Resume. A device may be paused before it is active.
func (d *Device) Pause() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.paused = true
	for _, r := range d.active {
		if r != nil {
			r.queue.Pause()
		}
	}
	for _, r := range d.active {
		if r != nil {
			r.wait()
			r.disk.Drain()
		}
	}
}

// Resume goes on after Pause: first with the requests that were kept, in the
// order in which the driver sent them. It may also be called without Pause, to
// have these done again.
func (d *Device) Resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.halted.Store(false)
	for _, r := range d.active {
		switch {
		case r == nil:
		case d.paused:
			r.queue.Resume()
			r.start()
		default:
			r.queue.Doorbell().Ring()
		}
	}
	d.paused = false
}

// Kept is how many requests wait for Resume because of a failure of the host's
// disk.
func (d *Device) Kept() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, r := range d.active {
		if r != nil {
			n += r.kept()
		}
	}
	return n
}

// Resized tells the driver of the disk's new size, if it has one. The back end
// calls it.
func (d *Device) Resized() {
	size := d.backend.Size()
	if d.capacity.Swap(size) == size {
		return
	}
	if i := d.interrupts.Load(); i != nil {
		(*i).ConfigChanged()
	}
}
