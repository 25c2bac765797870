package serial

import "time"

// rearmTime is after how long the THRE interrupt is repeated for a guest that
// wrote THR again without reading IIR: about one character at 115200 baud.
const rearmTime = 100 * time.Microsecond

// writeTHR sends a character.
func (u *UART) writeTHR(b byte) {
	s := &u.s
	if s.MCR&mcrLoop != 0 {
		u.loop(b & s.wordMask())
		u.emptied()
		return
	}
	switch {
	case int(s.TXLen) < s.depth():
		s.TX[s.TXLen] = b
		s.TXLen++
	case !s.fifos():
		s.TX[0] = b // THR is overwritten
		u.lost()
	default:
		u.lost()
	}
	u.transmit()
}

// transmit moves characters to the back end.
func (u *UART) transmit() {
	s := &u.s
	n := u.backend.Write(s.TX[:s.TXLen])
	if n < int(s.TXLen) {
		copy(s.TX[:], s.TX[n:s.TXLen])
		s.TXLen -= byte(n)
		s.THREPending = false
		u.update()
		return
	}
	s.TXLen = 0
	u.emptied()
}

// OutputReady implements chardev.OutputReceiver.
func (u *UART) OutputReady() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.s.TXLen > 0 {
		u.transmit()
	}
}

// emptied raises the THRE condition: the transmitter became empty, or it was
// found empty by a write of IER.
//
// Writing THR takes the condition back until the character is gone. Here that
// takes no time, so a guest that writes sixteen characters in its interrupt
// handler would make the line fall and rise sixteen times. Instead the line
// stays up, and falls and rises once after a character's time; a handler that
// reads IIR, as most do, is done by then and spares even that.
func (u *UART) emptied() {
	s := &u.s
	if s.IER&ierETBEI == 0 {
		return
	}
	if !s.THREPending {
		s.THREPending = true
		u.update()
		return
	}
	if !u.rearm.wanted {
		u.rearm.set(u.clock.Now() + rearmTime)
	}
}

// rearmDue is called by the clock: the guest has not looked at the THRE
// condition since it wrote THR, and perhaps waits for the interrupt of that.
func (u *UART) rearmDue() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.rearm.due(u.clock.Now()) && u.s.THREPending {
		u.s.THREPending = false
		u.update()
		u.s.THREPending = true
		u.update()
	}
}

// loop receives what the transmitter sent in loopback mode. Here, and only
// here, the receiver can be overrun: a full FIFO keeps what it has, RBR alone
// is overwritten.
func (u *UART) loop(b byte) {
	s := &u.s
	switch {
	case int(s.RXLen) < s.depth():
		s.push(b, 0)
	case s.fifos():
		s.Overrun = true
	default:
		s.RX[s.RXHead] = b
		s.RXErrors[s.RXHead] = 0
		s.Overrun = true
	}
	u.received()
}

// lost says once that the guest does not look at THRE. It has as long as it
// likes to do that, so this is a guest's bug or a host that takes nothing.
func (u *UART) lost() {
	if !u.lostSaid {
		u.lostSaid = true
		u.log.Warn("the guest writes to a full transmitter, output is lost; does anything read the other end?", "device", u.name)
	}
}

// writeIER sets the interrupt enables. Enabling the THRE interrupt while the
// transmitter is empty raises it, also when reading IIR had cleared it: drivers
// start sending that way.
func (u *UART) writeIER(v byte) {
	s := &u.s
	enabled := v &^ s.IER
	s.IER = v
	if v&ierETBEI == 0 {
		s.THREPending = false
		u.rearm.cancel()
	}
	if enabled&ierETBEI != 0 && s.TXLen == 0 {
		s.THREPending = true
	}
	u.update()
}

// writeFCR controls the FIFOs. Turning them on or off empties both; the other
// bits count only while they are on.
func (u *UART) writeFCR(v byte) {
	s := &u.s
	if (v^s.FCR)&fcrEnable != 0 {
		v |= fcrClearRX | fcrClearTX
	}
	if v&fcrEnable == 0 && !s.fifos() {
		return
	}
	sending := s.TXLen > 0
	s.FCR = v & fcrKept
	if !s.fifos() {
		s.FCR = 0
	}
	if v&fcrClearTX != 0 {
		s.TXLen = 0
	}
	if v&fcrClearRX != 0 {
		u.clearRX()
	}
	if sending && s.TXLen == 0 {
		u.emptied()
	}
	u.received() // what is kept may be below the trigger level now
}
