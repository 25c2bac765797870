package net

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/memory"
	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/net/vhost"
	"github.com/govmm/govmm/virtio"
)

// Sizes of the queues, in descriptors. Legacy drivers cannot choose.
const (
	dataQueueSize    = 256
	controlQueueSize = 64
)

// minMTU is the smallest MTU of the specification, in bytes.
const minMTU = 68

// Options describe a NIC.
type Options struct {
	Name string // the device in log messages, for instance "net0"

	// MAC is the NIC's address, which is not a group address.
	MAC [6]byte
	// MTU in bytes, 68 to 65535, that the driver is told to use. 0 tells it
	// nothing.
	MTU int
	// Speed in Mbit/s, up to 2^31-1, that the driver is told, full duplex. 0
	// tells it nothing.
	Speed uint32
	// QueuePairs is how many pairs the driver may use, up to those that the
	// Backend has. 0 stands for 1.
	QueuePairs int
	// Packed offers packed virtqueues (VIRTIO_F_RING_PACKED). vhost has none.
	Packed bool
	// Withhold are features that no driver is offered, although they could be:
	// of Withholdable. What depends on them is not offered either.
	Withhold virtio.Features

	// Backend is the host end. The caller closes it, after the device.
	Backend hostnet.Backend
	// Vhost, if not nil, serves the data queues, whose host ends must have a
	// file descriptor. It was opened for QueuePairs at least. The caller closes
	// it, after the device.
	Vhost *vhost.Net
	// Memory is the guest's. Only vhost needs it here.
	Memory *memory.Memory

	// TxTimer sends frames in batches (<driver txmode="timer">): not when the
	// driver notifies the device, but TxDelay later. It has no effect on vhost.
	TxTimer bool
	// Clock times that, and the patience with a driver that gives too few
	// buffers. It is required.
	Clock clock.Clock

	Log *slog.Logger // nil discards
}

// Device is a virtio network device. It is a virtio.Device.
type Device struct {
	name    string
	backend hostnet.Backend
	vhost   *vhost.Net
	regions []vhost.Region
	pairs   int
	address address // that it was made with
	mtu     int
	speed   uint32
	txTimer bool
	offered virtio.Features
	clock   clock.Clock
	timers  []pairTimers
	log     *bus.GuestLog

	mac          station
	disconnected atomic.Bool // by SetLink
	hostLink     hostLink
	announcing   atomic.Bool // the driver has been asked to
	counters     counters
	active       atomic.Pointer[run] // nil while inactive

	// mu serialises the calls that start and stop queues. It is held while
	// these wait for the goroutines that serve them.
	mu     sync.Mutex
	paused bool
}

var _ virtio.Device = (*Device)(nil)

// New makes a NIC. The back end's OnLink function is the device's from then on,
// until Close.
func New(o Options) (*Device, error) {
	d, err := build(o)
	if err != nil {
		return nil, fmt.Errorf("virtio net %s: %w", o.Name, err)
	}
	return d, nil
}

func build(o Options) (*Device, error) {
	if o.QueuePairs == 0 {
		o.QueuePairs = 1
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	d := &Device{
		name: o.Name, backend: o.Backend, vhost: o.Vhost, pairs: o.QueuePairs, address: addressOf(o.MAC[:]),
		mtu: o.MTU, speed: o.Speed, txTimer: o.TxTimer, offered: o.features(), clock: o.Clock,
		log: bus.NewGuestLog(o.Log, o.Name),
	}
	if o.Vhost != nil {
		regions, err := vhostRegions(o.Memory)
		if err != nil {
			return nil, err
		}
		d.regions = regions
	}
	d.mac.Store(d.address)
	d.timers = make([]pairTimers, o.QueuePairs)
	for i := range d.timers {
		d.timers[i].init(d, i)
	}
	o.Backend.OnLink(func(bool) {
		d.hostLink.refresh(d.backend)
		d.linkChanged()
	})
	d.hostLink.refresh(d.backend)
	return d, nil
}

func (o *Options) check() error {
	switch {
	case o.Backend == nil:
		return errors.New("no back end")
	case o.Clock == nil:
		return errors.New("no clock")
	case o.MAC[0]&1 != 0:
		return fmt.Errorf("the MAC address %x is a group address", o.MAC)
	case o.MTU != 0 && (o.MTU < minMTU || o.MTU > math.MaxUint16):
		return fmt.Errorf("an MTU of %d bytes is not between %d and %d", o.MTU, minMTU, math.MaxUint16)
	case o.Speed > maxSpeed:
		return fmt.Errorf("a speed of %d Mbit/s is greater than %d", o.Speed, maxSpeed)
	case o.QueuePairs < 1 || o.QueuePairs > o.Backend.Queues():
		return fmt.Errorf("%d queue pairs are not between 1 and the %d of the back end", o.QueuePairs, o.Backend.Queues())
	case o.Withhold&^Withholdable != 0:
		return fmt.Errorf("the features %#x cannot be withheld", uint64(o.Withhold&^Withholdable))
	case o.Vhost == nil:
		return nil
	case o.Memory == nil:
		return errors.New("vhost needs the guest's memory")
	}
	for i := range o.QueuePairs {
		if o.Backend.Queue(i).FD() < 0 {
			return errors.New("vhost needs a back end with a file descriptor, such as a tap")
		}
	}
	return nil
}

// features are what the driver is offered.
func (o *Options) features() virtio.Features {
	f := withhold(alwaysOffered|featuresFor(o.Backend.Offloads()), o.Withhold)
	if o.MTU != 0 {
		f |= FeatureMTU
	}
	if o.Speed != 0 {
		f |= FeatureSpeedDuplex
	}
	if o.QueuePairs > 1 {
		f |= FeatureMQ
	}
	if o.Packed {
		f |= virtio.FeaturePackedRing
	}
	if o.Vhost != nil {
		f = virtio.Features(o.Vhost.Filter(uint64(f)))
	}
	return f
}

// Close resets the device and lets go of the back end.
func (d *Device) Close() {
	d.backend.OnLink(nil)
	d.Reset()
}

// Type implements virtio.Device.
func (d *Device) Type() virtio.Type { return virtio.Network }

// Features implements virtio.Device.
func (d *Device) Features() virtio.Features { return d.offered }

// QueueSizes implements virtio.Device: receive and transmit queue of each pair,
// and the control queue. A driver without VIRTIO_NET_F_MQ finds the control
// queue behind the first pair (section 5.1.2).
func (d *Device) QueueSizes() []uint16 {
	sizes := make([]uint16, 2*d.pairs+1)
	for i := range sizes {
		sizes[i] = dataQueueSize
	}
	sizes[2*d.pairs] = controlQueueSize
	return sizes
}

// Activate implements virtio.Device.
func (d *Device) Activate(a virtio.Activation) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.configure(headerSize(a.Features), guestOffloads(a.Features)); err != nil {
		if d.backend.Link() {
			return fmt.Errorf("virtio net %s: %w", d.name, err)
		}
		// As when a cable is pulled: it is no reason for the guest not to boot.
		d.log.Warn("the network interface has no network", "error", err)
	}
	r := newRun(d, a)
	d.active.Store(r)
	if d.paused {
		return nil
	}
	if err := r.start(); err != nil {
		d.deactivate(r)
		return fmt.Errorf("virtio net %s: %w", d.name, err)
	}
	return nil
}

// configure sets up the host end for a driver.
func (d *Device) configure(header int, guest hostnet.Offload) error {
	if err := d.backend.SetHeaderSize(header); err != nil {
		return err
	}
	if err := d.backend.SetOffloads(guest); err != nil {
		return err
	}
	return d.backend.SetQueues(1)
}

// Reset implements virtio.Device. The address and the filter are as at first
// afterwards.
func (d *Device) Reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r := d.active.Load(); r != nil {
		r.stop()
		d.deactivate(r)
	}
}

// deactivate forgets a run that has been stopped. mu is held.
func (d *Device) deactivate(r *run) {
	d.active.Store(nil)
	for _, q := range r.queues {
		q.Stop()
	}
	d.mac.Store(d.address)
	d.tellFilter(&filter{station: d.address, promiscuous: true})
	d.announcing.Store(false)
	// No frame is to wait in the host that the next driver cannot take.
	if err := d.configure(hostnet.HeaderSize, 0); err != nil && d.backend.Link() {
		d.log.Error("cannot reset the network interface", "error", err)
	}
}

// Pause stops all traffic. The queues then have a queue.State. A device may be
// paused before it is active.
func (d *Device) Pause() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.paused {
		return
	}
	d.paused = true
	if r := d.active.Load(); r != nil {
		r.stop()
	}
}

// Resume goes on after Pause.
func (d *Device) Resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.paused {
		return
	}
	d.paused = false
	if r := d.active.Load(); r != nil {
		if err := r.start(); err != nil {
			r.fail(err)
		}
	}
}

// setMAC changes the device's own address.
func (d *Device) setMAC(a address) {
	d.mac.Store(a)
	if r := d.active.Load(); r != nil {
		r.changeFilter(func(f *filter) { f.station = a })
	}
}
