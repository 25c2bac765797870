package nic

import (
	"encoding/binary"

	hostnet "github.com/govmm/govmm/net"
)

// Segments are a frame of TCP or UDP over IP that a card cuts up.
type Segments struct {
	Frame     []byte
	IP        int // where IP's header begins
	Transport int // and that of TCP or UDP
	Header    int // bytes that each segment begins with
	MSS       int // of the rest, the most in a segment
	IPv4, TCP bool

	sent, count int
	done        bool
}

// TCPSegments are those of a frame of TCP over IPv4, with the headers that it
// has. It is false for another frame.
func TCPSegments(frame []byte, mss int) (s Segments, ok bool) {
	ip, header, ok := ipv4(frame)
	if !ok || ip[9] != ProtocolTCP || len(ip) < header+TCPHeader {
		return s, false
	}
	transport := hostnet.MinFrame + header
	s = Segments{
		Frame: frame[:hostnet.MinFrame+len(ip)], IP: hostnet.MinFrame, Transport: transport,
		Header: transport + int(ip[header+12]>>4)*4, MSS: mss, IPv4: true, TCP: true,
	}
	return s, s.Sensible()
}

// Sensible reports whether the frame can be cut up so: the headers are there, in
// their order.
func (s *Segments) Sensible() bool {
	ip, transport := IPv6Header, UDPHeader
	if s.IPv4 {
		ip = IPv4Header
	}
	if s.TCP {
		transport = TCPHeader
	}
	return s.MSS > 0 && s.Header <= len(s.Frame) && s.IP+ip <= s.Transport && s.Transport+transport <= s.Header
}

// Rest reports whether there is a next segment.
func (s *Segments) Rest() bool { return s.Frame != nil && !s.done }

// Next makes the next segment in out, which has room for it: the headers with
// what differs in each but no checksums, and its part of the payload.
func (s *Segments) Next(out []byte) []byte {
	payload := s.Frame[s.Header:]
	n := min(s.MSS, len(payload)-s.sent)
	out = out[:s.Header+n]
	copy(out, s.Frame[:s.Header])
	copy(out[s.Header:], payload[s.sent:s.sent+n])
	s.done = s.sent+n == len(payload)

	ip := out[s.IP:]
	if s.IPv4 {
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
		binary.BigEndian.PutUint16(ip[4:], binary.BigEndian.Uint16(ip[4:])+uint16(s.count))
	} else {
		binary.BigEndian.PutUint16(ip[4:], uint16(len(ip)-IPv6Header))
	}
	transport := out[s.Transport:]
	if s.TCP {
		const flags, fin, psh = 13, 1 << 0, 1 << 3
		binary.BigEndian.PutUint32(transport[4:], binary.BigEndian.Uint32(transport[4:])+uint32(s.sent))
		if !s.done {
			transport[flags] &^= fin | psh
		}
	} else {
		binary.BigEndian.PutUint16(transport[4:], uint16(len(transport)))
	}
	s.sent += n
	s.count++
	return out
}
