//go:build !race

package queue

import "testing"

// The race detector makes package unix allocate.
func TestDoorbellAllocatesNothing(t *testing.T) {
	d := newDoorbell(t)
	if n := testing.AllocsPerRun(100, func() {
		d.Ring()
		d.Wait()
	}); n != 0 {
		t.Errorf("%v allocations for a ring and a wait, want 0", n)
	}
}
