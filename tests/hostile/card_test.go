package hostile

import (
	"encoding/binary"

	"github.com/govmm/govmm/devices/pci"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/net"
	virtiopci "github.com/govmm/govmm/virtio/pci"
	"github.com/govmm/govmm/virtio/queue"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// Device status bits (section 2.1).
const (
	acknowledge = 1 << 0
	driver      = 1 << 1
	driverOK    = 1 << 2
	featuresOK  = 1 << 3
	needsReset  = 1 << 6
	failed      = 1 << 7
)

// Registers of the common configuration (section 4.1.4.3), and the regions of
// the modern BAR after it.
const (
	regDeviceSelect  = 0x00
	regDeviceFeature = 0x04
	regDriverSelect  = 0x08
	regDriverFeature = 0x0C
	regConfigVector  = 0x10
	regStatus        = 0x14
	regQueueSelect   = 0x16
	regQueueSize     = 0x18
	regQueueVector   = 0x1A
	regQueueEnable   = 0x1C
	regQueueDesc     = 0x20
	regQueueDriver   = 0x28
	regQueueDevice   = 0x30
	regQueueReset    = 0x3A

	isrRegion    = 0x1000
	deviceRegion = 0x2000
	notifyRegion = 0x3000
	modernSize   = 0x4000
)

// Registers of the legacy header (section 4.1.4.10).
const (
	legacyFeatures = 4
	legacyPFN      = 8
	legacySize     = 12
	legacySelect   = 14
	legacyNotify   = 16
	legacyStatus   = 18
)

const messageAddress = 0xFEE00000

// card is a virtio function on the bus, and the guest's driver for it.
type card struct {
	*board
	kind     kind
	slot     int
	fn       *virtiopci.Function
	legacy   bool            // driven by the legacy interface
	without  virtio.Features // not wanted
	packed   bool
	features virtio.Features // negotiated
	queues   []*queuetest.Driver
	lines    []queuetest.Line // by queue
	polls    bool             // does not rely on interrupts
	greeted  bool             // console: the ports were announced
}

// The places of the BARs.
func (c *card) io() uint64     { return 0xC000 + 0x100*uint64(c.kind) }
func (c *card) msix() uint64   { return 0xFEB00000 + 0x10000*uint64(c.kind) }
func (c *card) modern() uint64 { return 0xFE000000 + 0x10000*uint64(c.kind) }

// place puts the BARs where they belong.
func (c *card) place() {
	c.setConfig(pci.RegCommand, 2, 0)
	c.setConfig(pci.RegBAR0, 4, uint32(c.io()))
	c.setConfig(pci.RegBAR0+4, 4, uint32(c.msix()))
	c.setConfig(pci.RegBAR0+16, 4, uint32(c.modern()))
	c.setConfig(pci.RegBAR0+20, 4, 0)
	c.setConfig(pci.RegCommand, 2, pci.CommandIO|pci.CommandMemory|pci.CommandBusMaster)
}

func (c *card) selectConfig(reg uint8) uint64 {
	c.out(pci.ConfigPort, 4, 1<<31|uint32(c.slot)<<11|uint32(reg)&0xFC)
	return pci.ConfigPort + 4 + uint64(reg&3)
}

func (c *card) config(reg uint8, size int) uint32 { return c.in(c.selectConfig(reg), size) }

func (c *card) setConfig(reg uint8, size int, v uint32) { c.out(c.selectConfig(reg), size, v) }

func (b *board) in(port uint64, size int) uint32 {
	var data [4]byte
	b.ports.Read(port, data[:size])
	return binary.LittleEndian.Uint32(data[:])
}

func (b *board) out(port uint64, size int, v uint32) {
	b.ports.Write(port, binary.LittleEndian.AppendUint32(nil, v)[:size])
}

func (b *board) load(addr uint64, size int) uint64 {
	var data [8]byte
	b.mmio.Read(addr, data[:size])
	return binary.LittleEndian.Uint64(data[:])
}

func (b *board) store(addr uint64, size int, v uint64) {
	b.mmio.Write(addr, binary.LittleEndian.AppendUint64(nil, v)[:size])
}

func (c *card) common(reg uint64, size int) uint64       { return c.load(c.modern()+reg, size) }
func (c *card) setCommon(reg uint64, size int, v uint64) { c.store(c.modern()+reg, size, v) }
func (c *card) setLegacy(reg uint64, size int, v uint32) { c.out(c.io()+reg, size, v) }

func (c *card) status() uint8 {
	if c.legacy {
		return uint8(c.in(c.io()+legacyStatus, 1))
	}
	return uint8(c.common(regStatus, 1))
}

func (c *card) writeStatus(v uint8) {
	if c.legacy {
		c.setLegacy(legacyStatus, 1, uint32(v))
	} else {
		c.setCommon(regStatus, 1, uint64(v))
	}
}

func (c *card) addStatus(bits uint8) { c.writeStatus(c.status() | bits) }

func (c *card) reset() { c.writeStatus(0) }

func (c *card) offered() (f virtio.Features) {
	if c.legacy {
		return virtio.Features(c.in(c.io(), 4))
	}
	for half := range uint64(2) {
		c.setCommon(regDeviceSelect, 4, half)
		f |= virtio.Features(c.common(regDeviceFeature, 4)) << (32 * half)
	}
	return f
}

func (c *card) setFeatures(f virtio.Features) {
	if c.legacy {
		c.setLegacy(legacyFeatures, 4, uint32(f))
		return
	}
	for half := range uint64(2) {
		c.setCommon(regDriverSelect, 4, half)
		c.setCommon(regDriverFeature, 4, uint64(f>>(32*half))&0xFFFFFFFF)
	}
}

// negotiate brings the device to FEATURES_OK, with all that it offers but for
// what this driver does not want.
func (c *card) negotiate() {
	c.Helper()
	c.reset()
	c.addStatus(acknowledge)
	c.addStatus(driver)
	unwanted := c.without | virtio.FeatureInOrder | virtio.FeatureNotifyOnEmpty
	if !c.packed {
		unwanted |= virtio.FeaturePackedRing
	}
	c.features = c.offered() &^ unwanted
	c.setFeatures(c.features)
	if c.legacy {
		return
	}
	c.addStatus(featuresOK)
	if s := c.status(); s != acknowledge|driver|featuresOK {
		c.Fatalf("%s: %v: status %#x after FEATURES_OK", c.step, c.kind, s)
	}
}

// start does all that a driver does until the device runs.
func (c *card) start() {
	c.Helper()
	c.negotiate()
	c.enableMSIX()
	c.setUpQueues()
	c.addStatus(driverOK)
	if s := c.status(); s&(needsReset|driverOK) != driverOK {
		c.Fatalf("%s: %v: status %#x after DRIVER_OK", c.step, c.kind, s)
	}
}

func (c *card) queueSize(index int) uint16 {
	c.selectQueue(index)
	if c.legacy {
		return uint16(c.in(c.io()+legacySize, 2))
	}
	return uint16(c.common(regQueueSize, 2))
}

func (c *card) selectQueue(index int) {
	if c.legacy {
		c.setLegacy(legacySelect, 2, uint32(index))
	} else {
		c.setCommon(regQueueSelect, 2, uint64(index))
	}
}

// setUpQueues lays out and enables all queues.
func (c *card) setUpQueues() {
	c.greeted = false
	c.queues = nil
	for i := 0; c.queueSize(i) != 0; i++ {
		c.layOut(i)
		c.enable(c.queues[i].Config())
	}
}

// layOut makes the driver of a queue.
func (c *card) layOut(index int) {
	size := c.queueSize(index)
	d := queuetest.New(c.TB, c.mem, queuetest.Options{
		Index: index, Size: size, Base: c.base(index), Room: queueRoom,
		Packed:     c.features.Has(virtio.FeaturePackedRing),
		EventIndex: c.features.Has(virtio.FeatureEventIndex),
		Indirect:   c.features.Has(virtio.FeatureIndirect),
	})
	c.messages.Lock()
	defer c.messages.Unlock()
	c.queues = append(c.queues[:index], d)
	c.lines = append(c.lines[:min(index, len(c.lines))], d.Line())
}

// base is where a queue's memory begins.
func (c *card) base(index int) uint64 {
	return queuesBase + uint64(c.kind)*cardStride + uint64(index)*queueStride
}

// enable writes a queue's registers, the one that enables it last.
func (c *card) enable(q queue.Config) {
	c.selectQueue(q.Index)
	if c.legacy {
		c.setLegacy(legacyPFN, 4, uint32(q.Desc/queue.LegacyAlign))
		c.setLegacy(22, 2, uint32(q.Index)+1)
		return
	}
	c.setCommon(regQueueSize, 2, uint64(q.Size))
	c.setCommon(regQueueVector, 2, uint64(q.Index)+1)
	c.setQueueAddress(regQueueDesc, q.Desc)
	c.setQueueAddress(regQueueDriver, q.Driver)
	c.setQueueAddress(regQueueDevice, q.Device)
	c.setCommon(regQueueEnable, 2, 1)
}

func (c *card) setQueueAddress(reg, addr uint64) {
	c.setCommon(reg, 4, addr&0xFFFFFFFF)
	c.setCommon(reg+4, 4, addr>>32)
}

// msixControl is the register of MSI-X message control.
func (c *card) msixControl() uint8 {
	for at := uint8(c.config(pci.RegCapabilities, 1)); at != 0; at = uint8(c.config(at+1, 1)) {
		if c.config(at, 1) == pci.CapMSIX {
			return at + 2
		}
	}
	c.Fatalf("%v: no MSI-X capability", c.kind)
	return 0
}

// enableMSIX gives the configuration vector 0, and queue n vector n+1.
func (c *card) enableMSIX() {
	control := c.msixControl()
	c.setConfig(control, 2, 1<<15)
	for n := range uint64(c.config(control, 2)&0x7FF) + 1 {
		entry := c.msix() + 16*n
		c.store(entry, 8, messageAddress)
		c.store(entry+8, 8, uint64(c.kind)<<16|n) // and not masked
	}
	if !c.legacy {
		c.setCommon(regConfigVector, 2, 0)
	}
}

// notify writes to a queue's doorbell.
func (c *card) notify(index int) {
	if c.legacy {
		c.setLegacy(legacyNotify, 2, uint32(index))
	} else {
		c.store(c.modern()+notifyRegion+4*uint64(index), 2, uint64(index))
	}
}

// data is the driver of the queue for requests.
func (c *card) data() *queuetest.Driver { return c.queues[c.kind.dataQueue()] }

// control is the index of the NIC's control queue.
func (c *card) control() int {
	if c.features.Has(net.FeatureMQ) {
		return 2 * netPairs
	}
	return 2
}
