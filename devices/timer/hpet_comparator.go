package timer

import "time"

// HPETComparator is one comparator of an HPET, all of whose bits are alike.
type HPETComparator struct {
	// Config is the bits of the configuration and capability register that can be
	// written (IA-PC HPET 1.0a, section 2.3.8):
	//
	//	13    9    8      7    6      5     4      3     2      1     0
	//	+-------+------+---+-------+------+-----+------+------+-------+---+
	//	| route |32-bit| 0 |VAL_SET| (64-bit) (per.)|type|enable| level | 0 |
	//	+-------+------+---+-------+------+-----+------+------+-------+---+
	Config uint16
	Value  uint64 // what the main counter is compared with
	Period uint64 // in periodic mode, what is added to Value at each match
	Ticks  TickState
}

// Bits of a comparator's configuration.
const (
	comparatorLevel    = 1 << 1
	comparatorEnable   = 1 << 2
	comparatorPeriodic = 1 << 3
	comparatorCanDo    = 1<<4 | 1<<5 // periodic mode, and 64 bits: read-only
	comparatorValueSet = 1 << 6      // the next write is for Value, too
	comparator32Bit    = 1 << 8
	comparatorRoute    = 0x1F << 9
	comparatorWritable = comparatorLevel | comparatorEnable | comparatorPeriodic |
		comparatorValueSet | comparator32Bit | comparatorRoute
)

// longestPeriod is the longest period that an account of ticks is told, over a
// year: time enough to add to without an overflow.
const longestPeriod = time.Duration(1 << 55)

func (c *HPETComparator) level() bool    { return c.Config&comparatorLevel != 0 }
func (c *HPETComparator) enabled() bool  { return c.Config&comparatorEnable != 0 }
func (c *HPETComparator) periodic() bool { return c.Config&comparatorPeriodic != 0 }
func (c *HPETComparator) wide() bool     { return c.Config&comparator32Bit == 0 }
func (c *HPETComparator) route() int     { return int(c.Config & comparatorRoute >> 9) }

// capabilities is the register as it is read: in bits 63:32 the inputs of the
// I/O APIC to choose from.
func (c *HPETComparator) capabilities() uint64 {
	return 1<<(32+HPETRoute) | comparatorCanDo | uint64(c.Config)
}

// configure takes a new value of the register. A route that is not offered does
// not read back.
func (c *HPETComparator) configure(v uint16) {
	old := c.Config
	c.Config = v & comparatorWritable
	if c.route() != HPETRoute {
		c.Config &^= comparatorRoute
	}
	c.Value, c.Period = c.cut(c.Value), c.cut(c.Period)
	switch {
	case !c.enabled():
		c.forget()
	case (old^c.Config)&^comparatorValueSet != 0:
		c.Ticks.restart()
	}
}

// set takes a write of the comparator register (section 2.3.9.2). In periodic
// mode it is the period, and with VAL_SET also the value of the first match.
func (c *HPETComparator) set(v, mask uint64) {
	if !c.periodic() || c.Config&comparatorValueSet != 0 {
		c.Value = c.cut(c.Value&^mask | v&mask)
	}
	if c.periodic() {
		c.Period = c.cut(c.Period&^mask | v&mask)
	}
	c.Config &^= comparatorValueSet
	c.Ticks.restart()
}

// cut leaves of a value what the comparator's width has room for.
func (c *HPETComparator) cut(v uint64) uint64 {
	if c.wide() {
		return v
	}
	return uint64(uint32(v))
}

// forget drops ticks that are owed.
func (c *HPETComparator) forget() {
	c.Ticks.restart()
	c.Ticks.Owed = 0
}

// distance is by how much the main counter has to rise from a value until the
// next match; ok is false if that is not within 64 bits.
func (c *HPETComparator) distance(from uint64) (counts uint64, ok bool) {
	if c.wide() {
		return c.Value - from, c.Value != from
	}
	if counts = uint64(uint32(c.Value) - uint32(from)); counts == 0 {
		counts = 1 << 32
	}
	return counts, true
}

// interval is the counts from one match to the next, 0 for never: a 32-bit
// comparator matches again whenever those bits of the main counter have come
// round.
func (c *HPETComparator) interval() uint64 {
	switch {
	case c.periodic() && c.Period != 0:
		return c.Period
	case c.wide():
		return 0
	}
	return 1 << 32
}

// advance returns how often the comparator matches while the main counter rises
// from a value by elapsed.
func (c *HPETComparator) advance(from, elapsed uint64) (matches int64) {
	first, ok := c.distance(from)
	if !ok || first > elapsed {
		return 0
	}
	interval := c.interval()
	if interval == 0 {
		return 1
	}
	n := (elapsed-first)/interval + 1
	if c.periodic() {
		c.Value = c.cut(c.Value + n*c.Period)
	}
	return int64(n)
}

// period is that of the ticks, 0 for a single one.
func (c *HPETComparator) period() time.Duration {
	if !c.periodic() {
		return 0
	}
	return time.Duration(min(c.Period, uint64(longestPeriod/hpetTick))) * hpetTick
}
