// Package await is how tests wait: for a condition, with patience, and never
// for a time.
package await

import (
	"runtime"
	"testing"
	"time"
)

// Patience is how long a test waits for what should come at once.
const Patience = 20 * time.Second

// That waits until cond holds, and fails the test when it does not.
func That(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited %v for: %s", Patience, what)
		}
	}
}

// NoGoroutines fails the test when, at its end, there are more goroutines than
// now.
func NoGoroutines(t testing.TB) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		That(t, "all goroutines gone", func() bool { return runtime.NumGoroutine() <= before })
	})
}
