package serial

import "github.com/govmm/govmm/chardev"

// Carrier implements chardev.CarrierReceiver: DSR and DCD follow the
// connection.
func (u *UART) Carrier(up bool) {
	lines := chardev.CTS
	if up {
		lines |= chardev.DSR | chardev.DCD
	}
	u.ModemStatus(lines)
}

// ModemStatus implements chardev.ModemReceiver.
func (u *UART) ModemStatus(lines chardev.ModemLines) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.setLines(byte(lines) & msrLines)
	u.update()
}

// setLines changes the modem status inputs.
func (u *UART) setLines(lines byte) {
	u.s.Lines = lines
	u.s.refreshMSR()
}

// refreshMSR takes the status bits of MSR from the inputs, or in loopback mode
// from MCR, and notes what changed: any change of CTS, DSR and DCD, but of RI
// only the fall.
func (s *State) refreshMSR() {
	now := s.Lines
	if s.MCR&mcrLoop != 0 {
		now = s.loopedLines()
	}
	was := s.MSR & msrLines
	changed := was ^ now
	deltas := changed >> 4 &^ msrTERI
	if was&^now&msrRI != 0 {
		deltas |= msrTERI
	}
	s.MSR = now | s.MSR&msrDeltas | deltas
}

// loopedLines are the modem status lines in loopback mode, where the control
// outputs are wired to them: RTS to CTS, DTR to DSR, OUT1 to RI, OUT2 to DCD.
func (s *State) loopedLines() (lines byte) {
	for _, wire := range [...]struct{ out, in byte }{
		{mcrRTS, msrCTS}, {mcrDTR, msrDSR}, {mcrOUT1, msrRI}, {mcrOUT2, msrDCD},
	} {
		if s.MCR&wire.out != 0 {
			lines |= wire.in
		}
	}
	return lines
}

// writeMCR sets the modem control outputs and the loopback mode.
func (u *UART) writeMCR(v byte) {
	u.s.MCR = v
	u.s.refreshMSR()
	u.driveOutputs()
	u.update()
	u.feed()
}

// driveOutputs tells the back end about DTR, RTS and the break condition, where
// they changed. In loopback mode the pins are inactive.
func (u *UART) driveOutputs() {
	s := &u.s
	pins := s.MCR&mcrLoop == 0
	out := [2]bool{pins && s.MCR&mcrDTR != 0, pins && s.MCR&mcrRTS != 0}
	if u.modem != nil && out != u.modemOut {
		u.modem.SetModemControl(out[0], out[1])
	}
	u.modemOut = out
	sendBreak := pins && s.LCR&lcrBreak != 0
	if u.breaker != nil && sendBreak != u.breakSent {
		u.breaker.SetBreak(sendBreak)
	}
	u.breakSent = sendBreak
	u.driveLine()
}

// driveLine tells the back end how the line carries characters, where that has
// changed. While the divisor can be reached, it is perhaps half written.
func (u *UART) driveLine() {
	if u.liner == nil || u.s.LCR&lcrDLAB != 0 {
		return
	}
	if line := u.s.line(); line != u.lineTold {
		u.liner.SetLine(line)
		u.lineTold = line
	}
}

// line is the rate and the format of characters that the registers say.
func (s *State) line() chardev.LineSettings {
	line := chardev.LineSettings{
		Rate:     uint32(baseRate / s.divisor()),
		DataBits: 5 + s.LCR&lcrWLS,
		StopBits: 1,
	}
	if s.LCR&lcrStop != 0 {
		line.StopBits = 2
	}
	if s.LCR&lcrPEN != 0 {
		// Bits 4 and 5 are EPS and stick parity.
		line.Parity = [...]chardev.Parity{
			chardev.OddParity, chardev.EvenParity, chardev.MarkParity, chardev.SpaceParity,
		}[s.LCR>>4&3]
	}
	return line
}
