package vmm

import (
	"context"
	"time"

	"github.com/govmm/govmm/devices/timer"
	"github.com/govmm/govmm/domcfg"
)

// addTimers adds the PIT and the RTC with its CMOS RAM.
func (m *Machine) addTimers(_ context.Context, w *wiring) error {
	irq0, err := m.newPulse(irqTimer)
	if err != nil {
		return err
	}
	pit := timer.NewPIT(timer.PITOptions{
		Clock: m.clock,
		IRQ:   irq0,
		Ticks: m.tickOptions("pit", timer.TickCatchup),
	})
	rtc, err := m.newRTC(w)
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

// tickOptions are a timer's tick policy. Unasked, a guest that counts the PIT's
// ticks loses none, as with the PIT of KVM; the RTC is as QEMU's.
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
