package timer

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/devices/irq"
)

// pitRig is a PIT on a clock that is counted in ticks of the 8254.
type pitRig struct {
	t      testing.TB
	clock  clock.Fake
	pit    *PIT
	system bus.Handler

	blocked bool    // an earlier tick stays pending
	fired   []int64 // ticks at which IRQ0 was accepted
	tried   int
}

func newPITRig(t testing.TB) *pitRig { return newTickingPITRig(t, TickOptions{Policy: TickCatchup}) }

func newTickingPITRig(t testing.TB, ticks TickOptions) *pitRig {
	r := &pitRig{t: t}
	r.clock.Advance(timeOf(1000, PITFrequency))
	r.pit = NewPIT(PITOptions{Clock: &r.clock, IRQ: r, Ticks: ticks})
	r.system = r.pit.SystemPort()
	return r
}

func (r *pitRig) Fire() irq.Delivery {
	r.tried++
	if r.blocked {
		return irq.Coalesced
	}
	r.fired = append(r.fired, r.tick())
	return irq.Delivered
}

func (r *pitRig) tick() int64 { return ticksAt(r.clock.Now(), PITFrequency) }

func (r *pitRig) advance(ticks int64) {
	r.clock.Advance(timeOf(r.tick()+ticks, PITFrequency) - r.clock.Now())
}

func (r *pitRig) out(port int, v ...uint8) {
	for _, v := range v {
		r.pit.Write(uint64(port-PITPort), []byte{v})
	}
}

func (r *pitRig) in(port int) uint8 {
	data := []byte{0}
	r.pit.Read(uint64(port-PITPort), data)
	return data[0]
}

func (r *pitRig) setSystem(v uint8) { r.system.Write(0, []byte{v}) }

func (r *pitRig) getSystem() uint8 {
	data := []byte{0}
	r.system.Read(0, data)
	return data[0]
}

// count2 latches and reads counter 2, which has two-byte access.
func (r *pitRig) count2() uint16 {
	r.out(0x43, 0x80)
	return uint16(r.in(0x42)) | uint16(r.in(0x42))<<8
}

func (r *pitRig) out2() bool { return r.getSystem()&0x20 != 0 }

// TestModes follows counter 2 through the waveforms of the data sheet's figures
// 15 to 20: after each clock, the count and OUT.
func TestModes(t *testing.T) {
	type step struct {
		do    string // "", "gate+", "gate-" or "count N", before the clocks
		n     uint16
		count []uint16 // after each following clock
		out   string   // OUT after each clock, H or L
	}
	tests := []struct {
		name  string
		mode  uint8
		start bool // gate at first
		steps []step
	}{
		{"mode 0", 0, true, []step{
			{"count", 4, []uint16{4, 3, 2, 1, 0, 0xFFFF, 0xFFFE}, "LLLLHHH"},
			{"count", 2, []uint16{2, 1, 0}, "LLH"},
		}},
		{"mode 0 gated", 0, true, []step{
			{"count", 3, []uint16{3, 2}, "LL"},
			{"gate-", 0, []uint16{2, 2, 2}, "LLL"},
			{"gate+", 0, []uint16{1, 0, 0xFFFF}, "LHH"},
			{"gate-", 0, []uint16{0xFFFF}, "H"},
		}},
		{"mode 0 written while gate is low", 0, false, []step{
			{"count", 2, []uint16{2, 2}, "LL"},
			{"gate+", 0, []uint16{1, 0}, "LH"},
		}},
		{"mode 1", 1, false, []step{
			{"gate+", 0, nil, ""}, // no count yet: not a trigger
			{"gate-", 0, nil, ""},
			{"count", 3, []uint16{0, 0}, "HH"}, // the count itself is not loaded
			{"gate+", 0, []uint16{3, 2}, "LL"},
			{"gate-", 0, []uint16{1, 0, 0xFFFF}, "LHH"},
			{"gate+", 0, []uint16{3, 2}, "LL"},
			{"gate-", 0, nil, ""},
			{"gate+", 0, []uint16{3, 2, 1, 0}, "LLLH"}, // retriggered
		}},
		{"mode 1 new count", 1, false, []step{
			{"count", 2, nil, ""},
			{"gate+", 0, []uint16{2}, "L"},
			{"count", 4, []uint16{1, 0, 0xFFFF}, "LHH"},
			{"gate-", 0, nil, ""},
			{"gate+", 0, []uint16{4, 3, 2, 1, 0}, "LLLLH"},
		}},
		{"mode 2", 2, true, []step{
			{"count", 3, []uint16{3, 2, 1, 3, 2, 1, 3}, "HHLHHLH"},
			{"gate-", 0, []uint16{3, 3}, "HH"},
			{"gate+", 0, []uint16{3, 2, 1, 3}, "HHLH"},
		}},
		{"mode 2 gate ends the low pulse", 2, true, []step{
			{"count", 3, []uint16{3, 2, 1}, "HHL"},
			{"gate-", 0, []uint16{1}, "H"},
		}},
		{"mode 2 new count", 2, true, []step{
			{"count", 4, []uint16{4, 3}, "HH"},
			{"count", 3, []uint16{2, 1, 3, 2, 1, 3}, "HLHHLH"},
		}},
		{"mode 6 is mode 2", 6, true, []step{
			{"count", 2, []uint16{2, 1, 2, 1}, "HLHL"},
		}},
		{"mode 3 even", 3, true, []step{
			{"count", 4, []uint16{4, 2, 4, 2, 4, 2, 4}, "HHLLHHL"},
		}},
		{"mode 3 odd", 3, true, []step{
			{"count", 5, []uint16{4, 2, 0, 4, 2, 4, 2, 0}, "HHHLLHHH"},
		}},
		{"mode 3 gated", 3, true, []step{
			{"count", 4, []uint16{4, 2, 4}, "HHL"},
			{"gate-", 0, []uint16{4}, "H"},
			{"gate+", 0, []uint16{4, 2, 4}, "HHL"},
		}},
		{"mode 3 new count takes over at the half cycle", 3, true, []step{
			{"count", 4, []uint16{4}, "H"},
			{"count", 6, []uint16{2, 6, 4, 2, 6, 4, 2, 6}, "HLLLHHHL"},
		}},
		{"mode 3 new count in the low half", 3, true, []step{
			{"count", 4, []uint16{4, 2, 4}, "HHL"},
			{"count", 2, []uint16{2, 2, 2, 2}, "LHLH"},
		}},
		{"mode 4", 4, true, []step{
			{"count", 3, []uint16{3, 2, 1, 0, 0xFFFF}, "HHHLH"},
			{"count", 2, []uint16{2, 1, 0, 0xFFFF}, "HHLH"},
		}},
		{"mode 4 gated", 4, true, []step{
			{"count", 3, []uint16{3, 2}, "HH"},
			{"gate-", 0, []uint16{2, 2}, "HH"},
			{"gate+", 0, []uint16{1, 0, 0xFFFF}, "HLH"},
		}},
		{"mode 5", 5, false, []step{
			{"count", 3, []uint16{0, 0}, "HH"},
			{"gate+", 0, []uint16{3, 2}, "HH"},
			{"gate-", 0, []uint16{1, 0, 0xFFFF}, "HLH"},
			{"gate+", 0, []uint16{3}, "H"},
			{"gate-", 0, nil, ""},
			{"gate+", 0, []uint16{3, 2, 1, 0, 0xFFFF}, "HHHLH"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newPITRig(t)
			gate := map[bool]uint8{true: 1}
			r.setSystem(gate[tt.start])
			r.out(0x43, 0xB0|tt.mode<<1)
			if want := tt.mode != 0; r.out2() != want {
				t.Fatalf("OUT %v after the control word", !want)
			}
			for i, s := range tt.steps {
				switch s.do {
				case "gate+":
					r.setSystem(1)
				case "gate-":
					r.setSystem(0)
				case "count":
					r.out(0x42, uint8(s.n), uint8(s.n>>8))
				}
				var counts []uint16
				levels := ""
				for range s.count {
					r.advance(1)
					counts = append(counts, r.count2())
					if r.out2() {
						levels += "H"
					} else {
						levels += "L"
					}
				}
				if !slices.Equal(counts, s.count) || levels != s.out {
					t.Errorf("step %d (%s %d): count %v OUT %s, want %v %s", i, s.do, s.n, counts, levels, s.count, s.out)
				}
			}
		})
	}
}

func TestBCD(t *testing.T) {
	r := newPITRig(t)
	r.setSystem(1)
	r.out(0x43, 0xB1) // mode 0, BCD
	r.out(0x42, 0x01, 0x10)
	r.advance(3)
	if v := r.count2(); v != 0x0999 {
		t.Errorf("1001 - 2 is %x", v)
	}
	r.advance(1000)
	if v := r.count2(); v != 0x9999 {
		t.Errorf("below 0 comes %x", v)
	}
	r.out(0x42, 0, 0) // 10000
	r.advance(2)
	if v := r.count2(); v != 0x9999 {
		t.Errorf("10000 - 1 is %x", v)
	}
	r.advance(9998)
	if r.out2() {
		t.Error("10000 clocks were too few")
	}
	r.advance(1)
	if !r.out2() {
		t.Error("10000 clocks did not end the count")
	}
}

func TestAccessModes(t *testing.T) {
	r := newPITRig(t)
	r.setSystem(1)
	r.out(0x43, 0x90) // counter 2, low byte, mode 0
	r.out(0x42, 0x34)
	r.advance(1)
	if a, b := r.in(0x42), r.in(0x42); a != 0x34 || b != 0x34 {
		t.Errorf("low byte only: %x %x", a, b)
	}
	r.out(0x43, 0xA0) // high byte
	r.out(0x42, 0x12)
	r.advance(1)
	if a, b := r.in(0x42), r.in(0x42); a != 0x12 || b != 0x12 {
		t.Errorf("high byte only: %x %x", a, b)
	}
	r.out(0x43, 0xB0) // both
	r.out(0x42, 0x34)
	r.advance(100)
	if r.out2() {
		t.Error("OUT high between the bytes of a count")
	}
	r.out(0x42, 0x12)
	r.advance(1)
	if a, b := r.in(0x42), r.in(0x42); a != 0x34 || b != 0x12 {
		t.Errorf("both bytes: %x %x", a, b)
	}
	if v := r.in(0x43); v != 0xFF {
		t.Errorf("control port reads %x", v)
	}
}

func TestLatch(t *testing.T) {
	r := newPITRig(t)
	r.setSystem(1)
	r.out(0x43, 0xB0)
	r.out(0x42, 0x00, 0x10)
	r.advance(1)
	r.out(0x43, 0x80) // latch 0x1000
	r.advance(0x200)
	r.out(0x43, 0x80) // ignored: not read yet
	if a, b := r.in(0x42), r.in(0x42); a != 0x00 || b != 0x10 {
		t.Errorf("latched: %x %x", a, b)
	}
	if v := r.count2(); v != 0x0E00 {
		t.Errorf("then %x", v)
	}
	r.out(0x43, 0x80, 0xB0) // a control word drops the latch
	if v := r.in(0x42); v != 0 {
		t.Errorf("latched count survived: %x", v)
	}
}

func TestReadBack(t *testing.T) {
	r := newPITRig(t)
	r.setSystem(1)
	r.out(0x43, 0xB4) // counter 2, mode 2
	r.out(0x43, 0xE8) // status of counter 2
	if v := r.in(0x42); v != 0xF4 {
		t.Errorf("status %x before a count: want OUT, null count, RW 3, mode 2", v)
	}
	r.out(0x42, 0x00, 0x01)
	r.advance(2)
	r.out(0x43, 0xC8) // count and status
	r.advance(100)
	r.out(0x43, 0xC8) // ignored
	if s, a, b := r.in(0x42), r.in(0x42), r.in(0x42); s != 0xB4 || a != 0xFF || b != 0x00 {
		t.Errorf("status %x, count %x %x", s, a, b)
	}
	r.out(0x42, 0x00, 0x02) // not loaded before the end of the cycle
	r.out(0x43, 0xE8)
	if v := r.in(0x42); v&0x40 == 0 {
		t.Errorf("status %x does not show the null count", v)
	}
	r.advance(0x100)
	r.out(0x43, 0xE8)
	if v := r.in(0x42); v&0x40 != 0 {
		t.Errorf("status %x still shows the null count", v)
	}
	// Several counters at once: counter 1 runs in low-byte mode 2.
	r.out(0x43, 0xEC)
	if v := r.in(0x41); v&0x3F != 0x14 {
		t.Errorf("status of counter 1 is %x", v)
	}
	if v := r.in(0x42); v&0x3F != 0x34 {
		t.Errorf("status of counter 2 is %x", v)
	}
}

func TestSystemPort(t *testing.T) {
	r := newPITRig(t)
	r.setSystem(0xFF)
	if v := r.getSystem(); v&0xCF != 0x0F {
		t.Errorf("port 0x61 is %x", v)
	}
	r.advance(1) // counter 1 is loaded
	changes, last := 0, r.getSystem()&0x10
	for range 10 * refreshCount {
		r.advance(1)
		if v := r.getSystem() & 0x10; v != last {
			changes, last = changes+1, v
		}
	}
	if changes != 10 {
		t.Errorf("the refresh bit changed %d times in 10 periods", changes)
	}
	r.pit.Reset()
	if v := r.getSystem(); v&0xCF != 0 {
		t.Errorf("port 0x61 is %x after a reset", v)
	}
}

func (r *pitRig) program0(mode uint8, count uint16) {
	r.out(0x43, 0x30|mode<<1)
	r.out(0x40, uint8(count), uint8(count>>8))
}

func TestPeriodicInterrupt(t *testing.T) {
	for _, mode := range []uint8{2, 3} {
		t.Run(fmt.Sprint("mode ", mode), func(t *testing.T) {
			r := newPITRig(t)
			start := r.tick() + 1
			r.program0(mode, 11932) // 100 Hz
			r.clock.Advance(100 * time.Second)
			if n := len(r.fired); n != 9999 { // 119318200/11932
				t.Fatalf("%d ticks in 100 s", n)
			}
			for i, at := range r.fired {
				if want := start + int64(i+1)*11932; at != want {
					t.Fatalf("tick %d at %d, want %d", i, at, want)
				}
			}
		})
	}
}

func TestOneShotInterrupt(t *testing.T) {
	for mode, want := range map[uint8]int64{0: 1 + 5000, 4: 1 + 5000 + 1} {
		r := newPITRig(t)
		start := r.tick()
		r.program0(mode, 5000)
		r.clock.Advance(time.Second)
		if len(r.fired) != 1 || r.fired[0] != start+want {
			t.Errorf("mode %d: fired %v, want %d", mode, r.fired, start+want)
		}
		if _, armed := r.clock.Next(); armed {
			t.Errorf("mode %d: the host timer is still armed", mode)
		}
	}
}

func TestNoInterruptNoWakeup(t *testing.T) {
	r := newPITRig(t)
	idle := func(when string) {
		t.Helper()
		r.clock.Advance(time.Minute)
		if _, armed := r.clock.Next(); armed || r.tried != 0 {
			t.Errorf("%s: armed %v, fired %d times", when, armed, r.tried)
		}
	}
	idle("power-on")
	r.setSystem(1)
	r.out(0x43, 0xB6)
	r.out(0x42, 0, 0)
	idle("counter 2 runs")
	r.out(0x43, 0x34)
	idle("no count yet")
	r.program0(2, 1)
	idle("illegal count")
	r.program0(1, 100)
	idle("mode 1 without a trigger")
	r.program0(2, 1000)
	if _, armed := r.clock.Next(); !armed {
		t.Error("a periodic counter does not arm the timer")
	}
	r.pit.Reset()
	idle("reset")
}

// TestCatchup loses ticks by an interrupt controller that does not take them:
// they come later, one between two regular ones, and none is lost.
func TestCatchup(t *testing.T) {
	r := newPITRig(t)
	const period = 1193
	start := r.tick() + 1
	r.program0(2, period)
	r.blocked = true
	r.advance(10*period + 2)
	r.in(0x40) // brings the account up to date
	if r.tried != 10 || r.pit.State().Ticks.Owed != 10 {
		t.Fatalf("tried %d times, owes %d", r.tried, r.pit.State().Ticks.Owed)
	}
	r.blocked = false
	r.advance(30 * period)
	if n := len(r.fired); n != 40 {
		t.Errorf("%d of 40 ticks were delivered", n)
	}
	for i := 1; i < len(r.fired); i++ {
		if gap := r.fired[i] - r.fired[i-1]; gap < period/2-2 {
			t.Errorf("ticks %d and %d are %d apart: a burst", i-1, i, gap)
		}
	}
	last := r.fired[len(r.fired)-1]
	if (last-start)%period != 0 {
		t.Errorf("after the backlog, ticks are %d out of step", (last-start)%period)
	}
}

// TestLateHost wakes the PIT only after many periods have passed.
func TestLateHost(t *testing.T) {
	r := newPITRig(t)
	const period = 1193
	r.program0(3, period)
	r.clock.Jump(timeOf(20*period+10, PITFrequency))
	if len(r.fired) != 1 || r.pit.State().Ticks.Owed != 19 {
		t.Fatalf("%d fired, %d owed", len(r.fired), r.pit.State().Ticks.Owed)
	}
	r.advance(40 * period)
	if n := len(r.fired); n != 60 {
		t.Errorf("%d of 60 ticks were delivered", n)
	}
}

func TestBacklogIsBounded(t *testing.T) {
	r := newPITRig(t)
	r.program0(2, 1193)
	r.clock.Jump(time.Hour)
	if owed := r.pit.State().Ticks.Owed; owed > int64(DefaultLimit/time.Millisecond)+1 {
		t.Errorf("%d ticks owed", owed)
	}
	r.out(0x43, 0x30) // the guest stops the timer
	if owed := r.pit.State().Ticks.Owed; owed > 1 {
		t.Errorf("%d ticks owed after reprogramming", owed)
	}
	fired := len(r.fired)
	r.clock.Advance(time.Second)
	if len(r.fired) > fired+1 {
		t.Errorf("%d ticks after the timer was stopped", len(r.fired)-fired)
	}
}

// TestShortPeriod has a guest ask for 600000 interrupts a second.
func TestShortPeriod(t *testing.T) {
	r := newPITRig(t)
	r.program0(2, 2)
	r.clock.Advance(time.Second)
	if r.tried > int(time.Second/minInterval)+1 || r.tried < 9000 {
		t.Errorf("fired %d times in a second", r.tried)
	}
}

func TestTicksAndTimes(t *testing.T) {
	for _, frequency := range []uint64{crystal, PITFrequency} {
		for _, tick := range []int64{0, 1, 2, 3, 17, 1000, 1193181, 1193182, 1 << 40} {
			at := timeOf(tick, frequency)
			if got := ticksAt(at, frequency); got != tick {
				t.Errorf("%d Hz: tick %d at %d is tick %d", frequency, tick, at, got)
			}
			if tick > 0 && ticksAt(at-1, frequency) != tick-1 {
				t.Errorf("%d Hz: %d is not the first moment of tick %d", frequency, at, tick)
			}
		}
	}
	if timeOf(1<<62, crystal) != 1<<63-1 {
		t.Error("a far tick is not the end of time")
	}
}

func TestPITAllocatesNothing(t *testing.T) {
	r := newPITRig(t)
	r.program0(2, 10000)
	one := []byte{0}
	if n := testing.AllocsPerRun(100, func() {
		one[0] = 0xC2 // read back counter 0
		r.pit.Write(3, one)
		r.pit.Read(0, one)
		r.pit.Write(2, one)
		r.system.Write(0, one)
		r.system.Read(0, one)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkPITRead(b *testing.B) {
	r := newPITRig(b)
	r.program0(2, 0)
	one := []byte{0}
	b.ReportAllocs()
	for b.Loop() {
		r.pit.Read(0, one)
	}
}

// FuzzPIT writes, reads and lets time pass at random. Counter 2 also goes
// clock by clock in a second PIT: however the time is cut up, the state is the
// same.
func FuzzPIT(f *testing.F) {
	f.Add([]byte{3, 0x34, 0, 0x10, 0, 0x00, 6, 200, 5, 0, 8, 40, 3, 0xC2, 5, 0})
	f.Add([]byte{4, 1, 3, 0xB6, 2, 7, 2, 0, 6, 5, 2, 9, 2, 0, 6, 9, 4, 0, 6, 3, 4, 1})
	f.Fuzz(func(t *testing.T, ops []byte) {
		r, slow := newPITRig(t), newPITRig(t)
		for n := 0; len(ops) >= 2 && n < 64; ops, n = ops[2:], n+1 {
			op, v := ops[0]%9, ops[1]
			for _, r := range []*pitRig{r, slow} {
				switch op {
				case 0, 1, 2, 3:
					r.out(PITPort+int(op), v)
				case 4:
					r.setSystem(v)
				case 5:
					r.in(PITPort + int(v&3))
				case 7:
					r.blocked = v&1 != 0
				case 8:
					r.clock.Jump(time.Duration(v) * time.Millisecond)
				}
			}
			if op == 6 {
				r.advance(int64(v))
				for range v {
					slow.advance(1)
				}
			}
			if a, b := r.getSystem(), slow.getSystem(); a != b {
				t.Fatalf("op %d: port 0x61 is %#x, in single steps %#x", n, a, b)
			}
			a, b := r.pit.State(), slow.pit.State()
			if a.Counters != b.Counters {
				t.Fatalf("op %d: %+v, in single steps %+v", n, a.Counters, b.Counters)
			}
			if a.Ticks.Owed < 0 || a.Ticks.Owed > int64(DefaultLimit/time.Millisecond)+1 {
				t.Fatalf("%d ticks owed", a.Ticks.Owed)
			}
		}
	})
}
