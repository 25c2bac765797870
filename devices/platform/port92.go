package platform

import (
	"log/slog"
	"sync"

	"github.com/govmm/govmm/devices/bus"
)

// Port92Port is the address of system control port A.
const Port92Port = 0x92

const (
	port92Reset = 1 << 0
	port92A20   = 1 << 1
)

// Port92Options says what system control port A is connected to.
type Port92Options struct {
	// Reset is called when the guest pulses the processor's reset line.
	Reset func(reason string)
	Log   *slog.Logger // nil discards
}

// Port92 is system control port A, a bus.Handler for one port:
//
//	 7            2     1        0
//	+---------------+-------+---------+
//	|    storage    |  A20  |  reset  |
//	+---------------+-------+---------+
//
// Setting bit 0 resets the processor.
type Port92 struct {
	reset resetter
	log   *bus.GuestLog

	mu sync.Mutex
	s  Port92State
}

// Port92State is all there is to know about a Port92.
type Port92State struct {
	Value uint8
}

// NewPort92 returns the port in its power-on state, with A20 open as firmware
// leaves it.
func NewPort92(o Port92Options) *Port92 {
	p := &Port92{
		reset: resetter{o.Reset, "port 0x92 fast reset"},
		log:   bus.NewGuestLog(o.Log, "port92"),
	}
	p.Reset()
	return p
}

// State returns a copy of the device's state.
func (p *Port92) State() Port92State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.s
}

// Reset returns the port to its power-on state.
func (p *Port92) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.s = Port92State{Value: port92A20}
}

// Read answers a read of the port.
func (p *Port92) Read(_ uint64, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	data[0] = p.s.Value
}

// Write answers a write to the port.
func (p *Port92) Write(_ uint64, data []byte) {
	v := data[0]
	p.mu.Lock()
	reset := v&port92Reset != 0 && p.s.Value&port92Reset == 0
	closed := v&port92A20 == 0 && p.s.Value&port92A20 != 0
	p.s.Value = v
	p.mu.Unlock()
	if closed {
		closeA20(p.log)
	}
	if reset {
		p.reset.ask(p.log)
	}
}
