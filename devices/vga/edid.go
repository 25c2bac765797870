package vga

// An EDID block (VESA E-EDID release A, section 3).
const (
	edidSize    = 128
	edidMaxSize = 4095 // pixels that a detailed timing can say

	edidDPI = 100
)

// newEDID describes a monitor that shows 640x480, 800x600, 1024x768 and the
// preferred resolution, all at 60 Hz.
//
//	0x00  header
//	0x08  manufacturer, product, serial number, date
//	0x12  version 1.4
//	0x14  digital input, size in cm, gamma, features
//	0x19  chromaticity
//	0x23  established timings, 0x26 standard timings
//	0x36  detailed timing, three descriptors
//	0x7E  no extensions, checksum
func newEDID(width, height int) (e [edidSize]byte) {
	copy(e[0x00:], []byte{0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x00})
	const manufacturer = ('G'-'@')<<10 | ('V'-'@')<<5 | ('M' - '@')
	e[0x08], e[0x09] = manufacturer>>8, manufacturer&0xFF
	e[0x0A], e[0x0B] = pciDevice&0xFF, pciDevice>>8
	e[0x10], e[0x11] = 0, 2024-1990          // week unknown, year
	e[0x12], e[0x13] = 1, 4                  // version and revision
	e[0x14] = 1<<7 | 2<<4                    // digital, 8 bits a colour
	e[0x15] = uint8(millimetres(width) / 10) // at most 104
	e[0x16] = uint8(millimetres(height) / 10)
	e[0x17] = 220 - 100   // gamma 2.2
	e[0x18] = 1<<2 | 1<<1 // sRGB; the first timing is preferred
	// The primaries and white point of sRGB, in 1024ths.
	copy(e[0x19:], []byte{0xEE, 0x91, 0xA3, 0x54, 0x4C, 0x99, 0x26, 0x0F, 0x50, 0x54})
	e[0x23] = 1<<5 | 1<<0 // 640x480 and 800x600 at 60 Hz
	e[0x24] = 1 << 3      // 1024x768 at 60 Hz
	for i := 0x26; i < 0x36; i++ {
		e[i] = 1 // standard timings that are not used
	}
	detailedTiming(e[0x36:0x48], width, height)
	// 50 to 125 Hz vertical, 30 to 160 kHz horizontal, up to 2550 MHz.
	copy(e[0x48:], []byte{0, 0, 0, 0xFD, 0, 50, 125, 30, 160, 255, 0x01, '\n', ' ', ' ', ' ', ' ', ' ', ' '})
	copy(e[0x5A:], "\x00\x00\x00\xFC\x00govmm\n       ")
	copy(e[0x6C:], []byte{0, 0, 0, 0x10}) // nothing
	for _, b := range e[:edidSize-1] {
		e[edidSize-1] -= b
	}
	return e
}

func millimetres(pixels int) int { return pixels * 254 / (edidDPI * 10) }

// detailedTiming is a timing at 60 Hz with the blanking of a flat panel
// (E-EDID, section 3.10.2). The clock saturates far beyond what is shown
// anywhere.
func detailedTiming(d []byte, width, height int) {
	const (
		hBlank, hFront, hSync = 160, 48, 32
		vBlank, vFront, vSync = 35, 3, 6
	)
	clock := min((width+hBlank)*(height+vBlank)*60/10_000, 0xFFFF) // 10 kHz
	mmWidth, mmHeight := millimetres(width), millimetres(height)
	high := func(a, b int) byte { return uint8(a>>8<<4 | b>>8) }
	copy(d, []byte{
		uint8(clock), uint8(clock >> 8),
		uint8(width), hBlank, high(width, hBlank),
		uint8(height), vBlank, high(height, vBlank),
		hFront, hSync, vFront<<4 | vSync, 0,
		uint8(mmWidth), uint8(mmHeight), high(mmWidth, mmHeight),
		0, 0,
		0x1E, // digital separate sync, both positive
	})
}
