package nic

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// FuzzFrame has checksums put into a frame and looked at, and cuts it up: what is
// filled in is right, and no byte of the payload is lost.
func FuzzFrame(f *testing.F) {
	tcp := make([]byte, 14+20+20+100)
	copy(tcp[12:], []byte{8, 0, 0x45, 0, 0, 140, 0, 1, 0, 0, 64, ProtocolTCP})
	tcp[14+20+12] = 5 << 4
	f.Add(tcp, uint16(33))
	udp := bytes.Clone(tcp)
	udp[14+9] = ProtocolUDP
	f.Add(udp, uint16(0))
	f.Add(tcp[:40], uint16(1))
	f.Fuzz(func(t *testing.T, frame []byte, mss uint16) {
		Check(frame)
		FillTransport(frame, ProtocolTCP)
		FillTransport(frame, ProtocolUDP)
		FillIPv4(frame)
		c := Check(frame)
		if c.IPBad || c.Protocol == ProtocolTCP && len(frame) > 54 && c.TransportBad && int(binary.BigEndian.Uint16(frame[16:])) >= int(frame[14]&0xF)*4+TCPHeader {
			t.Errorf("what was filled in is wrong: %+v", c)
		}
		s, ok := TCPSegments(frame, int(mss))
		if !ok {
			return
		}
		var payload []byte
		out := make([]byte, len(frame))
		for s.Rest() {
			payload = append(payload, s.Next(out)[s.Header:]...)
		}
		if !bytes.Equal(payload, s.Frame[s.Header:]) {
			t.Errorf("%d bytes of payload, of %d", len(payload), len(s.Frame)-s.Header)
		}
	})
}

// The sum of a header that RFC 1071's readers know from textbooks.
func TestSum(t *testing.T) {
	header := []byte{0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xC0, 0xA8, 0, 1, 0xC0, 0xA8, 0, 0xC7}
	if got := ^Fold(Sum(header)); got != 0xB861 {
		t.Errorf("the checksum is %#x", got)
	}
	if a, b := Fold(Sum([]byte{1, 2, 3})), Fold(Sum([]byte{1, 2, 3, 0})); a != b {
		t.Errorf("an odd byte counts as %#x, not %#x", a, b)
	}
}
