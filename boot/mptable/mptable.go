// Package mptable builds the tables by which a pc machine describes its
// processors and interrupts to guests without ACPI: the MultiProcessor tables
// (Intel MultiProcessor Specification 1.4) for guests that use the I/O APIC, and
// the PCI IRQ routing table (Microsoft PCI IRQ Routing Table Specification 1.0,
// "$PIR") for guests that use the 8259s.
//
// The machine has one PCI bus, one ISA bus, one I/O APIC whose inputs 0 to 15
// follow the ISA interrupts, and a PIIX3 that routes PCI interrupts to those.
//
// Left out: default configurations, extended table entries, interrupt mode
// configuration register (IMCR; the machine starts in virtual wire mode), and
// processors of APIC id 255 or more, which the format cannot name.
package mptable

import (
	"encoding/binary"
	"fmt"
)

// Defaults of Config, and MaxAPICID, the largest id the tables can name: 255
// means all processors.
const (
	DefaultLAPICAddr     = 0xFEE0_0000
	DefaultIOAPICAddr    = 0xFEC0_0000
	DefaultLAPICVersion  = 0x14
	DefaultIOAPICVersion = 0x11
	MaxAPICID            = 254
)

// Align is the alignment in bytes of both tables in guest memory.
const Align = 16

// Config describes a machine to Build.
type Config struct {
	// CPUs lists the processors, of which exactly one is the bootstrap
	// processor. Empty means that one of APIC id 0.
	CPUs []CPU
	// LAPICVersion is the version register of the local APICs; 0 means
	// DefaultLAPICVersion.
	LAPICVersion uint8
	// Signature and Features are EAX and EDX of CPUID leaf 1, of which the
	// tables hold a part.
	Signature, Features uint32

	LAPICAddr     uint32 // physical address of the local APICs; 0 means DefaultLAPICAddr
	IOAPICID      uint8  // id of the I/O APIC
	IOAPICVersion uint8  // its version register; 0 means DefaultIOAPICVersion
	IOAPICAddr    uint32 // its physical address; 0 means DefaultIOAPICAddr

	// PIRQ holds the interrupts that the PIIX3 routes PIRQA# to PIRQD# to. The
	// guest does not route them anew, so the registers must hold the same. The
	// zero value means DefaultPIRQ.
	PIRQ [4]uint8
	// SCI is the interrupt of the PIIX4, level-triggered; 0 means that the
	// machine has none.
	SCI uint8
}

// CPU is one processor.
type CPU struct {
	APICID  uint32 // at most MaxAPICID
	Enabled bool
	BSP     bool // the bootstrap processor
}

// DefaultPIRQ returns the interrupts that a PC's firmware commonly routes PIRQA#
// to PIRQD# to: 10, 10, 11 and 11.
func DefaultPIRQ() [4]uint8 { return [4]uint8{10, 10, 11, 11} }

// The areas a guest searches for the floating pointer (section 4). The extended
// BIOS data area ends where the video memory begins.
const (
	ebdaStart, ebdaEnd = 0x8_0000, 0xA_0000
	biosStart, biosEnd = 0xF_0000, 0x10_0000
)

// The PCI bus of the machine.
const (
	pciSlots  = 32
	pciPins   = 4
	pirqCount = 4

	// isaSlot is the slot of the PIIX, whose INTA# is the SCI if there is one.
	isaSlot = 1
)

// pirqOf is the PIRQ, 0 for PIRQA#, that a slot's pin, 0 for INTA#, is wired to.
func pirqOf(slot, pin int) int { return (slot + pin + pirqCount - 1) % pirqCount }

// Build makes the floating pointer structure and, right after it, the
// configuration table, for physical address base: a multiple of Align in
// 0x80000-0x9FFFF (then it must be in the first KiB of the extended BIOS data
// area, or in the last of base memory) or in 0xF0000-0xFFFFF. The error names
// the Config field that is out of range.
func Build(base uint64, cfg Config) ([]byte, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	table := configTable(cfg)
	image := append(floatingPointer(base+floatingPointerSize), table...)
	end := base + uint64(len(image))
	switch {
	case base%Align != 0:
		return nil, fmt.Errorf("mptable: base %#x is not aligned to %d bytes", base, Align)
	case base >= ebdaStart && base < ebdaEnd && end <= ebdaEnd:
	case base >= biosStart && base < biosEnd && end <= biosEnd:
	default:
		return nil, fmt.Errorf("mptable: %d bytes at %#x are neither in %#x to %#x nor in %#x to %#x",
			len(image), base, ebdaStart, ebdaEnd-1, biosStart, biosEnd-1)
	}
	return image, nil
}

func (c Config) withDefaults() Config {
	if len(c.CPUs) == 0 {
		c.CPUs = []CPU{{Enabled: true, BSP: true}}
	}
	if c.LAPICVersion == 0 {
		c.LAPICVersion = DefaultLAPICVersion
	}
	if c.LAPICAddr == 0 {
		c.LAPICAddr = DefaultLAPICAddr
	}
	if c.IOAPICVersion == 0 {
		c.IOAPICVersion = DefaultIOAPICVersion
	}
	if c.IOAPICAddr == 0 {
		c.IOAPICAddr = DefaultIOAPICAddr
	}
	if c.PIRQ == [4]uint8{} {
		c.PIRQ = DefaultPIRQ()
	}
	return c
}

func (c Config) validate() error {
	bsps := 0
	var seen [MaxAPICID + 1]bool
	for i, cpu := range c.CPUs {
		switch {
		case cpu.APICID > MaxAPICID:
			return fmt.Errorf("mptable: CPU %d has APIC id %d, but MP tables only reach %d; such a machine needs ACPI",
				i, cpu.APICID, MaxAPICID)
		case seen[cpu.APICID]:
			return fmt.Errorf("mptable: CPU %d: APIC id %d is listed twice", i, cpu.APICID)
		case cpu.BSP && !cpu.Enabled:
			return fmt.Errorf("mptable: CPU %d is the bootstrap processor, but not enabled", i)
		}
		seen[cpu.APICID] = true
		if cpu.BSP {
			bsps++
		}
	}
	if bsps != 1 {
		return fmt.Errorf("mptable: %d of the CPUs are the bootstrap processor, not one", bsps)
	}
	for pirq, irq := range c.PIRQ {
		if !routable(irq) {
			return fmt.Errorf("mptable: PIRQ[%d]: %d is not an interrupt a PIIX3 can route to: 3 to 7, 9 to 12, 14 or 15", pirq, irq)
		}
	}
	if c.SCI != 0 && !routable(c.SCI) {
		return fmt.Errorf("mptable: SCI %d is not an interrupt a PIIX can use: 3 to 7, 9 to 12, 14 or 15", c.SCI)
	}
	return nil
}

// routableIRQs has a bit set for each interrupt that PIRQRC accepts (PIIX3
// datasheet, section 2.2.5): 0, 1, 2, 8 and 13 are reserved.
const routableIRQs = 0xDEF8

func routable(irq uint8) bool { return irq <= 15 && routableIRQs&(1<<irq) != 0 }

// sum adds bytes modulo 256.
func sum(b []byte) (s byte) {
	for _, v := range b {
		s += v
	}
	return s
}

var le = binary.LittleEndian

// encode lays out a struct of fixed-size fields without padding, little-endian.
func encode(v any) []byte {
	out, err := binary.Append(nil, le, v)
	if err != nil {
		panic(err) // v is not of fixed size: a bug in this package
	}
	return out
}
