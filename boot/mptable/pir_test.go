package mptable

import (
	"strings"
	"testing"
)

// parsePIR checks the structure of a $PIR table and returns its slots.
func parsePIR(t testing.TB, table []byte) (pirHeader, []pirSlot) {
	t.Helper()
	h, rest := decode[pirHeader](t, table)
	if string(h.Signature[:]) != "$PIR" || h.Version != 0x0100 || int(h.Size) != len(table) || h.Size%16 != 0 {
		t.Fatalf("header %+v of a table of %d bytes", h, len(table))
	}
	if s := sum(table); s != 0 {
		t.Errorf("table sums to %#x", s)
	}
	var slots []pirSlot
	for len(rest) > 0 {
		var s pirSlot
		s, rest = decode[pirSlot](t, rest)
		slots = append(slots, s)
	}
	return h, slots
}

func TestPIR(t *testing.T) {
	table, err := BuildPIR(PIRConfig{})
	if err != nil {
		t.Fatal(err)
	}
	h, slots := parsePIR(t, table)
	if h.RouterBus != 0 || h.RouterDevFunc != 0x08 || h.RouterVendor != 0x8086 || h.RouterDevice != 0x122E || h.ExclusiveIRQs != 0 {
		t.Errorf("router %+v", h)
	}
	if len(slots) != 31 {
		t.Fatalf("%d slots, want 31", len(slots))
	}
	links := map[int][4]uint8{
		1:  {0x60, 0x61, 0x62, 0x63},
		2:  {0x61, 0x62, 0x63, 0x60},
		3:  {0x62, 0x63, 0x60, 0x61},
		4:  {0x63, 0x60, 0x61, 0x62},
		5:  {0x60, 0x61, 0x62, 0x63},
		31: {0x62, 0x63, 0x60, 0x61},
	}
	for i, s := range slots {
		slot := i + 1
		number := uint8(slot)
		if slot == 1 {
			number = 0 // on the board
		}
		if s.Bus != 0 || int(s.DevFunc) != slot<<3 || s.Slot != number {
			t.Errorf("slot %d: %+v", slot, s)
		}
		for pin, p := range s.Pins {
			if p.IRQs != 0x0E20 {
				t.Errorf("slot %d, pin %d: interrupts %#04x, want 0x0e20", slot, pin, p.IRQs)
			}
			if want, ok := links[slot]; ok && p.Link != want[pin] {
				t.Errorf("slot %d, pin %d: link %#x, want %#x", slot, pin, p.Link, want[pin])
			}
		}
	}
}

func TestPIRSlots(t *testing.T) {
	table, err := BuildPIR(PIRConfig{IRQs: 1 << 15, Slots: []int{3, 1}})
	if err != nil {
		t.Fatal(err)
	}
	_, slots := parsePIR(t, table)
	if len(slots) != 2 || slots[0].DevFunc != 3<<3 || slots[1].DevFunc != 1<<3 || slots[0].Pins[0].IRQs != 0x8000 {
		t.Errorf("slots %+v", slots)
	}
}

func TestPIRErrors(t *testing.T) {
	for _, test := range []struct {
		name string
		cfg  PIRConfig
		want string
	}{
		{"IRQ 8", PIRConfig{IRQs: 1<<8 | 1<<10}, "IRQs: 8"},
		{"slot 0", PIRConfig{Slots: []int{0}}, "Slots: 0"},
		{"slot 32", PIRConfig{Slots: []int{32}}, "Slots: 32"},
		{"slot below", PIRConfig{Slots: []int{-1}}, "Slots: -1"},
		{"slot twice", PIRConfig{Slots: []int{2, 2}}, "Slots: 2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := BuildPIR(test.cfg)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}
