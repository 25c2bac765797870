package serial

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/govmm/govmm/devices/clock"
)

func TestTransmit(t *testing.T) {
	p := newBusyPort(t, 0x01)
	for _, b := range []byte("hello\xff\x00") {
		p.want(regLSR, lsrTHRE|lsrTEMT, "before each character")
		p.out(regData, b)
	}
	if got := string(p.host.out); got != "hello\xff\x00" {
		t.Errorf("sent %q", got)
	}
	p.wantLine(false, 0, "no interrupt enabled")
}

// TestTHREInterrupt follows datasheet sections 8.4 to 8.6: the condition comes
// with the empty transmitter, and goes by reading IIR or writing THR.
func TestTHREInterrupt(t *testing.T) {
	for name, fcr := range map[string]byte{"16450 mode": 0, "FIFO mode": 0x01} {
		t.Run(name, func(t *testing.T) {
			p := newBusyPort(t, fcr)
			fifos := byte(0)
			if fcr != 0 {
				fifos = iirFIFOs
			}
			p.out(regIER, ierETBEI)
			p.wantLine(true, 1, "enabled while empty")
			p.want(regIIR, fifos|iirTHRE, "enabled while empty")
			p.wantLine(false, 1, "IIR read")
			p.want(regIIR, fifos|iirNone, "IIR read")
			p.out(regIER, ierETBEI)
			p.wantLine(false, 1, "enabled already")
			p.out(regIER, 0)
			p.out(regIER, ierETBEI)
			p.wantLine(true, 2, "enabled anew")
			p.in(regIIR)
			p.out(regData, 'a')
			p.wantLine(true, 3, "character sent")
			p.want(regIIR, fifos|iirTHRE, "character sent")
			p.out(regIER, 0)
			p.wantLine(false, 3, "disabled")
		})
	}
}

// TestTHREInterruptWithoutIIR: a driver whose handler only writes the next
// character gets an interrupt for each.
func TestTHREInterruptWithoutIIR(t *testing.T) {
	p := newBusyPort(t, 0)
	p.out(regIER, ierETBEI)
	for i := 1; i <= 20; i++ {
		p.wantLine(true, i, "the handler runs")
		p.out(regData, 'a')
		p.clock.Advance(rearmTime)
	}
	// A burst of writes makes one more edge, and none when IIR was read.
	for range 16 {
		p.out(regData, 'b')
	}
	p.clock.Advance(10 * rearmTime)
	p.wantLine(true, 22, "after a burst")
	p.out(regData, 'c')
	p.in(regIIR)
	p.clock.Advance(10 * rearmTime)
	p.wantLine(false, 22, "after IIR was read")
	if _, armed := p.clock.Next(); armed {
		t.Error("a timer runs for nothing")
	}
}

func TestBackPressure(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fcr   byte
		lost  string // of the characters written to a full transmitter
		depth int
	}{
		{"16450 mode", 0, "overwritten", 1},
		{"FIFO mode", 0x01, "dropped", 16},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newBusyPort(t, tt.fcr)
			p.host.room = 1
			p.out(regIER, ierETBEI)
			p.in(regIIR)
			p.out(regData, 'a')
			p.want(regLSR, lsrTHRE|lsrTEMT, "taken")
			p.in(regIIR)
			for i := range tt.depth {
				p.out(regData, 'b'+byte(i))
				p.want(regLSR, 0, "not taken")
			}
			p.wantLine(false, 2, "transmitter not empty")
			p.uart.OutputReady()
			p.want(regLSR, 0, "still no room")
			p.host.room = tt.depth - 1
			p.uart.OutputReady()
			p.want(regLSR, 0, "room for all but one")
			p.wantLine(false, 2, "room for all but one")
			p.host.room = 100
			p.uart.OutputReady()
			p.want(regLSR, lsrTHRE|lsrTEMT, "empty again")
			p.wantLine(true, 3, "empty again")
			if got, want := string(p.host.out), "abcdefghijklmnopq"[:1+tt.depth]; got != want {
				t.Errorf("sent %q, want %q", got, want)
			}
		})
	}
}

func TestWritingToAFullTransmitter(t *testing.T) {
	for fcr, want := range map[byte]string{0: "r", 1: "abcdefghijklmnop"} {
		var log strings.Builder
		host := &host{}
		u := New(Options{Name: "serial0", Backend: host, Clock: new(clock.Fake), Log: slog.New(slog.NewTextHandler(&log, nil))})
		u.Write(regFCR, []byte{fcr})
		for _, b := range []byte("abcdefghijklmnopqr") {
			u.Write(regData, []byte{b})
		}
		host.room = 100
		u.OutputReady()
		if got := string(host.out); got != want {
			t.Errorf("FCR %#x: sent %q, want %q", fcr, got, want)
		}
		if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "device=serial0") {
			t.Errorf("FCR %#x: log %q, want one line", fcr, log.String())
		}
	}
}

func TestClearTransmitFIFO(t *testing.T) {
	p := newBusyPort(t, 0x01)
	p.host.room = 0
	p.out(regIER, ierETBEI)
	p.in(regIIR)
	p.out(regData, 'a')
	p.out(regData, 'b')
	p.out(regFCR, fcrEnable|fcrClearTX)
	p.want(regLSR, lsrTHRE|lsrTEMT, "cleared")
	p.want(regIIR, iirFIFOs|iirTHRE, "cleared")
	p.host.room = 100
	p.uart.OutputReady()
	if len(p.host.out) != 0 {
		t.Errorf("sent %q", p.host.out)
	}
}

func TestBreakOut(t *testing.T) {
	p := newPort(t)
	for _, step := range []struct {
		lcr, mcr byte
		want     bool
	}{
		{3, 0, false}, {lcrBreak | 3, 0, true}, {lcrBreak | 3, mcrLoop, false}, {lcrBreak | 3, 0, true}, {3, 0, false},
	} {
		p.out(regLCR, step.lcr)
		p.out(regMCR, step.mcr)
		if p.host.brk != step.want {
			t.Errorf("LCR %#x MCR %#x: break %v", step.lcr, step.mcr, p.host.brk)
		}
	}
}
