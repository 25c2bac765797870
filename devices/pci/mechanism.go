package pci

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/govmm/govmm/devices/bus"
)

// The configuration ports on the port bus.
const (
	ConfigPort  = 0xCF8
	ConfigPorts = 8
)

// Offsets from ConfigPort.
const (
	configData   = 4 // 0xCFC-0xCFF
	resetControl = 1 // 0xCF9
)

// addressBits are those of CONFIG_ADDRESS that exist:
//
//	 31   30    24 23    16 15    11 10      8 7        2 1 0
//	+----+--------+--------+--------+---------+----------+---+
//	| en |   0    |  bus   |  slot  |function | register | 0 |
//	+----+--------+--------+--------+---------+----------+---+
const (
	addressEnable = 1 << 31
	addressBits   = 0x80FFFFFC
)

// Mechanism is configuration mechanism #1 (PCI 3.0, section 3.2.2.3.2), which
// the host bridge implements. It is a bus.Handler for the eight ports from
// ConfigPort.
//
// CONFIG_ADDRESS answers only whole doublewords. Narrower accesses to it go to
// the ISA bus, where the PIIX3's reset control register is at 0xCF9.
type Mechanism struct {
	bus     *Bus
	reset   bus.Handler
	address atomic.Uint32
}

// NewMechanism returns the ports that lead to b. reset answers 0xCF9 (see
// PIIX3.ResetControl); nil leaves it open.
func NewMechanism(b *Bus, reset bus.Handler) *Mechanism {
	return &Mechanism{bus: b, reset: reset}
}

// Reset clears CONFIG_ADDRESS.
func (m *Mechanism) Reset() { m.address.Store(0) }

// Read answers a read of the ports.
func (m *Mechanism) Read(offset uint64, data []byte) {
	switch {
	case offset == 0 && len(data) == 4:
		binary.LittleEndian.PutUint32(data, m.address.Load())
	case offset >= configData:
		for i := range data {
			data[i] = 0xFF
		}
		if f, reg := m.selected(offset); f != nil {
			f.ReadConfig(reg, data)
		}
	default:
		m.split(offset, data, m.readByte)
	}
}

// Write answers a write to the ports.
func (m *Mechanism) Write(offset uint64, data []byte) {
	switch {
	case offset == 0 && len(data) == 4:
		m.address.Store(binary.LittleEndian.Uint32(data) & addressBits)
	case offset >= configData:
		if f, reg := m.selected(offset); f != nil {
			f.WriteConfig(reg, data)
		}
	default:
		m.split(offset, data, m.writeByte)
	}
}

// split takes an access apart that begins below the data port and is not the
// whole of CONFIG_ADDRESS.
func (m *Mechanism) split(offset uint64, data []byte, access func(uint64, []byte)) {
	for i := range data {
		access(offset+uint64(i), data[i:i+1])
	}
}

func (m *Mechanism) readByte(offset uint64, data []byte) {
	data[0] = 0xFF
	switch {
	case offset >= configData:
		m.Read(offset, data)
	case offset == resetControl && m.reset != nil:
		m.reset.Read(0, data)
	}
}

func (m *Mechanism) writeByte(offset uint64, data []byte) {
	switch {
	case offset >= configData:
		m.Write(offset, data)
	case offset == resetControl && m.reset != nil:
		m.reset.Write(0, data)
	}
}

// selected returns the function and register that an access to the data port
// reaches; the function is nil when there is none.
func (m *Mechanism) selected(offset uint64) (f Function, reg uint8) {
	a := m.address.Load()
	if a&addressEnable == 0 || a>>16&0xFF != 0 {
		return nil, 0
	}
	return m.bus.function(int(a>>11&31), int(a>>8&7)), uint8(a)&0xFC + uint8(offset-configData)
}
