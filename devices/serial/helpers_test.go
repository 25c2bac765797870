package serial

import (
	"testing"

	"github.com/govmm/govmm/chardev"
	"github.com/govmm/govmm/devices/clock"
)

// host is a back end in the test's hands.
type host struct {
	out     []byte
	room    int // output still accepted
	front   chardev.Receiver
	readies int
	up      bool // carrier at Attach

	dtr, rts, brk bool
}

func (h *host) Attach(r chardev.Receiver) {
	h.front = r
	r.(chardev.CarrierReceiver).Carrier(h.up)
}

func (h *host) Write(p []byte) int {
	n := min(len(p), h.room)
	h.room -= n
	h.out = append(h.out, p[:n]...)
	return n
}

func (h *host) Ready()                        { h.readies++ }
func (h *host) Stats() chardev.Stats          { return chardev.Stats{} }
func (h *host) Close() error                  { return nil }
func (h *host) SetModemControl(dtr, rts bool) { h.dtr, h.rts = dtr, rts }
func (h *host) SetBreak(on bool)              { h.brk = on }

// wire is an interrupt line that counts its rising edges.
type wire struct {
	level bool
	edges int
}

func (w *wire) Set(level bool) {
	if level && !w.level {
		w.edges++
	}
	w.level = level
}

// port is a UART with everything around it.
type port struct {
	t     testing.TB
	uart  *UART
	host  *host
	line  *wire
	clock *clock.Fake
}

func newPort(t testing.TB) *port {
	p := &port{t: t, host: &host{room: 1 << 30, up: true}, line: &wire{}, clock: &clock.Fake{}}
	p.uart = New(Options{Name: "serial0", Line: p.line, Backend: p.host, Clock: p.clock})
	return p
}

// newBusyPort is one whose driver has set 115200 8N1, OUT2, DTR, RTS and the
// FIFOs with the given trigger bits.
func newBusyPort(t testing.TB, fcr byte) *port {
	p := newPort(t)
	p.out(regLCR, lcrDLAB)
	p.out(regData, 1)
	p.out(regIER, 0)
	p.out(regLCR, 3)
	p.out(regFCR, fcr)
	p.out(regMCR, mcrDTR|mcrRTS|mcrOUT2)
	return p
}

func (p *port) in(reg uint64) byte {
	var b [1]byte
	p.uart.Read(reg, b[:])
	return b[0]
}

func (p *port) out(reg uint64, v byte) { p.uart.Write(reg, []byte{v}) }

func (p *port) receive(s string) int { return p.uart.Receive([]byte(s)) }

// readAll reads RBR while LSR shows data.
func (p *port) readAll() string {
	var got []byte
	for p.in(regLSR)&lsrDR != 0 {
		got = append(got, p.in(regData))
	}
	return string(got)
}

// want checks a register.
func (p *port) want(reg uint64, v byte, when string) {
	p.t.Helper()
	if got := p.in(reg); got != v {
		p.t.Errorf("%s: register %d is %#02x, want %#02x", when, reg, got, v)
	}
}

// wantLine checks the interrupt line and how often it has risen.
func (p *port) wantLine(level bool, edges int, when string) {
	p.t.Helper()
	if p.line.level != level || p.line.edges != edges {
		p.t.Errorf("%s: line %v after %d edges, want %v after %d", when, p.line.level, p.line.edges, level, edges)
	}
}
