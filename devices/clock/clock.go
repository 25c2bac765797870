// Package clock is the time that devices live in.
//
// Device models never ask the operating system for the time: they are given a
// Clock. A machine's clock stops while the machine is paused; a test's clock
// (Fake) moves only when the test says so, which makes lost ticks and races
// with a deadline repeatable.
package clock

import "time"

// Clock is a monotonic count of the nanoseconds a machine has run.
type Clock interface {
	// Now is the time since the machine was started, not counting pauses.
	Now() time.Duration
	// NewTimer returns a stopped one-shot timer that calls f, on a goroutine of
	// the clock's own, when its deadline has come.
	NewTimer(f func()) Timer
}

// Timer is a one-shot deadline on a Clock. Its methods may be called from any
// goroutine, also from f itself.
type Timer interface {
	// Set arms the timer for the given time on its clock, replacing an earlier
	// deadline. A deadline that has passed fires at once.
	Set(deadline time.Duration)
	// Stop disarms the timer. f may still be running, or about to, when Stop
	// returns: a device checks its own state under its own lock.
	Stop()
}
