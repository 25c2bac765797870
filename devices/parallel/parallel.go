// Package parallel models the parallel port of a PC with a printer at it: the
// standard parallel port of the IBM PC (IEEE 1284's compatibility mode), as far as
// QEMU's isa-parallel has it too.
//
//	offset  read     write
//	0       data     data
//	1       status   -
//	2       control  control
//
// A guest sends a byte by writing it to the data register and raising STROBE. The
// printer is busy until the back end has taken it; then, with STROBE low again, it
// pulses nACK, which a guest sees in the status register or, if it has set IRQEN,
// as an interrupt:
//
//	STROBE  ___/~~~\___________________
//	nBUSY   ~~~\_______________/~~~~~~~
//	nACK    ~~~~~~~~~~~~~~~\___/~~~~~~~
//
// A character takes no time: the pulse goes on by one step each time the status is
// read. The printer says nothing back; what the host end sends is dropped. The
// extended modes (EPP, ECP) and the reverse direction are left out: with DIR set
// the data register reads as if nothing drove the lines.
//
// A back end that is a parallel port of the host takes and answers every access
// itself.
package parallel

import (
	"sync"

	"github.com/govmm/govmm/chardev"
	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/irq"
)

// Size is the number of ports a parallel port decodes.
const Size = 3

// The registers.
const (
	regData = iota
	regStatus
	regControl
)

// The status register:
//
//	  7      6     5    4     3      2..1     0
//	nBUSY  nACK   PE  SLCT  nERROR   -      TMOUT
//
// TMOUT is EPP's, and set from power-on until the first initialisation.
const (
	statusNotBusy  = 1 << 7
	statusNotAck   = 1 << 6
	statusSelected = 1 << 4
	statusNotError = 1 << 3
	statusTimeout  = 1 << 0

	statusReady = statusNotBusy | statusNotAck | statusSelected | statusNotError
)

// The control register:
//
//	7..6   5     4       3       2       1        0
//	  1   DIR  IRQEN  SELECTIN  nINIT  AUTOFD  STROBE
const (
	controlUnused = 3 << 6
	controlDir    = 1 << 5
	controlIRQ    = 1 << 4
	controlSelect = 1 << 3
	controlInit   = 1 << 2 // inverted: 0 initialises the printer
	controlStrobe = 1 << 0
)

// Options are what a parallel port is wired to.
type Options struct {
	// Line is the interrupt output; nil for none.
	Line irq.Line

	// Backend is the host end, of which the port becomes the front end; nil is
	// a chardev.Null. Its owner closes it.
	Backend chardev.Backend
}

// State is what a guest can see of a port.
type State struct {
	Data    byte // as last written
	Status  byte
	Control byte
	Waiting bool // Data was strobed, and the back end has had no room for it
	IRQ     bool // the level of the interrupt output
}

// Port is a parallel port. It is the bus.Handler of its ports, and the
// chardev.Receiver of its back end.
type Port struct {
	line    irq.Line
	backend chardev.Backend
	host    chardev.ParallelController // nil unless a port of the host

	mu      sync.Mutex
	s       State
	strobed [1]byte // the byte that waits
}

var (
	_ bus.Handler                 = (*Port)(nil)
	_ bus.Resetter                = (*Port)(nil)
	_ chardev.Receiver            = (*Port)(nil)
	_ chardev.OutputReceiver      = (*Port)(nil)
	_ chardev.AcknowledgeReceiver = (*Port)(nil)
)

// New returns a port in its power-on state, attached to its back end.
func New(o Options) *Port {
	if o.Line == nil {
		o.Line = irq.None{}
	}
	if o.Backend == nil {
		o.Backend = chardev.NewNull(chardev.Options{})
	}
	p := &Port{line: o.Line, backend: o.Backend}
	p.host, _ = o.Backend.(chardev.ParallelController)
	p.Reset()
	p.backend.Attach(p)
	return p
}

// Reset implements bus.Resetter. A byte that waits is lost.
func (p *Port) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.s = State{
		Data:    0xff,
		Status:  statusReady | statusTimeout,
		Control: controlUnused | controlInit | controlSelect,
	}
	p.line.Set(false)
	if p.host != nil {
		p.host.WriteControl(p.s.Control)
	}
}

// State returns a copy of what a guest can see.
func (p *Port) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.s
}

// Read implements bus.Handler. A wide access reads consecutive registers, as the
// ISA bus splits it.
func (p *Port) Read(offset uint64, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range data {
		data[i] = p.readRegister(offset + uint64(i))
	}
}

// Write implements bus.Handler. A wide access writes consecutive registers.
func (p *Port) Write(offset uint64, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, b := range data {
		p.writeRegister(offset+uint64(i), b)
	}
}

func (p *Port) readRegister(reg uint64) byte {
	switch {
	case reg > regControl:
		return 0xff
	case reg == regStatus:
		p.setIRQ(false)
		if p.host != nil {
			return p.host.ReadStatus()
		}
		status := p.s.Status
		p.step()
		return status
	case reg == regControl:
		return p.s.Control
	case p.host != nil:
		return p.host.ReadData()
	case p.s.Control&controlDir != 0:
		return 0xff
	}
	return p.s.Data
}

func (p *Port) writeRegister(reg uint64, v byte) {
	switch {
	case reg == regData:
		p.s.Data = v
		if p.host != nil {
			p.host.WriteData(v)
		}
	case reg == regControl:
		v |= controlUnused
		was := p.s.Control
		p.s.Control = v
		if v&controlIRQ == 0 {
			p.setIRQ(false)
		}
		if p.host != nil {
			p.host.WriteControl(v)
		} else {
			p.controlled(was, v)
		}
	}
}

// controlled is what the printer makes of the control lines.
func (p *Port) controlled(was, now byte) {
	switch {
	case now&controlInit == 0:
		p.s.Status = statusReady
		p.s.Waiting = false
	case now&controlSelect == 0:
	case now&controlStrobe != 0:
		p.s.Status &^= statusNotBusy
		if was&controlStrobe == 0 && !p.s.Waiting {
			p.setIRQ(false) // so that each byte's acknowledge is an edge
			p.s.Waiting, p.strobed[0] = true, p.s.Data
			p.send()
		}
	case was&controlStrobe != 0 && !p.s.Waiting:
		p.acknowledge()
	}
}

// send gives the back end the byte that waits. A guest that strobes while the
// printer is busy loses its byte.
func (p *Port) send() {
	if p.backend.Write(p.strobed[:]) == 1 {
		p.s.Waiting = false
	}
}

// step goes on with the acknowledge of a byte that was taken.
func (p *Port) step() {
	if p.s.Status&statusNotBusy != 0 || p.s.Waiting || p.s.Control&controlStrobe != 0 {
		return
	}
	if p.s.Status&statusNotAck != 0 {
		p.s.Status &^= statusNotAck
	} else {
		p.s.Status |= statusNotAck | statusNotBusy
	}
}

// acknowledge interrupts a guest that wants it.
func (p *Port) acknowledge() {
	if p.s.Control&controlIRQ != 0 {
		p.setIRQ(true)
	}
}

// setIRQ sets the interrupt output, which the guest's reading of the status ends.
func (p *Port) setIRQ(on bool) {
	if p.s.IRQ != on {
		p.s.IRQ = on
		p.line.Set(on)
	}
}

// Receive implements chardev.Receiver: a printer has nothing to say.
func (p *Port) Receive(b []byte) int { return len(b) }

// OutputReady implements chardev.OutputReceiver.
func (p *Port) OutputReady() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.s.Waiting {
		return
	}
	if p.send(); !p.s.Waiting && p.s.Control&controlStrobe == 0 {
		p.acknowledge()
	}
}

// Acknowledge implements chardev.AcknowledgeReceiver: the host's port has seen a
// pulse of nACK.
func (p *Port) Acknowledge() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.setIRQ(false)
	p.acknowledge()
}
