package tiny

import (
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/govmm/govmm/tests/guest"
)

// missed are the results of the kernel's tests of missed ticks: how long its
// interrupts were off, and how many ticks had come so long after that.
type missed struct {
	off     float64 // microseconds
	windows [][2]float64
}

func parseMissed(t *testing.T, r *guest.Report, test string) (m missed) {
	t.Helper()
	for _, x := range r.Results {
		if x.Test != test {
			continue
		}
		var err error
		switch x.Name {
		case "off-us":
			_, err = fmt.Sscan(x.Detail, &m.off)
		case "window":
			var w [2]float64
			_, err = fmt.Sscan(x.Detail, &w[0], &w[1])
			m.windows = append(m.windows, w)
		}
		if err != nil {
			t.Fatalf("%v: %v", x, err)
		}
	}
	if m.off == 0 || len(m.windows) == 0 {
		t.Fatalf("no results of %s", test)
	}
	return m
}

// TestMissedTicks turns the guest's interrupts off for a quarter of a second,
// and looks at what each policy then makes of the ticks of that time. A guest on
// a busy host misses some at other times as well, so that without catching up
// only the most that may come is known; devices/timer counts to the tick.
func TestMissedTicks(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for seconds of the guest's clock")
	}
	kernel := images(t).Kernel
	for _, timer := range []struct {
		name string
		rate func(hz int) float64 // what comes of asking for so many Hz
		fast int
	}{
		{"pit", func(hz int) float64 { return 1193182 / float64(1193182/hz) }, 1000},
		{"rtc", func(hz int) float64 { return float64(hz) }, 1024},
		{"hpet", func(hz int) float64 { return 1e8 / float64(100_000_000/hz) }, 1000},
	} {
		for _, tt := range []struct {
			policy, catchup string
			pic             string
			slew            float64 // the rate of catching up; 0 for none
		}{
			{"delay", "", "on", 0},
			{"merge", "", "on", 0},
			{"discard", "", "on", 0},
			{"catchup", "<catchup threshold='10000'/>", "off", 0},
			{"catchup", "", "on", 2},
			{"catchup", "<catchup slew='500'/>", "on", 5},
			{"catchup", "<catchup slew='500'/>", "off", 5},
		} {
			t.Run(strings.Join([]string{timer.name, tt.policy, tt.catchup, "pic=" + tt.pic}, " "), func(t *testing.T) {
				test, windows, hz := "ticks-"+timer.name, 2, timer.fast
				if tt.slew > 0 {
					// A guest that is interpreted has no time left at the fast rate to
					// take more than that.
					windows, hz = 12, timer.fast/4
				}
				_, output := run(t, kernel, Options{
					PVH:     true,
					Cmdline: fmt.Sprintf("test=%s pic=%s windows=%d hz=%d", test, tt.pic, windows, hz),
					Clock:   fmt.Sprintf("<timer name='%s' tickpolicy='%s'>%s</timer>", timer.name, tt.policy, tt.catchup),
				})
				r := report(t, output)
				if err := r.Err(); err != nil {
					t.Fatal(err)
				}
				checkMissed(t, parseMissed(t, r, test), timer.rate(hz)/1e6, tt.slew)
			})
		}
	}
}

// checkMissed checks the ticks after an interruption, given the rate in ticks a
// microsecond.
func checkMissed(t *testing.T, m missed, rate, slew float64) {
	t.Helper()
	const slack = 3    // ticks: pending ones, and those at the turn of a window
	const backlog = 20 // ticks that were missed before: the guest waits until it has seen so many
	missing := m.off * rate
	made := 0.0
	for _, w := range m.windows {
		us, n := w[0], w[1]
		extra := n - us*rate
		switch {
		case n < slack:
			t.Errorf("%v ticks in %v us", n, us)
		case slew == 0 && extra > slack:
			t.Errorf("%v ticks in %v us: %.1f of the missed ones were made up", n, us, extra)
		case slew > 0 && (extra > missing+backlog || n > us*rate*slew+slack):
			t.Errorf("%v ticks in %v us, %.1f more than the rate gives, after %.1f were missed", n, us, extra, missing)
		}
		made = max(made, extra)
	}
	if slew > 0 && made < missing-slack {
		t.Errorf("of %.1f missed ticks, not all have come: %v", missing, m.windows)
	}
}

// TestNoTickIsLost counts the ticks of ten seconds on a host whose processors have
// other work, and more machines than they can serve: under catchup all come. The
// rate is a high one, as a guest takes ticks only while it has a processor.
func TestNoTickIsLost(t *testing.T) {
	if testing.Short() {
		t.Skip("counts for ten seconds")
	}
	kernel := images(t).Kernel
	for range runtime.NumCPU() {
		work := exec.Command("sh", "-c", "while :; do :; done")
		if err := work.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			work.Process.Kill()
			work.Wait()
		})
	}
	for _, timer := range []string{"pit", "rtc", "hpet"} {
		t.Run(timer, func(t *testing.T) {
			t.Parallel()
			_, output := run(t, kernel, Options{
				PVH:     true,
				Cmdline: "test=ticks-long seconds=10 hz=64 timer=" + timer,
				Clock:   fmt.Sprintf("<timer name='%s' tickpolicy='catchup'><catchup slew='1000' limit='60000'/></timer>", timer),
			})
			r := report(t, output)
			if err := r.Err(); err != nil {
				t.Fatal(err)
			}
			counted, _ := r.Lookup("ticks-long", "long")
			var us, ticks, due int64
			if _, err := fmt.Sscan(counted.Detail, &us, &ticks, &due); err != nil {
				t.Fatalf("%q: %v", counted.Detail, err)
			}
			t.Logf("%d ticks of %d in %.1f s", ticks, due, float64(us)/1e6)
			const turn = 2 // of the first and the last
			if us < 10e6 || ticks < due-turn || ticks > due+turn {
				t.Errorf("%d ticks of %d in %d us", ticks, due, us)
			}
		})
	}
}
