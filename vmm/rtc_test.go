package vmm

import (
	"testing"
	"time"
)

// A tracked time goes with what has passed, and is set anew at a reset alone.
func TestTrackedTime(t *testing.T) {
	wall := time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)
	passed := 5 * time.Second
	tracked := &trackedTime{
		wall:   func() time.Time { return wall },
		passed: func() time.Duration { return passed },
	}
	tracked.Reset()
	begin := wall
	wall = wall.Add(time.Hour) // the host's clock is set, or the machine is paused
	passed += time.Minute
	if got, want := tracked.now(), begin.Add(time.Minute); !got.Equal(want) {
		t.Errorf("it is %v, want %v", got, want)
	}
	tracked.Reset()
	if got := tracked.now(); !got.Equal(wall) {
		t.Errorf("after a reset it is %v, want %v", got, wall)
	}
}
