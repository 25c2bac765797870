//go:build !race

package nbd

import (
	"errors"
	"testing"
)

// The race detector makes the standard library's network code allocate.

// TestAllocations holds the promise that a request allocates nothing.
func TestAllocations(t *testing.T) {
	s := newServer(t, "unix", peers["qemu-nbd"])
	c := s.open(s.options())
	vec := [][]byte{make([]byte, 4096), make([]byte, 60<<10)}
	for name, f := range map[string]func() error{
		"read":  func() error { return c.ReadVec(vec, 4096) },
		"write": func() error { return c.WriteVec(vec, 4096) },
		"flush": c.Flush,
	} {
		var err error
		n := testing.AllocsPerRun(200, func() { err = errors.Join(err, f()) })
		if err != nil {
			t.Fatal(err)
		}
		if n >= 1 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
