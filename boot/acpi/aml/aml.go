// Package aml encodes ACPI Machine Language, the byte code of the DSDT.
//
// It follows ACPI specification 6.5, chapter 20 (AML grammar) and section 6.4
// (resource data types). Every function returns one encoded term; terms nest by
// being passed to other functions, so Go source reads like the ASL it produces.
// AML holds no absolute addresses of its own, so terms are position-independent.
//
// Left out: decoding, and all of the grammar that a PC's DSDT has no use for
// (mutexes, events, load operators, references, bank and index fields).
//
// Names and operands are the program's own constants, so a malformed one is a
// bug in the program: the functions panic on it, as regexp.MustCompile does.
package aml

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Term is one encoded AML term, or several in sequence.
type Term []byte

// Opcodes (ACPI 6.5, section 20.3, table 20.4). Two-byte opcodes begin with
// extPrefix.
const (
	opZero        = 0x00
	opOne         = 0x01
	opName        = 0x08
	prefixByte    = 0x0A
	prefixWord    = 0x0B
	prefixDWord   = 0x0C
	prefixString  = 0x0D
	prefixQWord   = 0x0E
	opScope       = 0x10
	opBuffer      = 0x11
	opPackage     = 0x12
	opMethod      = 0x14
	prefixDual    = 0x2E
	prefixMulti   = 0x2F
	extPrefix     = 0x5B
	opLocal0      = 0x60
	opArg0        = 0x68
	opStore       = 0x70
	opAdd         = 0x72
	opSubtract    = 0x74
	opShiftLeft   = 0x79
	opShiftRight  = 0x7A
	opAnd         = 0x7B
	opOr          = 0x7D
	opXor         = 0x7F
	opNotify      = 0x86
	opDWordField  = 0x8A
	opLAnd        = 0x90
	opLOr         = 0x91
	opLNot        = 0x92
	opLEqual      = 0x93
	opLGreater    = 0x94
	opLLess       = 0x95
	opIf          = 0xA0
	opElse        = 0xA1
	opWhile       = 0xA2
	opReturn      = 0xA4
	extRegion     = 0x80
	extField      = 0x81
	extDevice     = 0x82
	maxPkgLength  = 1<<28 - 1
	nullName      = 0x00
	nameSegLength = 4
)

// Concat joins terms into a sequence.
func Concat(terms ...Term) Term {
	n := 0
	for _, t := range terms {
		n += len(t)
	}
	out := make(Term, 0, n)
	for _, t := range terms {
		out = append(out, t...)
	}
	return out
}

// packaged encodes an opcode followed by PkgLength and the body.
func packaged(op []byte, body ...Term) Term {
	content := Concat(body...)
	out := append(Term{}, op...)
	out = appendPkgLength(out, len(content))
	return append(out, content...)
}

// appendPkgLength appends the PkgLength of a content of n bytes. The length
// counts its own encoding (section 20.2.4):
//
//	one byte:    00llllll
//	more bytes:  cc00llll llllllll ...   cc = bytes that follow (1 to 3)
func appendPkgLength(out Term, n int) Term {
	if n+1 <= 0x3F {
		return append(out, byte(n+1))
	}
	for follow := 1; follow <= 3; follow++ {
		total := n + 1 + follow
		if total > 1<<(4+8*follow)-1 {
			continue
		}
		out = append(out, byte(follow<<6|total&0xF))
		for rest := total >> 4; follow > 0; follow-- {
			out = append(out, byte(rest))
			rest >>= 8
		}
		return out
	}
	panic(fmt.Sprintf("aml: package of %d bytes exceeds the limit of %d", n, maxPkgLength))
}

// Path encodes a NameString (section 20.2.2): an optional root "\" or parents
// "^", then name segments separated by dots. Segments of fewer than four
// characters are padded with "_". A path used as a term reads the object.
func Path(name string) Term {
	rest := strings.TrimPrefix(name, `\`)
	out := Term(name[:len(name)-len(rest)])
	if len(out) == 0 {
		rest = strings.TrimLeft(name, "^")
		out = Term(name[:len(name)-len(rest)])
	}
	if rest == "" {
		if len(out) == 0 {
			panic("aml: empty name")
		}
		return append(out, nullName)
	}
	segments := strings.Split(rest, ".")
	switch n := len(segments); {
	case n == 2:
		out = append(out, prefixDual)
	case n > 255:
		panic(fmt.Sprintf("aml: name of %d segments", n))
	case n > 2:
		out = append(out, prefixMulti, byte(n))
	}
	for _, s := range segments {
		out = appendNameSeg(out, s)
	}
	return out
}

// appendNameSeg appends one segment of exactly four characters.
func appendNameSeg(out Term, s string) Term {
	if s == "" || len(s) > nameSegLength {
		panic(fmt.Sprintf("aml: name segment %q is not 1 to 4 characters", s))
	}
	for i, c := range s {
		letter := c >= 'A' && c <= 'Z' || c == '_'
		digit := c >= '0' && c <= '9'
		if !letter && (!digit || i == 0) {
			panic(fmt.Sprintf("aml: name segment %q: only A-Z, _ and, not first, 0-9 are allowed", s))
		}
	}
	out = append(out, s...)
	return append(out, "____"[len(s):]...)
}

// Int encodes an integer in the shortest form. A DSDT of revision 1 has 32-bit
// integers; larger values need revision 2.
func Int(v uint64) Term {
	switch {
	case v == 0:
		return Term{opZero}
	case v == 1:
		return Term{opOne}
	case v <= 0xFF:
		return Term{prefixByte, byte(v)}
	case v <= 0xFFFF:
		return binary.LittleEndian.AppendUint16(Term{prefixWord}, uint16(v))
	case v <= 0xFFFF_FFFF:
		return binary.LittleEndian.AppendUint32(Term{prefixDWord}, uint32(v))
	}
	return binary.LittleEndian.AppendUint64(Term{prefixQWord}, v)
}

// String encodes an ASCII string; it may not hold a NUL.
func String(s string) Term {
	for i := range len(s) {
		if s[i] == 0 || s[i] > 0x7F {
			panic(fmt.Sprintf("aml: string %q is not ASCII without NUL", s))
		}
	}
	out := append(Term{prefixString}, s...)
	return append(out, 0)
}

// EISAID encodes a plug-and-play identifier such as "PNP0A03" as a compressed
// 32-bit integer (section 19.3.4): three letters of five bits, then four
// hexadecimal digits, most significant byte first.
func EISAID(id string) Term {
	var letters, product uint32
	if n, err := fmt.Sscanf(id[min(3, len(id)):], "%04X", &product); len(id) != 7 || n != 1 || err != nil {
		panic(fmt.Sprintf("aml: %q is not an EISA id of three letters and four hexadecimal digits", id))
	}
	for _, c := range id[:3] {
		if c < 'A' || c > 'Z' {
			panic(fmt.Sprintf("aml: EISA id %q does not begin with three capital letters", id))
		}
		letters = letters<<5 | uint32(c-'A'+1)
	}
	return binary.BigEndian.AppendUint32(Term{prefixDWord}, letters<<16|product)
}

// Buffer encodes a buffer with the given content.
func Buffer(data []byte) Term {
	return packaged([]byte{opBuffer}, Int(uint64(len(data))), data)
}

// Package encodes a package of at most 255 elements.
func Package(elements ...Term) Term {
	if len(elements) > 255 {
		panic(fmt.Sprintf("aml: package of %d elements, at most 255 are allowed", len(elements)))
	}
	return packaged([]byte{opPackage}, Term{byte(len(elements))}, Concat(elements...))
}
