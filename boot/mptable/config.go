package mptable

const (
	floatingPointerSize = 16
	specRevision        = 4 // 1.4
)

// floating is the MP Floating Pointer Structure (section 4.1).
type floating struct {
	Signature     [4]byte // "_MP_"
	ConfigAddress uint32
	Length        uint8 // in units of 16 bytes
	Revision      uint8
	Checksum      uint8
	Feature1      uint8 // 0: there is a configuration table
	Feature2      uint8 // bit 7: an IMCR is present
	_             [3]byte
}

const floatingChecksum = 10

func floatingPointer(config uint64) []byte {
	f := floating{
		Signature:     [4]byte{'_', 'M', 'P', '_'},
		ConfigAddress: uint32(config),
		Length:        floatingPointerSize / 16,
		Revision:      specRevision,
	}
	out := encode(f)
	out[floatingChecksum] = -sum(out)
	return out
}

// configHeader is the MP Configuration Table Header (section 4.2).
type configHeader struct {
	Signature        [4]byte // "PCMP"
	Length           uint16  // of the base table, header included
	Revision         uint8
	Checksum         uint8
	OEMID            [8]byte
	ProductID        [12]byte
	OEMTable         uint32
	OEMTableSize     uint16
	EntryCount       uint16
	LAPICAddress     uint32
	ExtendedLength   uint16
	ExtendedChecksum uint8
	_                uint8
}

const (
	configHeaderSize = 44
	configChecksum   = 7
)

// Entry types (section 4.3).
const (
	entryProcessor = 0
	entryBus       = 1
	entryIOAPIC    = 2
	entryIOInt     = 3
	entryLocalInt  = 4
)

// The entries of the table (section 4.3). A processor has 20 bytes, all others
// have 8.
type (
	processorEntry struct {
		Type         uint8
		LAPICID      uint8
		LAPICVersion uint8
		Flags        uint8  // bit 0: enabled, bit 1: bootstrap processor
		Signature    uint32 // bits 11..0: family, model, stepping
		Features     uint32 // CPUID leaf 1, EDX
		_            [2]uint32
	}
	busEntry struct {
		Type  uint8
		BusID uint8
		Name  [6]byte
	}
	ioAPICEntry struct {
		Type    uint8
		ID      uint8
		Version uint8
		Flags   uint8 // bit 0: enabled
		Address uint32
	}
	// interruptEntry is an I/O or a local interrupt assignment.
	interruptEntry struct {
		Type      uint8
		Kind      uint8
		Flags     uint16 // polarity in bits 1..0, trigger mode in 3..2
		SourceBus uint8
		SourceIRQ uint8
		DestAPIC  uint8
		DestInput uint8
	}
)

const (
	processorEnabled = 1 << 0
	processorBSP     = 1 << 1
	ioAPICEnabled    = 1 << 0
)

// Bus ids.
const (
	busPCI = 0
	busISA = 1
)

// Interrupt kinds (table 4-11).
const (
	kindINT    = 0
	kindNMI    = 1
	kindExtINT = 3
)

// Interrupt flags (table 4-10). PCI interrupts are active high in this machine,
// because the PIIX3 passes them on as ISA interrupts.
const (
	conforms        = 0
	activeHighLevel = 1 | 3<<2
)

// allLAPICs as a destination means every local APIC.
const allLAPICs = 0xFF

// timerInput is the I/O APIC input of the PIT's IRQ 0. Input 2 is free because
// IRQ 2 is the cascade of the 8259s.
const timerInput = 2

const (
	isaIRQs    = 16
	cascadeIRQ = 2
)

// configTable builds the configuration table. Its entries are in ascending order
// of type, as section 4.2 asks.
func configTable(cfg Config) []byte {
	var entries []byte
	count := 0
	add := func(entry any) {
		entries = append(entries, encode(entry)...)
		count++
	}

	// The bootstrap processor leads: some guests count on it.
	for _, bsp := range []bool{true, false} {
		for _, cpu := range cfg.CPUs {
			if cpu.BSP == bsp {
				add(processor(cfg, cpu))
			}
		}
	}
	add(busEntry{entryBus, busPCI, [6]byte{'P', 'C', 'I', ' ', ' ', ' '}})
	add(busEntry{entryBus, busISA, [6]byte{'I', 'S', 'A', ' ', ' ', ' '}})
	add(ioAPICEntry{entryIOAPIC, cfg.IOAPICID, cfg.IOAPICVersion, ioAPICEnabled, cfg.IOAPICAddr})
	for _, e := range pciInterrupts(cfg) {
		add(e)
	}
	for _, e := range isaInterrupts(cfg) {
		add(e)
	}
	add(interruptEntry{Type: entryLocalInt, Kind: kindExtINT, SourceBus: busISA, DestAPIC: bspID(cfg), DestInput: 0})
	add(interruptEntry{Type: entryLocalInt, Kind: kindNMI, SourceBus: busISA, DestAPIC: allLAPICs, DestInput: 1})

	h := configHeader{
		Signature:    [4]byte{'P', 'C', 'M', 'P'},
		Length:       uint16(configHeaderSize + len(entries)),
		Revision:     specRevision,
		EntryCount:   uint16(count),
		LAPICAddress: cfg.LAPICAddr,
	}
	copy(h.OEMID[:], "GOVMM   ")
	copy(h.ProductID[:], "PC          ")
	out := append(encode(h), entries...)
	out[configChecksum] = -sum(out)
	return out
}

func processor(cfg Config, cpu CPU) processorEntry {
	e := processorEntry{
		Type:         entryProcessor,
		LAPICID:      uint8(cpu.APICID),
		LAPICVersion: cfg.LAPICVersion,
		Signature:    cfg.Signature & 0xFFF,
		Features:     cfg.Features,
	}
	if cpu.Enabled {
		e.Flags |= processorEnabled
	}
	if cpu.BSP {
		e.Flags |= processorBSP
	}
	return e
}

func bspID(cfg Config) uint8 {
	for _, cpu := range cfg.CPUs {
		if cpu.BSP {
			return uint8(cpu.APICID)
		}
	}
	panic("mptable: no bootstrap processor in a validated Config")
}

// pciInterrupts assigns every pin of every slot. The source of a PCI interrupt
// is slot<<2 | pin (appendix D.3).
func pciInterrupts(cfg Config) []interruptEntry {
	entries := make([]interruptEntry, 0, pciSlots*pciPins)
	for slot := range pciSlots {
		for pin := range pciPins {
			irq := cfg.PIRQ[pirqOf(slot, pin)]
			if slot == isaSlot && pin == 0 && cfg.SCI != 0 {
				irq = cfg.SCI
			}
			entries = append(entries, interruptEntry{
				Type:      entryIOInt,
				Kind:      kindINT,
				Flags:     activeHighLevel,
				SourceBus: busPCI,
				SourceIRQ: uint8(slot<<2 | pin),
				DestAPIC:  cfg.IOAPICID,
				DestInput: irq,
			})
		}
	}
	return entries
}

// isaInterrupts assigns the ISA interrupts that PCI does not take: each to the
// input of its number, but IRQ 0. The SCI is among them, as it is known to
// guests by its ISA number.
func isaInterrupts(cfg Config) []interruptEntry {
	var taken [isaIRQs]bool
	taken[cascadeIRQ] = true
	for _, irq := range cfg.PIRQ {
		taken[irq] = true
	}
	var entries []interruptEntry
	for irq := range uint8(isaIRQs) {
		sci := cfg.SCI != 0 && irq == cfg.SCI
		if taken[irq] && !sci {
			continue
		}
		e := interruptEntry{
			Type:      entryIOInt,
			Kind:      kindINT,
			Flags:     conforms,
			SourceBus: busISA,
			SourceIRQ: irq,
			DestAPIC:  cfg.IOAPICID,
			DestInput: irq,
		}
		if irq == 0 {
			e.DestInput = timerInput
		}
		if sci {
			e.Flags = activeHighLevel
		}
		entries = append(entries, e)
	}
	return entries
}
