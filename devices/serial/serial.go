// Package serial models the 16550A UART of a PC serial port, after the National
// Semiconductor PC16550D datasheet (June 1995) and the wiring of the IBM PC
// serial adapter, where OUT2 gates the interrupt.
//
//	offset  DLAB=0 read   DLAB=0 write  DLAB=1
//	0       RBR           THR           DLL
//	1       IER           IER           DLM
//	2       IIR           FCR           as DLAB=0
//	3       LCR           LCR
//	4       MCR           MCR
//	5       LSR           -
//	6       MSR           -
//	7       SCR           SCR
//
// What differs from the chip, because the line behind it is a host program and
// not a wire:
//
//   - A character takes no time. Baud rate, word length, parity and stop bits
//     are kept and read back, but change nothing of what reaches the host, which
//     always gets the eight bits the guest wrote. There are no parity or framing
//     errors. Only the loopback mode masks characters to the word length.
//   - The transmitter is empty as soon as the back end has taken the character.
//     When that has no room, the characters wait in the transmitter FIFO (one
//     character in 16450 mode) and THRE stays clear.
//   - The receiver is never overrun from outside: characters it has no room for
//     wait in the back end. OE is seen in loopback mode only.
//   - Characters below the trigger level are announced at once, not after four
//     character times, because the back end hands over all it has. When the
//     guest then leaves some unread, the time-out interrupt comes back after
//     four character times at the programmed rate, a millisecond at most.
//   - CTS is always asserted; DSR and DCD follow the connection of the back end,
//     unless it has real modem lines.
//
// DMA signalling (RXRDY, TXRDY) is left out: a PC does not wire it.
package serial

import (
	"log/slog"
	"sync"
	"time"

	"github.com/govmm/govmm/chardev"
	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/devices/irq"
)

// Size is the number of ports a UART decodes.
const Size = 8

// Options are what a UART is wired to.
type Options struct {
	// Name is the device in log messages, for instance "serial0".
	Name string

	// Line is the interrupt output; nil for none.
	Line irq.Line

	// Backend is the host end, of which the UART becomes the front end; nil is
	// a chardev.Null. Its owner closes it.
	Backend chardev.Backend

	// Clock times the character time-out interrupt. It is required.
	Clock clock.Clock

	// Log is told once when the guest loses output by writing to a full
	// transmitter. Nil discards it.
	Log *slog.Logger
}

// UART is a 16550A. It is the bus.Handler of its eight ports, and the
// chardev.Receiver of its back end.
type UART struct {
	name    string
	line    irq.Line
	backend chardev.Backend
	modem   chardev.ModemController // nil when the back end has no modem lines
	breaker chardev.BreakSender     // nil when the back end cannot send a break
	liner   chardev.LineController  // nil when the back end is no serial line
	clock   clock.Clock
	log     *slog.Logger

	mu        sync.Mutex
	s         State
	asserted  bool    // the level of line
	starved   bool    // the back end waits for Ready
	lostSaid  bool    // the loss of output has been logged
	timeout   watch   // character time-out
	rearm     watch   // repetition of the THRE interrupt
	modemOut  [2]bool // DTR and RTS as the back end was last told
	breakSent bool    // the break condition as the back end was last told
	lineTold  chardev.LineSettings
}

var (
	_ bus.Handler             = (*UART)(nil)
	_ bus.Resetter            = (*UART)(nil)
	_ chardev.Receiver        = (*UART)(nil)
	_ chardev.OutputReceiver  = (*UART)(nil)
	_ chardev.CarrierReceiver = (*UART)(nil)
	_ chardev.ModemReceiver   = (*UART)(nil)
	_ chardev.BreakReceiver   = (*UART)(nil)
)

// New returns a UART in its power-on state, attached to its back end.
func New(opts Options) *UART {
	if opts.Line == nil {
		opts.Line = irq.None{}
	}
	if opts.Backend == nil {
		opts.Backend = chardev.NewNull(chardev.Options{Name: opts.Name})
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	u := &UART{
		name:    opts.Name,
		line:    opts.Line,
		backend: opts.Backend,
		clock:   opts.Clock,
		log:     opts.Log,
	}
	u.modem, _ = opts.Backend.(chardev.ModemController)
	u.breaker, _ = opts.Backend.(chardev.BreakSender)
	u.liner, _ = opts.Backend.(chardev.LineController)
	u.timeout.timer = opts.Clock.NewTimer(u.timeoutDue)
	u.rearm.timer = opts.Clock.NewTimer(u.rearmDue)
	u.s.Lines = byte(chardev.CTS)
	u.s.reset()
	u.lineTold = u.s.line() // the host's line stays as it is until the guest changes that
	u.backend.Attach(u)

	// What was plugged in at power-on is no change of the modem lines.
	u.mu.Lock()
	u.s.MSR &^= msrDeltas
	u.mu.Unlock()
	return u
}

// Reset implements bus.Resetter: the effect of the MR pin. Characters in the
// FIFOs are lost; the modem status lines stay as the host has them.
func (u *UART) Reset() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.s.reset()
	u.timeout.cancel()
	u.rearm.cancel()
	u.driveOutputs()
	u.update()
	u.feed()
}

// Read implements bus.Handler. A wide access reads consecutive registers, as
// the ISA bus splits it.
func (u *UART) Read(offset uint64, data []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := range data {
		data[i] = u.readRegister((offset + uint64(i)) % Size)
	}
}

// Write implements bus.Handler. A wide access writes consecutive registers.
func (u *UART) Write(offset uint64, data []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i, b := range data {
		u.writeRegister((offset+uint64(i))%Size, b)
	}
}

func (u *UART) readRegister(reg uint64) (v byte) {
	s := &u.s
	dlab := s.LCR&lcrDLAB != 0
	switch {
	case reg == regData && dlab:
		return s.DLL
	case reg == regData:
		return u.readRBR()
	case reg == regIER && dlab:
		return s.DLM
	case reg == regIER:
		return s.IER
	case reg == regIIR:
		v = s.iir()
		if v&iirMask == iirTHRE {
			s.THREPending = false
			u.rearm.cancel()
			u.update()
		}
	case reg == regLCR:
		return s.LCR
	case reg == regMCR:
		return s.MCR
	case reg == regLSR:
		v = s.lsr()
		if v&lsrErrors != 0 {
			s.clearErrors()
			u.update()
		}
	case reg == regMSR:
		v = s.MSR
		if v&msrDeltas != 0 {
			s.MSR &^= msrDeltas
			u.update()
		}
	case reg == regSCR:
		return s.SCR
	}
	return v
}

func (u *UART) writeRegister(reg uint64, v byte) {
	s := &u.s
	dlab := s.LCR&lcrDLAB != 0
	switch {
	case reg == regData && dlab:
		s.DLL = v
	case reg == regData:
		u.writeTHR(v)
	case reg == regIER && dlab:
		s.DLM = v
	case reg == regIER:
		u.writeIER(v & ierBits)
	case reg == regFCR:
		u.writeFCR(v)
	case reg == regLCR:
		s.LCR = v
		u.driveOutputs()
	case reg == regMCR:
		u.writeMCR(v & mcrBits)
	case reg == regSCR:
		s.SCR = v
	}
	// LSR and MSR are read-only; the datasheet reserves writes for factory tests.
}

// update gives the line the level of the interrupt output. Setting it is the
// one thing done under the lock that may be a system call: two levels set in
// the wrong order would lose an interrupt for good.
func (u *UART) update() {
	level := u.s.interrupt()
	if level != u.asserted {
		u.asserted = level
		u.line.Set(level)
	}
}

// watch is a deadline that moves often and comes rarely: moving it later costs
// no timer operation, the timer looks at the deadline when it fires.
type watch struct {
	timer    clock.Timer
	deadline time.Duration
	wanted   bool
	armed    bool
}

func (w *watch) set(deadline time.Duration) {
	if !w.armed || deadline < w.deadline {
		w.timer.Set(deadline)
		w.armed = true
	}
	w.deadline, w.wanted = deadline, true
}

func (w *watch) cancel() { w.wanted = false }

// due is called when the timer fires; it reports whether the deadline has
// come.
func (w *watch) due(now time.Duration) bool {
	w.armed = false
	if !w.wanted {
		return false
	}
	if now < w.deadline {
		w.set(w.deadline)
		return false
	}
	w.wanted = false
	return true
}
