package netboot

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// A packet starts with a number of two bytes, most significant first:
//
//	1 RRQ    file, 0, mode, 0, and options (RFC 2347): name, 0, value, 0, ...
//	3 DATA   block (2 bytes), up to a block of data
//	4 ACK    block
//	5 ERROR  code (2 bytes), message, 0
//	6 OACK   the options that are accepted, as in RRQ
const (
	opRead  = 1
	opData  = 3
	opACK   = 4
	opError = 5
	opOACK  = 6
)

// Error codes of RFC 1350.
const (
	errorUndefined = 0
	errorNotFound  = 1
	errorAccess    = 2
	errorIllegal   = 4
)

// Sizes of a block in bytes (RFC 2348). The largest fits, with its headers, into
// a frame of Ethernet.
const (
	defaultBlockSize = 512
	minBlockSize     = 8
	maxBlockSize     = 1468
)

// tftpError is what is sent as an error packet.
type tftpError struct {
	code    uint16
	message string
}

func (e tftpError) Error() string { return fmt.Sprintf("%s (code %d)", e.message, e.code) }

// request is a read request. Options have numbers, and names in small letters.
type request struct {
	file    string
	options []option
}

type option struct {
	name  string
	value int64
}

// parseRequest reads a request for a file as it is. Options whose value is no
// number are left out: unknown ones are not an error.
func parseRequest(packet []byte) (request, error) {
	if len(packet) < 2 || binary.BigEndian.Uint16(packet) != opRead {
		return request{}, tftpError{errorIllegal, "only reading is possible"}
	}
	text, ended := bytes.CutSuffix(packet[2:], []byte{0})
	words := strings.Split(string(text), "\x00")
	if !ended || len(words) < 2 || words[0] == "" {
		return request{}, tftpError{errorIllegal, "malformed request"}
	}
	if !strings.EqualFold(words[1], "octet") {
		return request{}, tftpError{errorIllegal, "the mode must be octet"}
	}
	r := request{file: words[0]}
	for options := words[2:]; len(options) >= 2; options = options[2:] {
		value, err := strconv.ParseInt(options[1], 10, 64)
		if err == nil && value >= 0 {
			r.options = append(r.options, option{strings.ToLower(options[0]), value})
		}
	}
	return r, nil
}

// parseReply returns the block that a packet acknowledges.
func parseReply(packet []byte) (uint16, error) {
	if len(packet) < 4 {
		return 0, fmt.Errorf("a packet of %d bytes", len(packet))
	}
	number := binary.BigEndian.Uint16(packet[2:])
	switch op := binary.BigEndian.Uint16(packet); op {
	case opACK:
		return number, nil
	case opError:
		message, _, _ := bytes.Cut(packet[4:], []byte{0})
		return 0, fmt.Errorf("the client gave up: %q (code %d)", message, number)
	default:
		return 0, fmt.Errorf("a packet with operation %d", op)
	}
}
