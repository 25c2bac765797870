// Package traffic is what the guest and the host of a test send each other:
// bytes that both can make and check anywhere in a stream, so that nothing that
// is lost, doubled or moved goes unseen, and ICMP echo requests.
package traffic

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Fill writes to p the bytes of a stream from an offset on. Streams of
// different seeds have no word in common, up to 32 GiB.
func Fill(p []byte, seed, offset uint64) {
	for ; len(p) > 0 && offset%8 != 0; offset++ {
		p[0] = at(seed, offset)
		p = p[1:]
	}
	for ; len(p) >= 8; offset += 8 {
		binary.LittleEndian.PutUint64(p, word(seed, offset/8))
		p = p[8:]
	}
	for i := range p {
		p[i] = at(seed, offset+uint64(i))
	}
}

// Check tells the first byte of p that is not that of the stream at the offset.
func Check(p []byte, seed, offset uint64) error {
	for i := 0; i < len(p); {
		here := offset + uint64(i)
		if here%8 == 0 && len(p)-i >= 8 && binary.LittleEndian.Uint64(p[i:]) == word(seed, here/8) {
			i += 8
			continue
		}
		if want := at(seed, here); p[i] != want {
			return fmt.Errorf("the byte at %d is %#x, not %#x", here, p[i], want)
		}
		i++
	}
	return nil
}

// word is the eight bytes of a stream at 8*index: an odd multiple of its number,
// which no other word has, with the upper half mixed into the lower.
func word(seed, index uint64) uint64 {
	const golden = 0x9E3779B97F4A7C15 // 2^64 divided by the golden ratio
	x := (seed<<32 + index + 1) * golden
	return x ^ x>>32
}

func at(seed, offset uint64) byte { return byte(word(seed, offset/8) >> (offset % 8 * 8)) }

// Source reads Length bytes of a stream from its beginning.
type Source struct {
	Seed, Length uint64
	read         uint64
}

// Read implements io.Reader.
func (s *Source) Read(p []byte) (int, error) {
	if s.read == s.Length {
		return 0, io.EOF
	}
	p = p[:min(uint64(len(p)), s.Length-s.read)]
	Fill(p, s.Seed, s.read)
	s.read += uint64(len(p))
	return len(p), nil
}

// Sink checks what is written to it against a stream from its beginning.
type Sink struct {
	Seed     uint64
	Received uint64
}

// Write implements io.Writer. Its error is the first difference.
func (s *Sink) Write(p []byte) (int, error) {
	if err := Check(p, s.Seed, s.Received); err != nil {
		return 0, err
	}
	s.Received += uint64(len(p))
	return len(p), nil
}
