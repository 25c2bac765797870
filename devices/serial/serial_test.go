package serial

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/govmm/govmm/chardev"
	"github.com/govmm/govmm/devices/clock"
)

// TestPowerOn checks datasheet table I, reset configuration.
func TestPowerOn(t *testing.T) {
	check := func(p *port, when string) {
		t.Helper()
		p.want(regIER, 0, when)
		p.want(regIIR, iirNone, when)
		p.want(regLCR, 0, when)
		p.want(regMCR, 0, when)
		p.want(regLSR, lsrTHRE|lsrTEMT, when)
		p.want(regMSR, msrCTS|msrDSR|msrDCD, when)
		p.want(regSCR, 0, when)
		p.wantLine(false, p.line.edges, when)
	}
	p := newPort(t)
	check(p, "power-on")

	p = newBusyPort(t, 0x81)
	p.host.room = 0
	p.out(regIER, 0x0f)
	p.out(regSCR, 0x55)
	p.out(regData, 'x')
	p.receive("some input, more than fits")
	p.wantLine(true, p.line.edges, "busy")
	readies := p.host.readies
	p.uart.Reset()
	check(p, "reset")
	if p.host.dtr || p.host.rts {
		t.Error("DTR or RTS on after reset")
	}
	if p.host.readies != readies+1 {
		t.Error("the back end still waits for room after reset")
	}
	if p.receive("a") != 1 || p.in(regData) != 'a' {
		t.Error("no input after reset")
	}
}

func TestRegistersKeepTheirBits(t *testing.T) {
	for _, tt := range []struct {
		reg       uint64
		lcr, mask byte
	}{
		{regIER, 3, 0x0f},
		{regLCR, 3, 0xff},
		{regMCR, 3, 0x1f},
		{regSCR, 3, 0xff},
		{regData, 0x83, 0xff}, // DLL
		{regIER, 0x83, 0xff},  // DLM
		{regLSR, 3, 0},        // read-only
		{regMSR, 3, 0},
	} {
		p := newPort(t)
		p.out(regLCR, tt.lcr)
		before := p.in(tt.reg)
		for v := range 256 {
			p.out(tt.reg, byte(v))
			want := byte(v) & tt.mask
			if tt.mask == 0 {
				want = before
			}
			if got := p.in(tt.reg); got != want {
				t.Errorf("register %d, LCR %#x: wrote %#02x, read %#02x, want %#02x", tt.reg, tt.lcr, v, got, want)
			}
		}
	}
}

func TestDivisorIsApart(t *testing.T) {
	p := newBusyPort(t, 0)
	p.out(regIER, 0x05)
	p.out(regLCR, lcrDLAB|3)
	p.out(regData, 0x34)
	p.out(regIER, 0x12)
	p.want(regData, 0x34, "DLL")
	p.want(regIER, 0x12, "DLM")
	p.out(regLCR, 3)
	p.want(regIER, 0x05, "IER")
	if len(p.host.out) != 0 {
		t.Errorf("writing DLL sent %q", p.host.out)
	}
}

func TestWideAccess(t *testing.T) {
	p := newPort(t)
	p.uart.Write(regMCR, []byte{mcrDTR, 0xee, 0xee, 0x5a}) // MCR, LSR, MSR, SCR
	var b [4]byte
	p.uart.Read(regMCR, b[:])
	if want := [4]byte{mcrDTR, lsrTHRE | lsrTEMT, msrCTS | msrDSR | msrDCD, 0x5a}; b != want {
		t.Errorf("read %#x, want %#x", b, want)
	}
}

func TestInterruptPriority(t *testing.T) {
	p := newBusyPort(t, 0x01)
	p.out(regIER, 0x0f) // THRE comes with it
	p.uart.ModemStatus(chardev.CTS)
	p.receive("d")
	if !p.uart.Break() {
		t.Fatal("break refused")
	}
	p.in(regData) // the break is now at the head
	p.want(regIIR, iirFIFOs|iirLineStatus, "break, data, THRE and modem status")
	p.want(regLSR, lsrTHRE|lsrTEMT|lsrBI|lsrDR|lsrFIFO, "break")
	p.want(regIIR, iirFIFOs|iirData, "LSR read")
	p.want(regIIR, iirFIFOs|iirData, "reading IIR leaves what it did not show")
	p.in(regData)
	p.want(regIIR, iirFIFOs|iirTHRE, "RBR read")
	p.want(regIIR, iirFIFOs|iirModem, "reading IIR clears THRE")
	p.wantLine(true, 1, "modem status")
	p.want(regMSR, msrCTS|0x0a, "DSR and DCD went")
	p.want(regIIR, iirFIFOs|iirNone, "MSR read")
	p.wantLine(false, 1, "nothing left")
}

func TestOUT2GatesTheLine(t *testing.T) {
	p := newPort(t)
	p.out(regIER, ierERBFI)
	p.receive("x")
	p.want(regIIR, iirData, "data")
	p.wantLine(false, 0, "OUT2 off")
	p.out(regMCR, mcrOUT2)
	p.wantLine(true, 1, "OUT2 on")
	p.out(regMCR, mcrOUT2|mcrLoop)
	p.wantLine(true, 1, "loopback leaves the gate open")
	p.out(regMCR, mcrLoop)
	p.wantLine(false, 1, "OUT2 off in loopback")
	p.out(regMCR, mcrOUT2)
	p.wantLine(true, 2, "OUT2 back")
}

func TestStateRoundTrip(t *testing.T) {
	p := newBusyPort(t, 0x81)
	p.host.room = 2
	p.out(regIER, 0x0f)
	for _, b := range []byte("output") {
		p.out(regData, b)
	}
	p.receive("input")
	p.in(regData)
	saved := p.uart.State()

	q := newPort(t)
	q.host.room = 0
	if err := q.uart.SetState(saved); err != nil {
		t.Fatal(err)
	}
	if got := q.uart.State(); got != saved {
		t.Errorf("restored %+v\nwant %+v", got, saved)
	}
	if !q.host.dtr || !q.host.rts {
		t.Error("DTR and RTS were not driven")
	}
	q.clock.Advance(maxTimeout)
	q.want(regIIR, iirFIFOs|iirTimeout, "time-out after restore")
	q.host.room = 100
	q.uart.OutputReady()
	if got := string(p.host.out) + string(q.host.out); got != "output" {
		t.Errorf("sent %q before and after", got)
	}
	if got := q.readAll(); got != "nput" {
		t.Errorf("received %q", got)
	}

	// The modem lines are the new host's.
	r := newPort(t)
	r.uart.Carrier(false)
	if err := r.uart.SetState(saved); err != nil {
		t.Fatal(err)
	}
	r.want(regMSR, msrCTS|0x0a, "DSR and DCD lost on the way")
}

func TestSetStateRefuses(t *testing.T) {
	p := newPort(t)
	before := p.uart.State()
	for name, s := range map[string]State{
		"received too long":          {FCR: 1, RXLen: 17},
		"RBR holds one":              {RXLen: 2},
		"head outside":               {FCR: 1, RXHead: 16},
		"THR holds one":              {TXLen: 2},
		"IER reserved bits":          {IER: 0x10},
		"MCR reserved bits":          {MCR: 0x20},
		"FCR reserved bits":          {FCR: 0x11},
		"errors that are not errors": {RXErrors: [fifoSize]byte{3: 1}},
	} {
		if err := p.uart.SetState(s); err == nil || !strings.HasPrefix(err.Error(), "serial0: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if p.uart.State() != before {
		t.Error("a refused state changed something")
	}
}

func TestAccessDoesNotAllocate(t *testing.T) {
	null := chardev.NewNull(chardev.Options{})
	defer null.Close()
	u := New(Options{Backend: null, Clock: new(clock.Fake), Line: new(wire)})
	u.Write(regMCR, []byte{mcrOUT2})
	u.Write(regIER, []byte{0x0f})
	u.Write(regFCR, []byte{0x01})
	b := []byte{'a'}
	input := []byte("input")
	if n := testing.AllocsPerRun(1000, func() {
		u.Write(regData, b)
		u.Write(regData, b)
		u.Receive(input)
		for reg := range uint64(Size) {
			u.Read(reg, b)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestRealBackEnd joins a UART to a file: back pressure loses nothing when the
// guest looks at THRE.
func TestRealBackEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	f, err := chardev.OpenFile(chardev.FileOptions{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	u := New(Options{Backend: f, Clock: new(clock.Fake)})
	const n = 3 * chardev.BufferSize
	deadline := time.Now().Add(20 * time.Second)
	var b [1]byte
	for i := range n {
		for u.Read(regLSR, b[:]); b[0]&lsrTHRE == 0; u.Read(regLSR, b[:]) {
			if time.Now().After(deadline) {
				t.Fatal("THRE stays clear")
			}
		}
		b[0] = byte(i)
		u.Write(regData, b[:])
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if s := f.Stats(); s.Out != n {
		t.Errorf("stats %+v, want %d out", s, n)
	}
}

func FuzzRegisters(f *testing.F) {
	f.Add([]byte{0x13, 0x0b, 0x12, 0x01, 0x11, 0x0f, 0x10, 'a', 0x80, 5, 0x00, 0})
	f.Add([]byte{0x14, 0x1b, 0x10, 1, 0x10, 2, 0x10, 3, 0x05, 0, 0x00, 0, 0x90, 0, 0xa0, 3})
	f.Add([]byte{0x80, 48, 0x80, 0}) // an empty offer does not end the wait for Ready
	f.Fuzz(func(t *testing.T, steps []byte) {
		p := newPort(t)
		p.host.room = 40
		offered := 0
		for len(steps) >= 2 {
			op, v := steps[0], steps[1]
			steps = steps[2:]
			switch op >> 4 {
			case 0, 2, 3:
				p.uart.Read(uint64(op), make([]byte, 1+v%8))
			case 1, 4, 5:
				p.out(uint64(op&7), v)
			case 8:
				n := p.receive(strings.Repeat("r", int(v)))
				if n > fifoSize {
					t.Fatalf("took %d characters", n)
				}
				if n < int(v) {
					offered = p.host.readies + 1
				}
			case 9:
				p.uart.Break()
			case 10:
				p.host.room += int(v)
				p.uart.OutputReady()
			case 11:
				p.uart.ModemStatus(chardev.ModemLines(v))
			case 12:
				p.clock.Advance(time.Duration(v) * 10 * time.Microsecond)
			case 13:
				p.uart.Reset()
			case 14:
				if err := p.uart.SetState(p.uart.State()); err != nil {
					t.Fatalf("a state it was in is refused: %v", err)
				}
			}
			s := p.uart.State()
			if int(s.RXLen) > s.depth() || int(s.TXLen) > s.depth() {
				t.Fatalf("FIFO too full: %+v", s)
			}
			if p.line.level != s.interrupt() {
				t.Fatalf("line is %v, IIR %#x, MCR %#x", p.line.level, s.iir(), s.MCR)
			}
			if s.RXLen == 0 && s.TimeoutPending {
				t.Fatalf("time-out without data: %+v", s)
			}
		}
		// However it was left, a driver that starts over gets input and output.
		p.out(regMCR, 0)
		p.out(regLCR, 3)
		p.out(regFCR, 0)
		p.out(regFCR, 7)
		if offered > p.host.readies {
			t.Fatalf("the back end waits for ever")
		}
		p.host.room = 1
		p.host.out = nil
		p.out(regData, 'o')
		if p.receive("i") != 1 || p.readAll() != "i" || string(p.host.out) != "o" {
			t.Fatalf("stuck: %+v, sent %q", p.uart.State(), p.host.out)
		}
	})
}

func BenchmarkWriteTHR(b *testing.B) {
	backends := []struct {
		name string
		open func() (chardev.Backend, error)
	}{
		{"null", func() (chardev.Backend, error) { return chardev.NewNull(chardev.Options{}), nil }},
		{"file", func() (chardev.Backend, error) {
			return chardev.OpenFile(chardev.FileOptions{Path: filepath.Join(b.TempDir(), "out")})
		}},
		{"pty", func() (chardev.Backend, error) { return chardev.OpenPty(chardev.PtyOptions{}) }},
	}
	for _, bench := range backends {
		b.Run(bench.name, func(b *testing.B) {
			backend, err := bench.open()
			if err != nil {
				b.Fatal(err)
			}
			defer backend.Close()
			u := New(Options{Backend: backend, Clock: new(clock.Fake)})
			p := []byte{'a'}
			b.ReportAllocs()
			for b.Loop() {
				u.Write(regData, p)
			}
		})
	}
}

func BenchmarkReadLSR(b *testing.B) {
	u := New(Options{Clock: new(clock.Fake)})
	p := []byte{0}
	b.ReportAllocs()
	for b.Loop() {
		u.Read(regLSR, p)
	}
}
