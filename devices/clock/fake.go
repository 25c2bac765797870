package clock

import (
	"sync"
	"time"
)

// Fake is a Clock for tests that stands still until Advance moves it. The zero
// value is ready for use and reads 0.
type Fake struct {
	mu    sync.Mutex
	now   time.Duration
	queue queue
}

// Now is how far the clock was advanced. During a timer's callback it is the
// timer's deadline, or the time at which the timer was armed if that is later.
func (c *Fake) Now() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// NewTimer returns a stopped timer that calls f from within Advance.
func (c *Fake) NewTimer(f func()) Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &fakeTimer{clock: c, entry: c.queue.register(f)}
}

// Advance moves the clock by d and calls, one after the other on the caller's
// goroutine, the timers that come due on the way: by deadline, then in the
// order they were armed, those armed meanwhile included. Advance(0) calls the
// timers whose deadline has passed already.
func (c *Fake) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	end := c.now + d
	for e := c.queue.popDue(end); e != nil; e = c.queue.popDue(end) {
		c.now = max(c.now, e.deadline)
		c.mu.Unlock()
		e.f()
		c.mu.Lock()
	}
	c.now = max(c.now, end)
}

// Jump moves the clock by d at once and only then calls the timers that came
// due: what a device sees after its host was held up. Now is the same for all
// of them.
func (c *Fake) Jump(d time.Duration) {
	c.mu.Lock()
	c.now += d
	c.mu.Unlock()
	c.Advance(0)
}

// Next is the earliest deadline of an armed timer; ok is false when no timer
// is armed, which is how a test knows that a device would not wake the host.
func (c *Fake) Next() (deadline time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.queue.next()
}

type fakeTimer struct {
	clock *Fake
	entry entry
}

func (t *fakeTimer) Set(deadline time.Duration) {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	t.clock.queue.set(&t.entry, deadline)
}

func (t *fakeTimer) Stop() {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	t.clock.queue.remove(&t.entry)
}
