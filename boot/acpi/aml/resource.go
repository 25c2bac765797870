package aml

import (
	"encoding/binary"
	"fmt"
)

// Resource is one encoded resource descriptor (ACPI 6.5, section 6.4).
type Resource []byte

var le = binary.LittleEndian

// Descriptor tags. Small ones carry their length in bits 2..0, large ones in
// the 16-bit word that follows.
const (
	tagIRQNoFlags    = 0x22
	tagIO            = 0x47
	tagEnd           = 0x79
	tagMemory32Fixed = 0x86
	tagDWordSpace    = 0x87
	tagWordSpace     = 0x88
	tagExtendedIRQ   = 0x89
	tagQWordSpace    = 0x8A
)

// ResourceTemplate encodes a buffer of descriptors and their end tag. The end
// tag's checksum is zero, which means "not computed".
func ResourceTemplate(resources ...Resource) Term {
	var data []byte
	for _, r := range resources {
		data = append(data, r...)
	}
	return Buffer(append(data, tagEnd, 0))
}

// IO describes length ports that the device decodes at base, with all 16
// address bits.
func IO(base uint16, length uint8) Resource {
	const decode16 = 1
	r := Resource{tagIO, decode16}
	r = le.AppendUint16(r, base)
	r = le.AppendUint16(r, base)
	return append(r, 1, length) // alignment, length
}

// IRQNoFlags describes ISA interrupts (0 to 15): edge-triggered, active high,
// not shared.
func IRQNoFlags(irqs ...uint8) Resource {
	var mask uint16
	for _, irq := range irqs {
		if irq > 15 {
			panic(fmt.Sprintf("aml: ISA IRQ %d", irq))
		}
		mask |= 1 << irq
	}
	return le.AppendUint16(Resource{tagIRQNoFlags}, mask)
}

// InterruptOffset is where the first interrupt number lies in a buffer that
// begins with an Interrupt descriptor.
const InterruptOffset = 5

// Interrupt describes interrupts a device consumes that are level-triggered,
// active high and shared: how PCI interrupts reach the I/O APIC of a PIIX3
// machine.
//
//	flags: 0 consumer, 1 edge, 2 active low, 4..3 sharing (1 = shared)
func Interrupt(gsis ...uint32) Resource {
	const consumer, shared = 1 << 0, 1 << 3
	if len(gsis) == 0 || len(gsis) > 255 {
		panic(fmt.Sprintf("aml: interrupt descriptor of %d interrupts", len(gsis)))
	}
	r := le.AppendUint16(Resource{tagExtendedIRQ}, uint16(2+4*len(gsis)))
	r = append(r, consumer|shared, byte(len(gsis)))
	for _, gsi := range gsis {
		r = le.AppendUint32(r, gsi)
	}
	return r
}

// Memory32Fixed describes length bytes of read-write memory at base.
func Memory32Fixed(base, length uint32) Resource {
	const readWrite = 1
	r := le.AppendUint16(Resource{tagMemory32Fixed}, 9)
	r = append(r, readWrite)
	r = le.AppendUint32(r, base)
	return le.AppendUint32(r, length)
}

// Resource types and flags of the address space descriptors (section 6.4.3.5).
// All of ours are windows a bridge passes on (producer, positive decode) with
// both ends fixed.
//
//	general flags: 0 consumer, 1 subtractive, 2 min fixed, 3 max fixed
const (
	spaceMemory = 0
	spaceIO     = 1
	spaceBus    = 2

	spaceFixed = 1<<2 | 1<<3

	ioEntireRange   = 3      // ISA and non-ISA addresses
	memoryReadWrite = 1 << 0 // not cacheable
	memoryCacheable = 1 << 1
)

// WordBusNumber describes the bus numbers first to last below a bridge.
func WordBusNumber(first, last uint16) Resource {
	return wordSpace(spaceBus, 0, first, last)
}

// WordIO describes the ports first to last that a bridge passes on.
func WordIO(first, last uint16) Resource {
	return wordSpace(spaceIO, ioEntireRange, first, last)
}

// DWordMemory describes the 32-bit window first to last, read-write and not
// cacheable.
func DWordMemory(first, last uint32) Resource {
	return dwordMemory(memoryReadWrite, first, last)
}

// DWordMemoryCacheable is DWordMemory for a window that may be cached, such as
// the legacy video memory.
func DWordMemoryCacheable(first, last uint32) Resource {
	return dwordMemory(memoryReadWrite|memoryCacheable, first, last)
}

// QWordMemory describes the 64-bit window first to last, read-write and not
// cacheable.
func QWordMemory(first, last uint64) Resource {
	if last < first || last-first == 1<<64-1 {
		panic(fmt.Sprintf("aml: memory window %#x to %#x", first, last))
	}
	r := le.AppendUint16(Resource{tagQWordSpace}, 3+5*8)
	r = append(r, spaceMemory, spaceFixed, memoryReadWrite)
	for _, v := range []uint64{0, first, last, 0, last - first + 1} {
		r = le.AppendUint64(r, v)
	}
	return r
}

// The fields of an address space are granularity, minimum, maximum, translation
// offset and length.

func wordSpace(kind, flags byte, first, last uint16) Resource {
	if last < first || last-first == 1<<16-1 {
		panic(fmt.Sprintf("aml: range %#x to %#x", first, last))
	}
	r := le.AppendUint16(Resource{tagWordSpace}, 3+5*2)
	r = append(r, kind, spaceFixed, flags)
	for _, v := range []uint16{0, first, last, 0, last - first + 1} {
		r = le.AppendUint16(r, v)
	}
	return r
}

func dwordMemory(flags byte, first, last uint32) Resource {
	if last < first || last-first == 1<<32-1 {
		panic(fmt.Sprintf("aml: memory window %#x to %#x", first, last))
	}
	r := le.AppendUint16(Resource{tagDWordSpace}, 3+5*4)
	r = append(r, spaceMemory, spaceFixed, flags)
	for _, v := range []uint32{0, first, last, 0, last - first + 1} {
		r = le.AppendUint32(r, v)
	}
	return r
}
