package clock

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestFakeOrder(t *testing.T) {
	var c Fake
	var log []string
	note := func(name string) func() {
		return func() { log = append(log, fmt.Sprintf("%s@%d", name, c.Now())) }
	}
	a, b, late, stopped := c.NewTimer(note("a")), c.NewTimer(note("b")), c.NewTimer(note("late")), c.NewTimer(note("stopped"))
	var again Timer
	again = c.NewTimer(func() {
		note("again")()
		if c.Now() < 50 {
			again.Set(c.Now() + 20)
		}
	})
	b.Set(30)
	a.Set(10)
	a.Set(30) // replaces 10, and is armed after b
	again.Set(20)
	stopped.Set(25)
	stopped.Stop()
	late.Set(1000)
	c.Advance(100)
	want := []string{"again@20", "b@30", "a@30", "again@40", "again@60"}
	if !slices.Equal(log, want) {
		t.Errorf("got %v, want %v", log, want)
	}
	if c.Now() != 100 {
		t.Errorf("now %d", c.Now())
	}
	if next, ok := c.Next(); !ok || next != 1000 {
		t.Errorf("next %d %v", next, ok)
	}
	late.Stop()
	if _, ok := c.Next(); ok {
		t.Error("something is still armed")
	}
}

func TestFakePastAndJump(t *testing.T) {
	var c Fake
	c.Advance(100)
	var at []time.Duration
	tm := c.NewTimer(func() { at = append(at, c.Now()) })
	tm.Set(50)
	if len(at) != 0 {
		t.Fatal("Set called back")
	}
	c.Advance(0)
	tm.Set(150)
	c.Jump(100)
	if !slices.Equal(at, []time.Duration{100, 200}) {
		t.Errorf("called at %v", at)
	}
}
