package vmm

import (
	"fmt"
	"sync"
	"time"
	_ "time/tzdata" // for hosts without a time zone database

	"github.com/govmm/govmm/devices/irq"
	"github.com/govmm/govmm/devices/timer"
	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/memory"
)

// newRTC makes the RTC that the domain's clock describes.
func (m *Machine) newRTC(irq8 irq.Line) (*timer.RTC, error) {
	low, high := memory.Split(ramSize(m.domain))
	o := timer.RTCOptions{
		Clock:      m.clock,
		Wall:       m.trackedWall(),
		IRQ:        irq8,
		Ticks:      m.tickOptions("rtc", timer.TickDelay),
		RAMBelow4G: low,
		RAMAbove4G: high,
		CMOS:       m.cmos(),
	}
	k := m.domain.Clock
	switch k.Offset {
	case domcfg.ClockLocaltime:
		o.Zone = time.Local
	case domcfg.ClockTimezone:
		zone, err := time.LoadLocation(k.Timezone)
		if err != nil {
			return nil, fmt.Errorf("clock: timezone: %w", err)
		}
		o.Zone = zone
	case domcfg.ClockVariable:
		o.Offset, o.KeepTime = time.Duration(k.Adjustment)*time.Second, true
	}
	var start time.Duration // as the domain has it, or what it was when the machine was made
	o.Changed = func(offset time.Duration) {
		m.events.publish(Event{Kind: EventRTCChange, RTCOffset: offset - start})
	}
	rtc := timer.NewRTC(o)
	start = rtc.Offset()
	return rtc, nil
}

// trackedWall is the time of day that the RTC goes by, as its track says: "wall",
// which is also unasked, is the host's, also when that is set; "guest" stands
// still while the machine is paused; "boot" does not, but does not follow what
// is set on the host. The latter two begin with the host's time of day at each
// boot.
func (m *Machine) trackedWall() func() time.Time {
	wall := m.options.Wall
	if wall == nil {
		wall = time.Now
	}
	var passed func() time.Duration
	switch t := m.domain.Clock.Timer("rtc"); {
	case t != nil && t.Track == domcfg.TrackGuest:
		passed = m.clock.Now
	case t != nil && t.Track == domcfg.TrackBoot:
		began := time.Now()
		passed = func() time.Duration { return time.Since(began) }
	default:
		return wall
	}
	t := &trackedTime{wall: wall, passed: passed}
	t.Reset()
	m.board.resets(t)
	return t.now
}

// trackedTime is a time of day that is set at each reset.
type trackedTime struct {
	wall   func() time.Time
	passed func() time.Duration

	mu    sync.Mutex
	epoch time.Time // the time of day at which passed was 0
}

// Reset sets it.
func (t *trackedTime) Reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.epoch = t.wall().Add(-t.passed())
}

func (t *trackedTime) now() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.epoch.Add(t.passed())
}

// clockAdjustment is how far the RTC is from UTC, in seconds: what the domain says
// for a variable clock, or what the guest has made of it.
func (m *Machine) clockAdjustment() int64 {
	if m.board.rtc == nil {
		return m.domain.Clock.Adjustment
	}
	return int64(m.board.rtc.Offset().Round(time.Second) / time.Second)
}
