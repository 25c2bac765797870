package pci

import (
	"errors"
	"fmt"

	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
)

// Device status bits (section 2.1).
const (
	statusAcknowledge = 1 << 0
	statusDriver      = 1 << 1
	statusDriverOK    = 1 << 2
	statusFeaturesOK  = 1 << 3
	statusNeedsReset  = 1 << 6
	statusFailed      = 1 << 7

	// statusWritable are the bits that the driver sets.
	statusWritable = statusAcknowledge | statusDriver | statusDriverOK | statusFeaturesOK | statusFailed
)

// face is one of the two interfaces that a driver uses.
type face uint8

const (
	legacyInterface face = iota
	modernInterface
	faces
)

// status is the status register. mu is held.
func (f *Function) status() uint8 {
	if f.signals.isBroken() {
		return f.s.Status | statusNeedsReset
	}
	return f.s.Status
}

// setStatus takes the driver's write to the status register: 0 resets the
// device, anything else sets bits, which only a reset clears. mu is held.
func (f *Function) setStatus(v uint8, by face) {
	if v == 0 {
		f.reset()
		return
	}
	if lost := f.s.Status &^ v; lost != 0 {
		f.complain("clears status bits without a reset", -1, uint64(lost))
	}
	set := v & statusWritable &^ f.s.Status
	if by == legacyInterface {
		set &^= statusFeaturesOK
	}
	if set&statusFeaturesOK != 0 && !f.acceptFeatures() {
		set &^= statusFeaturesOK
	}
	f.s.Status |= set
	if set&statusFailed != 0 {
		f.complain("has given up on the device", -1, uint64(v))
	}
	if set&statusDriverOK != 0 {
		f.driverOK(by)
	}
}

// acceptFeatures reports whether the device can work with the features that a
// modern driver has chosen. mu is held.
func (f *Function) acceptFeatures() bool {
	want := f.s.DriverFeatures
	if f.s.Active {
		f.complain("negotiates by the modern interface with a device that runs already", -1, uint64(want))
		return false
	}
	switch unknown := want &^ (f.offered &^ legacyFeatures); {
	case unknown != 0:
		f.complain("wants features that it was not offered", -1, uint64(unknown))
	case f.s.FeaturesBeyond:
		f.complain("wants features beyond bit 63", -1, uint64(want))
	case !want.Has(virtio.FeatureVersion1):
		f.complain("uses the modern interface without VIRTIO_F_VERSION_1", -1, uint64(want))
	default:
		return true
	}
	return false
}

// driverOK starts the device, unless a legacy driver's first kick has done so.
// mu is held.
func (f *Function) driverOK(by face) {
	f.signals.setLive()
	switch {
	case f.s.Active || f.signals.isBroken():
	case by == modernInterface && f.s.Status&statusFeaturesOK == 0:
		f.signals.NeedsReset(errors.New("the driver sets DRIVER_OK before FEATURES_OK"))
	default:
		f.activate()
	}
}

// activate starts the device. mu is held.
func (f *Function) activate() {
	by := modernInterface
	if f.s.Status&statusFeaturesOK == 0 {
		by = legacyInterface
		// The modern interface's registers can have left anything here.
		f.s.DriverFeatures &= f.offered & legacyBits
		if err := f.startLegacyQueues(); err != nil {
			f.signals.NeedsReset(err)
			return
		}
	}
	queues := make([]*queue.Queue, len(f.queues))
	copy(queues, f.queues)
	err := f.device.Activate(virtio.Activation{
		Features: f.s.DriverFeatures, Queues: queues, Interrupts: &f.signals,
	})
	if err != nil {
		f.calls.close()
		f.signals.NeedsReset(fmt.Errorf("start of the device: %w", err))
		return
	}
	f.s.Active = true
	f.events.use(by)
	for i, q := range f.queues {
		if q != nil {
			f.serve(i)
		}
	}
}

// serve lets the driver reach the doorbell of a queue that the device serves. It
// rings once, for buffers that are there already. mu is held.
func (f *Function) serve(index int) {
	f.live[index].Store(f.bells[index])
	if f.attend == nil {
		f.events.bind(index)
	}
	f.bells[index].Ring()
}

// startLegacyQueues starts the queues of a legacy driver. Only now it has
// certainly written the features that they depend on. mu is held.
func (f *Function) startLegacyQueues() error {
	for i := range f.s.Queues {
		if !f.s.Queues[i].Ready {
			continue
		}
		if err := f.startQueue(i); err != nil {
			clear(f.queues)
			return err
		}
	}
	return nil
}

func (f *Function) startQueue(index int) error {
	q := &f.s.Queues[index]
	q.Packed = f.s.DriverFeatures.Has(virtio.FeaturePackedRing)
	q.EventIndex = f.s.DriverFeatures.Has(virtio.FeatureEventIndex)
	q.Indirect = f.s.DriverFeatures.Has(virtio.FeatureIndirect)
	q.InOrder = f.s.DriverFeatures.Has(virtio.FeatureInOrder)
	started, err := q.Start(f.memory, f.bells[index], &f.signals.queues[index])
	if err != nil {
		return err
	}
	f.queues[index] = started
	return nil
}

// selected is the queue that queue_select names, or nil. mu is held.
func (f *Function) selected() *queue.Config {
	if i := int(f.s.QueueSelect); i < len(f.s.Queues) {
		return &f.s.Queues[i]
	}
	return nil
}

// enableQueue takes a modern driver's write to queue_enable. mu is held.
func (f *Function) enableQueue(q *queue.Config, v uint16) {
	switch {
	case v != 1:
		f.complain("writes to queue_enable what is not 1", q.Index, uint64(v))
		return
	case q.Ready:
		f.complain("enables a queue twice", q.Index, uint64(v))
		return
	case f.signals.isBroken():
		f.complain("enables a queue of a device that needs a reset", q.Index, uint64(v))
		return
	case f.s.Status&statusFeaturesOK == 0:
		f.signals.NeedsReset(fmt.Errorf("the driver enables virtqueue %d before FEATURES_OK", q.Index))
		return
	case f.s.Status&statusDriverOK != 0 && !f.canResetQueues():
		f.signals.NeedsReset(fmt.Errorf("the driver enables virtqueue %d after DRIVER_OK", q.Index))
		return
	}
	q.Ready = true
	err := f.startQueue(q.Index)
	if err == nil && f.s.Active {
		err = f.device.(virtio.QueueResetter).EnableQueue(q.Index, f.queues[q.Index])
		if err == nil {
			f.serve(q.Index)
		}
	}
	if err != nil {
		f.queues[q.Index] = nil
		f.signals.NeedsReset(err)
	}
}

// canResetQueues reports whether VIRTIO_F_RING_RESET was negotiated. mu is held.
func (f *Function) canResetQueues() bool {
	return f.s.DriverFeatures.Has(virtio.FeatureRingReset)
}

// resetQueue takes a write to queue_reset (section 2.6.1). mu is held.
func (f *Function) resetQueue(q *queue.Config, v uint16) {
	if v != 1 || !q.Ready || f.s.Status&statusFeaturesOK == 0 || !f.canResetQueues() {
		f.complain("resets a queue where that is not possible", q.Index, uint64(v))
		return
	}
	f.live[q.Index].Store(nil)
	f.events.unbind(q.Index)
	if f.s.Active {
		f.device.(virtio.QueueResetter).ResetQueue(q.Index)
	}
	f.queues[q.Index] = nil
	q.Reset()
	f.signals.setQueueVector(q.Index, noVector)
	f.calls.follow(q.Index)
}

// reset stops the device and forgets what the driver has set up. mu is held.
func (f *Function) reset() {
	for i := range f.live {
		f.live[i].Store(nil)
	}
	f.events.unbindAll()
	if f.s.Active {
		f.device.Reset()
	}
	f.calls.close()
	clear(f.queues)
	queues := f.s.Queues
	for i := range queues {
		queues[i].Reset()
	}
	f.s = State{Queues: queues}
	f.signals.reset()
	if f.msix != nil {
		f.msix.Forget()
	}
}
