package console

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/govmm/govmm/chardev"
	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
)

// Feature bits (section 5.3.3).
const (
	FeatureSize           virtio.Features = 1 << 0
	FeatureMultiport      virtio.Features = 1 << 1
	FeatureEmergencyWrite virtio.Features = 1 << 2
)

const (
	// DefaultMaxPorts is Options.MaxPorts when that is 0, as in QEMU.
	DefaultMaxPorts = 31
	// LimitMaxPorts is the greatest Options.MaxPorts.
	LimitMaxPorts = 32

	// maxName is the length of the longest port name in bytes: udev makes a
	// file of it.
	maxName = 255

	dataQueueSize    = 128
	controlQueueSize = 32
)

// Port describes a port.
type Port struct {
	// ID is its number, less than Options.MaxPorts.
	ID uint32
	// Name is what the guest finds it by (/dev/virtio-ports/NAME), at most 255
	// bytes. No two ports have the same. "" is no name.
	Name string
	// Console makes it a terminal of the guest (/dev/hvcN).
	Console bool
	// Backend is the host end, which the port is attached to; nil is a
	// chardev.Null. Its owner closes it, after the device was reset for the
	// last time or the port removed.
	Backend chardev.Backend
}

// Options are what a console device is made of.
type Options struct {
	Name  string // the device in messages, for instance "virtio-serial0"
	Ports []Port
	// MaxPorts is how many ports there can be, from 1 to LimitMaxPorts, port 0
	// included. 0 is DefaultMaxPorts. With 1 there is no multiport operation.
	MaxPorts uint32
	// GuestOpen, when not nil, is told that the guest has opened or closed a
	// port. It must not block, and not call AddPort or RemovePort.
	GuestOpen func(port uint32, open bool)
	Log       *slog.Logger // nil discards
}

// Device is a console device. It implements virtio.Device.
type Device struct {
	name      string
	maxPorts  uint32
	guestOpen func(port uint32, open bool)
	log       *bus.GuestLog

	// life is held while the device starts or stops, or a port comes or goes.
	life sync.Mutex
	// mu guards what follows, and the part of a port that says so. It may be
	// held while a port's own lock is taken, but not while a goroutine is
	// waited for.
	mu      sync.Mutex
	ports   []*port // by number, nil where there is none
	standIn *port   // for port 0 when there is none
	run     *run    // nil while inactive
	message [messageSize + maxName]byte
}

var _ virtio.Device = (*Device)(nil)

// run is the device between an Activate and a Reset.
type run struct {
	features   virtio.Features
	interrupts virtio.Interrupts
	queues     []*queue.Queue
	stop       chan struct{} // closed by Reset
	goroutines sync.WaitGroup

	// Guarded by Device.mu.
	driverReady bool         // DEVICE_READY has come
	toDriver    *queue.Queue // control messages; nil without multiport, or after a violation
}

// New returns an inactive device, whose ports are attached to their back ends.
func New(o Options) (*Device, error) {
	if o.MaxPorts == 0 {
		o.MaxPorts = DefaultMaxPorts
	}
	if o.MaxPorts > LimitMaxPorts {
		return nil, fmt.Errorf("%s: %d ports are more than %d", o.Name, o.MaxPorts, LimitMaxPorts)
	}
	d := &Device{
		name: o.Name, maxPorts: o.MaxPorts, guestOpen: o.GuestOpen,
		log:   bus.NewGuestLog(o.Log, o.Name),
		ports: make([]*port, o.MaxPorts),
	}
	if d.guestOpen == nil {
		d.guestOpen = func(uint32, bool) {}
	}
	// All are checked before the first back end is attached for good.
	for _, p := range o.Ports {
		if err := d.check(p); err != nil {
			return nil, err
		}
		d.ports[p.ID] = d.newPort(p)
	}
	d.standIn = d.newPort(Port{})
	for _, p := range append([]*port{d.standIn}, d.ports...) {
		if p != nil {
			p.Backend.Attach(p)
		}
	}
	return d, nil
}

// AddPort adds a port, also while the guest runs. The number of a port that was
// removed is free again after the device's next reset.
func (d *Device) AddPort(o Port) error {
	d.life.Lock()
	defer d.life.Unlock()
	if err := d.check(o); err != nil {
		return err
	}
	p := d.newPort(o)
	p.Backend.Attach(p)
	d.update(func() {
		d.ports[p.ID] = p
		if r := d.run; r != nil && r.multiport() {
			p.start(r, false)
			if r.driverReady {
				p.need |= needAdd
			}
		}
	})
	return nil
}

// check reports why there cannot be such a port.
func (d *Device) check(o Port) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("%s: port %d: %s", d.name, o.ID, fmt.Sprintf(format, args...))
	}
	switch {
	case o.ID >= d.maxPorts:
		return fail("the device has ports 0 to %d", d.maxPorts-1)
	case d.ports[o.ID] != nil:
		return fail("the number is taken")
	case len(o.Name) > maxName:
		return fail("the name is %d bytes long, more than %d", len(o.Name), maxName)
	case strings.ContainsAny(o.Name, "/\x00"):
		return fail("the name %q contains a slash or a zero byte", o.Name)
	}
	for _, other := range d.ports {
		if other != nil && o.Name != "" && other.Name == o.Name {
			return fail("port %d has the name %q already", other.ID, o.Name)
		}
	}
	return nil
}

// RemovePort takes a port away from the guest. Output that the guest still sends
// is dropped; the back end is not used any more, and may be closed.
func (d *Device) RemovePort(id uint32) error {
	d.life.Lock()
	defer d.life.Unlock()
	p := d.port(id)
	if p == nil {
		return fmt.Errorf("%s: there is no port %d", d.name, id)
	}
	p.removed.Store(true)
	d.update(func() {
		p.need = 0
		if p.s.Announced {
			p.need = needRemove
		}
		if d.run == nil {
			d.ports[id] = nil
		}
	})
	d.setGuestOpen(p, false)
	p.OutputReady() // what waits for the back end need not any more
	return nil
}

// port returns a port, or nil.
func (d *Device) port(id uint32) *port {
	p := d.portOrRemoved(id)
	if p != nil && p.removed.Load() {
		return nil
	}
	return p
}

// portOrRemoved is port, but for ports that the driver may not know to be gone.
func (d *Device) portOrRemoved(id uint32) *port {
	d.mu.Lock()
	defer d.mu.Unlock()
	if id >= d.maxPorts {
		return nil
	}
	return d.ports[id]
}

// Type implements virtio.Device.
func (d *Device) Type() virtio.Type { return virtio.Console }

// Features implements virtio.Device.
func (d *Device) Features() virtio.Features {
	f := FeatureSize | FeatureEmergencyWrite | virtio.FeaturePackedRing | virtio.FeatureInOrder
	if d.maxPorts > 1 {
		f |= FeatureMultiport
	}
	return f
}

// Queues of the control messages (section 5.3.2).
const (
	controlReceive  = 2
	controlTransmit = 3
)

// queues are the indexes of a port's receive and transmit queues.
func queues(id uint32) (rx, tx int) {
	if id == 0 {
		return 0, 1
	}
	return int(2*id) + 2, int(2*id) + 3
}

// QueueSizes implements virtio.Device.
func (d *Device) QueueSizes() []uint16 {
	n := 2
	if d.maxPorts > 1 {
		n = 2 * (int(d.maxPorts) + 1)
	}
	sizes := make([]uint16, n)
	for i := range sizes {
		sizes[i] = dataQueueSize
		if i == controlReceive || i == controlTransmit {
			sizes[i] = controlQueueSize
		}
	}
	return sizes
}

// Activate implements virtio.Device. Each port takes two goroutines and their
// threads, which sleep on the doorbells.
func (d *Device) Activate(a virtio.Activation) error {
	r := &run{
		features: a.Features, interrupts: a.Interrupts, queues: a.Queues,
		stop: make(chan struct{}),
	}
	if r.multiport() && (a.Queues[controlReceive] == nil || a.Queues[controlTransmit] == nil) {
		return errors.New("the driver wants several ports and has not enabled the control queues")
	}
	d.life.Lock()
	defer d.life.Unlock()
	if d.startPorts(r); !r.multiport() {
		if p := d.port(0); p != nil {
			d.guestOpen(0, true)
		}
	}
	return nil
}

// startPorts begins to serve the queues.
func (d *Device) startPorts(r *run) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.run = r
	if !r.multiport() {
		p := d.ports[0]
		if p == nil {
			p = d.standIn
		}
		p.start(r, true)
		return
	}
	for _, p := range d.ports {
		if p != nil {
			p.start(r, false)
		}
	}
	d.startControl(r)
}

// Reset implements virtio.Device.
func (d *Device) Reset() {
	d.life.Lock()
	defer d.life.Unlock()
	d.mu.Lock()
	r := d.run
	if r == nil {
		d.mu.Unlock()
		return
	}
	d.run = nil
	d.mu.Unlock()

	close(r.stop)
	for _, q := range r.queues {
		if q != nil {
			q.Stop()
		}
	}
	r.goroutines.Wait()
	d.standIn.stop()
	for _, p := range d.ports {
		if p != nil {
			p.stop()
			d.setGuestOpen(p, false)
		}
	}

	d.mu.Lock()
	defer d.mu.Unlock()
	for i, p := range d.ports {
		switch {
		case p == nil:
		case p.removed.Load():
			d.ports[i] = nil
		default:
			p.s, p.need = portState{}, 0
		}
	}
}

func (r *run) multiport() bool { return r.features.Has(FeatureMultiport) }

// serve runs f on a goroutine; its error is the end of the device.
func (r *run) serve(f func() error) {
	r.goroutines.Go(func() {
		if err := f(); err != nil {
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
