package timer

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/devices/irq"
)

// hpetInput is an input of the interrupt controllers that notes what comes.
type hpetInput struct {
	clock    *clock.Fake
	delivery irq.Delivery
	fired    []time.Duration // edges, and level-triggered interrupts
	asserted bool
}

func (in *hpetInput) Fire() irq.Delivery {
	if in.delivery == irq.Delivered {
		in.fired = append(in.fired, in.clock.Now())
	}
	return in.delivery
}

func (in *hpetInput) Set(asserted bool) {
	if asserted && !in.asserted {
		in.fired = append(in.fired, in.clock.Now())
	}
	in.asserted = asserted
}

// hpetRig is an HPET on a clock that the test moves, with a PIT and the wire of
// an RTC.
type hpetRig struct {
	clock             clock.Fake
	hpet              *HPET
	irq0, irq8, route hpetInput
	pit               *PIT
	rtc               irq.Line
}

func newHPETRig(ticks TickOptions) *hpetRig {
	r := &hpetRig{}
	r.clock.Advance(12345)
	for _, in := range []*hpetInput{&r.irq0, &r.irq8, &r.route} {
		in.clock, in.delivery = &r.clock, irq.Delivered
	}
	r.pit = NewPIT(PITOptions{Clock: &r.clock, IRQ: &r.irq0, Ticks: ticks})
	r.hpet = NewHPET(HPETOptions{
		Clock: &r.clock, PIT: r.pit, Ticks: ticks,
		IRQ0:  HPETInput{&r.irq0, &r.irq0},
		IRQ8:  HPETInput{&r.irq8, &r.irq8},
		Route: HPETInput{&r.route, &r.route},
	})
	r.rtc = r.hpet.RTCLine(irq.LineFunc(r.irq8.Set))
	return r
}

func (r *hpetRig) get(offset uint64) uint64 {
	var data [8]byte
	r.hpet.Read(offset, data[:])
	return binary.LittleEndian.Uint64(data[:])
}

func (r *hpetRig) get32(offset uint64) uint32 {
	var data [4]byte
	r.hpet.Read(offset, data[:])
	return binary.LittleEndian.Uint32(data[:])
}

func (r *hpetRig) set(offset, v uint64) {
	r.hpet.Write(offset, binary.LittleEndian.AppendUint64(nil, v))
}

func (r *hpetRig) set32(offset uint64, v uint32) {
	r.hpet.Write(offset, binary.LittleEndian.AppendUint32(nil, v))
}

func (r *hpetRig) expect(t *testing.T, what string, offset, want uint64) {
	t.Helper()
	if got := r.get(offset); got != want {
		t.Errorf("%s: register %#x is %#x, want %#x", what, offset, got, want)
	}
}

// block is the offset of a comparator's configuration.
func block(n uint64) uint64 { return hpetBlocks + n*hpetBlock }

const (
	routed  = HPETRoute << 9
	allOnes = ^uint64(0)
)

func TestHPETPowerOn(t *testing.T) {
	r := newHPETRig(TickOptions{})
	check := func(when string) {
		t.Helper()
		for offset, want := range map[uint64]uint64{
			hpetCapabilities: 10_000_000<<32 | 0x8086_A201,
			hpetConfig:       0, hpetStatus: 0, hpetCounter: 0,
			0x008: 0, 0x018: 0, 0x0E8: 0, 0x0F8: 0,
			0x100: 4<<32 | 0x30, 0x108: allOnes, 0x110: 0, 0x118: 0,
			0x120: 4<<32 | 0x30, 0x128: allOnes,
			0x140: 4<<32 | 0x30, 0x148: allOnes,
			0x160: 0, 0x168: 0, 0x3F8: 0,
		} {
			r.expect(t, when, offset, want)
		}
	}
	check("power-on")
	r.set(hpetCounter, 99)
	r.set(hpetConfig, hpetEnable|hpetLegacy)
	r.set(block(1), comparatorLevel|comparatorEnable)
	r.set(block(1)+8, 100)
	r.clock.Advance(time.Second)
	if !r.irq8.asserted {
		t.Error("comparator 1 does not interrupt")
	}
	r.hpet.Reset()
	check("reset")
	if _, armed := r.clock.Next(); armed || r.irq8.asserted {
		t.Errorf("after a reset, a timer is armed: %v, IRQ 8 asserted: %v", armed, r.irq8.asserted)
	}
}

// What is read-only stays, and what can be written reads back.
func TestHPETWritableBits(t *testing.T) {
	r := newHPETRig(TickOptions{})
	for _, tt := range []struct{ offset, write, want uint64 }{
		{hpetCapabilities, 0, HPETPeriod<<32 | HPETID},
		{hpetConfig, allOnes &^ hpetEnable, hpetLegacy},
		{hpetStatus, allOnes, 0},
		{hpetCounter, 0x0123_4567_89AB_CDEF, 0x0123_4567_89AB_CDEF},
		{block(2), allOnes, 4<<32 | 0x17E}, // route 31 is not offered
		{block(2), routed | 0x30, 4<<32 | routed | 0x30},
		{block(2), 3 << 9, 4<<32 | 0x30},
		{block(2), 0, 4<<32 | 0x30},
		{block(2) + 8, 0xFEDC_BA98_7654_3210, 0xFEDC_BA98_7654_3210},
		{block(2) + 16, allOnes, 0},
		{block(3), allOnes, 0},
		{0x3F8, allOnes, 0},
	} {
		r.set(tt.offset, tt.write)
		r.expect(t, "after a write", tt.offset, tt.want)
	}
}

func TestHPETAccess(t *testing.T) {
	r := newHPETRig(TickOptions{})
	r.set32(hpetCounter, 0x89AB_CDEF)
	r.set32(hpetCounter+4, 0x0123_4567)
	r.expect(t, "two halves", hpetCounter, 0x0123_4567_89AB_CDEF)
	if low, high := r.get32(hpetCounter), r.get32(hpetCounter+4); low != 0x89AB_CDEF || high != 0x0123_4567 {
		t.Errorf("halves %#x and %#x", low, high)
	}
	one := []byte{0}
	for i, want := range []byte{0xEF, 0xCD, 0xAB, 0x89, 0x67, 0x45, 0x23, 0x01} {
		if r.hpet.Read(hpetCounter+uint64(i), one); one[0] != want {
			t.Errorf("byte %d is %#x, want %#x", i, one[0], want)
		}
	}
	for _, w := range []struct{ offset, size uint64 }{
		{hpetCounter, 1}, {hpetCounter, 2}, {hpetCounter + 2, 4}, {hpetCounter + 4, 8}, {hpetCounter - 4, 8}, {hpetCounter + 1, 1},
	} {
		r.hpet.Write(w.offset, make([]byte, w.size))
		r.expect(t, "a write that is not aligned or too small", hpetCounter, 0x0123_4567_89AB_CDEF)
	}
}

func TestHPETCounter(t *testing.T) {
	r := newHPETRig(TickOptions{})
	r.clock.Advance(time.Second)
	r.expect(t, "it stands", hpetCounter, 0)
	r.set(hpetCounter, allOnes-9)
	r.set(hpetConfig, hpetEnable)
	r.clock.Advance(90)
	r.expect(t, "it runs", hpetCounter, allOnes)
	r.set(hpetCounter, 5)
	r.expect(t, "written while it runs", hpetCounter, allOnes)
	r.clock.Advance(20)
	r.expect(t, "it comes round", hpetCounter, 1)
	r.set(hpetConfig, 0)
	r.clock.Advance(time.Hour)
	r.expect(t, "it stands again", hpetCounter, 1)
	r.set(hpetConfig, hpetEnable)
	r.clock.Advance(time.Hour)
	r.expect(t, "an hour later", hpetCounter, 1+360_000_000_000)
}

// program lets a comparator interrupt, with the main counter running from 0.
func (r *hpetRig) program(n uint64, config, value uint64) (start time.Duration) {
	r.set(hpetConfig, 0)
	r.set(hpetCounter, 0)
	r.set(block(n), config|comparatorEnable)
	r.set(block(n)+8, value)
	r.set(hpetConfig, hpetEnable)
	return r.clock.Now() / hpetTick * hpetTick
}

func TestHPETOneShot(t *testing.T) {
	const wrap = (1 << 32) * hpetTick * time.Nanosecond
	for _, tt := range []struct {
		name   string
		config uint64
		value  uint64
		want   []time.Duration // in the first 90 s
		armed  bool            // after that
	}{
		{"64 bits", routed, 5000, []time.Duration{50_000}, false},
		{"64 bits, far", routed, 1 << 59, nil, true},
		{"64 bits, beyond the clock", routed, 1 << 63, nil, false},
		{"64 bits, just behind", routed, allOnes, nil, false},
		{"32 bits, also when they come round", routed | comparator32Bit, 5000,
			[]time.Duration{50_000, 50_000 + wrap, 50_000 + 2*wrap}, true},
		{"32 bits, behind", routed | comparator32Bit, 0, []time.Duration{wrap, 2 * wrap}, true},
		{"32 bits of 64", routed | comparator32Bit, 7<<32 | 100,
			[]time.Duration{1000, 1000 + wrap, 1000 + 2*wrap}, true},
		{"not routed", 0, 5000, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newHPETRig(TickOptions{})
			start := r.program(2, tt.config, tt.value)
			r.clock.Advance(90 * time.Second)
			for i := range tt.want {
				tt.want[i] += start
			}
			if !slices.Equal(r.route.fired, tt.want) {
				t.Errorf("fired at %v, want %v", r.route.fired, tt.want)
			}
			if _, armed := r.clock.Next(); armed != tt.armed {
				t.Errorf("armed: %v, want %v", armed, tt.armed)
			}
			if len(r.irq0.fired)+len(r.irq8.fired) > 0 {
				t.Error("another input was fired")
			}
		})
	}
}

// Nobody repeats a single tick, so it is given although the one before has not
// ended.
func TestHPETOneShotIsNotLost(t *testing.T) {
	r := newHPETRig(TickOptions{Policy: TickDiscard})
	r.route.delivery = irq.Coalesced
	r.program(0, routed, 100_000)
	r.clock.Advance(time.Second)
	if len(r.route.fired) != 1 {
		t.Errorf("fired %d times", len(r.route.fired))
	}
}

func TestHPETPeriodic(t *testing.T) {
	const second = 100_000_000 // counts
	for _, tt := range []struct {
		name string
		set  func(r *hpetRig)
		want func(i int) time.Duration // of tick i from the start
		n    int                       // in a second
	}{
		{"one write for both", func(r *hpetRig) {
			r.set(block(0), routed|comparatorEnable|comparatorPeriodic|comparatorValueSet)
			r.set(block(0)+8, second/100)
		}, func(i int) time.Duration { return time.Duration(i+1) * 10 * time.Millisecond }, 100},
		{"a first value and a period", func(r *hpetRig) {
			r.set(block(0), routed|comparatorEnable|comparatorPeriodic|comparatorValueSet)
			r.set(block(0)+8, second/2)
			r.set(block(0)+8, second/100)
		}, func(i int) time.Duration { return time.Second/2 + time.Duration(i)*10*time.Millisecond }, 51},
		{"32 bits", func(r *hpetRig) {
			r.set32(block(0), routed|comparatorEnable|comparatorPeriodic|comparatorValueSet|comparator32Bit)
			r.set32(block(0)+8, second/100)
		}, func(i int) time.Duration { return time.Duration(i+1) * 10 * time.Millisecond }, 100},
		{"64 bits in halves", func(r *hpetRig) {
			for half, v := range []uint32{second / 100, 0} {
				r.set32(block(0), routed|comparatorEnable|comparatorPeriodic|comparatorValueSet)
				r.set32(block(0)+8+4*uint64(half), v)
			}
		}, func(i int) time.Duration { return time.Duration(i+1) * 10 * time.Millisecond }, 100},
		{"a period alone", func(r *hpetRig) {
			r.set(block(0), routed|comparatorEnable|comparatorPeriodic)
			r.set(block(0)+8, second/100)
		}, nil, 0}, // the first match is far off
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newHPETRig(TickOptions{})
			tt.set(r)
			if v := r.get(block(0)); v&comparatorValueSet != 0 {
				t.Errorf("configuration %#x: VAL_SET stays", v)
			}
			r.set(hpetConfig, hpetEnable)
			start := r.clock.Now() / hpetTick * hpetTick
			r.clock.Advance(time.Second)
			if len(r.route.fired) != tt.n {
				t.Fatalf("%d ticks in a second, want %d", len(r.route.fired), tt.n)
			}
			for i, at := range r.route.fired {
				if want := start + tt.want(i); at < want || at > want+gridSlack {
					t.Fatalf("tick %d at %v, want %v", i, at, want)
				}
			}
			if tt.n > 0 {
				if v, counter := r.get(block(0)+8), r.get(hpetCounter); v <= counter || v > counter+second/100 {
					t.Errorf("the comparator is at %d, the counter at %d", v, counter)
				}
			}
		})
	}
}

func TestHPETLevel(t *testing.T) {
	r := newHPETRig(TickOptions{})
	start := r.program(1, routed|comparatorLevel, 1000)
	r.clock.Advance(time.Second)
	r.expect(t, "after the match", hpetStatus, 2)
	if !r.route.asserted || !slices.Equal(r.route.fired, []time.Duration{start + 10_000}) {
		t.Errorf("asserted %v, at %v", r.route.asserted, r.route.fired)
	}
	r.set(hpetStatus, 5)
	r.expect(t, "other bits are cleared", hpetStatus, 2)
	r.set(block(1), routed|comparatorLevel)
	if r.route.asserted {
		t.Error("asserted without the interrupt's enable bit")
	}
	r.set(block(1), routed|comparatorLevel|comparatorEnable)
	r.set(hpetConfig, 0)
	if r.route.asserted {
		t.Error("asserted while all is disabled")
	}
	r.set(hpetConfig, hpetEnable)
	if !r.route.asserted {
		t.Error("not asserted although its status is set")
	}
	r.set(hpetConfig, hpetEnable|hpetLegacy)
	if r.route.asserted || !r.irq8.asserted {
		t.Error("legacy replacement does not move the interrupt to IRQ 8")
	}
	r.set(hpetStatus, 2)
	r.expect(t, "cleared", hpetStatus, 0)
	if r.irq8.asserted {
		t.Error("asserted after its status was cleared")
	}

	// A poller needs no interrupt, and wakes nobody.
	r.set(block(1), 0)
	r.program(0, comparatorLevel, 500)
	r.set(block(0), comparatorLevel)
	if _, armed := r.clock.Next(); armed {
		t.Error("a timer is armed without an interrupt")
	}
	r.clock.Advance(4990)
	r.expect(t, "before the match", hpetStatus, 0)
	r.clock.Advance(10)
	r.expect(t, "at the match", hpetStatus, 1)
	r.set(block(0), 0)
	r.expect(t, "edge-triggered", hpetStatus, 0)
}

// Two comparators on one input are a wired OR.
func TestHPETSharedRoute(t *testing.T) {
	r := newHPETRig(TickOptions{})
	r.program(0, routed|comparatorLevel, 1000)
	r.set(block(2), routed|comparatorLevel|comparatorEnable)
	r.set(block(2)+8, 2000)
	r.clock.Advance(time.Second)
	r.expect(t, "both match", hpetStatus, 5)
	r.set(hpetStatus, 1)
	if !r.route.asserted {
		t.Error("released while comparator 2 wants service")
	}
	r.set(hpetStatus, 4)
	if r.route.asserted {
		t.Error("asserted when nobody wants service")
	}
}

func TestHPETLegacyReplacement(t *testing.T) {
	r := newHPETRig(TickOptions{Policy: TickCatchup})
	r.pit.Write(3, []byte{0x34})
	r.pit.Write(0, []byte{0xA9})
	r.pit.Write(0, []byte{0x04}) // 1000 Hz
	r.clock.Advance(100 * time.Millisecond)
	if n := len(r.irq0.fired); n < 99 {
		t.Fatalf("%d ticks of the PIT", n)
	}
	r.rtc.Set(true)
	if !r.irq8.asserted {
		t.Fatal("the RTC's interrupt does not come through")
	}
	r.set(hpetConfig, hpetLegacy)
	if !r.irq8.asserted {
		t.Error("legacy replacement without the enable bit")
	}
	r.set(hpetConfig, hpetLegacy|hpetEnable)
	if r.irq8.asserted {
		t.Error("the RTC's interrupt is still there")
	}
	r.rtc.Set(false)
	r.rtc.Set(true)
	r.irq0.fired, r.irq8.fired = nil, nil
	r.clock.Advance(time.Second)
	if _, armed := r.clock.Next(); armed || len(r.irq0.fired)+len(r.irq8.fired) > 0 {
		t.Errorf("armed: %v; interrupts %v and %v", armed, r.irq0.fired, r.irq8.fired)
	}

	now := r.get(hpetCounter)
	r.set(block(0), comparatorEnable)
	r.set(block(0)+8, now+1000)
	r.set(block(1), comparatorEnable)
	r.set(block(1)+8, now+2000)
	r.set(block(2), comparatorEnable)
	r.set(block(2)+8, now+3000)
	r.clock.Advance(time.Second)
	if len(r.irq0.fired) != 1 || len(r.irq8.fired) != 1 || len(r.route.fired) != 0 {
		t.Errorf("interrupts %v, %v, %v", r.irq0.fired, r.irq8.fired, r.route.fired)
	}

	// The PIT has not missed anything meanwhile.
	r.irq0.fired = nil
	r.set(hpetConfig, hpetEnable)
	if !r.irq8.asserted {
		t.Error("the RTC's interrupt does not come back")
	}
	r.clock.Advance(time.Second)
	if n := len(r.irq0.fired); n < 999 || n > 1002 {
		t.Errorf("%d ticks of the PIT in a second", n)
	}
}

func TestHPETSleeps(t *testing.T) {
	r := newHPETRig(TickOptions{})
	asleep := func(when string) {
		t.Helper()
		if _, armed := r.clock.Next(); armed {
			t.Error("armed: ", when)
		}
	}
	asleep("power-on")
	r.set(hpetConfig, hpetEnable)
	asleep("the counter runs")
	r.set(block(0), routed|comparatorPeriodic|comparatorValueSet)
	r.set(block(0)+8, 1000)
	asleep("without an interrupt")
	r.program(0, routed|comparatorPeriodic|comparatorValueSet, 1000)
	if _, armed := r.clock.Next(); !armed {
		t.Error("a periodic comparator does not arm its timer")
	}
	r.set(hpetConfig, 0)
	asleep("halted")
	r.program(0, routed|comparatorLevel|comparatorPeriodic|comparatorValueSet, 1000)
	r.clock.Advance(time.Second)
	asleep("the status bit is set")
}

// A guest is deaf for 250 ticks, by an interrupt that does not end or by a status
// bit that stays.
func TestHPETTickPolicies(t *testing.T) {
	const tick = time.Millisecond
	for _, tt := range []struct {
		policy TickPolicy
		extra  int
	}{{TickDelay, 0}, {TickCatchup, 250}, {TickMerge, 1}, {TickDiscard, 0}} {
		r := newHPETRig(TickOptions{Policy: tt.policy})
		r.program(0, routed|comparatorPeriodic|comparatorValueSet, uint64(tick/hpetTick))
		r.clock.Advance(100 * tick)
		r.route.delivery = irq.Coalesced
		r.clock.Advance(250 * tick)
		r.route.delivery, r.route.fired = irq.Delivered, nil
		r.clock.Advance(time.Second)
		if extra := len(r.route.fired) - 1000; extra < tt.extra-2 || extra > tt.extra+1 {
			t.Errorf("policy %d, edge: %d ticks in a second, want %d", tt.policy, len(r.route.fired), 1000+tt.extra)
		}

		r = newHPETRig(TickOptions{Policy: tt.policy})
		r.program(0, routed|comparatorLevel|comparatorPeriodic|comparatorValueSet, uint64(tick/hpetTick))
		r.clock.Advance(251 * tick) // the first of which is pending
		r.route.fired = nil
		for end := r.clock.Now() + time.Second; ; {
			for r.route.asserted {
				r.set(hpetStatus, 1)
			}
			at, ok := r.clock.Next()
			if !ok || at > end {
				break
			}
			r.clock.Advance(max(at-r.clock.Now(), 0))
		}
		if extra := len(r.route.fired) - 1000; extra < tt.extra-2 || extra > tt.extra+1 {
			t.Errorf("policy %d, level: %d ticks in a second, want %d", tt.policy, len(r.route.fired), 1000+tt.extra)
		}
	}
}

// The shortest periods cost the host no more than minInterval says.
func TestHPETShortPeriod(t *testing.T) {
	for policy := TickDelay; policy <= TickDiscard; policy++ {
		for period := range uint64(3) {
			r := newHPETRig(TickOptions{Policy: policy})
			r.program(0, routed|comparatorPeriodic|comparatorValueSet|comparator32Bit, period)
			r.clock.Advance(time.Second)
			if n := len(r.route.fired); n > int(time.Second/minInterval)+1 {
				t.Errorf("policy %d: %d ticks in a second", policy, n)
			}
		}
	}
}

func TestHPETAllocatesNothing(t *testing.T) {
	r := newHPETRig(TickOptions{})
	r.program(0, routed|comparatorPeriodic|comparatorValueSet, 1000)
	var data [8]byte
	if n := testing.AllocsPerRun(100, func() {
		r.hpet.Read(hpetCounter, data[:])
		r.hpet.Read(hpetStatus, data[:4])
		r.hpet.Write(block(1)+8, data[:])
		r.hpet.Write(hpetConfig, data[:4])
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkHPETRead(b *testing.B) {
	r := newHPETRig(TickOptions{})
	r.program(0, routed|comparatorPeriodic|comparatorValueSet, 1000)
	var data [4]byte
	b.ReportAllocs()
	for b.Loop() {
		r.hpet.Read(hpetCounter, data[:])
	}
}

// FuzzHPET writes, reads and lets time pass at random. A second HPET is looked at
// more often: however the time is cut up, the registers are the same.
func FuzzHPET(f *testing.F) {
	f.Add(uint8(1), []byte{0x40, 0x4C, 0, 0x42, 10, 0, 0x04, 3, 0, 0xFE, 200, 0, 0x08, 1, 0})
	f.Add(uint8(0), []byte{0x50, 0x46, 4, 0x50, 0x06, 0, 0x52, 255, 2, 0x04, 1, 0, 0xFF, 3, 4, 0x08, 4, 0})
	f.Add(uint8(3), []byte{0x48, 0x4C, 0, 0x4A, 1, 7, 0x4A, 1, 63, 0x04, 3, 0, 0xFF, 9, 9, 0x04, 0, 0, 0x3C, 1, 80})
	f.Fuzz(func(t *testing.T, policy uint8, ops []byte) {
		o := TickOptions{Policy: TickPolicy(policy % 4)}
		once, often := newHPETRig(o), newHPETRig(o)
		for n := 0; len(ops) >= 3 && n < 64; ops, n = ops[3:], n+1 {
			op, a, b := ops[0], ops[1], ops[2]
			switch op {
			case 0xFE, 0xFF: // time passes: microseconds, or milliseconds
				d := time.Duration(a)*time.Microsecond + time.Duration(b)
				if op == 0xFF {
					d = time.Duration(a)*time.Millisecond + time.Duration(b)
				}
				before, fired := once.clock.Now(), once.interrupts()
				once.clock.Advance(d)
				if most := 3 * (int(d/minInterval) + 2); once.interrupts()-fired > most {
					t.Fatalf("op %d: %d interrupts in %v", n, once.interrupts()-fired, once.clock.Now()-before)
				}
				for range 4 {
					often.clock.Advance(d / 4)
					often.get(hpetStatus)
				}
				often.clock.Advance(d - d/4*4)
			default:
				// Values of all magnitudes: a byte, shifted.
				offset, v := uint64(op)<<2&0x3FF, uint64(a)<<(b&63)
				for _, r := range []*hpetRig{once, often} {
					if b&64 != 0 {
						r.set32(offset, uint32(v))
					} else {
						r.set(offset, v)
					}
				}
			}
			for offset := uint64(0); offset < hpetBlocksEnd; offset += 8 {
				if a, b := once.get(offset), often.get(offset); a != b && offset != hpetStatus {
					t.Fatalf("op %d: register %#x is %#x, looked at more often %#x", n, offset, a, b)
				}
			}
			for i, c := range once.hpet.State().Comparators {
				if c.Ticks.Owed < 0 || c.Ticks.Owed > int64(DefaultLimit/hpetTick)+1 {
					t.Fatalf("comparator %d: %d ticks owed", i, c.Ticks.Owed)
				}
			}
		}
	})
}

// interrupts counts those at all inputs.
func (r *hpetRig) interrupts() int {
	return len(r.irq0.fired) + len(r.irq8.fired) + len(r.route.fired)
}
