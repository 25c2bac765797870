package serial

import (
	"slices"
	"testing"

	"github.com/govmm/govmm/chardev"
	"github.com/govmm/govmm/devices/clock"
)

func TestCarrier(t *testing.T) {
	p := newBusyPort(t, 0)
	p.out(regIER, ierEDSSI)
	p.wantLine(false, 0, "no change at power-on")
	p.uart.Carrier(false)
	p.wantLine(true, 1, "carrier lost")
	p.want(regIIR, iirModem, "carrier lost")
	p.want(regMSR, msrCTS|0x0a, "carrier lost")
	p.want(regMSR, msrCTS, "MSR read")
	p.wantLine(false, 1, "MSR read")
	p.uart.Carrier(true)
	p.want(regMSR, msrCTS|msrDSR|msrDCD|0x0a, "carrier back")
}

func TestModemLines(t *testing.T) {
	p := newPort(t)
	for _, step := range []struct {
		lines chardev.ModemLines
		want  byte
	}{
		{0, 0x0b},                                      // CTS, DSR and DCD fall
		{chardev.RI, msrRI},                            // ringing is no event
		{0, msrTERI},                                   // its end is
		{chardev.CTS, msrCTS | 0x01},                   //
		{chardev.CTS | chardev.DSR, 0x30 | 0x02},       //
		{chardev.CTS | chardev.DSR | chardev.RI, 0x70}, //
		{chardev.CTS | chardev.DSR | chardev.DCD, 0xb0 | 0x0c},
		{chardev.CTS | chardev.DSR | chardev.DCD, 0xb0},
	} {
		p.uart.ModemStatus(step.lines)
		p.want(regMSR, step.want, "lines "+string(rune('0'+step.lines>>4)))
	}
	// Changes add up until MSR is read.
	p.uart.ModemStatus(chardev.CTS)
	p.uart.ModemStatus(chardev.CTS | chardev.DSR | chardev.DCD)
	p.want(regMSR, 0xb0|0x0a, "there and back")
}

func TestModemControlReachesTheHost(t *testing.T) {
	p := newPort(t)
	for mcr := range byte(0x20) {
		p.out(regMCR, mcr)
		loop := mcr&mcrLoop != 0
		if p.host.dtr != (mcr&mcrDTR != 0 && !loop) || p.host.rts != (mcr&mcrRTS != 0 && !loop) {
			t.Errorf("MCR %#02x: DTR %v RTS %v", mcr, p.host.dtr, p.host.rts)
		}
	}
}

func TestLoopbackModemLines(t *testing.T) {
	p := newPort(t)
	wires := map[byte]byte{mcrRTS: msrCTS, mcrDTR: msrDSR, mcrOUT1: msrRI, mcrOUT2: msrDCD}
	for mcr := range byte(0x10) {
		p.out(regMCR, mcrLoop|mcr)
		want := byte(0)
		for out, in := range wires {
			if mcr&out != 0 {
				want |= in
			}
		}
		if got := p.in(regMSR) & msrLines; got != want {
			t.Errorf("MCR %#02x: MSR %#02x, want %#02x", mcr, got, want)
		}
	}
	p.out(regMCR, mcrLoop)
	p.in(regMSR)
	p.out(regMCR, mcrLoop|mcrOUT1)
	p.want(regMSR, msrRI, "RI rises")
	p.out(regMCR, mcrLoop)
	p.want(regMSR, msrTERI, "RI falls")
	p.uart.Carrier(false)
	p.want(regMSR, 0, "the pins are disconnected")
	p.out(regMCR, 0)
	p.want(regMSR, msrCTS|0x01, "the pins are back")
}

func TestLoopbackData(t *testing.T) {
	p := newBusyPort(t, 0x01)
	p.out(regMCR, mcrLoop)
	if p.receive("outside") != 0 {
		t.Error("input taken in loopback mode")
	}
	for _, b := range []byte("inside") {
		p.out(regData, b)
		p.want(regLSR, lsrTHRE|lsrTEMT|lsrDR, "looped")
	}
	if got := p.readAll(); got != "inside" {
		t.Errorf("received %q", got)
	}
	if p.host.readies != 0 {
		t.Error("input was asked for in loopback mode")
	}

	// The FIFO keeps its sixteen, the seventeenth is lost.
	for i := range byte(17) {
		p.out(regData, 'a'+i)
	}
	p.want(regLSR, lsrTHRE|lsrTEMT|lsrDR|lsrOE, "overrun")
	p.want(regLSR, lsrTHRE|lsrTEMT|lsrDR, "reading LSR clears OE")
	if got := p.readAll(); got != "abcdefghijklmnop" {
		t.Errorf("received %q", got)
	}

	// RBR alone is overwritten.
	p.out(regFCR, 0)
	p.out(regData, 'a')
	p.out(regData, 'b')
	p.want(regLSR, lsrTHRE|lsrTEMT|lsrDR|lsrOE, "overrun of RBR")
	p.want(regData, 'b', "overrun of RBR")

	// Five-bit characters have five bits.
	p.out(regLCR, 0)
	p.out(regData, 0xff)
	p.want(regData, 0x1f, "five bits")

	p.out(regMCR, 0)
	if p.host.readies != 1 {
		t.Errorf("Ready called %d times after loopback, want once", p.host.readies)
	}
	if len(p.host.out) != 0 {
		t.Errorf("loopback sent %q to the host", p.host.out)
	}
}

// lineHost is a back end at a serial line.
type lineHost struct {
	*host
	lines []chardev.LineSettings
}

func (h *lineHost) SetLine(l chardev.LineSettings) { h.lines = append(h.lines, l) }

// TestLineSettings: the back end is told the rate and format once the guest has
// written both, and not what lies between.
func TestLineSettings(t *testing.T) {
	h := &lineHost{host: &host{room: 1 << 30}}
	p := &port{t: t, host: h.host, line: &wire{}, clock: &clock.Fake{}}
	p.uart = New(Options{Name: "serial0", Backend: h, Clock: p.clock})
	p.uart.Reset()
	if len(h.lines) != 0 {
		t.Errorf("told %v before the guest did anything", h.lines)
	}
	p.out(regLCR, lcrDLAB|3)
	p.out(regData, 12)
	p.out(regIER, 0)
	p.out(regLCR, 3)
	p.out(regLCR, 3)
	p.out(regLCR, lcrPEN|lcrStop|1<<4|2)
	p.out(regLCR, lcrPEN|2<<4)
	p.out(regLCR, lcrDLAB)
	p.out(regData, 0)
	p.out(regLCR, 3)
	want := []chardev.LineSettings{
		{Rate: 9600, DataBits: 8, StopBits: 1},
		{Rate: 9600, DataBits: 7, StopBits: 2, Parity: chardev.EvenParity},
		{Rate: 9600, DataBits: 5, StopBits: 1, Parity: chardev.MarkParity},
		{Rate: 1, DataBits: 8, StopBits: 1},
	}
	if !slices.Equal(h.lines, want) {
		t.Errorf("told %v, want %v", h.lines, want)
	}
}
