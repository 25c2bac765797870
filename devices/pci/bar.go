package pci

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/govmm/govmm/devices/bus"
)

// BARKind is the address space that a base address register decodes.
type BARKind uint8

// The kinds of base address registers (PCI 3.0, section 6.2.5).
const (
	IO       BARKind = iota
	Memory32         // below 4 GiB
	Memory64         // takes two registers
)

// ROM is the BAR index of the expansion ROM, always Memory32.
const ROM = 6

// BAR describes a base address register.
type BAR struct {
	Index        int // 0 to 5, or ROM
	Kind         BARKind
	Prefetchable bool
	Size         uint64 // bytes: a power of two; at least 4 for I/O, 16 for memory, 2048 for the ROM
	// Handler answers the accesses. It may be nil if Moved maps the BAR by
	// other means, such as guest memory.
	Handler bus.Handler
	// Moved is told, if it is not nil, whenever the BAR is mapped at another
	// address or is not mapped any more, which is how eventfds and memory
	// slots follow it. It must not call the Config.
	Moved func(base uint64, mapped bool)
}

type bar struct {
	BAR
	window window
}

// register is the BAR's offset in configuration space.
func (b *bar) register() uint8 {
	if b.Index == ROM {
		return RegROM
	}
	return RegBAR0 + 4*uint8(b.Index)
}

// AddBAR gives the function a base address register.
//
//	 31                    4   3    2 1   0
//	+------------------------+----+-----+---+
//	| base address, memory   | pf | 64? | 0 |   64?: 00 for Memory32, 10 for Memory64
//	+------------------------+----+-----+---+
//	| base address, I/O           | 0   | 1 |
//	+-----------------------------+-----+---+
//	| base address, ROM (from bit 11) | 0 |en |
//	+---------------------------------+-----+
//
// The guest finds the size by writing ones: the bits below it stay 0.
func (c *Config) AddBAR(b BAR) error {
	if err := c.checkBAR(b); err != nil {
		return fmt.Errorf("pci: %s: BAR %d: %w", c.name, b.Index, err)
	}
	nb := &bar{BAR: b}
	nb.window = window{
		name:    fmt.Sprintf("%s BAR %d", c.name, b.Index),
		size:    b.Size,
		handler: b.Handler,
		moved:   b.Moved,
	}
	if b.Index == ROM {
		nb.window.name = c.name + " ROM"
	}
	reg := nb.register()
	mask := ^(b.Size - 1)
	value := uint32(0)
	switch {
	case b.Index == ROM:
		mask |= 1
	case b.Kind == IO:
		value = 1
	case b.Kind == Memory64:
		value = 2 << 1
		c.Define32(reg+4, 0, uint32(mask>>32))
	}
	if b.Prefetchable {
		value |= 1 << 3
	}
	c.Define32(reg, value, uint32(mask))

	c.mu.Lock()
	defer c.mu.Unlock()
	c.bars[b.Index] = nb
	enable := uint8(CommandMemory)
	if b.Kind == IO {
		enable = CommandIO
	}
	c.writable[RegCommand] |= enable
	return nil
}

func (c *Config) checkBAR(b BAR) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	least, most := uint64(16), uint64(1)<<31
	switch {
	case b.Index < 0 || b.Index > ROM:
		return fmt.Errorf("the index is not 0 to %d", ROM)
	case c.bars[b.Index] != nil || b.Index > 0 && b.Index < ROM && c.isMemory64(b.Index-1):
		return fmt.Errorf("the register is taken")
	case b.Handler == nil && b.Moved == nil:
		return fmt.Errorf("neither Handler nor Moved is given")
	case b.Index == ROM:
		if b.Kind != Memory32 || b.Prefetchable {
			return fmt.Errorf("an expansion ROM is plain 32-bit memory")
		}
		least = 2048
	case b.Kind == IO:
		if b.Prefetchable {
			return fmt.Errorf("I/O cannot be prefetchable")
		}
		least, most = 4, 256
	case b.Kind == Memory64:
		if b.Index == 5 || c.bars[b.Index+1] != nil {
			return fmt.Errorf("a 64-bit BAR needs the next register, too")
		}
		most = 1 << 48
	}
	if bits.OnesCount64(b.Size) != 1 || b.Size < least || b.Size > most {
		return fmt.Errorf("size %#x is not a power of two from %#x to %#x bytes", b.Size, least, most)
	}
	return nil
}

func (c *Config) isMemory64(index int) bool {
	return c.bars[index] != nil && c.bars[index].Kind == Memory64
}

// decode reads from the registers where the BAR is to answer, if it is. The
// addresses that only stand there while the guest sizes the BAR, or before it
// has assigned one, answer nothing: 0, and the top of the address space.
func (b *bar) decode(data *[256]byte, command uint16) (base uint64, enabled bool) {
	reg := b.register()
	base = uint64(binary.LittleEndian.Uint32(data[reg:]))
	enabled = command&CommandMemory != 0
	top := uint64(1<<32 - 1)
	switch {
	case b.Index == ROM:
		enabled = enabled && base&1 != 0
	case b.Kind == IO:
		enabled = command&CommandIO != 0
		top = 1 << 16
	case b.Kind == Memory64:
		base |= uint64(binary.LittleEndian.Uint32(data[reg+4:])) << 32
	}
	base &^= b.Size - 1 // the register's low bits are flags
	last := base + b.Size - 1
	if base == 0 || b.Kind != Memory64 && last >= top || last == top || last == 1<<64-1 {
		return 0, false
	}
	return base, enabled
}
