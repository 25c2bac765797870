package vga

import "time"

// CRTC registers.
const (
	crtcHTotal       = 0x00
	crtcHDisplayEnd  = 0x01
	crtcVTotal       = 0x06
	crtcOverflow     = 0x07
	crtcPresetRow    = 0x08 // bits 4:0 row, 6:5 byte panning
	crtcMaxScan      = 0x09 // bits 4:0, 6 line compare bit 9, 7 double scan
	crtcCursorStart  = 0x0A // bits 4:0, 5 off
	crtcCursorEnd    = 0x0B
	crtcStartHigh    = 0x0C
	crtcStartLow     = 0x0D
	crtcCursorHigh   = 0x0E
	crtcCursorLow    = 0x0F
	crtcVSyncEnd     = 0x11 // bit 7 protects registers 0 to 7
	crtcVDisplayEnd  = 0x12
	crtcOffset       = 0x13
	crtcUnderline    = 0x14 // bits 4:0 row, 6 doubleword addresses
	crtcMode         = 0x17
	crtcLineCompare  = 0x18
	crtcProtect      = 1 << 7
	crtcCursorOff    = 1 << 5
	crtcDoubleScan   = 1 << 7
	crtcDoubleWord   = 1 << 6
	overflowCompare8 = 1 << 4
	maxScanCompare9  = 1 << 6
)

// CRTC mode control register: where a bit of the display address comes from.
//
//	   7      6      5     4    3     2     1     0
//	+------+------+------+---+-----+-----+-----+-----+
//	| sync | byte | wrap | - | cnt | div | A14 | A13 |
//	+------+------+------+---+-----+-----+-----+-----+
const (
	crtcModeA13    = 1 << 0 // 0: address bit 13 is row scan bit 0
	crtcModeA14    = 1 << 1 // 0: address bit 14 is row scan bit 1
	crtcModeHalfV  = 1 << 2 // the vertical counter runs at half the line rate
	crtcModeWrap15 = 1 << 5 // word addresses: bit 0 is bit 15 rather than 13
	crtcModeByte   = 1 << 6
)

// writeCRTC writes the indexed register. The protected ones keep what the
// firmware set; only bit 8 of the line compare can still change.
func (s *State) writeCRTC(b uint8) {
	i := int(s.CRTCIndex)
	if i >= len(s.CRTC) {
		return
	}
	if i <= crtcOverflow && s.CRTC[crtcVSyncEnd]&crtcProtect != 0 {
		if i == crtcOverflow {
			s.CRTC[i] = s.CRTC[i]&^overflowCompare8 | b&overflowCompare8
		}
		return
	}
	s.CRTC[i] = b
}

// tenBits puts a vertical value together: bit 8 and 9 are in the overflow
// register.
func (s *State) tenBits(low int, bit8, bit9 uint) int {
	o := int(s.CRTC[crtcOverflow])
	return int(s.CRTC[low]) | o>>bit8&1<<8 | o>>bit9&1<<9
}

func (s *State) verticalTotal() int      { return s.tenBits(crtcVTotal, 0, 5) + 2 }
func (s *State) verticalDisplayEnd() int { return s.tenBits(crtcVDisplayEnd, 1, 6) }

func (s *State) lineCompare() int {
	return int(s.CRTC[crtcLineCompare]) |
		int(s.CRTC[crtcOverflow]&overflowCompare8)<<4 |
		int(s.CRTC[crtcMaxScan]&maxScanCompare9)<<3
}

func (s *State) startAddress() int {
	return int(s.CRTC[crtcStartHigh])<<8 | int(s.CRTC[crtcStartLow])
}

func (s *State) cursorAddress() int {
	return int(s.CRTC[crtcCursorHigh])<<8 | int(s.CRTC[crtcCursorLow])
}

// dots is the width of a character in dot clocks.
func (s *State) dots() int {
	n := 9
	if s.Sequencer[seqClocking]&clockingEightDots != 0 {
		n = 8
	}
	if s.Sequencer[seqClocking]&clockingHalf != 0 {
		n *= 2
	}
	return n
}

// displayAddress is the address in each plane that the CRTC fetches for its
// address counter ma in row rowScan of a character (IBM, "CRT mode control
// register"): byte, word or doubleword addresses, and the interleaved lines of
// the older adapters. The high bits of the counter that word and doubleword
// addresses shift out come in again below, as those of the CPU's do in odd/even
// and chain 4 (access.locate).
func (s *State) displayAddress(ma, rowScan int) int {
	mode := s.CRTC[crtcMode]
	a := ma
	switch {
	case s.CRTC[crtcUnderline]&crtcDoubleWord != 0:
		a = ma<<2 | ma>>14&3
	case mode&crtcModeByte != 0:
	case mode&crtcModeWrap15 != 0:
		a = ma<<1 | ma>>15&1
	default:
		a = ma<<1 | ma>>13&1
	}
	if mode&crtcModeA13 == 0 {
		a = a&^(1<<13) | rowScan&1<<13
	}
	if mode&crtcModeA14 == 0 {
		a = a&^(1<<14) | rowScan>>1&1<<14
	}
	return a & (planeSize - 1)
}

// Input status 1:
//
//	 7   6   5   4      3      2   1     0
//	+---+---+-------+--------+---+---+-------+
//	| 0   0 |   0   | retrace| 0   0 | blank |
//	+---+---+-------+--------+---+---+-------+
const (
	status1Blank   = 1 << 0
	status1Retrace = 1 << 3
)

// dotClocks are the frequencies that the miscellaneous output register chooses
// from, in Hz.
var dotClocks = [4]int64{25_175_000, 28_322_000, 25_175_000, 25_175_000}

// status1 is where the beam is at time t.
func (s *State) status1(t time.Duration) uint8 {
	columns, shown := int64(s.CRTC[crtcHTotal])+5, int64(s.CRTC[crtcHDisplayEnd])+1
	lines, visible := int64(s.verticalTotal()), int64(s.verticalDisplayEnd())+1
	if s.dispiEnabled() || columns <= shown || lines <= visible {
		// No VGA mode: the beam of 640x480.
		columns, shown, lines, visible = 100, 80, 525, 480
	}
	dots := int64(s.dots())
	hz := dotClocks[s.Misc>>miscClockShift&3]
	frame := columns * dots * lines // in dot clocks
	// The whole seconds do not matter after a frame, and would overflow.
	whole, rest := int64(t/time.Second), int64(t%time.Second)
	dot := (whole%frame*hz + rest*hz/int64(time.Second)) % frame
	switch line := dot / (columns * dots); {
	case line >= visible:
		return status1Blank | status1Retrace
	case dot/dots%columns >= shown:
		return status1Blank
	}
	return 0
}
