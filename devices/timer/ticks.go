package timer

import "time"

const (
	// minInterval bounds what a guest can cost the host by programming a very
	// short period: IRQ0 fires at most every 100 microseconds.
	minInterval = 100 * time.Microsecond
	// maxOwed bounds the backlog: 10 s of a 1000 Hz tick. What is missed
	// beyond that is gone.
	maxOwed = 10_000
)

// TickState is the account of counter 0's ticks. It keeps the tick policy
// "delay": no tick is lost, and none comes in a burst. A tick that the
// interrupt controller does not accept, because the guest has not yet taken
// the one before, and ticks for which the host woke too late stay owed; once
// the guest accepts ticks again, the owed ones are fired half-way between the
// regular ones.
type TickState struct {
	Owed       int64         // ticks that are due and not delivered
	Refused    bool          // the last one fired was not accepted
	Fired      time.Duration // when the last one was fired
	Any        bool          // Fired is valid
	Tried      bool          // one was fired since the counter was programmed
	Generation uint64        // counts the times the counter was programmed
}

// due adds n ticks.
func (s *TickState) due(n int64) { s.Owed = min(s.Owed+n, maxOwed) }

// restart forgets the backlog when the guest programs the counter anew: what was
// owed to the old rate is not wanted at the new one. A first tick that was due
// but not fired yet remains, as it would be pending in the controller.
func (s *TickState) restart() {
	s.Owed = min(s.Owed, 1)
	if s.Tried {
		s.Owed = 0
	}
	s.Refused, s.Tried = false, false
	s.Generation++
}

// take removes a tick to be fired at time now, if one is due.
func (s *TickState) take(now time.Duration) bool {
	if s.Owed == 0 {
		return false
	}
	s.Owed--
	s.Fired, s.Any, s.Tried = now, true, true
	return true
}

// fired notes what became of the tick taken last. A single shot that was not
// accepted is not repeated: the earlier edge, still pending, stands for it.
func (s *TickState) fired(accepted, periodic bool) {
	s.Refused = !accepted
	if !accepted && periodic {
		s.due(1)
	}
}

// next is when to fire again, given the time of the counter's next rise, if it
// has one, and its period.
func (s *TickState) next(rise time.Duration, hasRise bool, period time.Duration) (time.Duration, bool) {
	deadline, ok := rise, hasRise
	if s.Owed > 0 && (!s.Refused || !hasRise) {
		var owed time.Duration // at once, unless one has just been fired
		if s.Any {
			owed = s.Fired + period/2
		}
		if !ok || owed < deadline {
			deadline, ok = owed, true
		}
	}
	if s.Any {
		deadline = max(deadline, s.Fired+minInterval)
	}
	return deadline, ok
}
