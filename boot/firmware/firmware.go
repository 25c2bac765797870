// Package firmware prepares what a guest needs that starts through firmware
// (SeaBIOS or OVMF): the firmware image, and the items that the firmware reads
// from the firmware configuration device: memory map, processors, boot order,
// ACPI and SMBIOS tables, option ROMs, and a Linux kernel to boot.
//
// Sources: the QEMU documentation (docs/specs/fw_cfg.rst) for the keys, the
// SeaBIOS documentation (docs/Runtime_config.md) for the files and the boot
// order, the ACPI specification 6.5, the SMBIOS specification 3.6, the Linux
// boot protocol (Documentation/arch/x86/boot.rst), and the BIOS Boot
// Specification 1.01 for the option ROM.
//
// The package only makes bytes: it knows neither the device that hands them out
// nor KVM. Left out: NUMA, TPM, a boot splash, and flash memory (an OVMF that
// keeps its variables).
//
// # What the machine must offer
//
//   - The image, read-only, so that it ends at 4 GiB, and its last 128 KiB
//     below 1 MiB as the host bridge's PAM registers say. Both read the pristine
//     image after every reset: SeaBIOS runs from the copy at 4 GiB until it has
//     copied itself to RAM below 1 MiB, and so it does after a warm reset,
//     when PAM has gone back to its power-on state. The RAM under 0xC0000 to
//     0xFFFFF need not be cleared at a reset.
//   - A host bridge with the subsystem id 1AF4:1100, by which SeaBIOS knows that
//     it runs in a virtual machine and reads these items.
//   - A power management function whose APMC_EN bit is set at reset, unless
//     there is a system management mode: SeaBIOS waits for its SMI handler
//     otherwise.
//   - PCI, ELCR and PIRQ routing in their power-on state: SeaBIOS sets them up.
//     It moves the power management ports to 0x600 when Items has ACPI tables.
//   - A machine without ACPI has no power management function: where SeaBIOS
//     1.16 finds one and no tables, it makes tables of its own.
//   - The clock's CMOS RAM with the kinds of drives (floppy drives are found in
//     no other way).
//   - A reset that is one of the whole machine, also when the guest asks the
//     keyboard controller for it. The shutdown status in CMOS RAM, by which an
//     80286 came back to real mode, then has no effect.
package firmware

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/govmm/govmm/boot"
	"github.com/govmm/govmm/boot/acpi"
	"github.com/govmm/govmm/boot/smbios"
)

// Item is one item for the firmware configuration device. Either it has a Name,
// and is a file, or it is selected by its Key.
type Item struct {
	Key     uint16
	Name    string
	Content boot.Image
}

// Config describes a machine to its firmware.
type Config struct {
	// LowRAM and HighRAM are the bytes of RAM from address 0 and from 4 GiB.
	LowRAM, HighRAM uint64
	// Reserved ranges are kept from the guest's operating system. Firmware knows
	// the types boot.E820RAM and boot.E820Reserved only.
	Reserved []boot.E820Entry

	// CPUs is the number of processors at power-on, 1 to 65535.
	CPUs int
	// APICIDs is the number of APIC ids in use: the greatest one plus 1. 0
	// means CPUs.
	APICIDs int

	UUID [16]byte

	// BootOrder lists devices by their paths, the first to be tried first. See
	// IDEDrive and its siblings. Devices that are not listed come after them,
	// in the order of the CMOS boot bytes, unless BootStrict is set.
	BootOrder  []string
	BootStrict bool

	// BootMenu asks the user for some time whether to choose a device.
	BootMenu bool
	// BootMenuWait is for how long; 0 is the firmware's own choice, at most
	// 65535 ms.
	BootMenuWait time.Duration
	// BootFailWait is how long to wait, when no device can be booted, until the
	// machine is reset. 0 is the firmware's own choice, a negative value means
	// for ever.
	BootFailWait time.Duration

	// SerialConsole is the I/O base address of a UART that takes the place of
	// screen and keyboard; 0 means none.
	SerialConsole uint16

	ACPI *acpi.Tables // nil: the machine has no ACPI
	// SMBIOS is the machine's identity. Firmware adds a structure of type 0
	// where there is none, places the tables and fills in the entry point. nil:
	// the firmware makes tables of its own.
	SMBIOS *smbios.Tables

	// Kernel is booted before any device; nil: the firmware boots from devices.
	Kernel *Kernel

	// Files are further files, such as option ROMs (GenericROM and its siblings
	// name them) or whatever the guest's software looks for under opt/.
	Files []File
}

// File is a file for the firmware configuration device.
type File struct {
	Name    string // at most 55 bytes of printable ASCII
	Content boot.Image
}

// Items returns everything that the firmware is told. The error names the field
// of Config that is at fault, or the file to be booted (a *boot.Error).
func Items(cfg Config) ([]Item, error) {
	b := &builder{}
	for _, add := range []func(Config) error{
		b.memory, b.processors, b.identity, b.bootOptions, b.console, b.tables, b.kernel, b.files,
	} {
		if err := add(cfg); err != nil {
			return nil, fmt.Errorf("firmware: %w", err)
		}
	}
	return b.items, nil
}

// builder gathers items.
type builder struct{ items []Item }

// memory adds the memory map: entries of 20 bytes, address, length, type.
func (b *builder) memory(cfg Config) error {
	const oneMiB = 1 << 20
	switch {
	case cfg.LowRAM < oneMiB || cfg.LowRAM > boot.HighBase:
		return fmt.Errorf("LowRAM: %d bytes are not 1 MiB to 4 GiB", cfg.LowRAM)
	case cfg.HighRAM > 1<<52-boot.HighBase:
		return fmt.Errorf("HighRAM: %d bytes are beyond the 52-bit address space", cfg.HighRAM)
	}
	m := []boot.E820Entry{{Base: 0, Size: cfg.LowRAM, Type: boot.E820RAM}}
	if cfg.HighRAM > 0 {
		m = append(m, boot.E820Entry{Base: boot.HighBase, Size: cfg.HighRAM, Type: boot.E820RAM})
	}
	for _, r := range cfg.Reserved {
		if r.Size == 0 || r.End() < r.Base || r.Type != boot.E820Reserved {
			return fmt.Errorf("field Reserved: range %#x+%#x %v is empty, wraps around or is not of type %v",
				r.Base, r.Size, r.Type, boot.E820Reserved)
		}
		m = append(m, r)
	}
	var table []byte
	for _, e := range m {
		table = le.AppendUint64(table, e.Base)
		table = le.AppendUint64(table, e.Size)
		table = le.AppendUint32(table, uint32(e.Type))
	}
	b.file("etc/e820", table)
	b.key64(keyRAMSize, cfg.LowRAM+cfg.HighRAM)
	return nil
}

func (b *builder) processors(cfg Config) error {
	if cfg.CPUs < 1 || cfg.CPUs > math.MaxUint16 {
		return fmt.Errorf("CPUs: %d is not 1 to %d", cfg.CPUs, math.MaxUint16)
	}
	ids := cfg.APICIDs
	if ids == 0 {
		ids = cfg.CPUs
	}
	if ids < cfg.CPUs || ids > math.MaxUint16 {
		return fmt.Errorf("APICIDs: %d is not %d to %d", ids, cfg.CPUs, math.MaxUint16)
	}
	b.key16(keyNBCPUs, uint16(cfg.CPUs))
	b.key16(keyMaxCPUs, uint16(ids))
	b.key32(keyIRQ0Override, 1) // the timer is on pin 2 of the I/O APIC
	return nil
}

func (b *builder) identity(cfg Config) error {
	b.key(keyUUID, cfg.UUID[:])
	return nil
}

func (b *builder) bootOptions(cfg Config) error {
	order := cfg.BootOrder
	if cfg.Kernel != nil {
		order = append([]string{ROM(kernelROMName)}, order...)
	}
	if cfg.BootStrict {
		order = append(order[:len(order):len(order)], halt)
	}
	list, err := bootOrder(order)
	if err != nil {
		return fmt.Errorf("BootOrder: %w", err)
	}
	if list != nil {
		b.file("bootorder", list)
	}
	b.key16(keyBootMenu, flag(cfg.BootMenu))
	if cfg.BootMenuWait != 0 {
		ms := cfg.BootMenuWait.Milliseconds()
		if ms < 0 || ms > math.MaxUint16 {
			return fmt.Errorf("BootMenuWait: %v is not 0 to %d ms", cfg.BootMenuWait, math.MaxUint16)
		}
		b.file("etc/boot-menu-wait", le.AppendUint16(nil, uint16(ms)))
	}
	switch ms := cfg.BootFailWait.Milliseconds(); {
	case cfg.BootFailWait < 0:
		b.file("etc/boot-fail-wait", le.AppendUint32(nil, math.MaxUint32))
	case ms > math.MaxInt32:
		return fmt.Errorf("BootFailWait: %v is more than %d ms", cfg.BootFailWait, math.MaxInt32)
	case cfg.BootFailWait > 0:
		b.file("etc/boot-fail-wait", le.AppendUint32(nil, uint32(ms)))
	}
	return nil
}

// console chooses the serial console. The key is for a BIOS that has its serial
// console in an option ROM, the file for one that has it built in.
func (b *builder) console(cfg Config) error {
	b.key16(keyNoGraphic, flag(cfg.SerialConsole != 0))
	if cfg.SerialConsole != 0 {
		b.file("etc/sercon-port", le.AppendUint16(nil, cfg.SerialConsole))
	}
	return nil
}

func (b *builder) tables(cfg Config) error {
	if cfg.ACPI != nil {
		if err := b.acpi(cfg.ACPI); err != nil {
			return fmt.Errorf("ACPI: %w", err)
		}
	}
	if s := cfg.SMBIOS; s != nil {
		if err := checkSMBIOS(s); err != nil {
			return fmt.Errorf("SMBIOS: %w", err)
		}
		b.file(smbios.AnchorFile, s.Anchor)
		b.file(smbios.TablesFile, s.Data)
	}
	return nil
}

// checkSMBIOS finds the mistakes for which SeaBIOS drops the tables without a
// word: an entry point of another size than 31 bytes (SMBIOS 3.6, section
// 5.2.1) or 24 (section 5.2.2), or one that gives the tables another length.
func checkSMBIOS(s *smbios.Tables) error {
	var length uint32
	switch a := s.Anchor; {
	case len(a) == 31 && string(a[:4]) == "_SM_":
		length = uint32(le.Uint16(a[0x16:]))
	case len(a) == 24 && string(a[:5]) == "_SM3_":
		length = le.Uint32(a[0x0C:])
	default:
		return errors.New("the anchor is not an entry point of SMBIOS 2.1 (31 bytes) or 3.0 (24 bytes)")
	}
	if uint64(length) != uint64(len(s.Data)) {
		return fmt.Errorf("the anchor says that the tables have %d bytes, and they have %d", length, len(s.Data))
	}
	return nil
}

func (b *builder) files(cfg Config) error {
	for _, f := range cfg.Files {
		if f.Name == "" || f.Content == nil {
			return fmt.Errorf("field Files: file %q has no name or no content", f.Name)
		}
		b.items = append(b.items, Item{Name: f.Name, Content: f.Content})
	}
	return nil
}

func flag(v bool) uint16 {
	if v {
		return 1
	}
	return 0
}
