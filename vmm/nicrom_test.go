package vmm

import (
	"bytes"
	"testing"
)

// An option ROM is made one for the transitional card, and its sum stays.
func TestForVirtioNet(t *testing.T) {
	rom := make([]byte, 512)
	copy(rom, []byte{0x55, 0xAA, 1})
	rom[0x18] = 0x40
	copy(rom[0x40:], "PCIR\xF4\x1A\x41\x10")
	sum := func(p []byte) (s byte) {
		for _, b := range p {
			s += b
		}
		return s
	}
	rom[6] = -sum(rom)
	before := bytes.Clone(rom)
	got := forVirtioNet(rom)
	if !bytes.Equal(got[0x40:0x48], []byte("PCIR\xF4\x1A\x00\x10")) || sum(got) != 0 {
		t.Errorf("device % x, sum %#x", got[0x40:0x48], sum(got))
	}
	if !bytes.Equal(rom, before) {
		t.Error("the caller's ROM is changed")
	}
	other := bytes.Clone(before)
	other[0x44] = 0x86 // another vendor's
	for _, rom := range [][]byte{nil, {0x55, 0xAA}, make([]byte, 64), before[:0x45], other} {
		if got := forVirtioNet(rom); !bytes.Equal(got, rom) {
			t.Errorf("% x became % x", rom, got)
		}
	}
}
