// Package chardev holds the host ends of character devices: what a serial
// port, a parallel port, a virtio console or a guestfwd channel is plugged
// into.
//
// A front end is a device the guest sees; it implements [Receiver] and, where
// they mean something to it, the optional interfaces below it. A back end is a
// host resource; it implements [Backend] and, where it can, the optional
// interfaces [ModemController] and [BreakSender]. The domain XML's names for
// the back ends here are null ([Null]), stdio ([Stdio]), file ([File]), pty
// ([Pty]), pipe ([Pipe]), dev ([HostSerial], [HostParallel]), vc ([VC]), tcp and
// unix ([Socket]) and udp ([UDP]).
//
// # Output
//
// What the guest sends is put into a buffer of [BufferSize] bytes, which one
// goroutine a back end empties: the vCPU never waits for the host and makes no
// system call for a byte. The first byte after a silence wakes that goroutine
// at once; those that follow within half a millisecond travel together.
// When the buffer is full, Write accepts less than it was given, and the front
// end makes the guest wait: a virtqueue is not served on, a UART does not report
// its transmitter empty. Only a back end at whose other end perhaps nobody is (a
// pty, a socket) does otherwise while that is so: the oldest bytes are dropped and
// counted.
//
// # Input
//
// One goroutine a back end reads the host and offers what came to the front
// end, which takes as much as it has room for. What it left waits in the back
// end, and the host's sender with it, until the front end calls Ready.
package chardev

import (
	"io"
	"log/slog"
)

// BufferSize is how many bytes of guest output a back end holds, 64 KiB.
const BufferSize = 64 << 10

// Backend is the host end of a character device, seen from its front end.
//
// Its methods may be called from any goroutine, and Write, Ready and Stats
// also while the front end holds its own lock: they call nothing back and do
// not block.
type Backend interface {
	// Attach connects the front end and starts the flow of input. It is called
	// once, before the first Write. A receiver that is a CarrierReceiver has
	// been told the state of the connection when Attach returns.
	Attach(r Receiver)

	// Write takes output of the guest and returns how many bytes of it were
	// accepted, from the first on. It keeps no reference to p. When n is less
	// than len(p), the rest is the front end's to keep, and a receiver that is
	// an OutputReceiver is called when there is room again, or when what has no
	// room is to be dropped. After Close, bytes
	// are accepted and dropped.
	Write(p []byte) (n int)

	// Ready says that the front end has room for input, after a Receive that
	// took less than it was offered. At other times it has no effect.
	Ready()

	// Stats returns the traffic until now.
	Stats() Stats

	// Close stops the input, waits at most a second for the pending output to
	// reach the host, and releases everything the back end holds. The front end
	// is not called any more once Close has returned; it must not hold a lock
	// its own methods take while it calls Close. The error says what output was
	// lost or what could not be released. Later calls return the same.
	Close() error
}

// Receiver is a front end: the side of a character device the guest sees. Its
// methods, and those of the optional interfaces, are called from goroutines of
// the back end, which holds no lock that Write or Ready takes.
type Receiver interface {
	// Receive takes input for the guest and returns how many bytes of it were
	// accepted, from the first on. It must not keep p or block. The rest is
	// offered again after Ready.
	Receive(p []byte) (n int)
}

// OutputReceiver is a front end that wants to know when a Write that was cut
// short may go on.
type OutputReceiver interface {
	OutputReady()
}

// CarrierReceiver is a front end that follows the connection: a client opened
// or left the pty, the peer of a socket came or went.
type CarrierReceiver interface {
	Carrier(up bool)
}

// ModemLines are the modem status inputs of a serial port, with the bits where
// the 16550's MSR has them.
type ModemLines uint8

// The modem status lines.
const (
	CTS ModemLines = 1 << 4 // clear to send
	DSR ModemLines = 1 << 5 // data set ready
	RI  ModemLines = 1 << 6 // ring indicator
	DCD ModemLines = 1 << 7 // data carrier detect
)

// ModemReceiver is a front end with modem status lines. A back end with real
// ones (a host serial port) reports them here in place of Carrier.
type ModemReceiver interface {
	ModemStatus(lines ModemLines)
}

// BreakReceiver is a front end that can show the guest a break condition.
// Break returns false when there is no room for it now; it may be offered
// again after Ready.
type BreakReceiver interface {
	Break() (taken bool)
}

// ModemController is a back end with modem control outputs. Like Write,
// SetModemControl does not block and calls nothing back.
type ModemController interface {
	SetModemControl(dtr, rts bool)
}

// BreakSender is a back end that can pass on a break condition. Like Write,
// SetBreak does not block and calls nothing back.
type BreakSender interface {
	SetBreak(on bool)
}

// LineSettings are how a serial line carries characters.
type LineSettings struct {
	Rate     uint32 // bits a second
	DataBits uint8  // 5 to 8
	StopBits uint8  // 1, or 2 (which with 5 data bits is one and a half)
	Parity   Parity
}

// Parity is the parity bit of a serial line's characters.
type Parity uint8

// The kinds of parity.
const (
	NoParity Parity = iota
	OddParity
	EvenParity
	MarkParity  // the bit is 1
	SpaceParity // the bit is 0
)

// LineController is a back end at a serial line. Like Write, SetLine does not
// block and calls nothing back.
type LineController interface {
	SetLine(LineSettings)
}

// ParallelController is a back end that is a parallel port, whose registers it
// hands out. Its methods are those of a short register access and call nothing
// back.
type ParallelController interface {
	ReadData() byte
	WriteData(byte)
	ReadStatus() byte
	WriteControl(byte)
}

// AcknowledgeReceiver is a front end that wants to know of pulses of nACK at a
// ParallelController.
type AcknowledgeReceiver interface {
	Acknowledge()
}

// Stats counts the traffic of a back end, in bytes from the machine's point of
// view.
type Stats struct {
	In      uint64 // received from the host and taken by the front end
	Out     uint64 // delivered to the host
	Dropped uint64 // sent by the guest, and lost for want of a reader or by an error
	Errors  uint64 // failed writes to the host
}

// Options are what all back ends have in common. The zero value is usable.
type Options struct {
	// Name is the device in log messages and errors, for instance "serial0".
	Name string

	// Log takes what goes wrong while the machine runs, at most one message in
	// ten seconds. Nil discards it.
	Log *slog.Logger

	// Tee, when not nil, is given a copy of everything the guest sends, also
	// of what the back end drops. It is written by a goroutine of its own and
	// exerts back pressure as a file does. Close does not close it, but when
	// it has a SetWriteDeadline method, as files and connections do, Close uses
	// that to interrupt a blocked write.
	Tee io.Writer
}
