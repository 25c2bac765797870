package pci

import (
	"sync"

	"github.com/govmm/govmm/devices/irq"
)

// intx is a function's interrupt pin. It has a lock of its own, so that a
// device can raise its interrupt whatever happens to its registers meanwhile.
type intx struct {
	// mu is held while out is set, to keep the changes in order.
	mu       sync.Mutex
	out      irq.Line
	level    bool // what the device asks for
	disabled bool // by the command register
}

// Set asserts or deasserts the pin.
func (x *intx) Set(asserted bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.level == asserted {
		return
	}
	x.level = asserted
	if !x.disabled {
		x.out.Set(asserted)
	}
}

// asserted is what the status register shows, whether or not it is disabled.
func (x *intx) asserted() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.level
}

func (x *intx) disable(disabled bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.disabled != disabled {
		x.disabled = disabled
		x.out.Set(x.level && !disabled)
	}
}

// connect leads the pin to another wire, releasing the old one.
func (x *intx) connect(out irq.Line) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.out.Set(false)
	x.out = out
	x.out.Set(x.level && !x.disabled)
}
