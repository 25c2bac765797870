package e1000

import "time"

// intMask is the bits that the interrupt registers have.
const intMask = 0x1FFFF

// itrUnit is that of ITR (section 13.4.18).
const itrUnit = 256 * time.Nanosecond

// raise notes causes of an interrupt. mu is held.
func (c *Card) raise(causes uint32) {
	*c.reg(regICR) |= causes
	c.interrupt()
}

// interrupt makes the pin follow ICR and IMS. A pin that becomes asserted does
// so again not before the interval of ITR has passed. mu is held.
func (c *Card) interrupt() {
	want := *c.reg(regICR)&*c.reg(regIMS) != 0
	if want == c.line {
		return
	}
	if want {
		now := c.clock.Now()
		if now < c.quiet {
			c.throttle.Set(c.quiet)
			return
		}
		c.quiet = now + time.Duration(*c.reg(regITR))*itrUnit
	}
	c.line = want
	c.INTx().Set(want)
}

// throttled is the end of an interval of ITR.
func (c *Card) throttled() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.interrupt()
}

// takeICR is a read of ICR, which clears it. mu is held.
func (c *Card) takeICR() uint32 {
	v := *c.reg(regICR)
	*c.reg(regICR) = 0
	c.interrupt()
	return v
}
