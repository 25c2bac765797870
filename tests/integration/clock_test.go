package integration

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// TestClocks boots stock guests that keep their time by the HPET, and by counting
// the PIT's ticks, as one with neither HPET nor kvmclock nor APIC timer does, and
// holds them against the host: for a minute, within 500 parts per million. What a
// busy host adds to one reading counts less the longer the window, which is why a
// deviation is only final after waitTime.
func TestClocks(t *testing.T) {
	const (
		window = time.Minute
		limit  = 500 // parts per million
	)
	guests := []*struct {
		source, cmdline, clock string
		machine                *machine
		first                  time.Duration
	}{
		{source: "hpet", cmdline: "clocksource=hpet", clock: "<timer name='hpet' present='yes'/>"},
		{source: "jiffies", cmdline: "nolapic_timer nohz=off highres=off clocksource=jiffies",
			clock: "<timer name='hpet' present='no'/><timer name='kvmclock' present='no'/>"},
	}
	for _, g := range guests {
		g.machine = newMachine(t, domain{initrd: cloudShell, cmdline: "quiet " + g.cmdline, clock: g.clock})
		must(t, g.machine.Start())
		if got := g.machine.expect(banner)[4]; got != g.source {
			t.Fatalf("the guest's clock source is %s, not %s", got, g.source)
		}
		g.machine.expect(prompt)
	}

	begin := time.Now()
	for _, g := range guests {
		g.first = g.machine.clockLag(begin)
	}
	for good := false; !good; {
		for _, g := range guests {
			g.machine.shell("sleep 1")
		}
		if time.Since(begin) < window {
			continue
		}
		good = true
		for _, g := range guests {
			elapsed := time.Since(begin)
			ppm := float64(g.machine.clockLag(begin)-g.first) / float64(elapsed) * 1e6
			t.Logf("after %v the clock by %s is off by %.0f ppm", elapsed.Round(time.Second), g.source, -ppm)
			if math.Abs(ppm) <= limit {
				continue
			}
			good = false
			if elapsed > window+waitTime {
				t.Fatalf("more than %d ppm", limit)
			}
		}
	}
	for _, g := range guests {
		g.machine.send("poweroff\n")
	}
}

// clockLag is how far the guest's clock is behind the host's, which counts from
// begin: the least of several readings, which all come late by something.
func (m *machine) clockLag(begin time.Time) time.Duration {
	m.t.Helper()
	least := time.Duration(math.MaxInt64)
	for range 10 {
		said := m.shell("grep -m1 ^now /proc/timer_list")
		arrived := time.Since(begin)
		var ns int64
		if _, err := fmt.Sscanf(strings.TrimSpace(said), "now at %d nsecs", &ns); err != nil {
			m.t.Fatalf("%q: %v", said, err)
		}
		least = min(least, arrived-time.Duration(ns))
	}
	return least
}
