package acpi

import (
	"errors"
	"fmt"
	"slices"
)

// Config describes a machine. The zero value is a machine of one CPU with no
// ISA devices but the clock.
type Config struct {
	// CPUs lists every processor, absent ones too, in ascending order of APIC
	// id. The place in the list is the processor's ACPI UID. Empty means one
	// enabled CPU of APIC id 0; at most MaxCPUs.
	CPUs []CPU

	LAPICAddr  uint32 // physical address of the local APICs; 0 means DefaultLAPICAddr
	IOAPICID   uint8  // id of the I/O APIC
	IOAPICAddr uint32 // physical address of the I/O APIC; 0 means DefaultIOAPICAddr

	// PCIWindow is the hole below 4 GiB that PCI devices may be placed in. The
	// zero window means 0xE0000000 to 0xFEBFFFFF.
	PCIWindow Window
	// PCIWindow64 is a window above 4 GiB. The zero window means none.
	PCIWindow64 Window

	// PMBase is the first port of the PIIX4's power management block, a
	// multiple of 64; 0 means DefaultPMBase.
	PMBase uint16
	// GPE0Base is the first port of the general-purpose event block of 4 bytes;
	// 0 means the PIIX4's own, PMBase + 0x0C.
	GPE0Base uint16
	// SCI is the ISA interrupt of the PIIX4; 0 means DefaultSCI.
	SCI uint8
	// SMICommandPort is where ACPIEnable and ACPIDisable are written. 0 means
	// that there is none: the hardware is in ACPI mode from reset on.
	SMICommandPort uint16

	// PIRQs lists the interrupts the PIIX3 may route PIRQA# to PIRQD# to; empty
	// means those of 5, 10 and 11 that no serial or parallel port uses. They are
	// declared level-triggered in the MADT.
	PIRQs []uint8

	Serial   []Serial
	Parallel []Parallel
	Keyboard bool // PS/2 keyboard on the i8042
	Mouse    bool // PS/2 mouse on the i8042

	// PVPanicPort is the port of the pvpanic device; 0 means that there is none.
	PVPanicPort uint16

	NoRTC    bool   // whether there is no MC146818 at ports 0x70 and 0x71
	HPET     bool   // whether there is a high precision event timer
	HPETAddr uint32 // its physical address; 0 means DefaultHPETAddr
	HPETID   uint32 // bits 31..0 of its capabilities register; 0 means DefaultHPETID

	// RTCNeedsNoAck tells Windows that the clock goes on interrupting although
	// the guest does not read register C. Only set it for a clock that does.
	RTCNeedsNoAck bool
}

// CPU is one processor.
type CPU struct {
	APICID  uint32
	Enabled bool // false: a processor that could be added, but is absent
}

// Window is a range of physical addresses with both ends included.
type Window struct{ First, Last uint64 }

// Serial is one 16550 UART.
type Serial struct {
	COM  int    // 1 to 4
	Port uint16 // first of 8 ports; 0 means the standard port of that COM
	IRQ  uint8  // 0 means the standard interrupt of that COM
}

// Parallel is one parallel port.
type Parallel struct {
	LPT  int    // 1 to 3
	Port uint16 // first of 4 ports; 0 means the standard port of that LPT
	IRQ  uint8  // 0 means the standard interrupt of that LPT
}

// withDefaults returns a copy with every zero value replaced that stands for a
// default.
func (c Config) withDefaults() Config {
	if len(c.CPUs) == 0 {
		c.CPUs = []CPU{{APICID: 0, Enabled: true}}
	}
	setDefault(&c.LAPICAddr, DefaultLAPICAddr)
	setDefault(&c.IOAPICAddr, DefaultIOAPICAddr)
	setDefault(&c.HPETAddr, DefaultHPETAddr)
	setDefault(&c.HPETID, DefaultHPETID)
	setDefault(&c.PCIWindow, Window{0xE000_0000, 0xFEBF_FFFF})
	setDefault(&c.PMBase, DefaultPMBase)
	setDefault(&c.GPE0Base, c.PMBase+gpe0Offset)
	setDefault(&c.SCI, DefaultSCI)

	comPorts := [...]uint16{0x3F8, 0x2F8, 0x3E8, 0x2E8}
	comIRQs := [...]uint8{4, 3, 4, 3}
	c.Serial = slices.Clone(c.Serial)
	for i := range c.Serial {
		if s := &c.Serial[i]; s.COM >= 1 && s.COM <= len(comPorts) {
			setDefault(&s.Port, comPorts[s.COM-1])
			setDefault(&s.IRQ, comIRQs[s.COM-1])
		}
	}
	lptPorts := [...]uint16{0x378, 0x278, 0x3BC}
	lptIRQs := [...]uint8{7, 5, 7}
	c.Parallel = slices.Clone(c.Parallel)
	for i := range c.Parallel {
		if p := &c.Parallel[i]; p.LPT >= 1 && p.LPT <= len(lptPorts) {
			setDefault(&p.Port, lptPorts[p.LPT-1])
			setDefault(&p.IRQ, lptIRQs[p.LPT-1])
		}
	}
	if len(c.PIRQs) == 0 {
		c.PIRQs = slices.DeleteFunc([]uint8{5, 10, 11}, c.usedByPort)
	}
	return c
}

// usedByPort tells whether a serial or parallel port has an interrupt.
func (c Config) usedByPort(irq uint8) bool {
	return slices.ContainsFunc(c.Serial, func(s Serial) bool { return s.IRQ == irq }) ||
		slices.ContainsFunc(c.Parallel, func(p Parallel) bool { return p.IRQ == irq })
}

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// validate checks a Config that has its defaults.
func (c Config) validate() error {
	checks := []error{c.validateCPUs(), c.validateWindows(), c.validateISA()}
	if c.PMBase%pmBlockSize != 0 {
		checks = append(checks, fmt.Errorf("acpi: PMBase %#x is not a multiple of %d", c.PMBase, pmBlockSize))
	}
	if c.GPE0Base > 0xFFFC {
		checks = append(checks, fmt.Errorf("acpi: GPE0Base %#x leaves no room for 4 ports", c.GPE0Base))
	}
	if !routable(c.SCI) {
		checks = append(checks, fmt.Errorf("acpi: SCI %d is not an interrupt a PIIX can use: 3 to 7, 9 to 12, 14 or 15", c.SCI))
	}
	if len(c.PIRQs) == 0 {
		checks = append(checks, errors.New("acpi: PIRQs: serial and parallel ports use all of 5, 10 and 11; give PCI another"))
	}
	for _, irq := range c.PIRQs {
		if !routable(irq) {
			checks = append(checks, fmt.Errorf("acpi: PIRQs: %d is not an interrupt a PIIX3 can route to: 3 to 7, 9 to 12, 14 or 15", irq))
		}
	}
	return errors.Join(checks...)
}

// routable tells whether PIRQRC accepts an interrupt (PIIX3 datasheet, section
// 2.2.5): 0, 1, 2, 8 and 13 are reserved.
func routable(irq uint8) bool {
	return irq <= 15 && 1<<irq&0xDEF8 != 0
}

func (c Config) validateCPUs() error {
	if len(c.CPUs) > MaxCPUs {
		return fmt.Errorf("acpi: %d CPUs, at most %d are supported", len(c.CPUs), MaxCPUs)
	}
	enabled := false
	for i, cpu := range c.CPUs {
		enabled = enabled || cpu.Enabled
		if cpu.APICID == 0xFFFF_FFFF {
			return fmt.Errorf("acpi: CPU %d: APIC id %#x is the broadcast id", i, cpu.APICID)
		}
		if i > 0 && cpu.APICID <= c.CPUs[i-1].APICID {
			return fmt.Errorf("acpi: CPU %d: APIC id %d does not come after %d; list CPUs in ascending order",
				i, cpu.APICID, c.CPUs[i-1].APICID)
		}
	}
	if !enabled {
		return errors.New("acpi: no CPU is enabled")
	}
	return nil
}

func (c Config) validateWindows() error {
	w := c.PCIWindow
	if w.First < 1<<20 || w.Last > 1<<32-1 || w.Last < w.First {
		return fmt.Errorf("acpi: PCIWindow %#x to %#x is not between 1 MiB and 4 GiB", w.First, w.Last)
	}
	for _, fixed := range []struct {
		name string
		addr uint32
		used bool
	}{
		{"I/O APIC", c.IOAPICAddr, true},
		{"local APICs", c.LAPICAddr, true},
		{"HPET", c.HPETAddr, c.HPET},
	} {
		if addr := uint64(fixed.addr); fixed.used && addr >= w.First && addr <= w.Last {
			return fmt.Errorf("acpi: PCIWindow %#x to %#x covers the %s at %#x", w.First, w.Last, fixed.name, addr)
		}
	}
	if w = c.PCIWindow64; w != (Window{}) && (w.First < 1<<32 || w.Last < w.First) {
		return fmt.Errorf("acpi: PCIWindow64 %#x to %#x is not above 4 GiB", w.First, w.Last)
	}
	return nil
}

func (c Config) validateISA() error {
	seen := map[string]bool{}
	level := levelIRQs(c)
	check := func(kind string, n, most int, port uint16, irq uint8) error {
		name := fmt.Sprintf("%s%d", kind, n)
		switch {
		case n < 1 || n > most:
			return fmt.Errorf("acpi: %s: only %s1 to %s%d exist", name, kind, kind, most)
		case seen[name]:
			return fmt.Errorf("acpi: %s is listed twice", name)
		case port > 0xFFF8:
			return fmt.Errorf("acpi: %s: port %#x leaves no room for 8 ports", name, port)
		case irq > 15:
			return fmt.Errorf("acpi: %s: %d is not an ISA interrupt (0 to 15)", name, irq)
		case slices.Contains(level, irq):
			return fmt.Errorf("acpi: %s: interrupt %d is level-triggered, because it is the SCI or one of PIRQs", name, irq)
		}
		seen[name] = true
		return nil
	}
	for _, s := range c.Serial {
		if err := check("COM", s.COM, 4, s.Port, s.IRQ); err != nil {
			return err
		}
	}
	for _, p := range c.Parallel {
		if err := check("LPT", p.LPT, 3, p.Port, p.IRQ); err != nil {
			return err
		}
	}
	return nil
}
