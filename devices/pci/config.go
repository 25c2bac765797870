package pci

import (
	"encoding/binary"
	"fmt"
	"sync"

	"github.com/govmm/govmm/devices/irq"
)

// Registers of the type 0 configuration header (PCI 3.0, section 6.1).
const (
	RegVendor          = 0x00
	RegDevice          = 0x02
	RegCommand         = 0x04
	RegStatus          = 0x06
	RegRevision        = 0x08
	RegClass           = 0x09 // programming interface, subclass, class
	RegHeaderType      = 0x0E
	RegBAR0            = 0x10
	RegSubsystemVendor = 0x2C
	RegSubsystem       = 0x2E
	RegROM             = 0x30
	RegCapabilities    = 0x34
	RegInterruptLine   = 0x3C
	RegInterruptPin    = 0x3D
)

// Bits of the command register.
const (
	CommandIO          = 1 << 0
	CommandMemory      = 1 << 1
	CommandBusMaster   = 1 << 2
	CommandINTxDisable = 1 << 10

	commandParity = 1 << 6
	commandSERR   = 1 << 8
)

const (
	statusINTx         = 1 << 3
	statusCapabilities = 1 << 4
	// statusErrors are cleared by writing ones to them.
	statusErrors = 0xF900

	headerMultifunction = 0x80
)

// Function is one function of a PCI device, as the bus sees it. Whoever embeds
// a *Config is one; a device that has to know of a write to its registers
// defines WriteConfig and passes the write on to its Config first.
//
// reg+len(data) is at most 256, and an access lies within 4 aligned bytes.
type Function interface {
	Space() *Config
	ReadConfig(reg uint8, data []byte)
	WriteConfig(reg uint8, data []byte)
	Reset()
}

// Header says what a function is.
type Header struct {
	Name              string // for messages: the device as the machine calls it
	Vendor, Device    uint16
	SubsystemVendor   uint16
	Subsystem         uint16
	Revision          uint8
	Class             uint32 // 24 bits: class, subclass, programming interface
	InterruptPin      uint8  // 0 none, 1 INTA# to 4 INTD#
	Multifunction     bool   // set anyway once the slot has a second function
	CapabilitiesStart uint8  // where AddCapability begins; 0 is 0x40
}

// Config is the 256-byte configuration space of a function. All of its methods
// may be called from any goroutine. AddBAR, AddCapability and the Define
// methods belong to construction, before the function is added to a Bus.
type Config struct {
	name string
	intx intx

	mu       sync.Mutex
	s        ConfigState
	initial  [256]byte // what Reset restores
	writable [256]byte // bits that the guest can change
	clears   [256]byte // bits that the guest clears by writing 1
	bars     [7]*bar
	nextCap  int   // where the next capability may begin
	lastLink uint8 // register that holds the link to the next capability

	hooks []hook // fixed once the function is on a bus

	windows *windows // of the bus the function is on, or nil
	// onPlace is told under mu when the function is put on a bus, with b, or
	// taken off it, with nil: for the registers that are not BARs.
	onPlace func(b *Bus)
}

// ConfigState is all there is to know about a configuration space.
type ConfigState struct {
	Data [256]byte
}

// NewConfig returns the configuration space of a function without BARs and
// capabilities.
func NewConfig(h Header) (*Config, error) {
	if h.InterruptPin > 4 {
		return nil, fmt.Errorf("pci: %s: interrupt pin %d is not 0 to 4", h.Name, h.InterruptPin)
	}
	if h.Class > 0xFFFFFF {
		return nil, fmt.Errorf("pci: %s: class %#x has more than 24 bits", h.Name, h.Class)
	}
	c := &Config{name: h.Name, nextCap: int(h.CapabilitiesStart), lastLink: RegCapabilities}
	if c.nextCap == 0 {
		c.nextCap = 0x40
	}
	c.intx.out = irq.None{}
	c.Define16(RegVendor, h.Vendor, 0)
	c.Define16(RegDevice, h.Device, 0)
	c.Define16(RegCommand, 0, CommandBusMaster|CommandINTxDisable|commandParity|commandSERR)
	c.DefineClear16(RegStatus, statusErrors)
	c.Define8(RegRevision, h.Revision, 0)
	c.Define8(RegClass, uint8(h.Class), 0)
	c.Define16(RegClass+1, uint16(h.Class>>8), 0)
	c.Define8(0x0C, 0, 0xFF) // cache line size
	c.Define8(0x0D, 0, 0xF8) // latency timer
	if h.Multifunction {
		c.Define8(RegHeaderType, headerMultifunction, 0)
	}
	c.Define16(RegSubsystemVendor, h.SubsystemVendor, 0)
	c.Define16(RegSubsystem, h.Subsystem, 0)
	if h.InterruptPin != 0 {
		c.Define8(RegInterruptLine, 0, 0xFF)
		c.Define8(RegInterruptPin, h.InterruptPin, 0)
	}
	return c, nil
}

// Space returns c; a type that embeds a *Config has the method from it.
func (c *Config) Space() *Config { return c }

// Name is the device's name for messages.
func (c *Config) Name() string { return c.name }

// INTx is the function's interrupt pin. It honours the command register's
// Interrupt Disable bit and shows in the status register.
func (c *Config) INTx() irq.Line { return &c.intx }

// State returns a copy of the registers.
func (c *Config) State() ConfigState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.s
}

// Define8 gives a register its value after reset and the bits that the guest
// can write.
func (c *Config) Define8(reg, value, writable uint8) {
	c.define(reg, []byte{value}, []byte{writable})
}

// Define16 is Define8 for two bytes.
func (c *Config) Define16(reg uint8, value, writable uint16) {
	le := binary.LittleEndian
	c.define(reg, le.AppendUint16(nil, value), le.AppendUint16(nil, writable))
}

// Define32 is Define8 for four bytes.
func (c *Config) Define32(reg uint8, value, writable uint32) {
	le := binary.LittleEndian
	c.define(reg, le.AppendUint32(nil, value), le.AppendUint32(nil, writable))
}

// DefineClear16 makes bits of a register such that the guest clears them by
// writing 1.
func (c *Config) DefineClear16(reg uint8, bits uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	binary.LittleEndian.PutUint16(c.clears[reg:], bits)
}

func (c *Config) define(reg uint8, value, writable []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	copy(c.initial[reg:], value)
	copy(c.s.Data[reg:], value)
	copy(c.writable[reg:], writable)
}

// Uint8 returns a register as it is, without side effects.
func (c *Config) Uint8(reg uint8) uint8 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.s.Data[reg]
}

// Uint16 returns two bytes as they are.
func (c *Config) Uint16(reg uint8) uint16 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return binary.LittleEndian.Uint16(c.s.Data[reg:])
}

// Uint32 returns four bytes as they are.
func (c *Config) Uint32(reg uint8) uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return binary.LittleEndian.Uint32(c.s.Data[reg:])
}

// SetUint8 changes a register from the device's side, until the next reset.
// It is not for the command register and the BARs.
func (c *Config) SetUint8(reg, value uint8) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.Data[reg] = value
}

// SetUint16 is SetUint8 for two bytes.
func (c *Config) SetUint16(reg uint8, value uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	binary.LittleEndian.PutUint16(c.s.Data[reg:], value)
}

// SetUint32 is SetUint8 for four bytes.
func (c *Config) SetUint32(reg uint8, value uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	binary.LittleEndian.PutUint32(c.s.Data[reg:], value)
}

// ReadConfig answers the guest's read of registers.
func (c *Config) ReadConfig(reg uint8, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range data {
		data[i] = 0xFF
		if r := int(reg) + i; r < len(c.s.Data) {
			data[i] = c.s.Data[r]
			if r == RegStatus && c.intx.asserted() {
				data[i] |= statusINTx
			}
		}
	}
}

// WriteConfig takes the guest's write to registers, and moves the BARs that it
// concerns.
func (c *Config) WriteConfig(reg uint8, data []byte) {
	c.write(reg, data)
	for i := range c.hooks {
		if h := &c.hooks[i]; int(reg) < h.end && int(reg)+len(data) > h.start {
			h.written()
		}
	}
}

func (c *Config) write(reg uint8, data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, v := range data {
		r := int(reg) + i
		if r >= len(c.s.Data) {
			break
		}
		w := c.writable[r]
		c.s.Data[r] = (c.s.Data[r]&^w | v&w) &^ (v & c.clears[r])
	}
	if end := int(reg) + len(data); reg < RegStatus && end > RegCommand ||
		reg < RegROM+4 && end > RegBAR0 {
		c.update()
	}
}

// Reset returns the registers to their state after power-on, which unmaps all
// BARs.
func (c *Config) Reset() {
	c.mu.Lock()
	c.s.Data = c.initial
	c.update()
	c.mu.Unlock()
	for i := range c.hooks {
		c.hooks[i].reset()
	}
}

// update makes what hangs on the command register and the BARs follow them. mu
// is held.
func (c *Config) update() {
	command := binary.LittleEndian.Uint16(c.s.Data[RegCommand:])
	c.intx.disable(command&CommandINTxDisable != 0)
	if c.windows == nil {
		return
	}
	for _, b := range c.bars {
		if b != nil {
			base, enabled := b.decode(&c.s.Data, command)
			c.windows.place(&b.window, base, enabled)
		}
	}
}

// attach puts the function on a bus, or with nil takes it off.
func (c *Config) attach(b *Bus, line irq.Line) {
	c.intx.connect(line)
	c.mu.Lock()
	defer c.mu.Unlock()
	if b == nil {
		for _, bar := range c.bars {
			if bar != nil {
				c.windows.place(&bar.window, 0, false)
			}
		}
		c.windows = nil
	} else {
		c.windows = &b.windows
		for _, bar := range c.bars {
			if bar != nil {
				bar.window.target = b.target(bar.Kind)
			}
		}
		c.update()
	}
	if c.onPlace != nil {
		c.onPlace(b)
	}
}

// setMultifunction marks function 0 of a slot that has others.
func (c *Config) setMultifunction() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.initial[RegHeaderType] |= headerMultifunction
	c.s.Data[RegHeaderType] |= headerMultifunction
}
