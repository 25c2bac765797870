package timer

import (
	"math"
	"sync"
	"time"

	"github.com/govmm/govmm/devices/irq"
)

// hpetInputs are where a comparator's interrupts can go.
type hpetInputs struct {
	legacy HPETInput // in legacy replacement; not connected for comparator 2
	route  HPETInput // if routed there
}

var nowhere = HPETInput{Pulse: irq.None{}, Line: irq.None{}}

// legacy tells whether comparators 0 and 1 replace the PIT and the RTC: that
// takes both bits (IA-PC HPET 1.0a, section 2.3.5).
func (h *HPET) legacy() bool {
	const both = hpetEnable | hpetLegacy
	return h.s.Config&both == both
}

// replaceLegacy takes the interrupts of the PIT and the RTC off their inputs, or
// gives them back. mu is held; neither ever calls back.
func (h *HPET) replaceLegacy() {
	if h.pit != nil {
		h.pit.Mute(h.legacy())
	}
	h.rtc.close(h.legacy())
}

// input is where a comparator's interrupts go now.
func (h *HPET) input(i int) HPETInput {
	switch {
	case h.legacy() && i < 2:
		return h.inputs[i].legacy
	case h.s.Comparators[i].route() == HPETRoute:
		return h.inputs[i].route
	}
	return nowhere
}

// matched puts n matches of a comparator on the account of its ticks. Without
// its interrupt, only the status bit of a level-triggered one tells of them.
func (h *HPET) matched(i int, n int64) {
	c := &h.s.Comparators[i]
	pending := h.s.Status>>i&1 != 0
	switch {
	case !c.enabled():
		if c.level() {
			h.s.Status |= 1 << i
		}
	case pending && h.options.Policy == TickDiscard:
	default:
		c.Ticks.due(&h.options, n, c.period())
	}
}

// update raises level-triggered interrupts that are due, drives their inputs,
// and arms the timers. mu is held, also while a line is set: its changes must
// arrive in order.
func (h *HPET) update() {
	now := h.clock.Now()
	for i := range h.s.Comparators {
		c := &h.s.Comparators[i]
		pending := h.s.Status>>i&1 != 0
		if c.level() && c.enabled() && !pending && c.Ticks.take(&h.options, now, c.period()) {
			h.s.Status |= 1 << i
			pending = true
		}
		var line irq.Line
		if pending && c.enabled() && h.running() {
			line = h.input(i).Line
		}
		h.drive(i, line)
		h.schedule(i)
	}
}

// drive asserts a line for a comparator, instead of the one that it asserted
// before; nil is none.
func (h *HPET) drive(i int, line irq.Line) {
	old := h.driven[i]
	if old == line {
		return
	}
	h.driven[i] = line
	if old != nil {
		old.Set(false)
	}
	if line != nil {
		line.Set(true)
	}
}

// schedule arms a comparator's timer for its next interrupt, and only if there is
// one. While the status bit of a level-triggered one is set, nothing can come.
func (h *HPET) schedule(i int) {
	c := &h.s.Comparators[i]
	pending := h.s.Status>>i&1 != 0
	if !h.running() || !c.enabled() || pending {
		h.timers[i].Stop()
		return
	}
	due, ok := h.nextMatch(c)
	if deadline, ok := c.Ticks.next(&h.options, due, ok, c.period()); ok {
		h.timers[i].Set(deadline)
		return
	}
	h.timers[i].Stop()
}

// nextMatch is when a comparator matches next; ok is false if it is beyond what
// a clock can tell.
func (h *HPET) nextMatch(c *HPETComparator) (at time.Duration, ok bool) {
	counts, ok := c.distance(h.s.Counter)
	if !ok || counts > uint64(math.MaxInt64/hpetTick-h.s.Since) {
		return 0, false
	}
	return time.Duration(h.s.Since+int64(counts)) * hpetTick, true
}

// expire runs when a comparator's timer does: it fires one tick, if one is due.
func (h *HPET) expire(i int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.advance()
	c := &h.s.Comparators[i]
	if !c.level() && c.enabled() && h.running() && c.Ticks.take(&h.options, h.clock.Now(), c.period()) {
		h.fire(i)
	}
	h.update()
}

// fire gives one edge. Nothing repeats a single one, which therefore goes to the
// controllers whatever became of the edge before: at worst they merge the two. mu
// is held, but not while a Pulse is fired.
func (h *HPET) fire(i int) {
	c := &h.s.Comparators[i]
	in := h.input(i)
	if !c.periodic() {
		in.Line.Set(true)
		in.Line.Set(false)
		return
	}
	generation := c.Ticks.Generation
	h.mu.Unlock() // Fire may be a system call
	delivery := in.Pulse.Fire()
	h.mu.Lock()
	if generation == c.Ticks.Generation {
		c.Ticks.fired(&h.options, delivery, c.period())
	}
}

// RTCLine returns the wire for an RTC's interrupt, which leads to line except in
// legacy replacement. It is to be called once, before the machine runs.
func (h *HPET) RTCLine(line irq.Line) irq.Line {
	h.rtc.out = line
	return h.rtc
}

// legacyGate is a line that can be cut.
type legacyGate struct {
	out irq.Line

	mu       sync.Mutex // held while out is set: the last change must win
	closed   bool
	asserted bool
}

// Set drives the line, and out if that is not cut off.
func (g *legacyGate) Set(asserted bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asserted = asserted
	if !g.closed {
		g.out.Set(asserted)
	}
}

// close cuts the line, or joins it.
func (g *legacyGate) close(closed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed == closed {
		return
	}
	g.closed = closed
	g.out.Set(g.asserted && !closed)
}
