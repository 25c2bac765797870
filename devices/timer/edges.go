package timer

// This file finds the rising edges of a counter's OUT, which are what the
// interrupt controller sees of channel 0.

// advance brings the counter to tick t and returns how often OUT rose since
// the last call. It must be called before anything is changed at tick t.
func (c *CounterState) advance(t int64) (rises int64) {
	if at, ok := c.reloadAt(); ok && at <= t {
		rises = c.risesUntil(at)
		c.reload(at)
	}
	return rises + c.risesUntil(t)
}

// reloadAt is when a count written in mid-cycle takes over: at the end of the
// period in mode 2, of the half period in mode 3.
func (c *CounterState) reloadAt() (tick int64, ok bool) {
	if !c.Waiting || !c.Running || !c.periodic() {
		return 0, false
	}
	n := c.Initial
	begin := c.Since - (c.Since-c.Start)%n
	if c.mode() == 3 && c.Since-begin < high(n) {
		return begin + high(n), true
	}
	return begin + n, true
}

// reload loads the waiting count at tick at, as returned by reloadAt.
func (c *CounterState) reload(at int64) {
	endOfCycle := (at-c.Start)%c.Initial == 0
	c.Initial, c.Waiting = c.length(), false
	c.Start = at
	if !endOfCycle {
		c.Start -= high(c.Initial) // the low half of a cycle begins
	}
}

// risesUntil counts the rises of OUT in (Seen, t] and remembers t.
func (c *CounterState) risesUntil(t int64) int64 {
	n := c.risesBefore(t) - c.risesBefore(c.Seen)
	c.Seen = t
	return max(n, 0)
}

// risesBefore counts the rises of OUT from the load up to tick t.
func (c *CounterState) risesBefore(t int64) int64 {
	first, period, ok := c.rises()
	switch {
	case !ok || t < first:
		return 0
	case period == 0:
		return 1
	default:
		return (t-first)/period + 1
	}
}

// rises gives the tick of the first rise of OUT after the load, and the period
// of the following ones, or 0 if there are none. ok is false when OUT does not
// move: a stopped counter, or the count of 1 that modes 2 and 3 do not allow.
func (c *CounterState) rises() (first, period int64, ok bool) {
	if !c.Loaded || !c.Running {
		return 0, 0, false
	}
	n := c.Initial
	switch c.mode() {
	case 0, 1:
		return c.Start + n, 0, true
	case 2, 3:
		return c.Start + n, n, n > 1
	default:
		return c.Start + n + 1, 0, true
	}
}

// nextRise is the tick of the next rise of OUT after Seen.
func (c *CounterState) nextRise() (tick int64, ok bool) {
	at, waiting := c.reloadAt()
	if tick, ok = c.riseAfter(c.Seen); ok && (!waiting || tick <= at) {
		return tick, true
	}
	if !waiting {
		return 0, false
	}
	next := *c
	next.reload(at)
	return next.riseAfter(max(at, c.Seen))
}

func (c *CounterState) riseAfter(t int64) (tick int64, ok bool) {
	first, period, ok := c.rises()
	switch {
	case !ok:
		return 0, false
	case t < first:
		return first, true
	case period == 0:
		return 0, false
	default:
		return first + ((t-first)/period+1)*period, true
	}
}
