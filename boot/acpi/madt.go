package acpi

import "slices"

const madtRevision = 3

// Interrupt controller structure types (section 5.2.12, table 5.21).
const (
	madtLocalAPIC      = 0
	madtIOAPIC         = 1
	madtSourceOverride = 2
	madtLocalAPICNMI   = 4
	madtLocalX2APIC    = 9
	madtLocalX2APICNMI = 10
)

// MPS INTI flags (table 5.26): polarity in bits 1..0, trigger mode in 3..2.
const (
	intiConforms        = 0
	intiActiveHighLevel = 1 | 3<<2
)

// The structures of the MADT. Each begins with its type and length.
type (
	// madtHead comes between the table's header and the structures.
	madtHead struct {
		LocalAPICAddress uint32
		Flags            uint32 // bit 0: there is a pair of 8259s too
	}
	localAPIC struct {
		Type, Length uint8
		UID, APICID  uint8
		Flags        uint32 // bit 0: enabled
	}
	localX2APIC struct {
		Type, Length uint8
		_            uint16
		APICID       uint32
		Flags        uint32
		UID          uint32
	}
	ioAPIC struct {
		Type, Length uint8
		ID           uint8
		_            uint8
		Address      uint32
		GSIBase      uint32
	}
	sourceOverride struct {
		Type, Length uint8
		Bus, Source  uint8
		GSI          uint32
		Flags        uint16
	}
	localAPICNMI struct {
		Type, Length uint8
		UID          uint8
		Flags        uint16
		LINT         uint8
	}
	localX2APICNMI struct {
		Type, Length uint8
		Flags        uint16
		UID          uint32
		LINT         uint8
		_            [3]byte
	}
)

// nmiLINT is the local interrupt input that NMI is wired to.
const nmiLINT = 1

// madt builds the Multiple APIC Description Table after its header.
func madt(cfg Config) []byte {
	out := encode(madtHead{LocalAPICAddress: cfg.LAPICAddr, Flags: 1})
	wide := false
	for uid, cpu := range cfg.CPUs {
		var flags uint32
		if cpu.Enabled {
			flags = 1
		}
		// A processor whose id fits must use the short form (section 5.2.12.12).
		// Ids ascend, so the UID, an index, fits if the id does.
		if cpu.APICID < 0xFF {
			out = append(out, encode(localAPIC{madtLocalAPIC, 8, uint8(uid), uint8(cpu.APICID), flags})...)
			continue
		}
		wide = true
		out = append(out, encode(localX2APIC{
			Type: madtLocalX2APIC, Length: 16,
			APICID: cpu.APICID, Flags: flags, UID: uint32(uid),
		})...)
	}
	out = append(out, encode(ioAPIC{
		Type: madtIOAPIC, Length: 12, ID: cfg.IOAPICID, Address: cfg.IOAPICAddr,
	})...)

	// The PIT's IRQ 0 is on input 2, where the cascade leaves a free one.
	out = append(out, encode(sourceOverride{
		Type: madtSourceOverride, Length: 10, Source: 0, GSI: 2, Flags: intiConforms,
	})...)
	for _, irq := range levelIRQs(cfg) {
		out = append(out, encode(sourceOverride{
			Type: madtSourceOverride, Length: 10, Source: irq, GSI: uint32(irq), Flags: intiActiveHighLevel,
		})...)
	}

	out = append(out, encode(localAPICNMI{Type: madtLocalAPICNMI, Length: 6, UID: 0xFF, LINT: nmiLINT})...)
	if wide {
		out = append(out, encode(localX2APICNMI{
			Type: madtLocalX2APICNMI, Length: 12, UID: 0xFFFF_FFFF, LINT: nmiLINT,
		})...)
	}
	return out
}

// levelIRQs lists, ascending, the interrupts that differ from the ISA default
// of edge-triggered: the SCI and what PCI interrupts may be routed to.
func levelIRQs(cfg Config) []uint8 {
	irqs := append([]uint8{cfg.SCI}, cfg.PIRQs...)
	slices.Sort(irqs)
	return slices.Compact(irqs)
}
