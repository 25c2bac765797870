package pci

import (
	"slices"
	"testing"
)

func TestShadowAreas(t *testing.T) {
	const kib = 1 << 10
	for _, tt := range []struct {
		name string
		pam  [7]uint8
		rom  uint64
		want []ShadowArea
	}{
		{"power-on", [7]uint8{}, 128 * kib, []ShadowArea{
			{0xC0000, 128 * kib, ShadowNothing, false}, {0xE0000, 128 * kib, ShadowROM, false},
		}},
		{"power-on, small ROM", [7]uint8{}, 64 * kib, []ShadowArea{
			{0xC0000, 192 * kib, ShadowNothing, false}, {0xF0000, 64 * kib, ShadowROM, false},
		}},
		{"no ROM", [7]uint8{}, 0, []ShadowArea{{0xC0000, 256 * kib, ShadowNothing, false}}},
		{"all ROM", [7]uint8{}, 256 * kib, []ShadowArea{{0xC0000, 256 * kib, ShadowROM, false}}},
		{"firmware at work", [7]uint8{0x30, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33}, 128 * kib, []ShadowArea{
			{0xC0000, 256 * kib, ShadowRAM, true},
		}},
		{"firmware done", [7]uint8{0x10, 0x11, 0x11, 0x31, 0x33, 0x33, 0x33}, 128 * kib, []ShadowArea{
			{0xC0000, 80 * kib, ShadowRAM, false}, {0xD4000, 112 * kib, ShadowRAM, true}, {0xF0000, 64 * kib, ShadowRAM, false},
		}},
		{"copying to itself", [7]uint8{0x20, 0x02, 0, 0, 0, 0, 0x20}, 128 * kib, []ShadowArea{
			{0xC0000, 16 * kib, ShadowNothing, true}, {0xC4000, 112 * kib, ShadowNothing, false},
			{0xE0000, 48 * kib, ShadowROM, false}, {0xEC000, 80 * kib, ShadowROM, true},
		}},
		{"bits that do not exist", [7]uint8{0xCF, 0xCC, 0xCC, 0xCC, 0xCC, 0xCC, 0xCC}, 128 * kib, []ShadowArea{
			{0xC0000, 128 * kib, ShadowNothing, false}, {0xE0000, 128 * kib, ShadowROM, false},
		}},
	} {
		if got := ShadowAreas(tt.pam, tt.rom); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// TestShadowAreasNibbles checks where each nibble belongs.
func TestShadowAreasNibbles(t *testing.T) {
	for i, start := range []uint64{
		0xC0000, 0xC4000, 0xC8000, 0xCC000, 0xD0000, 0xD4000, 0xD8000, 0xDC000, 0xE0000, 0xE4000, 0xE8000, 0xEC000,
	} {
		var pam [7]uint8
		pam[1+i/2] = pamReadRAM << (4 * (i & 1))
		areas := ShadowAreas(pam, 0)
		at := slices.IndexFunc(areas, func(a ShadowArea) bool { return a.Read == ShadowRAM })
		if at < 0 || areas[at].GPA != start || areas[at].Size != 16<<10 {
			t.Errorf("nibble %d of PAM1 to PAM6: %+v, want RAM at %#x", i, areas, start)
		}
	}
}

func FuzzShadowAreas(f *testing.F) {
	f.Add([]byte{0x30, 0x33, 0x11, 0x31, 0, 0, 0}, uint64(128<<10))
	f.Fuzz(func(t *testing.T, b []byte, rom uint64) {
		var pam [7]uint8
		copy(pam[:], b)
		areas := ShadowAreas(pam, rom%(257<<10))
		at := uint64(ShadowBase)
		for i, a := range areas {
			if a.GPA != at || a.Size == 0 || a.Size%(16<<10) != 0 {
				t.Fatalf("%+v is not at %#x", a, at)
			}
			if i > 0 && a.Read == areas[i-1].Read && a.WriteRAM == areas[i-1].WriteRAM {
				t.Fatalf("%+v is like its neighbour", a)
			}
			at += a.Size
		}
		if at != ShadowEnd {
			t.Fatalf("covered up to %#x", at)
		}
	})
}
