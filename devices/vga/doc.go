// Package vga models the standard PC display adapter of virtual machines: an
// IBM VGA with the Bochs VBE extensions, as the PCI function 1234:1111.
//
// Sources: IBM Personal System/2 hardware interface technical reference, video
// subsystem (1992); the FreeVGA documentation; the "QEMU Standard VGA"
// specification and the Bochs VBE DISPI interface; VESA E-EDID release A.
//
// Video memory holds the four planes of the VGA interleaved, which makes the
// linear framebuffer of VBE and the planes one and the same memory:
//
//	byte     0        1        2        3        4
//	      +--------+--------+--------+--------+--------+--
//	      |plane 0 |plane 1 |plane 2 |plane 3 |plane 0 |
//	      +--------+--------+--------+--------+--------+--
//	      |<----------- address 0 ----------->|<- address 1
//
// The planes have 64 Ki addresses each, the first 256 KiB of the memory; only
// 4-bit VBE modes reach further. A VBE mode of 8 bits a pixel or more sees
// plain bytes, through BAR 0 or 64 KiB at a time through the legacy window.
//
// The screen is read as text (Text) or as a picture (Image), in the size that
// the monitor would be sent, at any time, while the guest draws.
//
// Left out: what only tunes signals (skews, sync polarity, overscan, shift
// loads, blink phases: a picture shows blinking things lit), nine-dot graphics,
// interlacing, the vertical interrupt, the diagnostic bits of input status 1,
// the light pen, and the odd/even page bit, which matters only with less memory
// than any VGA has. The status bit of the vertical retrace covers all of the
// vertical blanking: the two lines of a real retrace pass between two polls of
// a guest whose every poll is an exit.
package vga

// Where the adapter is in the PC's address spaces. The machine registers
// Window, Ports, MonoPorts and DISPIPorts there; the rest is in its BARs.
const (
	LegacyBase = 0xA0000 // guest-physical
	LegacySize = 0x20000 // bytes

	Port  = 0x3C0 // attribute, sequencer, DAC, graphics; CRTC in colour
	Ports = 32
	// MonoPort is where the CRTC is in monochrome. A printer port may
	// follow its 12 ports.
	MonoPort  = 0x3B0
	MonoPorts = 12

	DISPIPort  = 0x1CE // index; data at 0x1CF and 0x1D0, all 16 bits wide
	DISPIPorts = 4
)

// Sizes of the video memory, in bytes.
const (
	DefaultVRAM = 16 << 20
	MinVRAM     = 1 << 20
	MaxVRAM     = 256 << 20
)
