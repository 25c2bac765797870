package acpi

import (
	"fmt"

	"github.com/govmm/govmm/boot/acpi/aml"
)

// dsdtRevision 1 makes AML integers 32 bits wide, which old guests expect.
const dsdtRevision = 1

// dsdt builds the Differentiated System Description Table after its header.
//
//	\_SB
//	    LNKA-LNKD, LNKS    interrupt links of the PIIX3, and the SCI's
//	    PCI0               host bridge: windows and interrupt routing
//	        ISA            ISA bridge: PIRQ registers, ISA devices
//	    HPET
//	    CPUS               C000, C001, ... one device a processor
//	\_S5                   soft off
func dsdt(cfg Config) []byte {
	sb := []aml.Term{linkMethods()}
	for pirq := range pirqCount {
		sb = append(sb, linkDevice(pirq, cfg.PIRQs))
	}
	sb = append(sb, sciLinkDevice(cfg.SCI), hostBridge(cfg))
	if cfg.HPET {
		sb = append(sb, hpetDevice(cfg.HPETAddr))
	}
	sb = append(sb, processors(cfg.CPUs))

	return aml.Concat(
		aml.Scope(`\_SB`, sb...),
		// SLP_TYP for PM1a_CNT and PM1b_CNT, then two reserved elements.
		aml.Name(`\_S5`, aml.Package(aml.Int(SleepTypeS5), aml.Int(SleepTypeS5), aml.Int(0), aml.Int(0))),
	)
}

// present is a _STA value: present, enabled, shown and functioning.
const present = 0xF

func hpetDevice(addr uint32) aml.Term {
	return aml.Device("HPET",
		aml.Name("_HID", aml.EISAID("PNP0103")),
		aml.Name("_UID", aml.Int(0)),
		aml.Name("_CRS", aml.ResourceTemplate(aml.Memory32Fixed(addr, hpetSize))),
	)
}

// processors builds a container of one device a processor, about 30 bytes each.
// The _UID is the one of the MADT, which holds the APIC id.
func processors(cpus []CPU) aml.Term {
	devices := []aml.Term{
		aml.Name("_HID", aml.String("ACPI0010")),
		aml.Name("_CID", aml.EISAID("PNP0A05")),
	}
	for uid, cpu := range cpus {
		body := []aml.Term{
			aml.Name("_HID", aml.String("ACPI0007")),
			aml.Name("_UID", aml.Int(uint64(uid))),
		}
		if !cpu.Enabled {
			body = append(body, aml.Name("_STA", aml.Int(0)))
		}
		devices = append(devices, aml.Device(fmt.Sprintf("C%03X", uid), body...))
	}
	return aml.Device("CPUS", devices...)
}
