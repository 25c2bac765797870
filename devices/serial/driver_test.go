package serial

import "testing"

// The tests in this file do what operating systems do to find out what a UART
// is, and what is wrong with it.

// TestProbePresence: a UART keeps four bits of IER and no more, and wires MCR to
// MSR in loopback mode.
func TestProbePresence(t *testing.T) {
	p := newPort(t)
	p.out(regIER, 0)
	p.want(regIER, 0, "IER cleared")
	p.out(regIER, 0x0f)
	p.want(regIER, 0x0f, "IER set")
	p.out(regIER, 0)
	for _, v := range []byte{0x55, 0xaa, 0xff, 0} {
		p.out(regSCR, v)
		p.want(regSCR, v, "scratch")
	}
	p.out(regMCR, mcrLoop|mcrOUT2|mcrRTS)
	if got := p.in(regMSR) & 0xf0; got != msrDCD|msrCTS {
		t.Errorf("loopback: MSR %#02x, want DCD and CTS", got)
	}
}

// TestProbeType finds a 16550A: working FIFOs, none of the successors' features.
func TestProbeType(t *testing.T) {
	const configB, extra = 0xbf, 0xe0 // LCR values that open registers of other chips
	p := newPort(t)
	p.out(regLCR, configB)
	p.out(2, 0) // a 16650's EFR; here FCR
	p.out(regLCR, 0)
	p.out(regFCR, fcrEnable)
	if got := p.in(regIIR) >> 6; got != 3 {
		t.Fatalf("FIFO bits %d; want 3, a 16550A", got)
	}
	// A 16650 has EFR, reading 0, with DLAB set or LCR = BFh.
	for _, lcr := range []byte{lcrDLAB, configB} {
		p.out(regLCR, lcr)
		if p.in(2) == 0 {
			t.Errorf("LCR %#x: offset 2 reads 0, a 16650", lcr)
		}
	}
	// On a National SuperIO, offset 2 of bank E0h mirrors MCR.
	mirrors := true
	p.out(regLCR, 0)
	mcr := p.in(regMCR)
	for _, flip := range []byte{0, mcrLoop} {
		p.out(regLCR, 0)
		p.out(regMCR, mcr^flip)
		p.out(regLCR, extra)
		mirrors = mirrors && (p.in(2)^mcr^flip)&mcrLoop == 0
	}
	if mirrors {
		t.Error("looks like a SuperIO")
	}
	p.out(regLCR, 0)
	p.out(regMCR, mcr)
	// A 16750 shows bit 5 of IIR when its 64-byte FIFO is enabled under DLAB.
	p.out(regLCR, lcrDLAB)
	p.out(regFCR, fcrEnable|1<<5)
	p.out(regLCR, 0)
	if got := p.in(regIIR) >> 5; got != 6 {
		t.Errorf("IIR bits 5 to 7: %d; want 6", got)
	}
	// An XScale UART has an enable bit at IER bit 6.
	p.out(regIER, 1<<6)
	p.want(regIER, 0, "unit enable bit")
}

// TestProbeFIFOSize sends a ramp through loopback and counts what comes back.
func TestProbeFIFOSize(t *testing.T) {
	p := newPort(t)
	p.out(regFCR, fcrEnable|fcrClearRX|fcrClearTX)
	p.out(regMCR, mcrLoop)
	p.out(regLCR, lcrDLAB)
	p.out(regData, 1)
	p.out(regIER, 0)
	p.out(regLCR, 3)
	for i := range 256 {
		p.out(regData, byte(i))
	}
	count := 0
	for ; p.in(regLSR)&lsrDR != 0; count++ {
		p.want(regData, byte(count), "ramp")
	}
	if count != fifoSize {
		t.Errorf("FIFO of %d, want %d", count, fifoSize)
	}
}

// TestTHREBugs: enabling the THRE interrupt of an idle UART raises it, each
// time, and the transmitter-empty bits agree with it.
func TestTHREBugs(t *testing.T) {
	p := newBusyPort(t, fcrEnable)
	for range 2 {
		p.out(regIER, ierETBEI)
		if p.in(regIIR)&iirNone != 0 {
			t.Error("THRE interrupt is not raised when enabled again")
		}
		p.out(regIER, 0)
	}
	p.out(regIER, ierETBEI)
	lsr, iir := p.in(regLSR), p.in(regIIR)
	p.out(regIER, 0)
	if lsr&lsrTEMT != 0 && iir&iirNone != 0 {
		t.Error("transmitter empty without an interrupt")
	}
}

// TestProbeInterrupt: turning everything on gives an edge, clearing everything
// takes the line down.
func TestProbeInterrupt(t *testing.T) {
	p := newPort(t)
	p.out(regMCR, mcrDTR|mcrRTS|mcrOUT2)
	p.out(regIER, 0x0f)
	p.in(regLSR)
	p.in(regData)
	p.in(regIIR)
	p.in(regMSR)
	p.out(regData, 0xff)
	if p.line.edges < 2 {
		t.Errorf("%d edges, want one for enabling and one for the character", p.line.edges)
	}
	p.out(regIER, 0)
	p.wantLine(false, p.line.edges, "everything off")
}

// TestInterruptDrivenDriver runs a handler the way an edge-triggered interrupt
// controller would, and sends and receives through it.
func TestInterruptDrivenDriver(t *testing.T) {
	p := newBusyPort(t, 0x81)
	p.out(regIER, ierERBFI|ierELSI)
	output := []byte("The quick brown fox jumps over the lazy dog, sixteen characters at a time.")
	want := string(output)
	p.host.room = 5 // less than a FIFO, to come under back pressure
	var input []byte
	handled := 0
	handler := func() {
		for p.in(regIIR)&iirNone == 0 {
			for p.in(regLSR)&lsrDR != 0 {
				input = append(input, p.in(regData))
			}
			if p.in(regLSR)&lsrTHRE == 0 {
				continue
			}
			for i := 0; i < fifoSize && len(output) > 0; i++ {
				p.out(regData, output[0])
				output = output[1:]
			}
			if len(output) == 0 {
				p.out(regIER, ierERBFI|ierELSI)
			}
		}
	}
	p.out(regIER, ierERBFI|ierELSI|ierETBEI)
	for i := 0; i < 1000 && (len(output) > 0 || string(p.host.out) != want); i++ {
		for handled < p.line.edges {
			handled = p.line.edges
			handler()
		}
		if p.receive("k") != 1 {
			t.Fatal("no room for a key")
		}
		p.host.room += 3
		p.uart.OutputReady()
		p.clock.Advance(rearmTime)
	}
	handler()
	if string(p.host.out) != want {
		t.Errorf("sent %q", p.host.out)
	}
	if len(input) == 0 || p.in(regLSR)&lsrDR != 0 {
		t.Errorf("received %q, data left: %v", input, p.in(regLSR)&lsrDR != 0)
	}
}
