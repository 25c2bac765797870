package vmm

import (
	"context"
	"time"

	"github.com/govmm/govmm/devices/irq"
	"github.com/govmm/govmm/devices/timer"
	"github.com/govmm/govmm/domcfg"
)

// addTimers adds the PIT, the HPET and the RTC with its CMOS RAM.
func (m *Machine) addTimers(_ context.Context, w *wiring) error {
	irq0, err := m.newPulse(irqTimer, irqTimer)
	if err != nil {
		return err
	}
	pit := timer.NewPIT(timer.PITOptions{
		Clock: m.clock,
		IRQ:   irq0,
		Ticks: m.tickOptions("pit", timer.TickCatchup),
	})
	hpet, err := m.addHPET(w, pit, irq0)
	if err != nil {
		return err
	}
	rtc, err := m.newRTC(m.rtcLine(w, hpet))
	if err != nil {
		return err
	}
	m.board.rtc = rtc
	m.board.resets(pit, rtc)
	return m.addPorts(
		ports{timer.PITPort, timer.PITPorts, "pit", pit},
		ports{timer.SystemPort, 1, "system control port B", pit.SystemPort()},
		ports{timer.RTCPort, timer.RTCPorts, "rtc", rtc},
	)
}

// addHPET adds the HPET, unless the domain says that there is none. irq0 is the
// input that it shares with the PIT.
func (m *Machine) addHPET(w *wiring, pit *timer.PIT, irq0 irq.Pulse) (*timer.HPET, error) {
	if !m.hasHPET() {
		return nil, nil
	}
	irq8, err := m.newPulse(irqRTC, irqRTC)
	if err != nil {
		return nil, err
	}
	route, err := m.newPulse(irqHPET, irqTimer)
	if err != nil {
		return nil, err
	}
	hpet := timer.NewHPET(timer.HPETOptions{
		Clock: m.clock,
		IRQ0:  timer.HPETInput{Pulse: irq0, Line: w.line(irqTimer)},
		IRQ8:  timer.HPETInput{Pulse: irq8, Line: w.line(irqRTC)},
		Route: timer.HPETInput{Pulse: route, Line: w.line(irqHPET)},
		PIT:   pit,
		Ticks: m.tickOptions("hpet", timer.TickDiscard),
	})
	m.board.resets(hpet)
	return hpet, m.mmio.Add(timer.HPETBase, timer.HPETSize, "hpet", hpet)
}

// rtcLine is where the RTC's interrupt goes: to IRQ 8, unless the HPET has taken
// its place, and always to power management. Systems that find an HPET, and a
// BIOS of recent years, wait for alarms as an ACPI event alone.
func (m *Machine) rtcLine(w *wiring, hpet *timer.HPET) irq.Line {
	irq8 := w.line(irqRTC)
	if hpet != nil {
		irq8 = hpet.RTCLine(irq8)
	}
	if m.board.pm == nil {
		return irq8
	}
	status := m.board.pm.IRQ8()
	return irq.LineFunc(func(asserted bool) {
		irq8.Set(asserted)
		status.Set(asserted)
	})
}

// hasHPET tells whether there is an HPET: a pc has one unasked.
func (m *Machine) hasHPET() bool {
	t := m.domain.Clock.Timer("hpet")
	return t == nil || t.Present != domcfg.No
}

// tickOptions are a timer's tick policy. Unasked, a guest that counts the PIT's
// ticks loses none, as with the PIT of KVM; the RTC and the HPET, whose counter
// tells what was lost, are as QEMU's.
func (m *Machine) tickOptions(name string, otherwise timer.TickPolicy) timer.TickOptions {
	o := timer.TickOptions{Policy: otherwise}
	t := m.domain.Clock.Timer(name)
	if t == nil {
		return o
	}
	switch t.TickPolicy {
	case domcfg.TickDelay:
		o.Policy = timer.TickDelay
	case domcfg.TickCatchup:
		o.Policy = timer.TickCatchup
	case domcfg.TickMerge:
		o.Policy = timer.TickMerge
	case domcfg.TickDiscard:
		o.Policy = timer.TickDiscard
	}
	if c := t.Catchup; c != nil {
		o.Threshold = time.Duration(c.Threshold) * time.Millisecond
		o.Slew = c.Slew
		o.Limit = time.Duration(c.Limit) * time.Millisecond
	}
	return o
}
