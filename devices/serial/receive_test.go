package serial

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestReceiveWithoutFIFO(t *testing.T) {
	p := newBusyPort(t, 0)
	p.out(regIER, ierERBFI)
	if n := p.receive("ab"); n != 1 {
		t.Fatalf("took %d characters, RBR holds one", n)
	}
	p.want(regLSR, lsrTHRE|lsrTEMT|lsrDR, "data ready")
	p.want(regIIR, iirData, "data ready")
	p.wantLine(true, 1, "data ready")
	if n := p.receive("b"); n != 0 {
		t.Fatalf("took %d characters with RBR full", n)
	}
	p.want(regData, 'a', "first character")
	p.wantLine(false, 1, "RBR read")
	if p.host.readies != 1 {
		t.Errorf("Ready called %d times, want once", p.host.readies)
	}
	p.want(regData, 'a', "RBR read again")
	p.want(regLSR, lsrTHRE|lsrTEMT, "empty")
	p.receive("c")
	p.in(regData)
	if p.host.readies != 1 {
		t.Error("Ready called for a back end that did not wait")
	}
}

func TestTriggerLevels(t *testing.T) {
	for i, level := range []int{1, 4, 8, 14} {
		t.Run(fmt.Sprint(level), func(t *testing.T) {
			p := newBusyPort(t, byte(i)<<6|fcrEnable)
			p.out(regIER, ierERBFI)
			for n := 1; n <= fifoSize; n++ {
				p.receive("x")
				want := byte(iirFIFOs | iirData)
				if n < level {
					want = iirFIFOs | iirTimeout
				}
				p.want(regIIR, want, fmt.Sprintf("%d characters", n))
			}
			if p.receive("x") != 0 {
				t.Error("a seventeenth character was taken")
			}
			for n := fifoSize - 1; n >= 0; n-- {
				p.in(regData)
				want := byte(iirFIFOs | iirNone)
				if n >= level {
					want = iirFIFOs | iirData
				}
				p.want(regIIR, want, fmt.Sprintf("%d characters left", n))
			}
			if p.host.readies != 1 {
				t.Errorf("Ready called %d times, want once", p.host.readies)
			}
		})
	}
}

// TestCharacterTimeout: what the guest leaves in the FIFO is announced again
// after four character times without a read.
func TestCharacterTimeout(t *testing.T) {
	for _, tt := range []struct {
		name     string
		divisor  byte
		lcr      byte
		wantTime time.Duration
	}{
		{"115200 8N1", 1, 3, 4 * 10 * time.Second / 115200},
		{"57600 7E2", 2, lcrPEN | lcrStop | 2, 4 * 11 * time.Second / 57600},
		{"9600 8N1", 12, 3, maxTimeout},
		{"divisor 0", 0, 3, maxTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newBusyPort(t, 0xc1)
			p.out(regLCR, lcrDLAB)
			p.out(regData, tt.divisor)
			p.out(regLCR, tt.lcr)
			p.out(regIER, ierERBFI)
			p.receive("abcd")
			p.want(regIIR, iirFIFOs|iirTimeout, "announced at once")
			p.in(regData)
			p.wantLine(false, 1, "a read clears it")
			p.clock.Advance(tt.wantTime - 1)
			p.wantLine(false, 1, "just before")
			p.in(regData)
			p.clock.Advance(1)
			p.wantLine(false, 1, "a read starts the time anew")
			p.clock.Advance(tt.wantTime - 2)
			p.wantLine(false, 1, "just before, again")
			p.clock.Advance(1)
			p.wantLine(true, 2, "time-out")
			p.want(regIIR, iirFIFOs|iirTimeout, "time-out")
			if got := p.readAll(); got != "cd" {
				t.Errorf("read %q", got)
			}
			p.clock.Advance(time.Second)
			p.wantLine(false, 2, "nothing left")
			if _, armed := p.clock.Next(); armed {
				t.Error("a timer runs for nothing")
			}
		})
	}
}

func TestNoTimeoutWithoutFIFO(t *testing.T) {
	p := newBusyPort(t, 0)
	p.receive("a")
	if _, armed := p.clock.Next(); armed || p.uart.State().TimeoutPending {
		t.Error("character time-out in 16450 mode")
	}
}

// TestFlowControl: a back end with much to say loses nothing, and is called
// back once for sixteen characters.
func TestFlowControl(t *testing.T) {
	p := newBusyPort(t, 0x81)
	input := strings.Repeat("0123456789abcdefghijklmnopqrstuvwxyz", 20)
	var got strings.Builder
	calls := 0
	for rest := input; len(rest) > 0; calls++ {
		if p.host.readies != calls {
			t.Fatalf("Ready called %d times after %d calls of Receive", p.host.readies, calls)
		}
		rest = rest[p.receive(rest):]
		got.WriteString(p.readAll())
	}
	if got.String() != input {
		t.Errorf("received %q", got.String())
	}
	if want := (len(input) + fifoSize - 1) / fifoSize; calls != want {
		t.Errorf("%d calls of Receive, want %d", calls, want)
	}
	if p.in(regLSR)&lsrOE != 0 {
		t.Error("overrun")
	}
}

func TestFIFOControl(t *testing.T) {
	for _, tt := range []struct {
		name       string
		first, fcr byte
		kept       bool
	}{
		{"same again", 0x01, 0x01, true},
		{"new trigger", 0x01, 0xc1, true},
		{"clear RX", 0x01, 0x03, false},
		{"clear TX", 0x01, 0x05, true},
		{"turn off", 0x01, 0x00, false},
		{"turn on", 0x00, 0x01, false},
		{"clear while off", 0x00, 0x06, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newBusyPort(t, tt.first)
			p.out(regIER, ierERBFI)
			p.receive("a")
			p.out(regFCR, tt.fcr)
			if kept := p.in(regLSR)&lsrDR != 0; kept != tt.kept {
				t.Errorf("character kept: %v", kept)
			}
			if p.line.level != tt.kept {
				t.Errorf("line %v", p.line.level)
			}
			if on := p.in(regIIR)&iirFIFOs == iirFIFOs; on != (tt.fcr&1 != 0) {
				t.Errorf("IIR shows FIFOs: %v", on)
			}
		})
	}
}

func TestClearingTheFIFOAsksForMore(t *testing.T) {
	p := newBusyPort(t, 0x01)
	p.receive(strings.Repeat("x", 20))
	p.out(regFCR, fcrEnable|fcrClearRX)
	if p.host.readies != 1 {
		t.Errorf("Ready called %d times, want once", p.host.readies)
	}
}

// TestBreakIn: the error bits belong to a character and are seen when that is
// the oldest.
func TestBreakIn(t *testing.T) {
	p := newBusyPort(t, 0x01)
	p.out(regIER, ierELSI)
	p.receive("a")
	if !p.uart.Break() {
		t.Fatal("break refused")
	}
	p.receive("b")
	p.want(regLSR, lsrTHRE|lsrTEMT|lsrDR|lsrFIFO, "break behind a character")
	p.wantLine(false, 0, "break behind a character")
	p.want(regData, 'a', "before the break")
	p.wantLine(true, 1, "break is the oldest")
	p.want(regLSR, lsrTHRE|lsrTEMT|lsrDR|lsrFIFO|lsrBI, "break is the oldest")
	p.wantLine(false, 1, "LSR read")
	p.want(regLSR, lsrTHRE|lsrTEMT|lsrDR, "LSR read")
	p.want(regData, 0, "break")
	p.want(regData, 'b', "after the break")

	p.receive(strings.Repeat("x", 16))
	if p.uart.Break() {
		t.Error("break taken by a full FIFO")
	}
	p.readAll()
	if p.host.readies != 1 {
		t.Error("a refused break is not asked for again")
	}
}
