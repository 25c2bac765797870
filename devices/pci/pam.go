package pci

// The area that the programmable attribute map registers divide.
const (
	ShadowBase = 0xC0000
	ShadowEnd  = 0x100000
)

// Bits of one nibble of PAM.
const (
	pamReadRAM  = 1 << 0
	pamWriteRAM = 1 << 1
)

// ShadowSource is what a guest reads in a part of the shadow area.
type ShadowSource uint8

// The sources.
const (
	ShadowNothing ShadowSource = iota // nobody answers: 0xFF
	ShadowROM                         // the firmware's ROM
	ShadowRAM
)

func (s ShadowSource) String() string {
	switch s {
	case ShadowNothing:
		return "nothing"
	case ShadowROM:
		return "ROM"
	case ShadowRAM:
		return "RAM"
	}
	return "unknown source"
}

// ShadowArea is a part of the shadow area, Size bytes from guest-physical GPA.
// Both are multiples of 16 KiB.
type ShadowArea struct {
	GPA, Size uint64
	Read      ShadowSource
	// WriteRAM tells whether writes reach RAM. Else they are lost.
	WriteRAM bool
}

// ShadowAreas says what the seven PAM registers, PAM0 first, make of the area
// from ShadowBase to ShadowEnd, of which the last romSize bytes (a multiple of
// 16 KiB, at most 256 KiB) can also be read from ROM. The areas are sorted,
// cover everything, and no two neighbours are alike.
//
//	PAM0 high nibble  0xF0000  64 KiB
//	PAM1 low          0xC0000  16 KiB    high  0xC4000  16 KiB
//	...
//	PAM6 low          0xE8000  16 KiB    high  0xEC000  16 KiB
//
// (82441FX data sheet, section 3.2.19. At power-on all are 0.)
//
// Of the four kinds that a virtual machine monitor has to make, a memory slot
// that is backed by RAM (RAM, writable), a read-only slot (RAM or ROM, not
// writable) and none at all (nothing) are direct. The fourth, which firmware may
// use to copy itself to RAM, is a read-only slot with ROM behind it where the
// monitor carries out the writes in RAM.
func ShadowAreas(pam [7]uint8, romSize uint64) []ShadowArea {
	const unit = 16 << 10
	areas := make([]ShadowArea, 0, (ShadowEnd-ShadowBase)/unit)
	for gpa := uint64(ShadowBase); gpa < ShadowEnd; gpa += unit {
		nibble := pam[0] >> 4
		if gpa < 0xF0000 {
			i := (gpa - ShadowBase) / unit
			nibble = pam[1+i/2] >> (4 * (i & 1))
		}
		a := ShadowArea{GPA: gpa, Size: unit, WriteRAM: nibble&pamWriteRAM != 0}
		switch {
		case nibble&pamReadRAM != 0:
			a.Read = ShadowRAM
		case gpa+romSize >= ShadowEnd:
			a.Read = ShadowROM
		}
		if n := len(areas); n > 0 && areas[n-1].Read == a.Read && areas[n-1].WriteRAM == a.WriteRAM {
			areas[n-1].Size += unit
			continue
		}
		areas = append(areas, a)
	}
	return areas
}
