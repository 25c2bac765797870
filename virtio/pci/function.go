package pci

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/irq"
	"github.com/govmm/govmm/devices/pci"
	"github.com/govmm/govmm/memory"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
)

// maxQueues is the number of doorbells that fit in the notification region.
const maxQueues = regionSize / notifyMultiplier

var _ pci.Function = (*Function)(nil)

// Options says what a Function is made of.
type Options struct {
	Name   string // for messages: the device as the machine calls it
	Device virtio.Device
	Memory *memory.Memory
	// MSI takes the messages of MSI-X.
	MSI irq.MSI
	// Vectors makes the interrupts of a device that lives in the kernel. nil:
	// no such device gets one.
	Vectors irq.Vectors
	// IOEvents binds doorbells. nil: they all go by way of the handlers.
	IOEvents IOEvents
	// MSIXVectors is the size of the MSI-X table, up to 2048. 0 stands for a
	// vector for each queue and one for the configuration; a negative number
	// leaves MSI-X out.
	MSIXVectors int
	// NoLegacy and NoModern leave out one of the interfaces.
	NoLegacy, NoModern bool
	// Withhold are features that the driver is not offered.
	Withhold virtio.Features
	Log      *slog.Logger // nil discards
}

// Function is a virtio device on a PCI bus. It is a pci.Function.
type Function struct {
	*pci.Config
	device  virtio.Device
	attend  virtio.Attender // the device, or nil
	memory  *memory.Memory
	log     *bus.GuestLog
	msix    *pci.MSIX // nil without
	window  uint8     // register of the configuration access capability, or 0
	offered virtio.Features
	modern  bool

	signals signals
	calls   calls
	events  ioEvents

	bells []*queue.Doorbell
	// live are the doorbells of the queues that the device serves. The write
	// handlers take no lock.
	live []atomic.Pointer[queue.Doorbell]

	// mu serialises the calls of the device, too. What a device calls while it
	// is being reset, the interrupts, must not take it.
	mu     sync.Mutex
	s      State
	queues []*queue.Queue // started, but a legacy driver's only while active
}

// State is all there is to know about a Function beside its configuration
// space, its MSI-X table and its interrupts.
type State struct {
	Status              uint8 // what the driver has written
	DeviceFeatureSelect uint32
	DriverFeatureSelect uint32
	DriverFeatures      virtio.Features
	FeaturesBeyond      bool // the driver wants features beyond bit 63
	QueueSelect         uint16
	Active              bool // the device runs
	Queues              []queue.Config
}

// New returns the function that shows a device, which it owns from then on.
// The caller ends it by Close.
func New(o Options) (*Function, error) {
	f, err := build(o)
	if err != nil {
		return nil, fmt.Errorf("virtio %s: %w", o.Name, err)
	}
	return f, nil
}

func build(o Options) (*Function, error) {
	id := identify(o.Device.Type())
	device, subsystem, revision, err := o.ids(id)
	if err != nil {
		return nil, err
	}
	sizes := o.Device.QueueSizes()
	if len(sizes) > maxQueues {
		return nil, fmt.Errorf("%d queues are more than %d", len(sizes), maxQueues)
	}
	config, err := pci.NewConfig(pci.Header{
		Name: o.Name, Vendor: vendorRedHat, Device: device, Revision: revision,
		SubsystemVendor: vendorRedHat, Subsystem: subsystem,
		Class: id.class, InterruptPin: 1,
	})
	if err != nil {
		return nil, err
	}
	f := &Function{
		Config: config, device: o.Device, memory: o.Memory,
		log:    bus.NewGuestLog(o.Log, o.Name),
		modern: !o.NoModern,
		queues: make([]*queue.Queue, len(sizes)),
		live:   make([]atomic.Pointer[queue.Doorbell], len(sizes)),
	}
	if a, ok := o.Device.(virtio.Attender); ok && a.Attends() {
		f.attend = a
	}
	f.offered = offer(o.Device, f.modern) &^ o.Withhold
	f.s.Queues = make([]queue.Config, len(sizes))
	for i, size := range sizes {
		f.s.Queues[i] = queue.Config{Index: i, MaxSize: size, Size: size}
	}
	if err := f.addRegisters(o, id); err != nil {
		return nil, err
	}
	f.signals.init(f, len(sizes))
	f.calls = calls{f: f, vectors: o.Vectors, calls: make([]*call, len(sizes))}
	return f, f.addDoorbells(o.IOEvents)
}

// legacyBits are the features that a legacy driver can see.
const legacyBits virtio.Features = 1<<32 - 1

// offer is the set of features that the driver can choose from.
func offer(d virtio.Device, modern bool) virtio.Features {
	offered := d.Features()&^virtio.FeatureRingReset |
		virtio.FeatureIndirect | virtio.FeatureEventIndex | virtio.FeatureAnyLayout | virtio.FeatureVersion1
	if _, ok := d.(virtio.QueueResetter); ok {
		offered |= virtio.FeatureRingReset
	}
	if !modern {
		offered &= legacyBits
	}
	return offered
}

// addRegisters adds the BARs and the capabilities.
func (f *Function) addRegisters(o Options, id identity) error {
	if f.modern {
		if err := f.addModern(); err != nil {
			return err
		}
	}
	vectors := o.MSIXVectors
	if vectors == 0 {
		vectors = len(f.queues) + 1
	}
	if vectors > 0 {
		msix, err := f.Config.AddMSIXBAR(msixBAR, vectors, o.MSI, o.Log)
		if err != nil {
			return err
		}
		f.msix = msix
	}
	if o.NoLegacy {
		return nil
	}
	return f.AddBAR(pci.BAR{
		Index: legacyBAR, Kind: pci.IO, Size: id.legacySize, Handler: legacy{f},
		Moved: func(base uint64, mapped bool) { f.events.moved(legacyInterface, base, mapped) },
	})
}

// addDoorbells makes a doorbell for each queue.
func (f *Function) addDoorbells(io IOEvents) error {
	fds := make([]int, len(f.queues))
	for i := range f.queues {
		bell, err := queue.NewDoorbell()
		if err != nil {
			f.closeDoorbells()
			return err
		}
		f.bells = append(f.bells, bell)
		fds[i] = bell.FD()
	}
	f.events.init(io, f.log, fds)
	return nil
}

func (f *Function) closeDoorbells() {
	for _, bell := range f.bells {
		_ = bell.Close() // nobody waits for it, and there is nothing to flush
	}
}

// State returns a copy of the state.
func (f *Function) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.s
	s.Queues = slices.Clone(s.Queues)
	return s
}

// Close stops the device and releases what the function holds of the host. The
// function must not be on a bus any more, or the vCPUs must have ended.
func (f *Function) Close() error {
	f.Reset()
	f.closeDoorbells()
	return nil
}

// Reset returns the function to its state after power-on.
func (f *Function) Reset() {
	f.mu.Lock()
	f.reset()
	f.mu.Unlock()
	f.Config.Reset()
	f.signals.refresh()
}

// WriteConfig takes the guest's write to the configuration space.
func (f *Function) WriteConfig(reg uint8, data []byte) {
	f.Config.WriteConfig(reg, data)
	f.signals.refresh() // MSI-X may have been enabled or disabled
	if f.windowHit(reg, data) {
		f.writeWindow()
	}
}

// ReadConfig answers the guest's read of the configuration space.
func (f *Function) ReadConfig(reg uint8, data []byte) {
	if f.windowHit(reg, data) {
		f.readWindow()
	}
	f.Config.ReadConfig(reg, data)
}

// complain logs a write that has no effect, or not the whole one. queue is -1
// where it is about none.
func (f *Function) complain(what string, queue int, value uint64) {
	if !f.log.Allow() {
		return
	}
	log := f.log.Logger
	if queue >= 0 {
		log = log.With("queue", queue)
	}
	log.Warn("the virtio driver "+what, "value", fmt.Sprintf("%#x", value))
}
