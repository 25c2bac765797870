// Package acpi builds the ACPI tables of the pc machine: an i440FX host bridge,
// a PIIX3 ISA bridge and a PIIX4 power management function, with local APICs
// and one I/O APIC.
//
// The tables are the RSDP (revision 2), RSDT and XSDT, FADT (revision 3, the one
// of ACPI 2.0, which guests from Windows XP on read), FACS, MADT, WAET, DSDT and,
// if asked for, HPET. The sources are the ACPI specification 6.5, Intel's PIIX3
// (290550) and PIIX4 (290562) datasheets, Microsoft's Windows ACPI Emulated
// Devices Table specification and Intel's IA-PC HPET specification 1.0a.
//
// Tables are built position-independent: pointers hold offsets and checksum
// bytes are zero, with a list of both beside the bytes. Place applies the list
// for a loader that knows its addresses; a firmware's table loader can apply the
// same list itself.
//
// What the tables promise, the devices must keep:
//
//   - SCI_EN reads as one from reset on, unless Config.SMICommandPort is set: a
//     zero SMI_CMD tells the guest that there is no legacy mode to leave.
//   - SLP_TYP 0 with SLP_EN in PM1a_CNT switches the machine off (S5). No other
//     sleep state is offered.
//   - Writing 0x06 to port 0xCF9 resets the machine (PIIX3 reset control).
//   - The PM timer has 24 bits; one read of it is enough.
//   - The power button sets PWRBTN_STS in PM1a_STS (a fixed-feature button).
//   - PCI interrupts and the SCI are level-triggered and active high, INTA# of
//     slot 1 (the PIIX4 function) is the SCI, and any other pin goes to PIRQ
//     (slot + pin - 1) mod 4.
//
// Left out: sleep states S1 to S4, CPU and PCI hot-plug, NUMA (SRAT), floppy
// controllers.
package acpi

// Fixed addresses of the pc machine.
const (
	DefaultIOAPICAddr = 0xFEC0_0000
	DefaultHPETAddr   = 0xFED0_0000
	DefaultLAPICAddr  = 0xFEE0_0000
	DefaultPMBase     = 0x600
	DefaultSCI        = 9

	// ResetPort and ResetValue are the FADT's reset register: the PIIX3 reset
	// control register, with "hard reset" and "reset CPU" set.
	ResetPort  = 0xCF9
	ResetValue = 0x06

	// ACPIEnable and ACPIDisable are the values that the guest writes to
	// Config.SMICommandPort to set and clear SCI_EN.
	ACPIEnable  = 0xF1
	ACPIDisable = 0xF0

	// SleepTypeS5 is the SLP_TYP value of soft off (PIIX4 datasheet, PMCNTRL
	// bits 12..10: 000 is soft off).
	SleepTypeS5 = 0

	// MaxCPUs is the number of processors that the DSDT has names for.
	MaxCPUs = 4096
)

// pmBlockSize is the size of the PIIX4's power management I/O block, in bytes,
// and the alignment of its base (PMBASE bits 15..6).
const pmBlockSize = 64

// Build makes the tables of one machine. The error names the Config field that
// is out of range.
func Build(cfg Config) (*Tables, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	b := newBuilder()
	// The FACS comes first: its offset 0 has the alignment of the whole blob.
	facs := b.facs()
	dsdt := b.table("DSDT", dsdtRevision, dsdt(cfg))
	listed := []int{
		b.fadt(cfg, facs, dsdt),
		b.table("APIC", madtRevision, madt(cfg)),
		b.table("WAET", 1, waet(cfg)),
	}
	if cfg.HPET {
		listed = append(listed, b.table("HPET", 1, hpet(cfg)))
	}
	b.root(listed)
	return b.tables, nil
}
