package nic

import (
	"encoding/binary"

	hostnet "github.com/govmm/govmm/net"
)

// Protocols whose checksums cards know, and the type of IPv4's frames.
const (
	ProtocolTCP = 6
	ProtocolUDP = 17
	TypeIPv4    = 0x0800
)

// Sizes in bytes of headers.
const (
	IPv4Header = 20
	IPv6Header = 40
	TCPHeader  = 20
	UDPHeader  = 8
)

// Sum adds 16-bit big-endian words (RFC 1071).
func Sum(b []byte) (s uint64) {
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

// Fold makes 16 bits of a sum. That of data with its right checksum is FFFFh.
func Fold(s uint64) uint16 {
	for s > 0xFFFF {
		s = s>>16 + s&0xFFFF
	}
	return uint16(s)
}

// Checksums are what a card can say of those in a frame.
type Checksums struct {
	IPv4         bool // it is a packet of IPv4
	IPBad        bool // whose header has a wrong checksum
	Protocol     byte // TCP or UDP, if it is whole and has a checksum; else 0
	TransportBad bool // which is wrong
}

// Check looks at the checksums of a frame.
func Check(frame []byte) (c Checksums) {
	ip, header, ok := ipv4(frame)
	if !ok {
		return c
	}
	c.IPv4 = true
	c.IPBad = Fold(Sum(ip[:header])) != 0xFFFF
	fragment, protocol, payload := binary.BigEndian.Uint16(ip[6:])&0x3FFF, ip[9], ip[header:]
	switch {
	case fragment != 0:
		return c
	case protocol == ProtocolUDP:
		if len(payload) < UDPHeader || payload[6]|payload[7] == 0 {
			return c // there is none
		}
	case protocol != ProtocolTCP:
		return c
	}
	c.Protocol = protocol
	c.TransportBad = Fold(pseudoHeader(ip, len(payload))+Sum(payload)) != 0xFFFF
	return c
}

// ipv4 is the packet of IPv4 in a frame without a VLAN tag, and the size of its
// header.
func ipv4(frame []byte) (ip []byte, header int, ok bool) {
	const eth = hostnet.MinFrame
	if len(frame) < eth+IPv4Header || binary.BigEndian.Uint16(frame[12:]) != TypeIPv4 {
		return nil, 0, false
	}
	ip = frame[eth:]
	header, total := int(ip[0]&0xF)*4, int(binary.BigEndian.Uint16(ip[2:]))
	if ip[0]>>4 != 4 || header < IPv4Header || total < header || total > len(ip) {
		return nil, 0, false
	}
	return ip[:total], header, true
}

// pseudoHeader is the part of a checksum of TCP and UDP that is not theirs.
func pseudoHeader(ip []byte, length int) uint64 {
	return Sum(ip[12:20]) + uint64(ip[9]) + uint64(length)
}

// FillIPv4 puts the checksum of IPv4's header into a frame. A frame of something
// else stays as it is.
func FillIPv4(frame []byte) {
	if ip, header, ok := ipv4(frame); ok {
		ip[10], ip[11] = 0, 0
		binary.BigEndian.PutUint16(ip[10:], ^Fold(Sum(ip[:header])))
	}
}

// FillTransport puts the checksum of TCP or UDP, whichever protocol is, into a
// frame of it over IPv4. A frame of something else stays as it is.
func FillTransport(frame []byte, protocol byte) {
	ip, header, ok := ipv4(frame)
	if !ok || ip[9] != protocol {
		return
	}
	payload, at, least := ip[header:], 16, TCPHeader
	if protocol == ProtocolUDP {
		at, least = 6, UDPHeader
	}
	if len(payload) < least {
		return
	}
	payload[at], payload[at+1] = 0, 0
	s := ^Fold(pseudoHeader(ip, len(payload)) + Sum(payload))
	if s == 0 && protocol == ProtocolUDP {
		s = 0xFFFF // zero means none
	}
	binary.BigEndian.PutUint16(payload[at:], s)
}
