// Package virtio holds what all virtio devices and transports share: device
// types, feature bits, and the contract between a device and its transport
// (Virtual I/O Device specification 1.3, sections 2 and 3).
//
// A transport (package virtio/pci) negotiates with the guest's driver. When the
// driver says DRIVER_OK it activates the Device with the queues, features and
// interrupts that were agreed. The device then serves each queue from a
// goroutine of its own, which sleeps on the queue's doorbell, until Reset.
package virtio

import "github.com/govmm/govmm/virtio/queue"

// Type is a virtio device type (specification, section 5).
type Type uint16

// Device types.
const (
	Network Type = 1
	Block   Type = 2
	Console Type = 3
	Entropy Type = 4
	Balloon Type = 5
)

// Features is a set of feature bits (specification, section 2.2).
type Features uint64

// Feature bits that are not a device's own (specification, section 6).
const (
	FeatureNotifyOnEmpty Features = 1 << 24 // legacy
	FeatureAnyLayout     Features = 1 << 27 // legacy
	FeatureIndirect      Features = 1 << 28
	FeatureEventIndex    Features = 1 << 29
	FeatureVersion1      Features = 1 << 32
	FeaturePackedRing    Features = 1 << 34
	FeatureInOrder       Features = 1 << 35
	FeatureRingReset     Features = 1 << 40
)

// Has reports whether all bits of f are in the set.
func (s Features) Has(f Features) bool { return s&f == f }

// Device is the part of a virtio device that does not depend on the transport.
//
// The transport serialises its calls, except that ReadConfig may come at any
// time. No method may block for long: they run on vCPU threads.
type Device interface {
	// Type is the device type.
	Type() Type
	// Features are the device's own feature bits, and those of section 6 that
	// it allows beyond what the transport offers for every device.
	Features() Features
	// QueueSizes are the greatest sizes of its queues; their number is fixed.
	QueueSizes() []uint16
	// ReadConfig fills data from the device configuration space. Bytes beyond
	// its end read 0.
	ReadConfig(offset uint64, data []byte)
	// WriteConfig takes the driver's write to it.
	WriteConfig(offset uint64, data []byte)
	// Activate starts the device. An error leaves it inactive and makes the
	// transport set DEVICE_NEEDS_RESET.
	Activate(a Activation) error
	// Reset stops the device. When it returns, nothing of it touches guest
	// memory any more. Resetting an inactive device does nothing.
	Reset()
}

// QueueResetter is a device that lets the driver reset one queue of an active
// device and enable it again (VIRTIO_F_RING_RESET).
type QueueResetter interface {
	ResetQueue(index int)
	EnableQueue(index int, q *queue.Queue) error
}

// Attender is a device that can serve a queue on the thread of the vCPU that
// rings its doorbell. Where the work is short, that costs less than waking
// another thread, and the vCPU finds it done when it goes on.
type Attender interface {
	// Attends reports whether the device wants to. If so, the doorbells of its
	// queues come to Attend and are not signalled by the kernel. It does not
	// change.
	Attends() bool
	// Attend serves a queue for a short time. It is false when there is more to
	// do, or a goroutine serves the queue already: then the doorbell has to
	// ring as well. It may be called by several vCPUs at a time, and while the
	// device is being reset; the transport holds no lock.
	Attend(queue int) (served bool)
}

// Activation is what a device and its driver have agreed on.
type Activation struct {
	// Features are the negotiated features, a subset of what was offered.
	Features Features
	// Queues has an element for each queue of the device, nil where the driver
	// did not enable it.
	Queues []*queue.Queue
	// Interrupts tell the driver what is not a used buffer.
	Interrupts Interrupts
}

// Interrupts are what a device tells its driver and its log apart from used
// buffers, which go through the queue.
type Interrupts interface {
	// ConfigChanged tells the driver that the configuration space has changed.
	ConfigChanged()
	// NeedsReset marks the device broken (DEVICE_NEEDS_RESET), because of what
	// the driver did or of a failure of its own, and logs why. It may be called
	// by the goroutine that serves a queue, which then stops serving.
	NeedsReset(why error)
}
