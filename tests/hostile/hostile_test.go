package hostile

import (
	"runtime"
	"testing"
	"time"

	"github.com/govmm/govmm/virtio"
)

// outcome is what a violation leads to.
type outcome int

const (
	works    outcome = iota // the device serves its driver as before
	breaks                  // it says DEVICE_NEEDS_RESET
	idles                   // it was not started, or stopped
	survives                // one of these: the specification leaves it open
)

// violation is a rule that a guest can break.
type violation struct {
	name   string
	victim kind
	every  bool // attacks every device in turn; victim has no meaning
	// How the victim is driven: by the legacy interface, with packed queues,
	// without some of the features that it offers.
	legacy, packed bool
	without        virtio.Features
	// fresh leaves the victim reset: the attack does what it likes with it.
	fresh  bool
	attack func(c *card)
	want   outcome
	// ruins says that the guest throws away its own RAM, the rings of the other
	// drivers included.
	ruins bool
}

// violations are all of them.
func violations() []violation {
	var all []violation
	for _, list := range [][]violation{
		splitViolations(), addressViolations(), indirectViolations(), packedViolations(),
		placementViolations(), reconfigurations(), negotiations(), legacyViolations(), notifications(),
		vectorViolations(), barViolations(), configViolations(), resets(), races(),
		diskViolations(), nicViolations(), consoleViolations(), balloonViolations(), entropyViolations(),
	} {
		all = append(all, list...)
	}
	return all
}

// leastViolations is what this test promises to try.
const leastViolations = 300

// TestHostile breaks every rule on a machine of its own.
func TestHostile(t *testing.T) {
	before := runtime.NumGoroutine()
	seen := map[string]bool{}
	for _, v := range violations() {
		if seen[v.name] {
			t.Errorf("%q is there twice", v.name)
		}
		seen[v.name] = true
		if !v.every {
			t.Run(v.name, func(t *testing.T) { v.run(t, v.victim) })
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			for k := range kinds {
				t.Run(k.String(), func(t *testing.T) { v.run(t, k) })
			}
		})
	}
	t.Logf("%d violations", len(seen))
	if len(seen) < leastViolations {
		t.Errorf("%d violations are fewer than %d", len(seen), leastViolations)
	}
	noGoroutines(t, before)
}

// noGoroutines fails when there are more goroutines than before.
func noGoroutines(t *testing.T, before int) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for runtime.NumGoroutine() > before {
		select {
		case <-tick.C:
		case <-deadline.C:
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines are left of %d\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// run attacks one device.
func (v *violation) run(t *testing.T, k kind) {
	b := newBoard(t)
	c := b.cards[k]
	c.legacy, c.packed, c.without = v.legacy, v.packed, v.without
	others := b.bystanders(c)
	b.within("start", func() {
		for _, o := range others {
			o.start()
			o.serve()
		}
		if !v.fresh {
			c.start()
		}
	})
	b.within("attack", func() { v.attack(c) })
	b.checkCanaries(v.ruins)
	b.within("other devices after the attack", func() {
		for _, o := range others {
			if v.ruins {
				o.start()
			}
			o.serve()
		}
	})
	c.place() // the attacker may have moved it
	b.within("attacked device after the attack", func() { v.judge(c) })
	b.within("attacked device after a reset", func() {
		c.polls = false
		c.legacy, c.packed, c.without = v.legacy, v.packed, v.without
		c.start()
		c.serve()
	})
	b.checkCanaries(v.ruins)
}

// judge checks what has become of the attacked device.
func (v *violation) judge(c *card) {
	c.Helper()
	c.polls = true
	switch v.want {
	case works:
		if s := c.status(); s&needsReset != 0 {
			c.Fatalf("the device needs a reset: status %#x", s)
		}
		c.ringAll() // the attack may have lost notifications
		c.serve()
	case breaks:
		c.eventually("DEVICE_NEEDS_RESET", func() bool { return c.status()&needsReset != 0 })
		c.notify(c.kind.dataQueue()) // a dead queue
	case idles:
		if c.fn.State().Active {
			c.Fatalf("the device runs: status %#x", c.status())
		}
	}
}
