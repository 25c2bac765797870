package integration

import (
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"
)

// clockWindowVariable is for how long, in the environment, a guest's clock is
// compared with the host's: a time.Duration, 15s if empty.
const clockWindowVariable = "GOVMM_CLOCK_WINDOW"

// TestHPETClock boots a stock guest that keeps its time by the HPET, and holds it
// against the host's: within 500 parts per million. What a busy host adds to one
// reading counts less the longer the window, which is why a deviation is only
// final after waitTime.
func TestHPETClock(t *testing.T) {
	const limit = 500 // parts per million
	window := 15 * time.Second
	if s := os.Getenv(clockWindowVariable); s != "" {
		var err error
		if window, err = time.ParseDuration(s); err != nil {
			t.Fatalf("%s: %v", clockWindowVariable, err)
		}
	}
	m := newMachine(t, domain{
		initrd: cloudShell, cmdline: "quiet clocksource=hpet", clock: "<timer name='hpet' present='yes'/>",
	})
	must(t, m.Start())
	if got := m.expect(banner)[4]; got != "hpet" {
		t.Fatalf("the guest's clock source is %s", got)
	}
	m.expect(prompt)

	begin := time.Now()
	first := m.clockLag(begin)
	for {
		m.shell("sleep 1")
		elapsed := time.Since(begin)
		if elapsed < window {
			continue
		}
		ppm := float64(m.clockLag(begin)-first) / float64(elapsed) * 1e6
		t.Logf("after %v the guest's clock is off by %.0f ppm", elapsed.Round(time.Second), -ppm)
		if math.Abs(ppm) <= limit {
			break
		}
		if elapsed > window+waitTime {
			t.Fatalf("more than %d ppm", limit)
		}
	}
	m.send("poweroff\n")
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
