package pci

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestROM(t *testing.T) {
	image := bytes.Repeat([]byte{0x55, 0xAA, 6}, 1000) // 3000 bytes in a BAR of 4096
	c, err := NewConfig(Header{Name: "card", Vendor: 1, Device: 2, Class: 0x020000})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AddROM(image); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, false)
	if err := r.bus.Add(c, 5, 0); err != nil {
		t.Fatal(err)
	}
	r.write(5, 0, RegROM, 4, 0xFFFFFFFE)
	if v := r.read(5, 0, RegROM, 4); v != 0xFFFFF000 {
		t.Errorf("the BAR's size: %#x, want 4096 bytes", -v)
	}
	const base = 0xF0000000
	r.write(5, 0, RegROM, 4, base|1)
	r.write(5, 0, RegCommand, 2, CommandMemory)
	read := func(offset uint64) uint32 {
		var data [4]byte
		r.memory.Read(base+offset, data[:])
		return binary.LittleEndian.Uint32(data[:])
	}
	r.memory.Write(base, []byte{1, 2, 3, 4})
	for offset, want := range map[uint64]uint32{0: 0x5506AA55, 2996: 0x06AA5506, 2998: 0xFFFF06AA, 4092: 0xFFFFFFFF} {
		if got := read(offset); got != want {
			t.Errorf("at %d: %#x, want %#x", offset, got, want)
		}
	}
}

func TestROMRefused(t *testing.T) {
	for name, image := range map[string][]byte{
		"empty": {}, "no signature": {0x55, 0x55, 1, 0}, "too large": append([]byte{0x55, 0xAA}, make([]byte, maxROM)...),
	} {
		c, err := NewConfig(Header{Name: "card"})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddROM(image); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
