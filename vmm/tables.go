package vmm

import (
	"fmt"

	"github.com/govmm/govmm/boot"
	"github.com/govmm/govmm/boot/acpi"
	"github.com/govmm/govmm/boot/mptable"
	"github.com/govmm/govmm/devices/pci"
	"github.com/govmm/govmm/devices/platform"
	"github.com/govmm/govmm/devices/timer"
)

// Where the tables go: the ACPI root pointer at the start of the BIOS area, the
// MultiProcessor tables and the PCI interrupt routing table where the F segment
// begins, the other ACPI tables at the end of RAM below 4 GiB.
const (
	rsdpAddress    = boot.BIOSBase
	mptableAddress = 0xF0000
	pageMask       = 0xFFF
)

// writeTables puts the tables into RAM that tell the guest what the machine
// has, and notes in cfg where they are.
func (m *Machine) writeTables(cfg *boot.Config) error {
	if err := m.writeMPTables(); err != nil {
		return err
	}
	end := cfg.LowRAM
	if err := m.writeSMBIOS(cfg, &end); err != nil {
		return err
	}
	if !m.hasACPI() {
		return nil
	}
	tables, err := acpi.Build(m.acpiConfig(cfg.LowRAM))
	if err != nil {
		return err
	}
	size := uint64(len(tables.Data))
	if size+pageMask > end/2 {
		return fmt.Errorf("memory: %d bytes are too few for the ACPI tables of %d vCPUs", cfg.LowRAM, len(m.cpus))
	}
	base := (end - size) &^ pageMask
	image, err := tables.Place(base, rsdpAddress)
	if err != nil {
		return err
	}
	// The guest and the firmware of a real PC both write to the FACS among
	// them, so the range is non-volatile storage rather than reclaimable.
	cfg.Reserved = append(cfg.Reserved, boot.E820Entry{Base: base, Size: end - base, Type: boot.E820NVS})
	cfg.RSDP = image.RSDPAddr
	if err := m.ram.WriteAt(image.Data, image.DataAddr); err != nil {
		return err
	}
	return m.ram.WriteAt(image.RSDP, image.RSDPAddr)
}

// acpiConfig describes the machine to ACPI.
func (m *Machine) acpiConfig(low uint64) acpi.Config {
	cfg := acpi.Config{
		PCIWindow:   acpi.Window{First: pciHole(low), Last: pciHoleLast},
		PMBase:      pci.FirmwarePMBase,
		SCI:         irqSCI,
		PVPanicPort: platform.PvpanicPort,
		Keyboard:    true,
		Mouse:       true,
		NoRTC:       !m.hasTimer("rtc"),
		HPET:        m.hasTimer("hpet"),
		HPETAddr:    timer.HPETBase,
		HPETID:      timer.HPETID,

		SMICommandPort: pci.APMPort,
	}
	for i := range m.cpus {
		cfg.CPUs = append(cfg.CPUs, acpi.CPU{APICID: uint32(i), Enabled: true})
	}
	for i, s := range m.domain.Devices.Serials {
		if port, ok := comPort(s, i); ok {
			cfg.Serial = append(cfg.Serial, acpi.Serial{COM: port.number + 1, Port: port.base, IRQ: uint8(port.irq)})
		}
	}
	for _, p := range m.domain.Devices.Parallels {
		if port, ok := lptPort(p); ok {
			cfg.Parallel = append(cfg.Parallel, acpi.Parallel{LPT: port.number + 1, Port: port.base, IRQ: uint8(port.irq)})
		}
	}
	return cfg
}

// writeMPTables writes the tables for guests without ACPI, or that are told not
// to use it.
func (m *Machine) writeMPTables() error {
	if len(m.cpus)-1 > mptable.MaxAPICID {
		if m.hasACPI() {
			return nil // which can name them all
		}
		return fmt.Errorf("vcpu: without <acpi/> the guest can be told of at most %d vCPUs", mptable.MaxAPICID+1)
	}
	signature, features := m.cpuid.signature()
	cfg := mptable.Config{Signature: signature, Features: features, PIRQ: mptable.DefaultPIRQ(), SCI: irqSCI}
	for i := range m.cpus {
		cfg.CPUs = append(cfg.CPUs, mptable.CPU{APICID: uint32(i), Enabled: true, BSP: i == 0})
	}
	mp, err := mptable.Build(mptableAddress, cfg)
	if err != nil {
		return err
	}
	pir, err := mptable.BuildPIR(mptable.PIRConfig{})
	if err != nil {
		return err
	}
	if err := m.ram.WriteAt(mp, mptableAddress); err != nil {
		return err
	}
	after := (mptableAddress + uint64(len(mp)) + mptable.Align - 1) &^ (mptable.Align - 1)
	return m.ram.WriteAt(pir, after)
}

// The hole below 4 GiB where PCI devices' memory goes.
const pciHoleLast = 0xFEBFFFFF

// pciHole is where the hole begins: a power of two below 4 GiB, so that one
// variable MTRR covers it.
func pciHole(low uint64) uint64 {
	if low > 0xC0000000 {
		return 0xE0000000
	}
	return 0xC0000000
}
