package acpi

import (
	"fmt"

	"github.com/govmm/govmm/boot/acpi/aml"
)

// isaBridge builds the PIIX3 ISA bridge, its PIRQ registers and the devices on
// the ISA bus.
func isaBridge(cfg Config) aml.Term {
	units := make([]aml.FieldUnit, pirqCount)
	for pirq := range units {
		units[pirq] = aml.FieldUnit{Name: pirqField(pirq), Bits: 8}
	}
	body := []aml.Term{
		aml.Name("_ADR", aml.Int(isaSlot<<16)),
		aml.OperationRegion("PIRQ", aml.PCIConfig, pirqRegisters, pirqCount),
		aml.Field("PIRQ", aml.ByteAccess, units...),
		motherboard(cfg),
	}
	if !cfg.NoRTC {
		body = append(body, isaDevice("RTC", "PNP0B00", 0, aml.IO(0x70, 2), aml.IRQNoFlags(8)))
	}
	if cfg.Keyboard {
		body = append(body, isaDevice("KBD", "PNP0303", 0,
			aml.IO(0x60, 1), aml.IO(0x64, 1), aml.IRQNoFlags(1)))
	}
	if cfg.Mouse {
		body = append(body, isaDevice("MOU", "PNP0F13", 0, aml.IRQNoFlags(12)))
	}
	for _, s := range cfg.Serial {
		body = append(body, isaDevice(fmt.Sprintf("COM%d", s.COM), "PNP0501", s.COM,
			aml.IO(s.Port, 8), aml.IRQNoFlags(s.IRQ)))
	}
	for _, p := range cfg.Parallel {
		body = append(body, isaDevice(fmt.Sprintf("LPT%d", p.LPT), "PNP0400", p.LPT,
			aml.IO(p.Port, parallelPorts), aml.IRQNoFlags(p.IRQ)))
	}
	if cfg.PVPanicPort != 0 {
		body = append(body, aml.Device("PEVT",
			aml.Name("_HID", aml.String("QEMU0001")),
			aml.Name("_CRS", aml.ResourceTemplate(aml.IO(cfg.PVPanicPort, 1))),
			aml.Name("_STA", aml.Int(present)),
		))
	}
	return aml.Device("ISA", body...)
}

// parallelPorts is how many ports a parallel port has: more would reach into a
// VGA's from LPT3 on.
const parallelPorts = 4

// isaDevice builds a plug-and-play device with fixed resources.
func isaDevice(name, hid string, uid int, resources ...aml.Resource) aml.Term {
	return aml.Device(name,
		aml.Name("_HID", aml.EISAID(hid)),
		aml.Name("_UID", aml.Int(uint64(uid))),
		aml.Name("_STA", aml.Int(present)),
		aml.Name("_CRS", aml.ResourceTemplate(resources...)),
	)
}

// motherboard reserves the ports of system devices that have no driver of their
// own, so that the guest places nothing there.
func motherboard(cfg Config) aml.Term {
	resources := []aml.Resource{
		aml.IO(0x4D0, 2), // ELCR
		aml.IO(cfg.PMBase, pmBlockSize),
	}
	gpe0 := int(cfg.GPE0Base)
	if gpe0 < int(cfg.PMBase) || gpe0+gpe0Length > int(cfg.PMBase)+pmBlockSize {
		resources = append(resources, aml.IO(cfg.GPE0Base, gpe0Length))
	}
	if cfg.SMICommandPort != 0 {
		resources = append(resources, aml.IO(cfg.SMICommandPort, 2))
	}
	return isaDevice("MRES", "PNP0C02", 0, resources...)
}
