package pci

import (
	"fmt"
	"math/bits"
	"sync"

	"github.com/govmm/govmm/devices/irq"
)

// Message control of the MSI capability (PCI 3.0, section 6.8.1.3):
//
//	 15       9   8    7   6      4 3      1   0
//	+----------+-----+----+--------+--------+----+
//	|    0     | PVM | 64 |  MME   |  MMC   | en |
//	+----------+-----+----+--------+--------+----+
//
// MMC and MME, the vectors that the function wants and that it was given, are
// powers of two.
const (
	msiEnable        = 1 << 0
	msiCapableShift  = 1
	msiEnabledShift  = 4
	msiEnabledBits   = 7 << msiEnabledShift
	msi64            = 1 << 7
	msiPerVectorMask = 1 << 8

	msiMaxVectors = 32
)

// MSIOptions describes an MSI capability.
type MSIOptions struct {
	Vectors   int  // 1, 2, 4, 8, 16 or 32
	Address64 bool // messages can go to 64-bit addresses
	Maskable  bool // each vector can be masked
	MSI       irq.MSI
}

// MSI is the MSI capability of a function (PCI 3.0, section 6.8.1). All of its
// state is in the configuration space:
//
//	+0x00  identifier, next, message control
//	+0x04  message address
//	+0x08  upper half of the address      with Address64, or else not there
//	+0x0C  message data (16 bits)
//	+0x10  mask bits                      with Maskable
//	+0x14  pending bits
type MSI struct {
	config  *Config
	out     irq.MSI
	options MSIOptions

	control, address, data, mask, pending uint8 // registers

	// mu is held while a message is sent, so that none is on its way any more
	// when the guest has masked or disabled it.
	mu sync.Mutex
}

// AddMSI gives the function an MSI capability.
func (c *Config) AddMSI(o MSIOptions) (*MSI, error) {
	if o.Vectors < 1 || o.Vectors > msiMaxVectors || bits.OnesCount(uint(o.Vectors)) != 1 {
		return nil, fmt.Errorf("pci: %s: MSI with %d vectors is not a power of two from 1 to %d", c.name, o.Vectors, msiMaxVectors)
	}
	if o.MSI == nil {
		return nil, fmt.Errorf("pci: %s: MSI leads nowhere", c.name)
	}
	m := &MSI{config: c, out: o.MSI, options: o}
	control := uint16(bits.TrailingZeros(uint(o.Vectors))) << msiCapableShift
	data, size := uint8(0x08), 0x0C // 32-bit address, 16 bits of data
	if o.Address64 {
		control |= msi64
		data, size = 0x0C, 0x10
	}
	if o.Maskable {
		control |= msiPerVectorMask
		size += 8
	} else {
		size -= 2 // the capability ends with the data
	}
	start, err := c.AddCapability(CapMSI, make([]byte, size-2), nil)
	if err != nil {
		return nil, err
	}
	m.control, m.address, m.data = start+2, start+4, start+data
	c.Define16(m.control, control, msiEnable|msiEnabledBits)
	c.Define32(m.address, 0, ^uint32(3))
	if o.Address64 {
		c.Define32(m.address+4, 0, ^uint32(0))
	}
	c.Define16(m.data, 0, ^uint16(0))
	if o.Maskable {
		m.mask, m.pending = m.data+4, m.data+8
		c.Define32(m.mask, 0, uint32(1<<o.Vectors-1))
	}
	c.addHook(start, uint8(size), m)
	return m, nil
}

// Enabled reports whether the guest has enabled MSI; if not, the function uses
// its INTx pin.
func (m *MSI) Enabled() bool { return m.config.Uint16(m.control)&msiEnable != 0 }

// Signal sends a vector's message, or makes it pending while it is masked. It
// does nothing while MSI is not enabled. A guest that has given the function
// fewer vectors than it wants gets the high ones folded onto them.
func (m *MSI) Signal(vector int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	control := m.config.Uint16(m.control)
	if control&msiEnable == 0 || vector < 0 || vector >= m.options.Vectors {
		return
	}
	vector &= m.allocated(control) - 1
	if m.options.Maskable && m.config.Uint32(m.mask)>>vector&1 != 0 {
		m.config.SetUint32(m.pending, m.config.Uint32(m.pending)|1<<vector)
		return
	}
	m.send(control, vector)
}

// allocated is the number of vectors that the guest has given the function.
func (m *MSI) allocated(control uint16) int {
	return min(1<<(control&msiEnabledBits>>msiEnabledShift), m.options.Vectors)
}

// send sends a message. The vector replaces the low bits of the data.
func (m *MSI) send(control uint16, vector int) {
	address := uint64(m.config.Uint32(m.address))
	if m.options.Address64 {
		address |= uint64(m.config.Uint32(m.address+4)) << 32
	}
	data := uint32(m.config.Uint16(m.data))
	m.out.Send(address, data&^uint32(m.allocated(control)-1)|uint32(vector))
}

// written sends what was pending on vectors that the guest has unmasked.
func (m *MSI) written() {
	if !m.options.Maskable {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	control := m.config.Uint16(m.control)
	if control&msiEnable == 0 {
		return
	}
	pending := m.config.Uint32(m.pending)
	due := pending &^ m.config.Uint32(m.mask)
	if due == 0 {
		return
	}
	m.config.SetUint32(m.pending, pending&^due)
	for ; due != 0; due &= due - 1 {
		m.send(control, bits.TrailingZeros32(due)&(m.allocated(control)-1))
	}
}

// reset has nothing to do: the registers are the Config's.
func (m *MSI) reset() {}
