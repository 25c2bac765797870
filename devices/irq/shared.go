package irq

import "sync"

// Shared is a level-triggered input that several devices pull on: it is
// asserted while at least one of them asserts it (a wired OR, as on the PCI
// INTx# wires and on an ISA interrupt shared with them).
type Shared struct {
	// mu is held while out is set: two devices changing at once must not leave
	// the output at the level that lost.
	mu       sync.Mutex
	out      Line
	asserted int // sources that assert
}

// NewShared returns a Shared with no sources that drives out.
func NewShared(out Line) *Shared { return &Shared{out: out} }

// Source adds a device's own wire to the input.
func (s *Shared) Source() Line { return &source{shared: s} }

type source struct {
	shared   *Shared
	asserted bool
}

// Set changes what this source contributes.
func (w *source) Set(asserted bool) {
	s := w.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.asserted == asserted {
		return
	}
	w.asserted = asserted
	if asserted {
		s.asserted++
		if s.asserted == 1 {
			s.out.Set(true)
		}
		return
	}
	s.asserted--
	if s.asserted == 0 {
		s.out.Set(false)
	}
}
