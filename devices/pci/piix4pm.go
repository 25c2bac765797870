package pci

import (
	"encoding/binary"
	"log/slog"
	"sync"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/devices/irq"
)

// What ACPI tables need to know of the power management function.
const (
	// FirmwarePMBase is where PM1a_EVT_BLK is, and the others from there on, when
	// the function is set up as by firmware.
	FirmwarePMBase  = 0x600
	PM1EventBlock   = 0x00 // offset of PM1a_EVT_BLK, 4 bytes
	PM1ControlBlock = 0x04 // offset of PM1a_CNT_BLK, 2 bytes
	PMTimerBlock    = 0x08 // offset of PM_TMR_BLK, 4 bytes
	GPE0Block       = 0x0C // offset of GPE0_BLK, 4 bytes: 16 events

	APMPort  = 0xB2 // APMC, the SMI command port, and APMS
	APMPorts = 2
	// ACPIEnable and ACPIDisable are written to APMPort (ACPI_ENABLE and
	// ACPI_DISABLE of the FADT).
	ACPIEnable  = 0xF1
	ACPIDisable = 0xF0

	// PMTimerFrequency is in Hz; the counter has 24 bits.
	PMTimerFrequency = 3579545
)

// pmBlockSize is the size in bytes of the block of ports at PMBASE.
const pmBlockSize = 64

// Registers of function 3.
const (
	regPMBase  = 0x40 // bits 15:6 address, bit 0 reads 1
	regDEVACTB = 0x58 // bit 25 lets a write to APMC raise an SMI
	regPMMisc  = 0x80 // bit 0 enables the block at PMBASE

	devactbAPMC  = 1 << 25
	pmMiscEnable = 1 << 0
)

// PIIX4PMOptions says what the power management function is connected to.
type PIIX4PMOptions struct {
	Clock clock.Clock
	// SCI is the ACPI interrupt, level-triggered IRQ 9; nil leads nowhere.
	SCI irq.Line
	// PowerOff is called when the guest enters the soft-off state (S5).
	PowerOff func()
	// Firmware makes power-on and reset leave PMBASE at FirmwarePMBase and
	// enabled, as firmware would, for guests started without.
	Firmware bool
	Log      *slog.Logger // nil discards
}

// PIIX4PM is the PIIX4's power management function, function 3 of slot 1: the
// ACPI fixed hardware. The SMBus host in it is disabled and stays so.
//
// The transitions into ACPI mode and back, which firmware makes in system
// management mode when it is asked to through APMPort, are made here.
type PIIX4PM struct {
	*Config
	clock    clock.Clock
	sci      irq.Line
	powerOff func()
	timer    clock.Timer
	log      *bus.GuestLog

	ports *windows // nil while the function is not on a bus
	block window

	mu sync.Mutex
	s  PMState
}

// NewPIIX4PM returns the power management function in its power-on state.
func NewPIIX4PM(o PIIX4PMOptions) *PIIX4PM {
	c := mustConfig(Header{
		Name: "PIIX4 power management", Vendor: 0x8086, Device: 0x7113, Revision: 3, Class: 0x068000,
		InterruptPin: 1,
	})
	c.Define16(RegCommand, 0, CommandIO)
	c.Define16(RegStatus, 0x0280, 0)
	c.Define8(RegInterruptLine, SCI, 0xFF)
	base, misc := uint32(1), uint8(0)
	if o.Firmware {
		base, misc = FirmwarePMBase|1, pmMiscEnable
	}
	c.Define32(regPMBase, base, 0xFFC0)
	c.Define8(regPMMisc, misc, pmMiscEnable)
	// There is no system management mode. The bit says that it has been set up
	// already; firmware would wait for its SMI handler otherwise.
	c.Define32(regDEVACTB, devactbAPMC, devactbAPMC)
	p := &PIIX4PM{
		Config: c, clock: o.Clock, sci: o.SCI, powerOff: o.PowerOff,
		log: bus.NewGuestLog(o.Log, c.Name()),
	}
	if p.sci == nil {
		p.sci = irq.None{}
	}
	p.timer = p.clock.NewTimer(p.expire)
	p.block = window{name: c.Name(), size: pmBlockSize, handler: pmBlock{p}}
	c.onPlace = p.place
	p.Reset()
	return p
}

// place follows the function onto a bus and off it. The Config's lock is held.
func (p *PIIX4PM) place(b *Bus) {
	if b == nil {
		p.ports.place(&p.block, 0, false)
		p.ports = nil
		return
	}
	p.ports = &b.windows
	p.block.target = b.ports
	p.move()
}

// move puts the block of ports where PMBASE says. The Config's lock is held.
func (p *PIIX4PM) move() {
	if p.ports == nil {
		return
	}
	data := &p.Config.s.Data
	base := uint64(binary.LittleEndian.Uint16(data[regPMBase:]) &^ (pmBlockSize - 1))
	p.ports.place(&p.block, base, base != 0 && data[regPMMisc]&pmMiscEnable != 0)
}

func (p *PIIX4PM) relocate() {
	p.Config.mu.Lock()
	defer p.Config.mu.Unlock()
	p.move()
}

// WriteConfig takes the guest's write to registers.
func (p *PIIX4PM) WriteConfig(reg uint8, data []byte) {
	p.Config.WriteConfig(reg, data)
	if reg >= regPMBase {
		p.relocate()
	}
}

// Reset returns the function to its power-on state. The PM timer runs on.
func (p *PIIX4PM) Reset() {
	p.Config.Reset()
	p.relocate()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.s = PMState{Asserted: p.s.Asserted, IRQ8: p.s.IRQ8, SeenHalf: p.half()}
	p.update()
}
