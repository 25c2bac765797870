package smbios

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// A structure (section 6.1) is a header, a body of fixed layout, and the strings
// that the body refers to by their number, from 1 on:
//
//	+0 type | +1 length | +2 handle (2) | +4 body ... | strings
//
// Length counts header and body. Each string ends with a zero byte, and one more
// zero ends the structure; one without strings ends with two zeros.
const headerSize = 4

// builder writes one structure after another. After a failure it goes on, and
// keeps the first error.
type builder struct {
	out     []byte
	count   int
	largest int // bytes of the largest structure, strings included
	err     error
}

// add appends a structure. Body is a struct of fixed-size fields.
func (b *builder) add(kind uint8, handle int, body any, texts *stringSet) {
	start := len(b.out)
	b.out = append(b.out, kind, uint8(headerSize+binary.Size(body)))
	b.out = le.AppendUint16(b.out, uint16(handle))
	out, err := binary.Append(b.out, le, body)
	if err != nil {
		panic(err) // body is not of fixed size: a bug in this package
	}
	b.out = out
	for _, text := range texts.list {
		b.out = append(b.out, text...)
		b.out = append(b.out, 0)
	}
	if len(texts.list) == 0 {
		b.out = append(b.out, 0)
	}
	b.out = append(b.out, 0)

	b.count++
	b.largest = max(b.largest, len(b.out)-start)
	b.fail(texts.err)
}

// fail keeps the first error.
func (b *builder) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// maxStrings is how many strings a structure can number.
const maxStrings = 255

// stringSet collects the strings of a structure.
type stringSet struct {
	list []string
	err  error
}

// add adds a string and returns its number: 0 for the empty string, which cannot
// be stored because it would end the set. Field names it in errors.
func (s *stringSet) add(field, text string) uint8 {
	text = trim(text)
	if text == "" {
		return 0
	}
	if err := checkString(text); err != nil {
		if s.err == nil {
			s.err = fmt.Errorf("%s: %w", field, err)
		}
		return 0
	}
	s.list = append(s.list, text)
	return uint8(len(s.list))
}

// trim removes the white space that XML files and firmware leave around strings.
func trim(text string) string { return strings.Trim(text, " \t\r\n") }

// checkString refuses what cannot be stored: a zero byte would end the string,
// guests print control characters as they are, and other characters have no
// encoding that guests of all ages agree on.
func checkString(text string) error {
	if len(text) > MaxString {
		return fmt.Errorf("%d bytes are too long, at most %d can be stored", len(text), MaxString)
	}
	for i := range len(text) {
		if !printable(text[i]) {
			return fmt.Errorf("byte %#02x at position %d of %q is not a printable ASCII character", text[i], i+1, clip(text))
		}
	}
	return nil
}

func printable(c byte) bool { return c >= ' ' && c <= '~' }

// clip shortens a text for a message.
func clip(text string) string {
	const most = 60
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}
