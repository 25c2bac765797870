package pci

// The legacy header (section 4.1.4.10). The device configuration follows it; it
// begins where the vectors would be while MSI-X is not enabled.
//
//	      0          1          2          3
//	0x00  device features, bits 0 to 31
//	0x04  driver features, bits 0 to 31
//	0x08  queue address, in pages of 4096 bytes
//	0x0C  queue size            queue select
//	0x10  queue notify          status     ISR status
//	0x14  config vector         queue vector            with MSI-X enabled
const (
	legacyDeviceFeatures = 0x00
	legacyDriverFeatures = 0x04
	legacyQueueAddress   = 0x08
	legacyQueueSize      = 0x0C
	legacyQueueSelect    = 0x0E
	legacyQueueNotify    = 0x10
	legacyStatus         = 0x12
	legacyISR            = 0x13
	legacyConfigVector   = 0x14
	legacyQueueVector    = 0x16
	legacySize           = 0x14
	legacySizeMSIX       = 0x18
)

// legacy is the legacy BAR.
type legacy struct{ *Function }

func (l legacy) headerSize() uint64 {
	if l.msixEnabled() {
		return legacySizeMSIX
	}
	return legacySize
}

// Read answers the guest's read.
func (l legacy) Read(offset uint64, data []byte) {
	size := l.headerSize()
	head := split(offset, data, size)
	readRegisters(l, offset, data[:head])
	if rest := data[head:]; len(rest) > 0 {
		l.device.ReadConfig(offset+uint64(head)-size, rest)
	}
}

// Write takes the guest's write.
func (l legacy) Write(offset uint64, data []byte) {
	size := l.headerSize()
	head := split(offset, data, size)
	writeRegisters(l, offset, data[:head])
	if rest := data[head:]; len(rest) > 0 {
		l.writeDeviceConfig(offset+uint64(head)-size, rest)
	}
}

// split returns how many of the bytes at offset are in the header.
func split(offset uint64, data []byte, header uint64) int {
	if offset >= header {
		return 0
	}
	return int(min(uint64(len(data)), header-offset))
}

func (legacy) register(offset uint64) (start, size uint64) {
	switch {
	case offset < legacyQueueSize:
		return offset &^ 3, 4
	case offset == legacyStatus, offset == legacyISR:
		return offset, 1
	}
	return offset &^ 1, 2
}

func (l legacy) get(reg uint64) uint32 {
	if reg == legacyISR {
		return uint32(l.signals.takeISR())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch reg {
	case legacyDeviceFeatures:
		return uint32(l.offered)
	case legacyDriverFeatures:
		return uint32(l.s.DriverFeatures)
	case legacyQueueSelect:
		return uint32(l.s.QueueSelect)
	case legacyStatus:
		return uint32(l.status())
	case legacyConfigVector:
		return uint32(l.signals.configVector())
	case legacyQueueVector:
		return uint32(l.signals.queueVector(l.s.QueueSelect))
	}
	q := l.selected()
	switch {
	case q == nil:
	case reg == legacyQueueAddress:
		return q.PFN()
	case reg == legacyQueueSize:
		return uint32(q.Size)
	}
	return 0
}

func (l legacy) set(reg uint64, v uint32) {
	if reg == legacyQueueNotify {
		l.kick(uint64(v))
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch reg {
	case legacyDriverFeatures:
		l.setFeatures(0, v&uint32(l.offered))
	case legacyQueueAddress:
		l.setPFN(v)
	case legacyQueueSelect:
		l.s.QueueSelect = uint16(v)
	case legacyStatus:
		l.setStatus(uint8(v), legacyInterface)
	case legacyConfigVector:
		l.signals.setConfigVector(uint16(v))
	case legacyQueueVector:
		if l.selected() != nil {
			l.setQueueVector(uint16(v))
		}
	}
}

// setPFN places the rings of the selected queue. The only way to take them away
// from a device that runs is to reset it, so that 0 does that. mu is held.
func (f *Function) setPFN(pfn uint32) {
	q := f.selected()
	switch {
	case q == nil:
	case f.s.Status&statusFeaturesOK != 0:
		f.complain("uses the legacy queue address after it has negotiated by the modern interface", q.Index, uint64(pfn))
	case f.s.Active && pfn == 0:
		f.reset()
	case f.s.Active:
		f.complain("places a queue of a device that runs already", q.Index, uint64(pfn))
	default:
		q.Size = q.MaxSize
		q.SetPFN(pfn)
	}
}

// kick rings a queue's doorbell. Linux before 3.18 uses a device, to look for
// partitions for instance, before it sets DRIVER_OK: its first kick starts the
// device.
func (l legacy) kick(index uint64) {
	if index < uint64(len(l.live)) && l.live[index].Load() == nil {
		l.startEarly(int(index))
	}
	l.notify(index)
}

func (f *Function) startEarly(index int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	const settled = statusFeaturesOK | statusDriverOK | statusFailed
	if f.s.Active || f.signals.isBroken() || !f.s.Queues[index].Ready ||
		f.s.Status&statusDriver == 0 || f.s.Status&settled != 0 {
		return
	}
	f.activate()
}
