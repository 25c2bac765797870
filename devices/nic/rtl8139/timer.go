package rtl8139

import (
	"math/bits"
	"time"

	"github.com/govmm/govmm/devices/clock"
)

// frequency is that of TCTR in Hz: the PCI bus' clock.
const frequency = 33_000_000

// timer is TCTR, which counts from base on, and the alarm of TimerInt.
type timer struct {
	base  time.Duration
	due   uint64 // ticks
	alarm clock.Timer
}

// count is how many ticks there were since the driver set TCTR.
func (c *Card) count() uint64 {
	elapsed := uint64(max(c.clock.Now()-c.timer.base, 0))
	high, low := bits.Mul64(elapsed, frequency)
	n, _ := bits.Div64(high%uint64(time.Second), low, uint64(time.Second))
	return n
}

// ticks is what TCTR reads as.
func (c *Card) ticks() uint32 { return uint32(c.count()) }

// setTimer sets the alarm for when TCTR is TimerInt next; zero is never. mu is
// held.
func (c *Card) setTimer() {
	target := c.get32(regTimerInt)
	if target == 0 {
		c.timer.alarm.Stop()
		return
	}
	now := c.count()
	at := now&^0xFFFFFFFF | uint64(target)
	if at <= now {
		at += 1 << 32 // the next time around
	}
	c.timer.due = at
	high, low := bits.Mul64(at, uint64(time.Second))
	wait, rest := bits.Div64(high%frequency, low, frequency)
	if rest > 0 {
		wait++
	}
	c.timer.alarm.Set(c.timer.base + time.Duration(wait))
}

// timeout is the alarm.
func (c *Card) timeout() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.get32(regTimerInt) == 0 {
		return
	}
	if c.count() >= c.timer.due {
		c.raise(intTime)
	}
	c.setTimer()
}
