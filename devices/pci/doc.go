// Package pci models the PCI bus of a PC with an i440FX host bridge and the
// PIIX3/PIIX4 south bridge: configuration space and its access mechanism #1,
// base address registers that move at run time, INTx interrupts and their
// routing, MSI and MSI-X, and the three bridge functions themselves.
//
// Sources: PCI Local Bus Specification 3.0; Intel 82441FX (290549), 82371SB
// PIIX3 (290550) and 82371AB PIIX4 (290562) data sheets; ACPI 1.0b for the
// power management registers.
//
// There is one bus, number 0. Left out: bridges to further buses, parity and
// system errors, the SMBus controller, and everything in the bridges that only
// tunes real hardware (such registers are storage). Every register that is not
// described reads 0.
//
// A device is a Function: it embeds a *Config, which answers the configuration
// accesses, and describes its BARs and capabilities to it.
//
//	type nic struct {
//		*pci.Config
//	}
//
//	c, err := pci.NewConfig(pci.Header{Name: "nic0", Vendor: 0x1AF4, ..., InterruptPin: 1})
//	err = c.AddBAR(pci.BAR{Index: 0, Kind: pci.IO, Size: 64, Handler: regs})
//	err = pciBus.Add(&nic{Config: c}, 3, 0)
//	c.INTx().Set(true)
package pci
