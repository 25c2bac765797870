package timer

import (
	"testing"
	"time"

	"github.com/govmm/govmm/devices/irq"
)

// player is a timer of a fixed period with the account of its ticks, and a guest
// that may be deaf for a while, all in the test's own time.
type player struct {
	options TickOptions
	state   TickState
	period  time.Duration
	now     time.Duration
	due     time.Duration // the next tick
	fired   []time.Duration
	tries   int
}

// run lets time pass until end; accepts tells what happens to an edge.
func (p *player) run(end time.Duration, accepts irq.Delivery) {
	for {
		at, ok := p.state.next(&p.options, p.due, true, p.period)
		if !ok || at > end {
			break
		}
		p.wake(max(at, p.now), accepts)
	}
	p.now = end
}

// wake is what a timer does when its host timer runs.
func (p *player) wake(now time.Duration, accepts irq.Delivery) {
	p.now = now
	var n int64
	for ; p.due <= now; p.due += p.period {
		n++
	}
	if n > 0 {
		p.state.due(&p.options, n, p.period)
	}
	if p.state.take(&p.options, now, p.period) {
		p.tries++
		if accepts == irq.Delivered {
			p.fired = append(p.fired, now)
		}
		p.state.fired(&p.options, accepts, p.period)
	}
}

func newPlayer(o TickOptions) *player {
	return &player{options: o, period: time.Millisecond, due: time.Millisecond}
}

// A guest is deaf for 250 ticks, the first of which is pending all the while.
func TestPolicies(t *testing.T) {
	const (
		deaf = 250
		tick = time.Millisecond
	)
	for _, tt := range []struct {
		name string
		TickOptions
		extra int           // of 250 ticks missed, those that come in the following second
		done  time.Duration // when the last of them has come
		gap   time.Duration // the shortest time between two ticks
	}{
		{"delay", TickOptions{}, 0, 0, tick - gridSlack},
		{"discard", TickOptions{Policy: TickDiscard}, 0, 0, tick},
		{"merge", TickOptions{Policy: TickMerge}, 1, tick, tick / 2},
		{"catchup", TickOptions{Policy: TickCatchup}, deaf, deaf * tick, tick / 2},
		{"catchup by half", TickOptions{Policy: TickCatchup, Slew: 150}, deaf, 2 * deaf * tick, tick * 2 / 3},
		{"catchup, slow", TickOptions{Policy: TickCatchup, Slew: 110}, 100, time.Second, tick * 10 / 11},
		{"catchup, fast", TickOptions{Policy: TickCatchup, Slew: 1000}, deaf, deaf / 9 * tick, minInterval},
		{"catchup, limited", TickOptions{Policy: TickCatchup, Limit: 50 * tick}, 50, 50 * tick, tick / 2},
		{"catchup, above its threshold", TickOptions{Policy: TickCatchup, Threshold: 200 * tick}, deaf, deaf * tick, tick / 2},
		{"catchup, below its threshold", TickOptions{Policy: TickCatchup, Threshold: 300 * tick}, 0, 0, tick - gridSlack},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlayer(tt.TickOptions)
			p.run(100*tick, irq.Delivered)
			if n := len(p.fired); n != 100 {
				t.Fatalf("%d of 100 ticks", n)
			}
			p.run((100+deaf)*tick, irq.Coalesced)
			p.fired = nil
			const second = 1000
			p.run((100+deaf+second)*tick, irq.Delivered)
			// One at the turn may be on either side of it.
			if extra := len(p.fired) - second; extra < tt.extra-2 || extra > tt.extra+1 {
				t.Errorf("%d ticks of a second and %d missed, want %d", len(p.fired), deaf, second+tt.extra)
			}
			for i, at := range p.fired[1:] {
				if gap := at - p.fired[i]; gap < tt.gap-gridSlack {
					t.Fatalf("ticks %v apart, want at least %v", gap, tt.gap)
				}
			}
			if tt.done == 0 {
				return
			}
			begin := (100 + deaf) * tick
			var early int
			for _, at := range p.fired {
				if at <= begin+tt.done+5*tick {
					early++
				}
			}
			if want := int(tt.done/tick) + tt.extra; early < want-3 {
				t.Errorf("%d ticks until %v, want %d", early, tt.done, want)
			}
		})
	}
}

// The host wakes 20.3 ticks late, once.
func TestLateWake(t *testing.T) {
	const tick = time.Millisecond
	for policy, want := range map[TickPolicy]int{
		TickDelay: 81, TickCatchup: 100, TickMerge: 81, TickDiscard: 81,
	} {
		p := newPlayer(TickOptions{Policy: policy})
		p.run(10*tick, irq.Delivered)
		p.wake(30*tick+300*time.Microsecond, irq.Delivered)
		p.run(100*tick+500*time.Microsecond, irq.Delivered)
		if n := len(p.fired); n < want-1 || n > want {
			t.Errorf("policy %d: %d ticks, want %d", policy, n, want)
		}
	}
}

// A host that is always a little late does not slow the rate under any policy.
func TestJitter(t *testing.T) {
	for policy := TickDelay; policy <= TickDiscard; policy++ {
		p := newPlayer(TickOptions{Policy: policy})
		const ticks = 10_000
		for n := 0; p.now < ticks*time.Millisecond; n++ {
			at, _ := p.state.next(&p.options, p.due, true, p.period)
			p.wake(max(at, p.now)+time.Duration(n*37%120)*time.Microsecond, irq.Delivered)
		}
		if n := len(p.fired); n < ticks-2 || n > ticks+1 {
			t.Errorf("policy %d: %d ticks of %d", policy, n, ticks)
		}
	}
}

// A guest that never takes a tick, or masks the input, costs about as many attempts
// as there are ticks, and not more than the host can stand if those are close.
func TestDeafGuest(t *testing.T) {
	for policy := TickDelay; policy <= TickDiscard; policy++ {
		for _, accepts := range []irq.Delivery{irq.Masked, irq.Coalesced} {
			for _, period := range []time.Duration{2 * time.Microsecond, minInterval, time.Millisecond, 55 * time.Millisecond} {
				p := newPlayer(TickOptions{Policy: policy, Slew: 10_000})
				p.period, p.due = period, period
				const long = 5 * time.Second
				p.run(long, accepts)
				// Catching up begins at its high rate, and soon slows down. Merging
				// tries between two ticks as well.
				most := int(long/max(period, minInterval)) + 20
				if policy == TickMerge {
					most *= 2
				}
				if p.tries < 1 || p.tries > most {
					t.Errorf("policy %d, %d, every %v: %d attempts in %v, want at most %d", policy, accepts, period, p.tries, long, most)
				}
			}
		}
	}
}

// What is due while the guest has masked the input is not missed.
func TestMaskedTicks(t *testing.T) {
	p := newPlayer(TickOptions{Policy: TickCatchup})
	p.run(100*time.Millisecond, irq.Masked)
	if p.state.Owed != 0 || p.tries != 100 {
		t.Errorf("%d tries, %d owed", p.tries, p.state.Owed)
	}
}

// The RTC's ticks are missed while register C is not read.
func TestRTCPolicies(t *testing.T) {
	const rate = 1024
	for _, tt := range []struct {
		policy TickPolicy
		extra  int
	}{{TickDelay, 0}, {TickCatchup, 256}, {TickMerge, 1}, {TickDiscard, 0}} {
		r := newRTCRig(afternoon, RTCOptions{Ticks: TickOptions{Policy: tt.policy}})
		r.set(regB, b24Hour|bPIE)
		r.get(regC)
		r.clock.Advance(time.Second / 4) // 256 ticks, the first of which is pending
		if len(r.raised) != 1 {
			t.Fatalf("policy %d: raised %d times before register C is read", tt.policy, len(r.raised))
		}
		r.get(regC)
		count := 0
		for end := r.clock.Now() + time.Second; ; {
			at, ok := r.clock.Next()
			if !ok || at > end {
				break
			}
			r.clock.Advance(max(at-r.clock.Now(), 0))
			if r.get(regC)&cPF != 0 {
				count++
			}
		}
		if extra := count - rate; extra < tt.extra-2 || extra > tt.extra+1 {
			t.Errorf("policy %d: %d ticks in a second, want %d", tt.policy, count, rate+tt.extra)
		}
	}
}
