package pcitest

import (
	"github.com/govmm/govmm/devices/pci"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// Device status bits.
const (
	Acknowledge = 1 << 0
	DriverBit   = 1 << 1
	DriverOK    = 1 << 2
	FeaturesOK  = 1 << 3
	NeedsReset  = 1 << 6
	Failed      = 1 << 7
)

// Queue is the driver of one queue, which kicks through the registers.
type Queue struct {
	*queuetest.Driver
	m       *Machine
	options queuetest.Options
}

// Kick makes available what was added, and notifies the device if it wants
// that.
func (q *Queue) Kick() {
	if q.Publish() {
		q.m.Notify(q.options.Index)
	}
}

// Do sends one request, waits until the device has done with it, and returns
// how many bytes were written.
func (q *Queue) Do(bufs ...queuetest.Buffer) uint32 {
	q.m.tb.Helper()
	id := q.Add(bufs...)
	q.Kick()
	u := q.Wait()
	if u.ID != id {
		q.m.tb.Fatalf("pcitest: the device used request %d, not %d", u.ID, id)
	}
	return u.Len
}

// Start does all that a driver does until the device runs: it negotiates those
// of the wanted features that are offered, sets up every queue, and sets
// DRIVER_OK. A modern driver takes VIRTIO_F_VERSION_1 in any case.
func (m *Machine) Start(want virtio.Features) {
	m.tb.Helper()
	m.Reset()
	m.Negotiate(want)
	if !m.o.INTx {
		m.enableMSIX()
	}
	m.SetUpQueues()
	m.SetStatus(DriverOK)
	if s := m.Status(); s&(NeedsReset|DriverOK) != DriverOK {
		m.tb.Fatalf("pcitest: status %#x after DRIVER_OK", s)
	}
}

// Negotiate brings the device as far as FEATURES_OK.
func (m *Machine) Negotiate(want virtio.Features) {
	m.tb.Helper()
	m.SetStatus(Acknowledge)
	m.SetStatus(DriverBit)
	if !m.o.Legacy {
		want |= virtio.FeatureVersion1
	}
	m.Features = want & m.OfferedFeatures()
	m.SetFeatures(m.Features)
	if m.o.Legacy {
		return
	}
	m.SetStatus(FeaturesOK)
	if s := m.Status(); s&FeaturesOK == 0 {
		m.tb.Fatalf("pcitest: status %#x: the device refuses features %#x", s, uint64(m.Features))
	}
}

// SetUpQueues lays out and enables all queues.
func (m *Machine) SetUpQueues() {
	m.tb.Helper()
	m.mu.Lock()
	m.Queues = nil
	m.mu.Unlock()
	base := uint64(MemoryBase)
	for index := 0; ; index++ {
		size := m.QueueSize(index)
		if size == 0 {
			return
		}
		base = m.setUpQueue(index, size, base)
	}
}

func (m *Machine) setUpQueue(index int, greatest uint16, base uint64) (next uint64) {
	size := greatest
	if !m.o.Legacy && m.o.QueueSize != 0 {
		size = min(size, m.o.QueueSize)
	}
	room := m.o.Room
	if room == 0 {
		room = 1 << 20
	}
	o := queuetest.Options{
		Index: index, Size: size, MaxSize: greatest, Base: base, Room: room,
		Packed:     m.Features.Has(virtio.FeaturePackedRing),
		EventIndex: m.Features.Has(virtio.FeatureEventIndex),
		Indirect:   m.Features.Has(virtio.FeatureIndirect),
		InOrder:    m.Features.Has(virtio.FeatureInOrder),
	}
	d := queuetest.New(m.tb, m.Memory, o)
	q := &Queue{Driver: d, m: m, options: o}
	m.mu.Lock()
	m.Queues = append(m.Queues, q)
	m.mu.Unlock()
	m.EnableQueue(d.Config())
	return (d.Alloc(0) + room + 2*queue.LegacyAlign) &^ (queue.LegacyAlign - 1)
}

// RestartQueue resets one queue (VIRTIO_F_RING_RESET) and sets it up again.
func (m *Machine) RestartQueue(index int) {
	m.tb.Helper()
	m.ResetQueue(index)
	q := &Queue{m: m, options: m.Queues[index].options}
	q.Driver = queuetest.New(m.tb, m.Memory, q.options)
	m.mu.Lock()
	m.Queues[index] = q
	m.mu.Unlock()
	m.EnableQueue(q.Config())
}

// enableMSIX gives the configuration and each queue a vector, as far as there
// are vectors: the last one is shared.
func (m *Machine) enableMSIX() {
	at, ok := m.capability(pci.CapMSIX)
	if !ok {
		return
	}
	count := int(m.ReadConfig(at+2, 2)&0x7FF) + 1
	m.mu.Lock()
	clear(m.vectors)
	m.mu.Unlock()
	for n := range count {
		entry := uint64(msixBase + 16*n)
		m.Store(entry, 8, 0xFEE00000)
		m.Store(entry+8, 8, uint64(n))
	}
	m.WriteConfig(at+2, 2, 1<<15)
	m.SetConfigVector(0)
	m.vector(0, m.ConfigChanged)
}

// vector has a vector's messages raise a line.
func (m *Machine) vector(n uint16, line queuetest.Line) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.vectors[n] = append(m.vectors[n], line)
}

// assignVector returns the vector for a queue, or ok false without MSI-X.
func (m *Machine) assignVector(index int) (vector uint16, ok bool) {
	at, found := m.capability(pci.CapMSIX)
	if !found || m.ReadConfig(at+2, 2)&(1<<15) == 0 {
		return 0, false
	}
	last := uint16(m.ReadConfig(at+2, 2) & 0x7FF)
	vector = min(uint16(index+1), last)
	if index < len(m.Queues) {
		m.vector(vector, m.Queues[index].Line())
	}
	return vector, true
}

// capability finds the first capability with the identifier.
func (m *Machine) capability(id uint8) (at uint8, ok bool) {
	for at = uint8(m.ReadConfig(pci.RegCapabilities, 1)); at != 0; at = uint8(m.ReadConfig(at+1, 1)) {
		if uint8(m.ReadConfig(at, 1)) == id {
			return at, true
		}
	}
	return 0, false
}
