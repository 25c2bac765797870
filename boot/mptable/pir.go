package mptable

import (
	"fmt"
	"math/bits"
)

// PIRConfig describes the interrupt router to BuildPIR.
type PIRConfig struct {
	// IRQs has a bit set for each interrupt that a PIRQ may be routed to; 0
	// means 5, 9, 10 and 11.
	IRQs uint16
	// Slots lists the device numbers (1 to 31) of bus 0 to describe; empty means
	// all of them.
	Slots []int
}

// DefaultPIRIRQs are the interrupts 5, 9, 10 and 11.
const DefaultPIRIRQs = 1<<5 | 1<<9 | 1<<10 | 1<<11

// pirHeader begins the table (specification 1.0, "PCI IRQ Routing Table").
type pirHeader struct {
	Signature      [4]byte // "$PIR"
	Version        uint16  // 1.0
	Size           uint16  // of the whole table in bytes
	RouterBus      uint8
	RouterDevFunc  uint8
	ExclusiveIRQs  uint16 // interrupts that only PCI devices use
	RouterVendor   uint16 // of a router this one is compatible with
	RouterDevice   uint16
	MiniportData   uint32
	_              [11]byte
	HeaderChecksum uint8
}

const (
	pirVersion  = 0x0100
	pirChecksum = 31
)

// The router is register-compatible with the 82371FB, the first PIIX, and that
// is the one that all guests know.
const (
	vendorIntel   = 0x8086
	device82371FB = 0x122E
)

// pirqRegisters is the configuration register PIRQRC[A]; the others follow. The
// link value of a pin is the number of its register.
const pirqRegisters = 0x60

// pirSlot is one entry of the table. A slot number of 0 marks a device on the
// board, as opposed to one in a connector.
type pirSlot struct {
	Bus     uint8
	DevFunc uint8
	Pins    [pciPins]struct {
		Link uint8
		IRQs uint16
	}
	Slot uint8
	_    uint8
}

// BuildPIR makes the $PIR table, to be placed on a multiple of Align in
// 0xF0000-0xFFFFF. It holds no address. The error names the field of cfg that is
// out of range.
func BuildPIR(cfg PIRConfig) ([]byte, error) {
	if cfg.IRQs == 0 {
		cfg.IRQs = DefaultPIRIRQs
	}
	if bad := cfg.IRQs &^ routableIRQs; bad != 0 {
		return nil, fmt.Errorf("mptable: IRQs: %d is not an interrupt a PIIX3 can route to: 3 to 7, 9 to 12, 14 or 15",
			bits.TrailingZeros16(bad))
	}
	slots := cfg.Slots
	if len(slots) == 0 {
		slots = make([]int, pciSlots-1)
		for i := range slots {
			slots[i] = i + 1
		}
	}

	var entries []byte
	var seen [pciSlots]bool
	for _, slot := range slots {
		if slot < 1 || slot >= pciSlots || seen[slot] {
			return nil, fmt.Errorf("mptable: Slots: %d is listed twice or not a device number of 1 to %d", slot, pciSlots-1)
		}
		seen[slot] = true
		e := pirSlot{DevFunc: uint8(slot << 3)}
		for pin := range e.Pins {
			e.Pins[pin].Link = uint8(pirqRegisters + pirqOf(slot, pin))
			e.Pins[pin].IRQs = cfg.IRQs
		}
		if slot != isaSlot {
			e.Slot = uint8(slot)
		}
		entries = append(entries, encode(e)...)
	}

	h := pirHeader{
		Signature:     [4]byte{'$', 'P', 'I', 'R'},
		Version:       pirVersion,
		RouterDevFunc: isaSlot << 3,
		RouterVendor:  vendorIntel,
		RouterDevice:  device82371FB,
	}
	out := append(encode(h), entries...)
	le.PutUint16(out[6:], uint16(len(out)))
	out[pirChecksum] = -sum(out)
	return out, nil
}
