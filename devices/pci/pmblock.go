package pci

import (
	"math/bits"
	"time"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/irq"
)

// The registers in the block at PMBASE. Those of power planes and device
// monitors are not there and read 0.
//
//	        15          8          0
//	0x00 PMSTS  RSM . . . . RTC . PWRBTN . . GBL BM . . . TMROF   write 1 to clear
//	0x02 PMEN           RTC . PWRBTN . . GBL . . . . TMROF
//	0x04 PMCNTRL  . . SUS_EN SUS_TYP(12:10) . . . . . . . GBL_RLS BRLD SCI_EN
//	0x08 PMTMR  24 bits
//	0x0C GPSTS                                                     write 1 to clear
//	0x0E GPEN
const (
	pmTimerOverflow = 1 << 0
	pmBusMaster     = 1 << 4
	pmGlobal        = 1 << 5
	pmPowerButton   = 1 << 8
	pmRTC           = 1 << 10
	pmResume        = 1 << 15

	pmStatusBits  = pmTimerOverflow | pmBusMaster | pmGlobal | pmPowerButton | pmRTC | pmResume
	pmEnableBits  = pmTimerOverflow | pmGlobal | pmPowerButton | pmRTC
	pmControlBits = pmSCIEnable | 1<<1 | pmSleepType

	pmSCIEnable   = 1 << 0
	pmSleepType   = 7 << 10
	pmSleepEnable = 1 << 13

	sleepTypeOff = 0 // SUS_TYP of S5
)

// pmTimerHalf is half the range of the 24-bit timer: the overflow status is set
// whenever bit 23 changes (ACPI 1.0b, section 4.7.3.3).
const pmTimerHalf = 1 << 23

// PMState is the power management function's state outside of configuration
// space.
type PMState struct {
	Status, Enable uint16 // PMSTS, PMEN
	Control        uint16 // PMCNTRL
	GPEStatus      uint16
	GPEEnable      uint16
	APMC, APMS     uint8

	SeenHalf int64 // changes of the timer's bit 23 up to this one are flagged
	Asserted bool  // level of the SCI
	IRQ8     bool  // level of the RTC's interrupt
}

// PMState returns a copy of the state outside of configuration space.
func (p *PIIX4PM) PMState() PMState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.s
}

// timerTicks is the PM timer, without its limit of 24 bits.
func (p *PIIX4PM) timerTicks() uint64 {
	hi, lo := bits.Mul64(uint64(max(p.clock.Now(), 0)), PMTimerFrequency)
	ticks, _ := bits.Div64(hi, lo, uint64(time.Second))
	return ticks
}

// half counts the changes of the timer's bit 23.
func (p *PIIX4PM) half() int64 { return int64(p.timerTicks() / pmTimerHalf) }

// flag sets the timer's status for what has happened since it was last called.
func (p *PIIX4PM) flag() {
	if h := p.half(); h != p.s.SeenHalf {
		p.s.SeenHalf = h
		p.s.Status |= pmTimerOverflow
	}
}

// update drives the SCI, and arms the timer if its overflow would raise it. mu
// is held, also while the line is set: its changes must arrive in order.
func (p *PIIX4PM) update() {
	s := &p.s
	enabled := s.Control&pmSCIEnable != 0
	level := enabled && (s.Status&s.Enable&pmEnableBits != 0 || s.GPEStatus&s.GPEEnable != 0)
	if level != s.Asserted {
		s.Asserted = level
		p.sci.Set(level)
	}
	if !enabled || s.Enable&^s.Status&pmTimerOverflow == 0 {
		p.timer.Stop()
		return
	}
	ticks := uint64(s.SeenHalf+1) * pmTimerHalf
	hi, lo := bits.Mul64(ticks, uint64(time.Second))
	lo, carry := bits.Add64(lo, PMTimerFrequency-1, 0)
	deadline, _ := bits.Div64(hi+carry, lo, PMTimerFrequency)
	p.timer.Set(time.Duration(deadline))
}

func (p *PIIX4PM) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flag()
	p.update()
}

// PressPowerButton does what the button does, and reports whether the guest
// has asked to be told: if not, it is not going to react.
func (p *PIIX4PM) PressPowerButton() (heard bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.s.Status |= pmPowerButton
	p.update()
	return p.s.Control&pmSCIEnable != 0 && p.s.Enable&pmPowerButton != 0
}

// IRQ8 is the wire by which the function watches the RTC: its interrupt sets the
// RTC status, which is how ACPI is told of an alarm (ACPI 6.5, section 4.8.3.1.1).
// That is so as well while the interrupt itself goes nowhere, as when an HPET has
// taken its place.
func (p *PIIX4PM) IRQ8() irq.Line {
	return irq.LineFunc(func(asserted bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.s.IRQ8 == asserted {
			return
		}
		p.s.IRQ8 = asserted
		if asserted {
			p.s.Status |= pmRTC
			p.update()
		}
	})
}

// RaiseGPE signals general purpose event n, 0 to 15.
func (p *PIIX4PM) RaiseGPE(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.s.GPEStatus |= 1 << (n & 15)
	p.update()
}

// pmBlock is the block of ports at PMBASE.
type pmBlock struct{ *PIIX4PM }

func (b pmBlock) Read(offset uint64, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flag()
	ticks := b.timerTicks() // once: the bytes of an access belong together
	for i := range data {
		data[i] = b.read(offset+uint64(i), ticks)
	}
}

func (b pmBlock) read(offset, ticks uint64) uint8 {
	var v uint64
	switch offset &^ 3 {
	case PM1EventBlock:
		v = uint64(b.s.Status) | uint64(b.s.Enable)<<16
	case PM1ControlBlock:
		v = uint64(b.s.Control)
	case PMTimerBlock:
		v = ticks & (2*pmTimerHalf - 1)
	case GPE0Block:
		v = uint64(b.s.GPEStatus) | uint64(b.s.GPEEnable)<<16
	}
	return uint8(v >> (8 * (offset & 3)))
}

func (b pmBlock) Write(offset uint64, data []byte) {
	b.mu.Lock()
	b.flag()
	sleep := false
	for i, v := range data {
		sleep = b.write(offset+uint64(i), v) || sleep
	}
	b.update()
	sleepType := b.s.Control & pmSleepType >> 10
	b.mu.Unlock()
	if sleep {
		b.sleep(sleepType)
	}
}

// write takes one byte, and reports whether it sets SUS_EN.
func (b pmBlock) write(offset uint64, v uint8) (sleep bool) {
	shift := 8 * (offset & 1)
	bits := uint16(v) << shift
	set := func(reg *uint16, writable uint16) {
		writable &= 0xFF << shift
		*reg = *reg&^writable | bits&writable
	}
	switch offset &^ 1 {
	case PM1EventBlock:
		b.s.Status &^= bits
	case PM1EventBlock + 2:
		set(&b.s.Enable, pmEnableBits)
	case PM1ControlBlock:
		set(&b.s.Control, pmControlBits)
		return bits&pmSleepEnable != 0
	case GPE0Block:
		b.s.GPEStatus &^= bits
	case GPE0Block + 2:
		set(&b.s.GPEEnable, 0xFFFF)
	}
	return false
}

// sleep enters a sleeping state. Only S5 exists; the guest is not told of the
// others in the ACPI tables.
func (p *PIIX4PM) sleep(sleepType uint16) {
	if sleepType == sleepTypeOff && p.powerOff != nil {
		p.powerOff()
		return
	}
	if p.log.Allow() {
		p.log.Warn("the guest enters a sleeping state that this machine does not have", "SUS_TYP", sleepType)
	}
}

// APM returns the handler of the advanced power management ports, APMC and
// APMS, the two ports from APMPort.
func (p *PIIX4PM) APM() bus.Handler { return apm{p} }

type apm struct{ *PIIX4PM }

func (a apm) Read(offset uint64, data []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range data {
		data[i] = a.s.APMC
		if offset+uint64(i) == 1 {
			data[i] = a.s.APMS
		}
	}
}

func (a apm) Write(offset uint64, data []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, v := range data {
		if offset+uint64(i) == 1 {
			a.s.APMS = v
			continue
		}
		a.s.APMC = v
		a.flag()
		switch v {
		case ACPIEnable:
			a.s.Control |= pmSCIEnable
		case ACPIDisable:
			a.s.Control &^= pmSCIEnable
		}
	}
	a.update()
}
