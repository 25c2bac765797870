package e1000

import (
	"encoding/binary"

	"github.com/govmm/govmm/devices/nic"
)

// context is what a context descriptor has said (section 3.3.6).
type context struct {
	IPCSS, IPCSO uint8  // where IP's header starts, and its checksum is
	IPCSE        uint16 // its last byte; 0 is the frame's
	TUCSS, TUCSO uint8  // the same of TCP or UDP
	TUCSE        uint16
	HDRLEN       uint8 // bytes that each segment begins with
	MSS          uint16
	TCP, IPv4    bool
}

// The card keeps two contexts.
const (
	plainSums = iota
	segmentation
)

// setContext keeps the context of a descriptor. mu is held.
func (c *Card) setContext(low, high uint64) {
	x := context{
		IPCSS: uint8(low), IPCSO: uint8(low >> 8), IPCSE: uint16(low >> 16),
		TUCSS: uint8(low >> 32), TUCSO: uint8(low >> 40), TUCSE: uint16(low >> 48),
		HDRLEN: uint8(high >> 40), MSS: uint16(high >> 48),
		TCP: high>>24&tucmdTCP != 0, IPv4: high>>24&tucmdIP != 0,
	}
	which := plainSums
	if high>>24&cmdTSE != 0 {
		which = segmentation
	}
	c.s.Contexts[which] = x
}

// insert puts the checksums into a frame that a data descriptor asks for.
func (x *context) insert(frame []byte, options uint8) {
	if options&poptsTXSM != 0 {
		insertSum(frame, int(x.TUCSS), int(x.TUCSO), int(x.TUCSE))
		if at := int(x.TUCSO); !x.TCP && at+2 <= len(frame) && frame[at]|frame[at+1] == 0 {
			frame[at], frame[at+1] = 0xFF, 0xFF // a sum of zero means none in UDP
		}
	}
	if options&poptsIXSM != 0 {
		insertSum(frame, int(x.IPCSS), int(x.IPCSO), int(x.IPCSE))
	}
}

// insertSum stores at a place the checksum of the bytes from start to end, end
// included, or of all with an end of 0. A place that is not in the frame has
// none.
func insertSum(frame []byte, start, at, end int) {
	if end == 0 || end >= len(frame) {
		end = len(frame) - 1
	}
	if start > end || at+2 > len(frame) {
		return
	}
	binary.BigEndian.PutUint16(frame[at:], ^nic.Fold(nic.Sum(frame[start:end+1])))
}

// cut is how a frame is cut up.
func (x *context) cut(frame []byte) nic.Segments {
	return nic.Segments{
		Frame: frame, IP: int(x.IPCSS), Transport: int(x.TUCSS), Header: int(x.HDRLEN), MSS: int(x.MSS),
		IPv4: x.IPv4, TCP: x.TCP,
	}
}

// segments are what is left of a frame to be cut up (section 3.5).
type segments struct {
	nic.Segments
	context context
	options uint8
	tag     int
}

// next makes the next segment, with its checksums.
func (s *segments) next(out []byte) []byte {
	out = s.Next(out)
	// The driver's pseudo-header has no length: it differs.
	if at := int(s.context.TUCSO); s.options&poptsTXSM != 0 && at+2 <= len(out) {
		length := len(out) - s.Transport
		binary.BigEndian.PutUint16(out[at:], nic.Fold(uint64(binary.BigEndian.Uint16(out[at:]))+uint64(length)))
	}
	s.context.insert(out, s.options)
	return out
}
