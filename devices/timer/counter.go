package timer

// CounterState is one of the 8254's three counters. Times are ticks of the
// 8254's input clock since the machine's clock began; a write at tick t takes
// effect at the next clock pulse, t+1, as the data sheet has it.
type CounterState struct {
	// Control is bits 5:0 of the last control word:
	//
	//	 5   4   3   2   1   0
	//	+---+---+---+---+---+-----+
	//	|  RW   |   mode    | BCD |
	//	+---+---+---+---+---+-----+
	Control uint8
	Gate    bool

	Count     uint16 // count register, as last written in full
	Written   bool   // a count was written since the control word
	LowByte   uint8  // first byte of a two-byte write
	WriteHigh bool   // the next write is the second byte
	ReadHigh  bool   // the next read is the second byte

	CountLatched  uint16
	LatchedBytes  uint8 // bytes of CountLatched left to read
	StatusLatched uint8
	StatusHeld    bool // StatusLatched is to be read first

	Initial   int64 // what the counting element was loaded with, 1 to 65536
	Loaded    bool  // the counting element was loaded since the control word
	Running   bool
	Start     int64 // while running: the tick of the load
	Elapsed   int64 // while not running: ticks counted since the load
	OutBefore bool  // OUT between the write or trigger and the load
	Waiting   bool  // Count waits for the end of the cycle, or for a trigger
	Since     int64 // modes 2 and 3: tick at which the waiting Count was written
	Seen      int64 // rises of OUT up to this tick have been reported
}

// access is the RW field: 1 low byte only, 2 high byte only, 3 low then high.
func (c *CounterState) access() uint8 { return c.Control >> 4 & 3 }

// mode is 0 to 5; 6 and 7 are other names of 2 and 3.
func (c *CounterState) mode() uint8 {
	m := c.Control >> 1 & 7
	if m > 5 {
		m -= 4
	}
	return m
}

func (c *CounterState) bcd() bool      { return c.Control&1 != 0 }
func (c *CounterState) periodic() bool { m := c.mode(); return m == 2 || m == 3 }

// modulus is how many values the counting element has.
func (c *CounterState) modulus() int64 {
	if c.bcd() {
		return 10000
	}
	return 65536
}

// length is the number of clocks that the count register stands for. A nibble
// over 9 in BCD is not defined; it counts as its value here.
func (c *CounterState) length() int64 {
	n := int64(c.Count)
	if c.bcd() {
		n = 1000*(n>>12) + 100*(n>>8&15) + 10*(n>>4&15) + n&15
	}
	if n == 0 {
		return c.modulus()
	}
	return n
}

// high is for how many clocks of a period of n OUT is high in mode 3.
func high(n int64) int64 { return (n + 1) / 2 }

// elapsed is the number of clocks since the load; negative between a write or
// trigger and the load.
func (c *CounterState) elapsed(t int64) int64 {
	if c.Running {
		return t - c.Start
	}
	return c.Elapsed
}

// control takes a control word that selects this counter.
func (c *CounterState) control(word uint8, t int64) {
	*c = CounterState{Control: word & 0x3F, Gate: c.Gate, Initial: c.modulus(), Seen: t}
}

// write takes one byte of a count.
func (c *CounterState) write(v uint8, t int64) {
	switch c.access() {
	case 1:
		c.setCount(uint16(v), t)
	case 2:
		c.setCount(uint16(v)<<8, t)
	case 3:
		if c.WriteHigh {
			c.WriteHigh = false
			c.setCount(uint16(v)<<8|uint16(c.LowByte), t)
			return
		}
		c.LowByte, c.WriteHigh = v, true
		if c.mode() == 0 {
			// The first byte stops the count and lowers OUT at once.
			c.stop(t)
			c.Loaded = false
		}
	}
}

// setCount takes a complete count: when it is loaded depends on the mode.
func (c *CounterState) setCount(count uint16, t int64) {
	c.Count, c.Written = count, true
	switch c.mode() {
	case 0, 4:
		c.load(t)
	case 1, 5:
		c.Waiting = true // for the next trigger
	case 2, 3:
		if c.Loaded && c.Running && c.elapsed(t) >= 0 {
			c.Waiting, c.Since = true, t
			return
		}
		c.load(t)
	}
}

// load copies the count register to the counting element at the next clock.
func (c *CounterState) load(t int64) {
	c.OutBefore = c.out(t) && c.mode() != 0
	c.Initial, c.Loaded, c.Waiting = c.length(), true, false
	c.Running, c.Elapsed, c.Start = c.Gate, 0, t+1
	if c.mode() == 1 || c.mode() == 5 {
		c.Running = true // the gate triggers these modes, and is then ignored
	}
}

func (c *CounterState) stop(t int64) {
	if c.Running {
		c.Elapsed = max(t-c.Start, 0)
		c.Running = false
	}
}

// setGate drives the GATE input.
func (c *CounterState) setGate(gate bool, t int64) {
	if c.Gate == gate {
		return
	}
	c.Gate = gate
	mode := c.mode()
	switch {
	case gate && (mode == 0 || mode == 4):
		if c.Loaded && !c.Running {
			c.Start, c.Running = t-c.Elapsed, true
		}
	case gate: // a trigger
		if c.Written {
			c.load(t)
		}
	case mode != 1 && mode != 5:
		c.stop(t)
	}
}

// out is the level of OUT.
func (c *CounterState) out(t int64) bool {
	mode := c.mode()
	if !c.Loaded {
		return mode != 0
	}
	n, e := c.Initial, c.elapsed(t)
	if e < 0 {
		return c.OutBefore
	}
	switch mode {
	case 0, 1:
		return e >= n
	case 2:
		return !c.Running || n == 1 || e%n != n-1
	case 3:
		return !c.Running || e%n < high(n)
	default:
		return !c.Running || e != n
	}
}

// value is the counting element as the guest reads it.
func (c *CounterState) value(t int64) uint16 {
	n, e := c.Initial, max(c.elapsed(t), 0)
	var v int64
	switch c.mode() {
	case 2:
		v = n - e%n
	case 3:
		// Counts down by two, twice a period, from an even number.
		e %= n
		if e >= high(n) {
			e -= high(n)
		}
		v = n&^1 - 2*e
	default:
		v = n - e
	}
	m := c.modulus()
	v = (v%m + m) % m
	if c.bcd() {
		v = v/1000<<12 | v/100%10<<8 | v/10%10<<4 | v%10
	}
	return uint16(v)
}

// status is the byte that the read-back command latches:
//
//	  7     6     5   4   3   2   1   0
//	+-----+------+---+---+---+---+---+-----+
//	| OUT | null |  RW   |   mode    | BCD |
//	+-----+------+---+---+---+---+---+-----+
//
// null means that the last count written is not in the counting element yet.
func (c *CounterState) status(t int64) uint8 {
	s := c.Control
	if c.out(t) {
		s |= 0x80
	}
	if c.Waiting || !c.Loaded || c.elapsed(t) < 0 {
		s |= 0x40
	}
	return s
}

func (c *CounterState) latchCount(t int64) {
	if c.LatchedBytes > 0 {
		return // the first latch holds until it is read
	}
	c.CountLatched = c.value(t)
	c.LatchedBytes = 1
	if c.access() == 3 {
		c.LatchedBytes = 2
	}
}

func (c *CounterState) latchStatus(t int64) {
	if !c.StatusHeld {
		c.StatusLatched, c.StatusHeld = c.status(t), true
	}
}

// read gives the next byte: a latched status, a latched count, or the count as
// it is.
func (c *CounterState) read(t int64) uint8 {
	if c.StatusHeld {
		c.StatusHeld = false
		return c.StatusLatched
	}
	v := c.CountLatched
	if c.LatchedBytes > 0 {
		c.LatchedBytes--
	} else {
		v = c.value(t)
	}
	high := c.access() == 2
	if c.access() == 3 {
		high = c.ReadHigh
		c.ReadHigh = !c.ReadHigh
	}
	if high {
		return uint8(v >> 8)
	}
	return uint8(v)
}
