package timer

import (
	"sync"
	"time"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/devices/irq"
)

// The PIT on the port bus, and its input clock.
const (
	PITPort      = 0x40 // counters 0 to 2 and the control word
	PITPorts     = 4
	SystemPort   = 0x61 // see PIT.SystemPort
	PITFrequency = 1193182
)

// refreshCount is what PC firmware loads into counter 1: a DRAM refresh every
// 15.1 microseconds.
const refreshCount = 18

// PITOptions says what a PIT is connected to.
type PITOptions struct {
	Clock clock.Clock
	IRQ   irq.Pulse // counter 0's OUT, IRQ0 on a PC; nil leads nowhere
	// Ticks is what happens to counter 0's ticks that the guest misses.
	Ticks TickOptions
}

// PIT is an 8254 as wired in the PC: counter 0 interrupts, counter 1 times the
// DRAM refresh, and counter 2 is gated and read through port 0x61. It is a
// bus.Handler for the four ports from PITPort.
type PIT struct {
	clock   clock.Clock
	irq     irq.Pulse
	timer   clock.Timer
	options TickOptions

	mu sync.Mutex
	s  PITState
}

// PITState is all there is to know about a PIT.
type PITState struct {
	Counters [3]CounterState
	System   uint8 // bits 3:0 of port 0x61
	Ticks    TickState
	Muted    bool // see PIT.Mute
}

// NewPIT returns a PIT in its power-on state: counter 1 runs as PC firmware
// leaves it, the others wait to be programmed.
func NewPIT(o PITOptions) *PIT {
	p := &PIT{clock: o.Clock, irq: o.IRQ, options: o.Ticks}
	if p.irq == nil {
		p.irq = irq.None{}
	}
	p.timer = p.clock.NewTimer(p.tick)
	p.Reset()
	return p
}

// State returns a copy of the device's state.
func (p *PIT) State() PITState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.s
}

// Reset returns the PIT to its power-on state.
func (p *PIT) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer.Stop()
	t := p.now()
	p.s = PITState{Ticks: TickState{Generation: p.s.Ticks.Generation + 1}}
	for i := range p.s.Counters {
		c := &p.s.Counters[i]
		c.Gate = i != 2
		c.control(0x36, t) // two bytes, mode 3
	}
	refresh := &p.s.Counters[1]
	refresh.control(0x14, t) // low byte, mode 2
	refresh.write(refreshCount, t)
}

func (p *PIT) now() int64 { return ticksAt(p.clock.Now(), PITFrequency) }

// advance brings all counters to the present, and puts counter 0's ticks on
// the account. mu is held.
func (p *PIT) advance() (t int64) {
	t = p.now()
	c := &p.s.Counters[0]
	if n := c.advance(t); n > 0 && !p.s.Muted {
		p.s.Ticks.due(&p.options, n, p.period())
	}
	p.s.Counters[1].advance(t)
	p.s.Counters[2].advance(t)
	return t
}

// Read answers a read of ports 0x40 to 0x43.
func (p *PIT) Read(offset uint64, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.advance()
	for i := range data {
		switch n := offset + uint64(i); n {
		case 0, 1, 2:
			data[i] = p.s.Counters[n].read(t)
		default:
			data[i] = 0xFF // the control word register cannot be read
		}
	}
}

// Write answers a write to ports 0x40 to 0x43.
func (p *PIT) Write(offset uint64, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.advance()
	for i, v := range data {
		switch n := offset + uint64(i); n {
		case 0, 1, 2:
			p.s.Counters[n].write(v, t)
		case 3:
			p.command(v, t)
		}
	}
	p.schedule()
}

// command takes a control word:
//
//	 7   6   5   4   3   2   1   0
//	+---+---+---+---+---+---+---+-----+
//	|counter|  RW   |   mode    | BCD |   RW = 0: latch the count
//	+---+---+---+---+---+---+---+-----+
//	| 1   1 |/cn|/st| 2 | 1 | 0 |  0  |   read-back: latch count and/or status
//	+---+---+---+---+---+---+---+-----+
func (p *PIT) command(v uint8, t int64) {
	if v>>6 == 3 {
		for i := range p.s.Counters {
			c := &p.s.Counters[i]
			if v>>(i+1)&1 == 0 {
				continue
			}
			if v&0x20 == 0 {
				c.latchCount(t)
			}
			if v&0x10 == 0 {
				c.latchStatus(t)
			}
		}
		return
	}
	c := &p.s.Counters[v>>6]
	if v&0x30 == 0 {
		c.latchCount(t)
		return
	}
	c.control(v, t)
	if v>>6 == 0 {
		p.s.Ticks.restart()
	}
}

// period is that of counter 0's ticks, 0 in the modes that make one tick.
func (p *PIT) period() time.Duration {
	if c := &p.s.Counters[0]; c.periodic() {
		return timeOf(c.Initial, PITFrequency)
	}
	return 0
}

// schedule arms the host timer for the next tick, and only if there is one.
// mu is held.
func (p *PIT) schedule() {
	if p.s.Muted {
		p.timer.Stop()
		return
	}
	c := &p.s.Counters[0]
	var rise time.Duration
	tick, ok := c.nextRise()
	if ok {
		rise = timeOf(tick, PITFrequency)
	}
	if deadline, ok := p.s.Ticks.next(&p.options, rise, ok, p.period()); ok {
		p.timer.Set(deadline)
		return
	}
	p.timer.Stop()
}

// Mute takes counter 0's OUT off the interrupt, as the HPET does in legacy
// replacement, or connects it again. The ticks of the time between are nobody's.
func (p *PIT) Mute(muted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.s.Muted == muted {
		return
	}
	p.advance()
	p.s.Muted = muted
	p.s.Ticks.restart()
	p.s.Ticks.Owed = 0
	p.schedule()
}

// tick runs when the host timer does: it fires one tick, if one is due.
func (p *PIT) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.advance()
	if p.s.Ticks.take(&p.options, p.clock.Now(), p.period()) {
		generation := p.s.Ticks.Generation
		p.mu.Unlock() // Fire may be a system call
		delivery := p.irq.Fire()
		p.mu.Lock()
		if generation == p.s.Ticks.Generation {
			p.s.Ticks.fired(&p.options, delivery, p.period())
		}
	}
	p.schedule()
}

// SystemPort returns the handler of port 0x61, the PC's system control port B:
//
//	  7      6       5      4        3      2        1       0
//	+------+-------+------+---------+-----+--------+-------+-------+
//	| SERR | IOCHK | OUT2 | refresh | /NMI enables | sound | gate2 |
//	+------+-------+------+---------+-----+--------+-------+-------+
//
// Bits 7:4 are read-only; no error is ever reported. The refresh bit changes
// with every period of counter 1.
func (p *PIT) SystemPort() bus.Handler { return systemPort{p} }

type systemPort struct{ pit *PIT }

func (h systemPort) Read(_ uint64, data []byte) {
	p := h.pit
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.advance()
	v := p.s.System
	if r := &p.s.Counters[1]; r.risesBefore(t)&1 != 0 {
		v |= 1 << 4
	}
	if p.s.Counters[2].out(t) {
		v |= 1 << 5
	}
	for i := range data {
		data[i] = v
	}
}

func (h systemPort) Write(_ uint64, data []byte) {
	p := h.pit
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.advance()
	p.s.System = data[0] & 0x0F
	p.s.Counters[2].setGate(data[0]&1 != 0, t)
}
