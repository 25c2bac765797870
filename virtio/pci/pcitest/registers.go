package pcitest

import (
	"github.com/govmm/govmm/devices/pci"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
)

// regions are the addresses that a modern driver finds in the capabilities.
type regions struct {
	common, notify, isr, device uint64
	multiplier                  uint64
}

// findRegions reads the vendor capabilities.
func (m *Machine) findRegions() {
	var r regions
	for at := uint8(m.ReadConfig(pci.RegCapabilities, 1)); at != 0; at = uint8(m.ReadConfig(at+1, 1)) {
		if m.ReadConfig(at, 1) != pci.CapVendor {
			continue
		}
		bar := uint8(m.ReadConfig(at+4, 1))
		base := uint64(m.ReadConfig(pci.RegBAR0+4*bar, 4)&^15) + uint64(m.ReadConfig(at+8, 4))
		switch m.ReadConfig(at+3, 1) {
		case 1:
			r.common = base
		case 2:
			r.notify, r.multiplier = base, uint64(m.ReadConfig(at+16, 4))
		case 3:
			r.isr = base
		case 4:
			r.device = base
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.regions = r
}

// CommonAddress is the address of a register of the common configuration.
func (m *Machine) CommonAddress(reg uint64) uint64 { return m.regions.common + reg }

func (m *Machine) common(reg uint64, size int) uint64 { return m.Load(m.regions.common+reg, size) }

func (m *Machine) setCommon(reg uint64, size int, v uint64) {
	m.Store(m.regions.common+reg, size, v)
}

func (m *Machine) legacy(reg uint64, size int) uint32       { return m.In(legacyBase+reg, size) }
func (m *Machine) setLegacy(reg uint64, size int, v uint32) { m.Out(legacyBase+reg, size, v) }

// Status reads the device status.
func (m *Machine) Status() uint8 {
	if m.o.Legacy {
		return uint8(m.legacy(18, 1))
	}
	return uint8(m.common(20, 1))
}

func (m *Machine) writeStatus(v uint8) {
	if m.o.Legacy {
		m.setLegacy(18, 1, uint32(v))
	} else {
		m.setCommon(20, 1, uint64(v))
	}
}

// SetStatus adds bits to the device status.
func (m *Machine) SetStatus(bits uint8) { m.writeStatus(m.Status() | bits) }

// Reset resets the device through the status register.
func (m *Machine) Reset() {
	m.tb.Helper()
	m.writeStatus(0)
	if s := m.Status(); s != 0 {
		m.tb.Fatalf("pcitest: status %#x after a reset", s)
	}
}

// OfferedFeatures reads what the device offers.
func (m *Machine) OfferedFeatures() virtio.Features {
	if m.o.Legacy {
		return virtio.Features(m.legacy(0, 4))
	}
	f := virtio.Features(0)
	for half := range uint64(2) {
		m.setCommon(0, 4, half)
		f |= virtio.Features(m.common(4, 4)) << (32 * half)
	}
	return f
}

// SetFeatures writes what the driver wants.
func (m *Machine) SetFeatures(f virtio.Features) {
	if m.o.Legacy {
		m.setLegacy(4, 4, uint32(f))
		return
	}
	for half := range uint64(2) {
		m.setCommon(8, 4, half)
		m.setCommon(12, 4, uint64(f>>(32*half))&0xFFFFFFFF)
	}
}

// SelectQueue writes queue_select.
func (m *Machine) SelectQueue(index int) {
	if m.o.Legacy {
		m.setLegacy(14, 2, uint32(index))
	} else {
		m.setCommon(22, 2, uint64(index))
	}
}

// QueueSize selects a queue and reads its size: 0 for one that does not exist.
func (m *Machine) QueueSize(index int) uint16 {
	m.SelectQueue(index)
	if m.o.Legacy {
		return uint16(m.legacy(12, 2))
	}
	return uint16(m.common(24, 2))
}

// EnableQueue writes a queue's registers, the one that enables it last.
func (m *Machine) EnableQueue(c queue.Config) {
	m.SelectQueue(c.Index)
	vector, ok := m.assignVector(c.Index)
	if m.o.Legacy {
		m.setLegacy(8, 4, uint32(c.Desc/queue.LegacyAlign))
		if ok {
			m.setLegacy(22, 2, uint32(vector))
		}
		return
	}
	m.setCommon(24, 2, uint64(c.Size))
	if ok {
		m.setCommon(26, 2, uint64(vector))
	}
	for reg, addr := range map[uint64]uint64{0x20: c.Desc, 0x28: c.Driver, 0x30: c.Device} {
		m.setCommon(reg, 4, addr&0xFFFFFFFF)
		m.setCommon(reg+4, 4, addr>>32)
	}
	m.setCommon(28, 2, 1)
}

// ResetQueue resets one queue (VIRTIO_F_RING_RESET). EnableQueue brings it back.
func (m *Machine) ResetQueue(index int) {
	m.tb.Helper()
	m.SelectQueue(index)
	m.setCommon(0x3A, 2, 1)
	if reset, enable := m.common(0x3A, 2), m.common(28, 2); reset != 0 || enable != 0 {
		m.tb.Fatalf("pcitest: queue_reset %d, queue_enable %d after a queue's reset", reset, enable)
	}
}

// Notify writes to a queue's doorbell.
func (m *Machine) Notify(index int) {
	if m.o.Legacy {
		m.setLegacy(16, 2, uint32(index))
		return
	}
	m.SelectQueue(index)
	m.Store(m.regions.notify+m.common(30, 2)*m.regions.multiplier, 2, uint64(index))
}

// ISR reads the ISR status, which clears it.
func (m *Machine) ISR() uint8 {
	if m.o.Legacy {
		return uint8(m.legacy(19, 1))
	}
	m.mu.Lock()
	at := m.regions.isr
	m.mu.Unlock()
	return uint8(m.Load(at, 1))
}

// SetConfigVector gives the configuration interrupt its MSI-X vector.
func (m *Machine) SetConfigVector(v uint16) {
	if m.o.Legacy {
		m.setLegacy(20, 2, uint32(v))
	} else {
		m.setCommon(16, 2, uint64(v))
	}
}

// Generation reads the configuration's generation, which a legacy device does
// not have.
func (m *Machine) Generation() uint8 { return uint8(m.common(21, 1)) }

// legacyConfig is where the device configuration begins in the legacy BAR.
func (m *Machine) legacyConfig() uint64 {
	if at, ok := m.capability(pci.CapMSIX); ok && m.ReadConfig(at+2, 2)&(1<<15) != 0 {
		return 24
	}
	return 20
}

// DeviceConfig reads n bytes of the device configuration, one at a time.
func (m *Machine) DeviceConfig(offset uint64, n int) []byte {
	data := make([]byte, n)
	for i := range data {
		at := offset + uint64(i)
		if m.o.Legacy {
			data[i] = uint8(m.legacy(m.legacyConfig()+at, 1))
		} else {
			data[i] = uint8(m.Load(m.regions.device+at, 1))
		}
	}
	return data
}

// SetDeviceConfig writes to the device configuration, one byte at a time.
func (m *Machine) SetDeviceConfig(offset uint64, data []byte) {
	for i, v := range data {
		at := offset + uint64(i)
		if m.o.Legacy {
			m.setLegacy(m.legacyConfig()+at, 1, uint32(v))
		} else {
			m.Store(m.regions.device+at, 1, uint64(v))
		}
	}
}
