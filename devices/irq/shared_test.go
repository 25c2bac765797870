package irq

import (
	"fmt"
	"sync"
	"testing"
)

func TestShared(t *testing.T) {
	var changes []bool
	s := NewShared(LineFunc(func(asserted bool) { changes = append(changes, asserted) }))
	a, b := s.Source(), s.Source()
	for _, step := range []struct {
		source   Line
		asserted bool
		want     string // changes of the output so far
	}{
		{a, false, "[]"},
		{a, true, "[true]"},
		{a, true, "[true]"},
		{b, true, "[true]"},
		{a, false, "[true]"},
		{a, false, "[true]"},
		{b, false, "[true false]"},
		{b, true, "[true false true]"},
	} {
		step.source.Set(step.asserted)
		if got := fmt.Sprint(changes); got != step.want {
			t.Fatalf("changes %s, want %s", got, step.want)
		}
	}
}

func TestSharedEndsAtTheRightLevel(t *testing.T) {
	level := false
	s := NewShared(LineFunc(func(asserted bool) { level = asserted }))
	var wg sync.WaitGroup
	for i := range 4 {
		l := s.Source()
		wg.Go(func() {
			for range 1000 {
				l.Set(true)
				l.Set(false)
			}
			l.Set(i == 3)
		})
	}
	wg.Wait()
	if !level {
		t.Error("the last source asserts, the output does not")
	}
}

func TestSharedAllocatesNothing(t *testing.T) {
	l := NewShared(None{}).Source()
	if n := testing.AllocsPerRun(100, func() { l.Set(true); l.Set(false) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
