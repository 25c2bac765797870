package timer

import (
	"math"
	"time"

	"github.com/govmm/govmm/devices/irq"
)

// TickPolicy is what a timer does about ticks that the guest missed: those that
// came while it had not taken the one before, and those for which the host woke
// too late.
type TickPolicy uint8

// The policies, as the domain XML has them. However a policy handles what was
// missed, ticks that are not missed come when they are due.
const (
	// TickDelay delivers a missed tick as soon as the guest takes ticks again,
	// but no two closer than the period: the guest's time stays behind.
	TickDelay TickPolicy = iota
	// TickCatchup delivers missed ticks at a higher rate, until the guest's time
	// is right again.
	TickCatchup
	// TickMerge makes one tick of all that were missed in a row.
	TickMerge
	// TickDiscard drops them.
	TickDiscard
)

// TickOptions are a timer's policy and, for TickCatchup, its measures.
type TickOptions struct {
	Policy TickPolicy
	// Threshold is how far the guest has to be behind before it catches up; until
	// then ticks are as with TickDelay.
	Threshold time.Duration
	// Slew is the rate at which it catches up, in per cent of the normal one,
	// from 101; 0 is DefaultSlew.
	Slew uint64
	// Limit is how far the guest can be behind; what it misses beyond that is
	// gone. 0 is DefaultLimit. It holds for TickDelay too.
	Limit time.Duration
}

// What is not said in TickOptions.
const (
	DefaultSlew  = 200
	DefaultLimit = 10 * time.Second
)

const (
	// minInterval bounds what a guest can cost the host by programming a very
	// short period: a timer fires at most every 100 microseconds.
	minInterval = 100 * time.Microsecond
	// gridSlack is taken off each step of the normal rate, so that the rounding of
	// periods to nanoseconds cannot add up to a tick that comes too late.
	gridSlack = 2 * time.Nanosecond
)

// TickState is the account of one timer's ticks. The timer says what has come
// due and asks when to fire; it fires one tick at a time and says what became of
// it.
//
// Ticks have slots, the times at which they ought to be fired: by the slots, not
// by when the host woke, the next one is reckoned, so that a late host makes
// single ticks late and not the rate lower.
type TickState struct {
	Owed       int64         // ticks that are due and not delivered
	Refused    uint8         // so many in a row were coalesced with one still pending
	Catching   bool          // the guest was behind by the threshold, and still is behind
	Slot       time.Duration // of the last tick that was fired
	Any        bool          // Slot is valid
	Tried      bool          // one was fired since the timer was programmed
	Generation uint64        // counts the times the timer was programmed
}

// due adds n ticks of a timer with the given period, 0 for a single shot.
func (s *TickState) due(o *TickOptions, n int64, period time.Duration) {
	s.Owed += n
	switch o.Policy {
	case TickMerge, TickDiscard:
		// Several at once means that the host was late for all but the last.
		s.Owed = min(s.Owed, 1)
		return
	}
	limit := o.Limit
	if limit == 0 {
		limit = DefaultLimit
	}
	s.Owed = min(s.Owed, max(int64(limit/max(period, 1)), 1))
	if o.Policy == TickCatchup && s.Owed > 1 && time.Duration(s.Owed-1)*period >= o.Threshold {
		s.Catching = true
	}
}

// restart forgets the backlog when the guest programs the timer anew: what was
// owed to the old rate is not wanted at the new one. A first tick that was due
// but not fired yet remains, as it would be pending in the controller.
func (s *TickState) restart() {
	s.Owed = min(s.Owed, 1)
	if s.Tried {
		s.Owed = 0
	}
	s.Refused, s.Tried, s.Catching = 0, false, false
	s.Generation++
}

// ready is when an owed tick may be fired.
func (s *TickState) ready(o *TickOptions, period time.Duration) time.Duration {
	if !s.Any {
		return 0
	}
	step := time.Duration(0)
	switch o.Policy {
	case TickDelay:
		step = period - gridSlack
	case TickCatchup:
		step = period - gridSlack
		if s.Catching || o.Threshold == 0 {
			// More and more slowly while the guest does not take any.
			step = min(fraction(period, o.Slew)<<min(max(s.Refused, 1)-1, 16), step)
		}
	case TickMerge:
		// On its own if there is room for it before the next tick.
		step = period / 2
	}
	return s.Slot + max(step, minInterval)
}

// fraction is the step at a rate of slew per cent.
func fraction(period time.Duration, slew uint64) time.Duration {
	if slew == 0 {
		slew = DefaultSlew
	}
	// In floating point, since a period in nanoseconds times 100 may not fit; the
	// error is far below what a host's timer has.
	return time.Duration(float64(period) * 100 / float64(slew))
}

// take removes a tick to be fired at time now, if there is one and it may.
func (s *TickState) take(o *TickOptions, now, period time.Duration) bool {
	if s.Owed == 0 {
		return false
	}
	slot := s.ready(o, period)
	if now < slot {
		return false
	}
	if !s.Any || now-slot > period/2 {
		slot = now
	}
	s.Owed--
	s.Slot, s.Any, s.Tried = slot, true, true
	if s.Owed == 0 {
		s.Catching = false
	}
	return true
}

// fired notes what became of the tick taken last. A single shot that was
// coalesced is not repeated: the earlier edge, still pending, stands for it.
func (s *TickState) fired(o *TickOptions, d irq.Delivery, period time.Duration) {
	if d != irq.Coalesced {
		s.Refused = 0
	} else if s.Refused < math.MaxUint8 {
		s.Refused++
	}
	switch {
	case d == irq.Masked:
		// The guest does not listen, so it does not miss anything.
		s.Owed, s.Catching = 0, false
	case s.Refused > 0 && period > 0 && o.Policy != TickDiscard:
		s.due(o, 1, period)
	}
}

// next is when to look again, given when the next tick is due, if there is one,
// and the period.
func (s *TickState) next(o *TickOptions, due time.Duration, ok bool, period time.Duration) (time.Duration, bool) {
	if s.Owed > 0 {
		return s.ready(o, period), true
	}
	if s.Any && ok {
		due = max(due, s.Slot+minInterval)
	}
	return due, ok
}
