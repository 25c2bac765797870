package pci

import (
	"slices"
	"sync"

	"github.com/govmm/govmm/devices/pci"
)

// ISR status bits (section 4.1.4.5).
const (
	isrQueue  = 1 << 0
	isrConfig = 1 << 1
)

const noVector = pci.NoVector

// signals are the ways in which the device speaks to the driver: the interrupts,
// and the registers that go with them. They have a lock of their own, because
// the goroutines that serve the queues get here while a vCPU that resets the
// device waits for them.
type signals struct {
	f      *Function
	queues []queueSignal

	// mu is held while the INTx pin is set, to keep the changes in order.
	mu sync.Mutex
	s  SignalState
}

// SignalState is all there is to know about a Function's interrupts, beside
// the MSI-X table.
type SignalState struct {
	ISR          uint8
	Generation   uint8 // of the device configuration
	Live         bool  // the driver has set DRIVER_OK
	Broken       bool  // DEVICE_NEEDS_RESET
	ConfigVector uint16
	QueueVectors []uint16
}

// queueSignal is the interrupt of one queue.
type queueSignal struct {
	signals *signals
	index   int
}

// Interrupt tells the driver of used buffers.
func (q *queueSignal) Interrupt() { q.signals.interrupt(isrQueue, q.index) }

// CallFD returns an eventfd that is this interrupt, for a device that lives in
// the kernel. It stays the device's until its Reset has returned.
func (q *queueSignal) CallFD() (int, error) { return q.signals.f.calls.open(q.index) }

func (s *signals) init(f *Function, queues int) {
	s.f = f
	s.queues = make([]queueSignal, queues)
	for i := range s.queues {
		s.queues[i] = queueSignal{s, i}
	}
	s.s.QueueVectors = make([]uint16, queues)
	s.reset()
}

// Signals returns a copy of the interrupts' state.
func (f *Function) Signals() SignalState {
	f.signals.mu.Lock()
	defer f.signals.mu.Unlock()
	s := f.signals.s
	s.QueueVectors = slices.Clone(s.QueueVectors)
	return s
}

// reset forgets all but the configuration's generation: it may be another one
// than before.
func (s *signals) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	vectors := s.s.QueueVectors
	for i := range vectors {
		vectors[i] = noVector
	}
	s.s = SignalState{Generation: s.s.Generation, ConfigVector: noVector, QueueVectors: vectors}
	s.drive()
}

// msixEnabled reports whether interrupts are messages.
func (f *Function) msixEnabled() bool { return f.msix != nil && f.msix.Enabled() }

// drive sets the INTx pin. mu is held.
func (s *signals) drive() {
	s.f.INTx().Set(s.s.ISR != 0 && !s.f.msixEnabled())
}

// refresh follows the enabling and disabling of MSI-X.
func (s *signals) refresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drive()
}

// interrupt raises the interrupt of a queue, or with isrConfig that of the
// configuration. The ISR status is kept with MSI-X, too: there are drivers that
// poll it when they dump a crashed system.
func (s *signals) interrupt(bit uint8, queue int) {
	s.mu.Lock()
	s.s.ISR |= bit
	vector := s.s.ConfigVector
	if bit == isrQueue {
		vector = s.s.QueueVectors[queue]
	}
	s.drive()
	s.mu.Unlock()
	if s.f.msix != nil {
		s.f.msix.Signal(vector)
	}
}

// takeISR is the driver's read of the ISR status, which clears it.
func (s *signals) takeISR() uint8 {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.s.ISR
	s.s.ISR = 0
	s.drive()
	return v
}

// setLive says that the driver has set DRIVER_OK.
func (s *signals) setLive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s.Live = true
}

// ConfigChanged tells the driver that the configuration space has changed.
func (s *signals) ConfigChanged() {
	s.mu.Lock()
	s.s.Generation++
	live := s.s.Live
	s.mu.Unlock()
	if live {
		s.interrupt(isrConfig, 0)
	}
}

// NeedsReset marks the device broken. The driver is interrupted only after
// DRIVER_OK (section 2.1.2).
func (s *signals) NeedsReset(why error) {
	s.mu.Lock()
	first := !s.s.Broken
	s.s.Broken = true
	live := s.s.Live
	s.mu.Unlock()
	if s.f.log.Allow() {
		s.f.log.Error("the virtio device needs a reset by its driver", "error", why)
	}
	if first && live {
		s.interrupt(isrConfig, 0)
	}
}

func (s *signals) isBroken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.s.Broken
}

func (s *signals) generation() uint8 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.s.Generation
}

func (s *signals) configVector() uint16 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.s.ConfigVector
}

// queueVector is noVector for a queue that does not exist.
func (s *signals) queueVector(queue uint16) uint16 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int(queue) >= len(s.s.QueueVectors) {
		return noVector
	}
	return s.s.QueueVectors[queue]
}

func (s *signals) setConfigVector(v uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s.ConfigVector = s.f.mapped(v)
}

func (s *signals) setQueueVector(queue int, v uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.s.QueueVectors[queue] = s.f.mapped(v)
}

// mapped is what a vector register holds after a write: noVector tells the
// driver that there is no such vector (section 4.1.5.1.2.1).
func (f *Function) mapped(v uint16) uint16 {
	if f.msix == nil || int(v) >= f.msix.Vectors() {
		return noVector
	}
	return v
}

// setQueueVector gives the selected queue its vector. mu is held.
func (f *Function) setQueueVector(v uint16) {
	q := int(f.s.QueueSelect)
	f.signals.setQueueVector(q, v)
	f.calls.follow(q)
}
