package vt

import (
	"strconv"
	"unicode/utf8"
)

// Limits of a control sequence. What is beyond them is ignored.
const (
	maxParameters = 16
	maxNumber     = 9999
)

// state is what the next byte belongs to.
type state uint8

const (
	ground       state = iota
	escape             // after ESC
	escapeOther        // after ESC and an intermediate byte
	sequence           // after ESC [
	commandText        // after ESC ], P, X, ^ or _: until ST or BEL
	commandCease       // an ESC within that
)

// parser takes the stream of bytes apart.
type parser struct {
	state      state
	parameters [maxParameters]int
	count      int
	private    byte // the '?' of a private sequence, or another
	passedOver bool // the sequence has what no sequence here has

	text [utf8.UTFMax]byte // the character that is under way
	size int
}

// put takes the next byte.
func (p *parser) put(s *Screen, b byte) {
	switch {
	case p.state == commandText || p.state == commandCease:
		p.skip(b)
	case b < 0x20 || b == 0x7f:
		p.size = 0
		p.control(s, b)
	case p.state == ground:
		p.character(s, b)
	case p.state == escape:
		p.afterEscape(s, b)
	case p.state == escapeOther:
		if b >= 0x30 {
			p.state = ground // a character set, or a size of characters
		}
	case p.state == sequence:
		p.inSequence(s, b)
	}
}

// skip waits for the end of a string for the terminal.
func (p *parser) skip(b byte) {
	switch {
	case b == 0x1b:
		p.state = commandCease
	case b == 0x07, b == 0x18, b == 0x1a, p.state == commandCease:
		p.state = ground
	}
}

// control obeys a control character, which may stand within a sequence.
func (p *parser) control(s *Screen, b byte) {
	switch b {
	case '\b':
		s.move(s.x-1, s.y)
	case '\t':
		s.move((s.x/tabStop+1)*tabStop, s.y)
	case '\n', '\v', '\f':
		s.lineFeed()
	case '\r':
		s.move(0, s.y)
	case 0x18, 0x1a: // CAN and SUB end a sequence
		p.state = ground
	case 0x1b:
		p.state = escape
	}
}

// character collects the bytes of a character in UTF-8.
func (p *parser) character(s *Screen, b byte) {
	p.text[p.size] = b
	p.size++
	for p.size > 0 && (utf8.FullRune(p.text[:p.size]) || p.size == len(p.text)) {
		r, n := utf8.DecodeRune(p.text[:p.size])
		s.print(r)
		copy(p.text[:], p.text[n:p.size])
		p.size -= n
	}
}

// afterEscape obeys a sequence of two bytes, or begins a longer one.
func (p *parser) afterEscape(s *Screen, b byte) {
	p.state = ground
	switch b {
	case '[':
		p.state = sequence
		p.parameters, p.count, p.private, p.passedOver = [maxParameters]int{}, 0, 0, false
	case ']', 'P', 'X', '^', '_':
		p.state = commandText
	case '7':
		s.saved = s.cursor
	case '8':
		s.cursor, s.wrapped = s.saved, false
	case 'D':
		s.lineFeed()
	case 'E':
		s.move(0, s.y)
		s.lineFeed()
	case 'M':
		s.reverseLineFeed()
	case 'c':
		s.reset()
	default:
		if b < 0x30 {
			p.state = escapeOther
		}
	}
}

// inSequence collects parameters until the byte that says what they are for.
func (p *parser) inSequence(s *Screen, b byte) {
	switch {
	case b >= '0' && b <= '9':
		if p.count < maxParameters {
			v := &p.parameters[p.count]
			*v = min(*v*10+int(b-'0'), maxNumber)
		}
	case b == ';':
		p.count = min(p.count+1, maxParameters)
	case b >= '<' && b <= '?':
		p.private = b
	case b < 0x40 || b == 0x7f:
		p.passedOver = true
	default:
		p.state = ground
		if p.count < maxParameters {
			p.count++
		}
		if !p.passedOver {
			s.obey(b, p.private, p.parameters[:p.count])
		}
	}
}

// appendCSI appends a control sequence.
func appendCSI(p []byte, final byte, parameters ...int) []byte {
	p = append(p, "\x1b["...)
	for i, v := range parameters {
		if i > 0 {
			p = append(p, ';')
		}
		p = strconv.AppendInt(p, int64(v), 10)
	}
	return append(p, final)
}
