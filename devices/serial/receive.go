package serial

import "time"

// maxTimeout bounds the character time-out: a line that is in fact fast need
// not be waited for as a 300 baud line was.
const maxTimeout = time.Millisecond

// Receive implements chardev.Receiver.
func (u *UART) Receive(p []byte) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.s.MCR&mcrLoop != 0 {
		u.starved = true // the receiver is disconnected from its pin
		return 0
	}
	n := min(len(p), u.s.depth()-int(u.s.RXLen))
	for _, b := range p[:n] {
		u.s.push(b, 0)
	}
	if n < len(p) {
		u.starved = true
	}
	u.received()
	return n
}

// Break implements chardev.BreakReceiver: a break is one zero character with
// BI set.
func (u *UART) Break() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.s.MCR&mcrLoop != 0 || int(u.s.RXLen) == u.s.depth() {
		u.starved = true
		return false
	}
	u.s.push(0, lsrBI)
	u.received()
	return true
}

// push appends a character to the receiver FIFO. There must be room.
func (s *State) push(b, errs byte) {
	i := (s.RXHead + s.RXLen) % fifoSize
	s.RX[i], s.RXErrors[i] = b, errs
	s.RXLen++
}

// received announces what push added. The back end has no more for now, so
// what is below the trigger level is announced too.
func (u *UART) received() {
	s := &u.s
	if s.fifos() && s.RXLen > 0 && int(s.RXLen) < s.trigger() {
		s.TimeoutPending = true
	}
	u.update()
}

// readRBR takes the oldest character, or shows the last one again when there
// is none.
func (u *UART) readRBR() byte {
	s := &u.s
	if s.RXLen == 0 {
		return s.RX[(s.RXHead-1)%fifoSize]
	}
	b := s.RX[s.RXHead]
	s.RXHead = (s.RXHead + 1) % fifoSize
	s.RXLen--
	s.TimeoutPending = false
	u.watchTimeout()
	u.update()
	u.feed()
	return b
}

// watchTimeout starts the character time-out anew when characters are left in
// the FIFO.
func (u *UART) watchTimeout() {
	if !u.s.fifos() || u.s.RXLen == 0 || u.s.TimeoutPending {
		u.timeout.cancel()
		return
	}
	u.timeout.set(u.clock.Now() + min(u.s.characterTimes(4), maxTimeout))
}

// timeoutDue is called by the clock.
func (u *UART) timeoutDue() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.timeout.due(u.clock.Now()) {
		u.s.TimeoutPending = true
		u.update()
	}
}

// feed lets the back end go on when it waits. It waits until the FIFO is
// empty, so that it hands over sixteen characters at a time.
func (u *UART) feed() {
	if u.starved && u.s.RXLen == 0 && u.s.MCR&mcrLoop == 0 {
		u.starved = false
		u.backend.Ready()
	}
}

// clearRX empties the receiver.
func (u *UART) clearRX() {
	u.s.RXLen = 0
	u.s.TimeoutPending = false
	u.timeout.cancel()
	u.feed()
}

// characterTimes is how long n characters take at the programmed rate: start
// bit, data bits, parity bit and stop bits (one and a half counted as two), at
// sixteen times the divisor cycles of a 1.8432 MHz clock a bit. A divisor of 0
// counts as 65536.
func (s *State) characterTimes(n time.Duration) time.Duration {
	bits := 1 + 5 + time.Duration(s.LCR&lcrWLS) + 1
	if s.LCR&lcrPEN != 0 {
		bits++
	}
	if s.LCR&lcrStop != 0 {
		bits++
	}
	return n * bits * s.divisor() * time.Second / baseRate
}

// baseRate is the rate with a divisor of 1.
const baseRate = 1843200 / 16

func (s *State) divisor() time.Duration {
	if d := time.Duration(s.DLM)<<8 | time.Duration(s.DLL); d != 0 {
		return d
	}
	return 1 << 16
}

// wordMask keeps the bits of a character of the programmed length.
func (s *State) wordMask() byte { return 0xff >> (3 - s.LCR&lcrWLS) }
