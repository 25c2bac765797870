package traffic

import (
	"encoding/binary"
	"fmt"
	"net"
	"time"
)

// An ICMP echo request or reply (RFC 792):
//
//	0      1      2          4            6          8
//	+------+------+----------+------------+----------+---
//	| type | code | checksum | identifier | sequence | data
//	+------+------+----------+------------+----------+---
const (
	echoReply   = 0
	echoRequest = 8
	echoHeader  = 8
)

// Ping sends an IPv4 address so many echo requests with so many bytes of data,
// one after the other, and waits for the reply to each, at most for limit. It
// needs a raw socket.
func Ping(address string, count, size int, limit time.Duration) error {
	to, err := net.ResolveIPAddr("ip4", address)
	if err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	conn, err := net.DialIP("ip4:icmp", nil, to)
	if err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	defer conn.Close()
	const identifier = 0x6776
	answer := make([]byte, 64<<10)
	for sequence := range count {
		request := make([]byte, echoHeader+size)
		request[0] = echoRequest
		binary.BigEndian.PutUint16(request[4:], identifier)
		binary.BigEndian.PutUint16(request[6:], uint16(sequence))
		Fill(request[echoHeader:], uint64(sequence), 0)
		binary.BigEndian.PutUint16(request[2:], checksum(request))
		if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
			return fmt.Errorf("ping: %w", err)
		}
		if _, err := conn.Write(request); err != nil {
			return fmt.Errorf("ping: %w", err)
		}
		for {
			n, _, err := conn.ReadFromIP(answer) // Read would leave the IP header there
			if err != nil {
				return fmt.Errorf("ping: request %d of %d: %w", sequence+1, count, err)
			}
			// The socket hears all ICMP messages from there.
			if reply := answer[:n]; n == len(request) && reply[0] == echoReply && [4]byte(reply[4:]) == [4]byte(request[4:]) {
				if err := Check(reply[echoHeader:], uint64(sequence), 0); err != nil {
					return fmt.Errorf("ping: reply %d: %w", sequence+1, err)
				}
				break
			}
		}
	}
	return nil
}

// checksum is the Internet checksum (RFC 1071) of a message whose checksum
// field is zero.
func checksum(p []byte) uint16 {
	var sum uint32
	for i, b := range p {
		sum += uint32(b) << (8 * (1 - i%2))
	}
	for sum>>16 != 0 {
		sum = sum&0xFFFF + sum>>16
	}
	return ^uint16(sum)
}
