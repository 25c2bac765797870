package pci

import (
	"sync"

	"github.com/govmm/govmm/devices/irq"
)

// routeOff is the bit of PIRQRC that disconnects a PIRQ.
const routeOff = 0x80

// reservedIRQs cannot be chosen in PIRQRC: 0, 1, 2, 8 and 13.
const reservedIRQs = 1<<0 | 1<<1 | 1<<2 | 1<<8 | 1<<13

// PIRQ is the PIIX3 input, 0 for PIRQA# to 3 for PIRQD#, that the interrupt
// pin (1 INTA# to 4 INTD#) of a slot is wired to: the pins rotate by one from
// slot to slot, with INTA# of slot 1 on PIRQA#.
func PIRQ(slot, pin int) int { return (slot + pin + 2) & 3 }

// Router leads the INTx pins of all slots through the PIIX3's four PIRQ inputs
// to the interrupt controllers' inputs 0 to 15. Any number of devices may share
// a PIRQ, and any number of PIRQs an input: each stays asserted for as long as
// one of its sources is.
type Router struct {
	// mu is held while a line is set, to keep the changes in order.
	mu    sync.Mutex
	lines [16]irq.Line
	s     RouterState
}

// RouterState is all there is to know about a Router.
type RouterState struct {
	Routes   [4]uint8 // PIRQRC[A-D]
	Sources  [4]int   // how many devices assert the PIRQ
	Asserted [16]bool // level of the lines
}

// NewRouter returns a Router with all PIRQs disconnected. lines are the
// interrupt controllers' inputs; where one is shared with other devices, as
// IRQ 9 with the SCI, the line is a source of an irq.Shared. nil leads nowhere.
func NewRouter(lines [16]irq.Line) *Router {
	r := &Router{lines: lines}
	for i := range r.lines {
		if r.lines[i] == nil {
			r.lines[i] = irq.None{}
		}
	}
	for i := range r.s.Routes {
		r.s.Routes[i] = routeOff
	}
	return r
}

// State returns a copy of the router's state.
func (r *Router) State() RouterState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.s
}

// INTx returns a wire from the interrupt pin (1 to 4) of a slot.
func (r *Router) INTx(slot, pin int) irq.Line {
	return &wire{router: r, pirq: PIRQ(slot, pin)}
}

// SetRoute connects a PIRQ as register PIRQRC says:
//
//	  7    6   4   3    0
//	+-----+-----+--------+
//	| off |  0  |  IRQ   |
//	+-----+-----+--------+
//
// A reserved IRQ disconnects it.
func (r *Router) SetRoute(pirq int, route uint8) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.s.Routes[pirq&3] = route
	r.drive()
}

// Route returns the IRQ that a PIRQ is connected to, if it is.
func (r *Router) Route(pirq int) (irq uint8, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.route(pirq & 3)
}

func (r *Router) route(pirq int) (irq uint8, ok bool) {
	route := r.s.Routes[pirq]
	irq = route & 15
	return irq, route&routeOff == 0 && reservedIRQs>>irq&1 == 0
}

// drive sets the lines that have to change. mu is held.
func (r *Router) drive() {
	var want [16]bool
	for pirq, sources := range r.s.Sources {
		if irq, ok := r.route(pirq); ok && sources > 0 {
			want[irq] = true
		}
	}
	for i := range want {
		if want[i] != r.s.Asserted[i] {
			r.s.Asserted[i] = want[i]
			r.lines[i].Set(want[i])
		}
	}
}

// wire is one device's connection to a PIRQ.
type wire struct {
	router   *Router
	pirq     int
	asserted bool
}

// Set changes what the device contributes to its PIRQ.
func (w *wire) Set(asserted bool) {
	r := w.router
	r.mu.Lock()
	defer r.mu.Unlock()
	if w.asserted == asserted {
		return
	}
	w.asserted = asserted
	if asserted {
		r.s.Sources[w.pirq]++
	} else {
		r.s.Sources[w.pirq]--
	}
	r.drive()
}
