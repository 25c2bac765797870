package chardev

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

// The commands of the telnet protocol (RFC 854), which follow an IAC.
const (
	telnetSE   = 240 // end of a subnegotiation
	telnetBRK  = 243 // break
	telnetSB   = 250 // begin of a subnegotiation
	telnetWILL = 251
	telnetWONT = 252
	telnetDO   = 253
	telnetDONT = 254
	telnetIAC  = 255
)

// The options of the telnet protocol that are agreed to.
const (
	telnetBinary = 0 // RFC 856
	telnetEcho   = 1 // RFC 857
	telnetSGA    = 3 // suppress go-ahead, RFC 858
)

const (
	// telnetPatience is how long a peer has to agree to binary transmission.
	telnetPatience = 500 * time.Millisecond

	// telnetPiece is how much output is encoded at a time.
	telnetPiece = 4096

	// telnetReplies bounds the commands that wait for a peer that reads nothing,
	// but for refusals. A peer that goes on asking for what it has been given gets
	// no answers.
	telnetReplies = 1024
)

// telnetOption is an option in one direction.
type telnetOption struct {
	agreed bool // we do it if the peer wants
	on     bool
	asked  bool // our request has not been answered
}

// telnetState is what the next byte from the peer is.
type telnetState uint8

const (
	telnetData telnetState = iota
	telnetCommand
	telnetOptionNumber
	telnetSubnegotiation
	telnetSubnegotiationCommand
)

// telnetLink is a connection with the telnet protocol.
type telnetLink struct {
	*socketLink

	mu      sync.Mutex
	us, him [4]telnetOption // by their number; others are refused
	replies []byte          // commands that wait to be sent
	refused refusals        // and after them

	// Of the reader.
	buf     [telnetPiece]byte
	in      []byte // what of buf is still to be decoded
	state   telnetState
	verb    byte // of the option that follows
	afterCR bool
	early   []byte // data that came while binary transmission was negotiated
	brk     bool   // a break follows it

	out     sync.Mutex // held while data or commands are written
	encoded []byte
	sentCR  bool

	wake   chan struct{} // capacity 1: there are replies
	done   chan struct{} // closed by Close
	closed sync.Once
	ended  chan struct{} // closed when talk has returned
}

// newTelnetLink makes the first requests. A server offers what a user at a
// terminal needs, so that the keys go out one by one and are not shown twice.
func newTelnetLink(c *socketLink, server bool) *telnetLink {
	t := &telnetLink{
		socketLink: c,
		wake:       make(chan struct{}, 1), done: make(chan struct{}), ended: make(chan struct{}),
	}
	for _, o := range []byte{telnetBinary, telnetSGA} {
		t.us[o].agreed, t.him[o].agreed = true, true
		t.request(telnetWILL, o, &t.us[o])
		t.request(telnetDO, o, &t.him[o])
	}
	if server {
		t.us[telnetEcho].agreed = true
		t.request(telnetWILL, telnetEcho, &t.us[telnetEcho])
	} else {
		t.him[telnetEcho].agreed = true
	}
	go t.talk()
	return t
}

func (t *telnetLink) request(command, option byte, o *telnetOption) {
	o.asked = true
	t.queue(command, option)
}

// sendBreak sends a break soon.
func (t *telnetLink) sendBreak() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queue(telnetBRK)
}

// queue sends a command soon, without waiting for it. mu is held, where there is
// a second user.
func (t *telnetLink) queue(command ...byte) {
	if len(t.replies) > telnetReplies {
		return
	}
	t.replies = append(append(t.replies, telnetIAC), command...)
	t.talkSoon()
}

func (t *telnetLink) talkSoon() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// pending takes the commands that wait.
func (t *telnetLink) pending() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.refused.take(t.replies)
	t.replies = nil
	return p
}

// refusals are the options that are still to be refused, to do and to have done,
// by their number. As a set they need no more memory for a peer that reads
// nothing, and none of them is lost: a client whose user has interrupted something
// throws away what it is sent until the timing mark (RFC 860) is refused that it has
// asked for.
type refusals struct{ dont, wont [256]bool }

// add notes a refusal, which is WONT or DONT.
func (r *refusals) add(command, option byte) {
	if command == telnetWONT {
		r.wont[option] = true
	} else {
		r.dont[option] = true
	}
}

// take appends the commands to p, and forgets them.
func (r *refusals) take(p []byte) []byte {
	for option := range 256 {
		if r.wont[option] {
			p = append(p, telnetIAC, telnetWONT, byte(option))
		}
		if r.dont[option] {
			p = append(p, telnetIAC, telnetDONT, byte(option))
		}
	}
	*r = refusals{}
	return p
}

// talk sends the commands. The reader must not wait for a peer that reads
// nothing, and a break must not wait at all.
func (t *telnetLink) talk() {
	defer close(t.ended)
	for {
		select {
		case <-t.wake:
		case <-t.done:
			return
		}
		t.out.Lock()
		_, _ = t.Conn.Write(t.pending()) // the reader finds out what is wrong
		t.out.Unlock()
	}
}

// Close implements link.
func (t *telnetLink) Close() error {
	t.closed.Do(func() { close(t.done) })
	err := t.socketLink.Close()
	<-t.ended
	return err
}

// negotiate waits until the peer has said whether it takes binary transmission,
// or for some time: netcat never answers. From then on output has one form,
// which the peer knows.
func (t *telnetLink) negotiate(ctx context.Context) error {
	if err := t.SetReadDeadline(time.Now().Add(telnetPatience)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = t.SetReadDeadline(past()) })
	defer stop()
	buf := make([]byte, telnetPiece)
	for {
		n, brk := t.decode(buf) // has room for all that fill read
		t.early = append(t.early, buf[:n]...)
		if t.brk = brk; brk || len(t.early) > 0 || t.settled() {
			break
		}
		if err := t.fill(); errors.Is(err, os.ErrDeadlineExceeded) {
			break
		} else if err != nil {
			return err
		}
	}
	if err := t.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	return ctx.Err()
}

func (t *telnetLink) settled() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.us[telnetBinary].asked
}

// Read implements link. It returns at least a byte, or an error.
func (t *telnetLink) Read(p []byte) (n int, err error) {
	if len(t.early) > 0 {
		n = copy(p, t.early)
		t.early = t.early[n:]
		return n, nil
	}
	if t.brk {
		t.brk = false
		return 0, errBreak
	}
	for {
		n, brk := t.decode(p)
		if brk {
			return n, errBreak
		}
		if n > 0 {
			return n, nil
		}
		if err := t.fill(); err != nil {
			return 0, err
		}
	}
}

// fill reads more, when all has been decoded.
func (t *telnetLink) fill() error {
	n, err := t.Conn.Read(t.buf[:])
	t.in = t.buf[:n]
	if n > 0 {
		return nil // an error comes again
	}
	return err
}

// decode moves data from t.in to p, which is not empty, and obeys the commands
// on the way, until p is full, nothing is left, or there is a break.
func (t *telnetLink) decode(p []byte) (n int, brk bool) {
	for n < len(p) && len(t.in) > 0 {
		b := t.in[0]
		t.in = t.in[1:]
		switch t.state {
		case telnetData:
			switch {
			case b == telnetIAC:
				t.state = telnetCommand
			case t.afterCR && (b == 0 || b == '\n') && !t.binaryIn():
				// CR NUL is a carriage return, and so is the end of a line: what a
				// terminal sends for the Enter key (RFC 1123, section 3.3.1).
				t.afterCR = false
			default:
				t.afterCR = b == '\r'
				p[n] = b
				n++
			}
		case telnetCommand:
			t.state = telnetData
			switch b {
			case telnetIAC:
				t.afterCR = false
				p[n] = b
				n++
			case telnetBRK:
				return n, true
			case telnetWILL, telnetWONT, telnetDO, telnetDONT:
				t.verb, t.state = b, telnetOptionNumber
			case telnetSB:
				t.state = telnetSubnegotiation
			}
			// Of the others, none means anything to a line (RFC 854: a host need
			// not do more), and what is no command is ignored.
		case telnetOptionNumber:
			t.state = telnetData
			t.negotiated(t.verb, b)
		case telnetSubnegotiation:
			if b == telnetIAC {
				t.state = telnetSubnegotiationCommand
			}
		case telnetSubnegotiationCommand:
			t.state = telnetSubnegotiation
			if b == telnetSE {
				t.state = telnetData
			}
		}
	}
	return n, false
}

func (t *telnetLink) binaryIn() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.him[telnetBinary].on
}

// negotiated obeys or answers a request. What is so already is not answered, so
// that two ends never answer each other for ever (RFC 1143).
func (t *telnetLink) negotiated(verb, option byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := verb == telnetDO || verb == telnetDONT
	yes, no := byte(telnetDO), byte(telnetDONT)
	list := &t.him
	if own {
		yes, no = telnetWILL, telnetWONT
		list = &t.us
	}
	wanted := verb == telnetDO || verb == telnetWILL
	if int(option) >= len(list) || !list[option].agreed {
		if wanted {
			t.refused.add(no, option)
			t.talkSoon()
		}
		return
	}
	o := &list[option]
	if o.on != wanted && !o.asked {
		answer := no
		if wanted {
			answer = yes
		}
		t.queue(answer, option)
	}
	o.on, o.asked = wanted, false
}

// Write implements link.
func (t *telnetLink) Write(p []byte) (int, error) {
	t.mu.Lock()
	binary := t.us[telnetBinary].on
	t.mu.Unlock()
	t.out.Lock()
	defer t.out.Unlock()
	p = p[:min(len(p), telnetPiece)]
	if _, err := t.Conn.Write(t.encode(p, binary)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// encode is p as it is sent: an IAC is doubled, and without binary transmission a
// carriage return that begins no new line is followed by a NUL. The result is
// valid until the next call.
func (t *telnetLink) encode(p []byte, binary bool) []byte {
	e := t.encoded[:0]
	for _, b := range p {
		if t.sentCR && b != '\n' && !binary {
			e = append(e, 0)
		}
		t.sentCR = b == '\r'
		if b == telnetIAC {
			e = append(e, telnetIAC)
		}
		e = append(e, b)
	}
	t.encoded = e
	return e
}
