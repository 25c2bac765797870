package acpi

import "github.com/govmm/govmm/boot/acpi/aml"

const (
	pirqCount = 4
	pciSlots  = 32
	pciPins   = 4

	// isaSlot is the slot of the PIIX, whose INTA# is the SCI.
	isaSlot = 1
)

// The PIIX3's route control registers PIRQRC[A:D] (PIIX3 datasheet, section
// 2.2.5), in the configuration space of 00:01.0:
//
//	60-63   7 routing disabled   3..0 interrupt
const (
	pirqRegisters = 0x60
	pirqDisabled  = 0x80
)

// linkName and pirqField name the link device and the register of a PIRQ.
func linkName(pirq int) string  { return "LNK" + string(rune('A'+pirq)) }
func pirqField(pirq int) string { return "PRQ" + string(rune('A'+pirq)) }

// pirqRegister reads or writes a PIRQ's register from anywhere in the namespace.
func pirqRegister(pirq int) aml.Term { return aml.Path(`\_SB.PCI0.ISA.` + pirqField(pirq)) }

// linkMethods builds what the links share: LSTA and LCRS make the _STA and _CRS
// of a link from its register.
func linkMethods() aml.Term {
	const enabled, disabled = 0xB, 0x9 // present and functioning; bit 1: decoding
	routed := aml.LLess(aml.Arg(0), aml.Int(pirqDisabled))
	return aml.Concat(
		aml.Method("LSTA", 1, aml.NotSerialized,
			aml.If(routed, aml.Return(aml.Int(enabled))),
			aml.Return(aml.Int(disabled)),
		),
		// A link that is not routed has interrupt 0, which means none.
		aml.Method("LCRS", 1, aml.Serialized,
			aml.Name("LRES", aml.ResourceTemplate(aml.Interrupt(0))),
			aml.CreateDWordField(aml.Path("LRES"), aml.InterruptOffset, "LIRQ"),
			aml.Store(aml.Int(0), aml.Path("LIRQ")),
			aml.If(routed, aml.Store(aml.Arg(0), aml.Path("LIRQ"))),
			aml.Return(aml.Path("LRES")),
		),
	)
}

// linkDevice builds the interrupt link (section 6.2.13) of one PIRQ.
func linkDevice(pirq int, irqs []uint8) aml.Term {
	register := pirqRegister(pirq)
	possible := make([]uint32, len(irqs))
	for i, irq := range irqs {
		possible[i] = uint32(irq)
	}
	return aml.Device(linkName(pirq),
		aml.Name("_HID", aml.EISAID("PNP0C0F")),
		aml.Name("_UID", aml.Int(uint64(pirq))),
		aml.Name("_PRS", aml.ResourceTemplate(aml.Interrupt(possible...))),
		aml.Method("_STA", 0, aml.NotSerialized, aml.Return(aml.Call("LSTA", register))),
		aml.Method("_CRS", 0, aml.NotSerialized, aml.Return(aml.Call("LCRS", register))),
		aml.Method("_DIS", 0, aml.NotSerialized, aml.Or(register, aml.Int(pirqDisabled), register)),
		aml.Method("_SRS", 1, aml.Serialized,
			aml.CreateDWordField(aml.Arg(0), aml.InterruptOffset, "LIRQ"),
			aml.Store(aml.Path("LIRQ"), register),
		),
	)
}

// sciLink is the link of INTA# of the PIIX4, which is wired to the SCI and
// cannot be routed.
const sciLink = "LNKS"

func sciLinkDevice(sci uint8) aml.Term {
	resources := aml.ResourceTemplate(aml.Interrupt(uint32(sci)))
	const fixed = 0xB
	return aml.Device(sciLink,
		aml.Name("_HID", aml.EISAID("PNP0C0F")),
		aml.Name("_UID", aml.Int(pirqCount)),
		aml.Name("_PRS", resources),
		aml.Name("_CRS", resources),
		aml.Name("_STA", aml.Int(fixed)),
		aml.Method("_DIS", 0, aml.NotSerialized),
		aml.Method("_SRS", 1, aml.NotSerialized),
	)
}

func hostBridge(cfg Config) aml.Term {
	return aml.Device("PCI0",
		aml.Name("_HID", aml.EISAID("PNP0A03")),
		aml.Name("_UID", aml.Int(0)),
		aml.Name("_CRS", hostWindows(cfg)),
		aml.Name("_PRT", interruptRouting()),
		isaBridge(cfg),
	)
}

// hostWindows builds the host bridge's resources: what it passes on to the bus,
// and the configuration ports that it keeps.
func hostWindows(cfg Config) aml.Term {
	const configAddress, configPorts = 0xCF8, 8
	resources := []aml.Resource{
		aml.WordBusNumber(0, 0xFF),
		aml.IO(configAddress, configPorts),
		aml.WordIO(0, configAddress-1),
		aml.WordIO(configAddress+configPorts, 0xFFFF),
		aml.DWordMemoryCacheable(0xA_0000, 0xB_FFFF),
		aml.DWordMemory(uint32(cfg.PCIWindow.First), uint32(cfg.PCIWindow.Last)),
	}
	if w := cfg.PCIWindow64; w != (Window{}) {
		resources = append(resources, aml.QWordMemory(w.First, w.Last))
	}
	return aml.ResourceTemplate(resources...)
}

// interruptRouting builds the _PRT (section 6.2.13): for each slot and pin of
// bus 0 the address, the pin, the link and its resource index.
func interruptRouting() aml.Term {
	const anyFunction = 0xFFFF
	var routes []aml.Term
	for slot := range pciSlots {
		for pin := range pciPins {
			link := linkName((slot + pin + pirqCount - 1) % pirqCount)
			if slot == isaSlot && pin == 0 {
				link = sciLink
			}
			routes = append(routes, aml.Package(
				aml.Int(uint64(slot)<<16|anyFunction),
				aml.Int(uint64(pin)),
				aml.Path(link),
				aml.Int(0),
			))
		}
	}
	return aml.Package(routes...)
}
