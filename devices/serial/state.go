package serial

import "fmt"

// fifoSize is the depth of each FIFO, in characters.
const fifoSize = 16

// Register offsets.
const (
	regData = 0 // RBR, THR, DLL
	regIER  = 1 // also DLM
	regIIR  = 2 // read
	regFCR  = 2 // write
	regLCR  = 3
	regMCR  = 4
	regLSR  = 5
	regMSR  = 6
	regSCR  = 7
)

// IER, interrupt enable register:
//
//	7       4   3     2    1      0
//	+---------+-----+----+------+------+
//	| 0 0 0 0 |EDSSI|ELSI|ETBEI |ERBFI |
//	+---------+-----+----+------+------+
const (
	ierERBFI = 1 << 0 // received data available, character time-out
	ierETBEI = 1 << 1 // transmitter holding register empty
	ierELSI  = 1 << 2 // receiver line status
	ierEDSSI = 1 << 3 // modem status
	ierBits  = 0x0f
)

// IIR, interrupt identification register; highest priority first:
//
//	7    6  5   4  3       1   0
//	+-----+-------+---------+---+
//	|FIFOs|  0 0  |   id    |/IP|
//	+-----+-------+---------+---+
const (
	iirLineStatus = 0x06
	iirData       = 0x04
	iirTimeout    = 0x0c
	iirTHRE       = 0x02
	iirModem      = 0x00
	iirNone       = 0x01
	iirMask       = 0x0f
	iirFIFOs      = 0xc0
)

// FCR, FIFO control register. Bits 3 and above are kept only while FIFOs are
// enabled:
//
//	7      6   5   4    3     2       1       0
//	+--------+-------+----+--------+-------+------+
//	|trigger |  0 0  |DMA |clear TX|clear RX|enable|
//	+--------+-------+----+--------+-------+------+
const (
	fcrEnable  = 1 << 0
	fcrClearRX = 1 << 1
	fcrClearTX = 1 << 2
	fcrKept    = 0xc9
)

// LCR, line control register:
//
//	7     6     5      4   3    2     1     0
//	+----+-----+------+---+---+-----+---------+
//	|DLAB|break|stick |EPS|PEN|stop | 5 + WLS |
//	+----+-----+------+---+---+-----+---------+
const (
	lcrWLS   = 3
	lcrStop  = 1 << 2
	lcrPEN   = 1 << 3
	lcrBreak = 1 << 6
	lcrDLAB  = 1 << 7
)

// MCR, modem control register:
//
//	7     5   4     3     2     1     0
//	+-------+------+-----+-----+-----+-----+
//	| 0 0 0 | loop |OUT2 |OUT1 | RTS | DTR |
//	+-------+------+-----+-----+-----+-----+
const (
	mcrDTR  = 1 << 0
	mcrRTS  = 1 << 1
	mcrOUT1 = 1 << 2
	mcrOUT2 = 1 << 3
	mcrLoop = 1 << 4
	mcrBits = 0x1f
)

// LSR, line status register:
//
//	7      6    5    4    3    2    1    0
//	+----+----+----+----+----+----+----+----+
//	|FIFO|TEMT|THRE| BI | FE | PE | OE | DR |
//	+----+----+----+----+----+----+----+----+
const (
	lsrDR     = 1 << 0
	lsrOE     = 1 << 1
	lsrBI     = 1 << 4
	lsrTHRE   = 1 << 5
	lsrTEMT   = 1 << 6
	lsrFIFO   = 1 << 7 // an error somewhere in the receiver FIFO
	lsrErrors = 0x1e
)

// MSR, modem status register:
//
//	7     6    5     4    3     2     1     0
//	+----+----+----+----+-----+-----+-----+-----+
//	|DCD | RI |DSR |CTS |DDCD |TERI |DDSR |DCTS |
//	+----+----+----+----+-----+-----+-----+-----+
const (
	msrTERI   = 1 << 2 // RI went from on to off
	msrDeltas = 0x0f
	msrCTS    = 1 << 4
	msrDSR    = 1 << 5
	msrRI     = 1 << 6
	msrDCD    = 1 << 7
	msrLines  = 0xf0
)

// State is all that a guest can see of a UART, and what is on its way through
// it. The register fields are as the guest last wrote them.
type State struct {
	IER, FCR, LCR, MCR, SCR byte
	DLL, DLM                byte

	MSR   byte // as read, deltas included
	Lines byte // the modem status inputs, as in MSR bits 4 to 7

	// The receiver FIFO: RXLen characters from RX[RXHead] on, wrapping, each
	// with its BI, FE and PE bits as in LSR. In 16450 mode it is RBR alone.
	RX       [fifoSize]byte
	RXErrors [fifoSize]byte
	RXHead   byte
	RXLen    byte
	Overrun  bool // LSR OE

	// The transmitter FIFO: characters the back end had no room for. In 16450
	// mode it is THR alone.
	TX    [fifoSize]byte
	TXLen byte

	THREPending    bool // the THRE interrupt condition, cleared by reading IIR
	TimeoutPending bool // the character time-out condition
}

// powerOnDivisor is 9600 baud, as a PC's firmware leaves it. The chip does not
// reset the divisor latches.
const powerOnDivisor = 12

// reset puts the registers where the MR pin does, datasheet table I. The modem
// status inputs stay.
func (s *State) reset() {
	*s = State{
		DLL:   powerOnDivisor,
		MSR:   s.Lines,
		Lines: s.Lines,
	}
}

func (s *State) fifos() bool { return s.FCR&fcrEnable != 0 }

// depth is how many characters each direction holds.
func (s *State) depth() int {
	if s.fifos() {
		return fifoSize
	}
	return 1
}

// trigger is how many received characters raise the data interrupt.
func (s *State) trigger() int {
	if !s.fifos() {
		return 1
	}
	return [4]int{1, 4, 8, 14}[s.FCR>>6]
}

// headErrors are the error bits of the oldest received character, where LSR
// has them.
func (s *State) headErrors() byte {
	if s.RXLen == 0 {
		return 0
	}
	return s.RXErrors[s.RXHead]
}

func (s *State) lsr() byte {
	v := s.headErrors()
	if s.Overrun {
		v |= lsrOE
	}
	if s.RXLen > 0 {
		v |= lsrDR
	}
	if s.TXLen == 0 {
		v |= lsrTHRE | lsrTEMT
	}
	if s.fifos() {
		for i := range s.RXLen {
			if s.RXErrors[(s.RXHead+i)%fifoSize] != 0 {
				v |= lsrFIFO
				break
			}
		}
	}
	return v
}

// clearErrors is the effect of reading LSR.
func (s *State) clearErrors() {
	s.Overrun = false
	if s.RXLen > 0 {
		s.RXErrors[s.RXHead] = 0
	}
}

// iir is what reading IIR shows: the enabled condition of the highest priority.
func (s *State) iir() byte {
	id := byte(iirNone)
	switch {
	case s.IER&ierELSI != 0 && (s.Overrun || s.headErrors() != 0):
		id = iirLineStatus
	case s.IER&ierERBFI != 0 && int(s.RXLen) >= s.trigger():
		id = iirData
	case s.IER&ierERBFI != 0 && s.TimeoutPending:
		id = iirTimeout
	case s.IER&ierETBEI != 0 && s.THREPending:
		id = iirTHRE
	case s.IER&ierEDSSI != 0 && s.MSR&msrDeltas != 0:
		id = iirModem
	}
	if s.fifos() {
		id |= iirFIFOs
	}
	return id
}

// interrupt is the level of the interrupt line: INTR, gated by OUT2. On a card
// with a discrete 16550 the OUT2 pin is inactive in loopback mode, whatever MCR
// says; the chips that integrated the gate look at the bit, and so do we: tests
// that wait for an interrupt in loopback then work, as the datasheet's "fully
// operational" interrupts of that mode promise.
func (s *State) interrupt() bool {
	return s.MCR&mcrOUT2 != 0 && s.iir()&iirMask != iirNone
}

// State returns a copy of the state.
func (u *UART) State() State {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.s
}

// SetState replaces the state, except for the modem status inputs, which are
// the host's: where they differ, the guest sees them change. The vCPUs must not
// run. It fails, and changes nothing, when s is not a state a UART can be in.
func (u *UART) SetState(s State) error {
	switch depth := s.depth(); {
	case int(s.RXLen) > depth, s.RXHead >= fifoSize:
		return fmt.Errorf("%s: state has %d received characters from position %d on, the FIFO holds %d", u.name, s.RXLen, s.RXHead, depth)
	case int(s.TXLen) > depth:
		return fmt.Errorf("%s: state has %d characters to send, the FIFO holds %d", u.name, s.TXLen, depth)
	case s.IER&^ierBits != 0, s.MCR&^mcrBits != 0, s.FCR&^fcrKept != 0:
		return fmt.Errorf("%s: state has reserved bits set: IER %#x, MCR %#x, FCR %#x", u.name, s.IER, s.MCR, s.FCR)
	}
	for _, e := range s.RXErrors {
		if e&^(lsrErrors&^lsrOE) != 0 {
			return fmt.Errorf("%s: state has a received character with errors %#x", u.name, e)
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	lines := u.s.Lines
	u.s = s
	u.setLines(lines)
	u.timeout.cancel()
	u.rearm.cancel()
	u.watchTimeout()
	if u.s.TXLen > 0 {
		u.transmit()
	}
	u.driveOutputs()
	u.update()
	u.feed()
	return nil
}
