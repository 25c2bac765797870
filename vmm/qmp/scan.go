package qmp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// The bounds of a request. Within them, encoding/json takes it whole.
const (
	maxRequest = 1 << 20 // bytes
	maxDepth   = 1024    // of objects and arrays in each other, as in QEMU
)

// A scanner finds the requests in what a client sends: JSON objects, with or
// without white space between them.
type scanner struct {
	r   *bufio.Reader
	buf []byte
}

func newScanner(r io.Reader) *scanner { return &scanner{r: bufio.NewReader(r)} }

// A syntaxError is input that is not a request. What comes after the end of its
// line is looked at again.
type syntaxError string

func (e syntaxError) Error() string { return string(e) }

// Errors after which a client is not listened to any more: there is no telling
// where its next request begins.
var (
	errTooLarge = fmt.Errorf("a request has more than %d bytes", maxRequest)
	errTooDeep  = fmt.Errorf("a request has more than %d objects and arrays in each other", maxDepth)
)

// next returns the text of the next object, which is valid until the call after
// this one. Brackets are counted, no more. The error is a syntaxError, errTooLarge,
// errTooDeep, or the reader's; io.EOF also when an object is cut off.
func (s *scanner) next() ([]byte, error) {
	first, err := s.skipSpace()
	if err != nil {
		return nil, err
	}
	if first != '{' {
		return nil, s.recover(first, fmt.Sprintf("a request is a JSON object: it begins with '{', not with %q", first))
	}
	if cap(s.buf) > 64<<10 {
		s.buf = nil // a rare large one shall not stay
	}
	s.buf = append(s.buf[:0], first)
	depth, quoted, escaped := 1, false, false
	for depth > 0 {
		b, err := s.r.ReadByte()
		if err != nil {
			return nil, err
		}
		if len(s.buf) == maxRequest {
			return nil, errTooLarge
		}
		s.buf = append(s.buf, b)
		switch {
		case quoted && b < ' ':
			return nil, s.recover(b, "a control character is in a string")
		case escaped:
			escaped = false
		case quoted:
			escaped, quoted = b == '\\', b != '"'
		case b == '"':
			quoted = true
		case b == '{' || b == '[':
			if depth++; depth > maxDepth {
				return nil, errTooDeep
			}
		case b == '}' || b == ']':
			depth--
		}
	}
	return s.buf, nil
}

// skipSpace returns the first byte that is not white space.
func (s *scanner) skipSpace() (byte, error) {
	for {
		b, err := s.r.ReadByte()
		if err != nil || b != ' ' && b != '\t' && b != '\r' && b != '\n' {
			return b, err
		}
	}
}

// recover drops what is left of a line of which b was read last.
func (s *scanner) recover(b byte, what string) error {
	for n := 0; b != '\n'; n++ {
		if n == maxRequest {
			return errTooLarge
		}
		var err error
		if b, err = s.r.ReadByte(); errors.Is(err, io.EOF) {
			break // the next call finds it
		} else if err != nil {
			return err
		}
	}
	return syntaxError(what)
}
