package e1000

import "encoding/binary"

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
	binary.BigEndian.PutUint16(frame[at:], ^fold(sum(frame[start:end+1])))
}

// sum adds 16-bit big-endian words (RFC 1071).
func sum(b []byte) (s uint64) {
	for ; len(b) >= 8; b = b[8:] {
		v := binary.BigEndian.Uint64(b)
		s += v>>32 + v&0xFFFFFFFF
	}
	for ; len(b) >= 2; b = b[2:] {
		s += uint64(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		s += uint64(b[0]) << 8
	}
	return s
}

func fold(s uint64) uint16 {
	for s > 0xFFFF {
		s = s>>16 + s&0xFFFF
	}
	return uint16(s)
}

// Sizes in bytes of the headers that segmentation looks at.
const (
	ipv4Header = 20
	ipv6Header = 40
	tcpHeader  = 20
	udpHeader  = 8
)

// sensible reports whether a frame of n bytes can be segmented so: the headers
// are there, in their order.
func (x *context) sensible(n int) bool {
	ip, transport := ipv6Header, udpHeader
	if x.IPv4 {
		ip = ipv4Header
	}
	if x.TCP {
		transport = tcpHeader
	}
	return x.MSS > 0 && int(x.HDRLEN) <= n && int(x.IPCSS)+ip <= int(x.TUCSS) && int(x.TUCSS)+transport <= int(x.HDRLEN)
}

// segments are what is left of a frame to be cut up (section 3.5).
type segments struct {
	frame   []byte
	context context
	options uint8
	tag     int
	sent    int // of the payload
	count   int
	rest    bool
}

// next makes the next segment: the headers with what differs in each, and its
// part of the payload.
func (s *segments) next(out []byte) []byte {
	x, header := &s.context, int(s.context.HDRLEN)
	payload := s.frame[header:]
	n := min(int(x.MSS), len(payload)-s.sent)
	out = out[:header+n]
	copy(out, s.frame[:header])
	copy(out[header:], payload[s.sent:s.sent+n])
	last := s.sent+n == len(payload)

	ip := out[x.IPCSS:]
	if x.IPv4 {
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
		binary.BigEndian.PutUint16(ip[4:], binary.BigEndian.Uint16(ip[4:])+uint16(s.count))
	} else {
		binary.BigEndian.PutUint16(ip[4:], uint16(len(ip)-ipv6Header))
	}
	transport := out[x.TUCSS:]
	if x.TCP {
		const flags, fin, psh = 13, 1 << 0, 1 << 3
		binary.BigEndian.PutUint32(transport[4:], binary.BigEndian.Uint32(transport[4:])+uint32(s.sent))
		if !last {
			transport[flags] &^= fin | psh
		}
	} else {
		binary.BigEndian.PutUint16(transport[4:], uint16(len(transport)))
	}
	// The driver's pseudo-header has no length: it differs.
	if at := int(x.TUCSO); s.options&poptsTXSM != 0 && at+2 <= len(out) {
		binary.BigEndian.PutUint16(out[at:], fold(uint64(binary.BigEndian.Uint16(out[at:]))+uint64(len(transport))))
	}
	x.insert(out, s.options)
	s.sent += n
	s.count++
	s.rest = !last
	return out
}
