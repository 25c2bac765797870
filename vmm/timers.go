package vmm

import (
	"context"
	"time"

	"github.com/govmm/govmm/devices/irq"
	"github.com/govmm/govmm/devices/timer"
	"github.com/govmm/govmm/domcfg"
)

// addTimers adds the PIT, the HPET and the RTC with its CMOS RAM: what the domain
// says is present, and a pc has them all unasked.
func (m *Machine) addTimers(_ context.Context, w *wiring) error {
	irq0, err := m.newPulse(irqTimer, irqTimer)
	if err != nil {
		return err
	}
	pit, err := m.addPIT(irq0)
	if err != nil {
		return err
	}
	hpet, err := m.addHPET(w, pit, irq0)
	if err != nil {
		return err
	}
	return m.addRTC(m.rtcLine(w, hpet))
}

// hasTimer tells whether there is a timer of the domain's names.
func (m *Machine) hasTimer(name string) bool {
	t := m.domain.Clock.Timer(name)
	return t == nil || t.Present != domcfg.No
}

// addPIT adds the PIT and the port that goes with it.
func (m *Machine) addPIT(irq0 irq.Pulse) (*timer.PIT, error) {
	if !m.hasTimer("pit") {
		return nil, nil
	}
	pit := timer.NewPIT(timer.PITOptions{
		Clock: m.clock,
		IRQ:   irq0,
		Ticks: m.tickOptions("pit", timer.TickCatchup),
	})
	m.board.resets(pit)
	return pit, m.addPorts(
		ports{timer.PITPort, timer.PITPorts, "pit", pit},
		ports{timer.SystemPort, 1, "system control port B", pit.SystemPort()},
	)
}

// addRTC adds the RTC and its CMOS RAM.
func (m *Machine) addRTC(irq8 irq.Line) error {
	if !m.hasTimer("rtc") {
		return nil
	}
	rtc, err := m.newRTC(irq8)
	if err != nil {
		return err
	}
	m.board.rtc = rtc
	m.board.resets(rtc)
	return m.addPorts(ports{timer.RTCPort, timer.RTCPorts, "rtc", rtc})
}

// addHPET adds the HPET. irq0 is the input that it shares with the PIT, if there
// is one.
func (m *Machine) addHPET(w *wiring, pit *timer.PIT, irq0 irq.Pulse) (*timer.HPET, error) {
	if !m.hasTimer("hpet") {
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
