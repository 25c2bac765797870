package vga

import (
	"encoding/binary"

	"github.com/govmm/govmm/devices/bus"
)

// Registers of the Bochs VBE DISPI interface, 16 bits each.
const (
	dispiID         = 0x0
	dispiXRes       = 0x1 // pixels
	dispiYRes       = 0x2
	dispiBPP        = 0x3
	dispiEnable     = 0x4
	dispiBank       = 0x5 // 64 KiB of addresses
	dispiVirtWidth  = 0x6
	dispiVirtHeight = 0x7 // read-only: what the memory holds at that width
	dispiXOffset    = 0x8
	dispiYOffset    = 0x9
	dispiRegisters  = 0xA
	dispiMemory64K  = 0xA // read-only
)

// Enable register:
//
//	   7      6     5    4    2    1      0
//	+-------+-----+-----+------+------+--------+
//	| keep  | LFB | dac8|   0  | caps | enable |
//	+-------+-----+-----+------+------+--------+
//
// LFB is the guest's note to itself: the framebuffer is always in BAR 0, and
// the banks always in the legacy window.
const (
	dispiEnabled    = 1 << 0
	dispiGetCaps    = 1 << 1
	dispiDAC8       = 1 << 5
	dispiLFB        = 1 << 6
	dispiNoClear    = 1 << 7
	dispiEnableBits = dispiEnabled | dispiGetCaps | dispiDAC8 | dispiLFB | dispiNoClear
)

const (
	dispiFirstVersion = 0xB0C0
	dispiVersion      = 0xB0C5
	dispiMaxXRes      = 16000
	dispiMaxYRes      = 12000
	dispiMaxBPP       = 32
)

func (s *State) dispiEnabled() bool { return s.DISPI[dispiEnable]&dispiEnabled != 0 }
func (s *State) dac8Bit() bool      { return s.DISPI[dispiEnable]&dispiDAC8 != 0 }

// pixelBits is the memory a pixel takes.
func (s *State) pixelBits() int {
	if s.DISPI[dispiBPP] == 15 {
		return 16
	}
	return int(s.DISPI[dispiBPP])
}

// lineBytes is the distance of two lines in a VBE mode.
func (s *State) lineBytes() int { return int(s.DISPI[dispiVirtWidth]) * s.pixelBits() / 8 }

// readDISPI reads a register, or its largest value if the guest asks for that.
func (v *VGA) readDISPI(index uint16) uint16 {
	if index == dispiMemory64K {
		return uint16(len(v.vram) >> 16)
	}
	if index >= dispiRegisters {
		return 0
	}
	if v.s.DISPI[dispiEnable]&dispiGetCaps != 0 {
		switch index {
		case dispiXRes:
			return dispiMaxXRes
		case dispiYRes:
			return dispiMaxYRes
		case dispiBPP:
			return dispiMaxBPP
		}
	}
	return v.s.DISPI[index]
}

func (v *VGA) writeDISPI(index, value uint16) {
	if v.vram == nil {
		return
	}
	s := &v.s
	switch index {
	case dispiID:
		if value >= dispiFirstVersion && value <= dispiVersion {
			s.DISPI[index] = value
		}
	case dispiXRes, dispiYRes, dispiBPP, dispiVirtWidth, dispiXOffset, dispiYOffset:
		s.DISPI[index] = value
		s.clampDISPI(len(v.vram))
		s.mirrorDISPI()
	case dispiEnable:
		v.enableDISPI(value)
	case dispiBank:
		s.DISPI[index] = value & s.bankMask(len(v.vram))
	}
	v.changed()
}

// bankMask limits the bank; in planar modes an address is 4 bytes.
func (s *State) bankMask(vram int) uint16 {
	mask := uint16(vram>>16 - 1)
	if s.DISPI[dispiBPP] == 4 {
		mask >>= 2
	}
	return mask
}

// enableDISPI starts a VBE mode, with a clear screen unless the guest wants to
// keep it, or goes back to VGA.
func (v *VGA) enableDISPI(value uint16) {
	s := &v.s
	starts := value&dispiEnabled != 0 && !s.dispiEnabled()
	s.DISPI[dispiEnable] = value & dispiEnableBits
	s.DISPI[dispiBank] = 0
	if !starts {
		return
	}
	s.DISPI[dispiVirtWidth], s.DISPI[dispiXOffset], s.DISPI[dispiYOffset] = 0, 0, 0
	s.clampDISPI(len(v.vram))
	s.mirrorDISPI()
	if value&dispiNoClear == 0 {
		clear(v.vram[:int(s.DISPI[dispiYRes])*s.lineBytes()])
	}
}

// clampDISPI makes the mode one that exists: the guest cannot be told of an
// error, so it finds the nearest values in the registers. Everything that is
// shown lies within vram bytes then.
func (s *State) clampDISPI(vram int) {
	if !s.dispiEnabled() {
		return
	}
	r := &s.DISPI
	switch r[dispiBPP] {
	case 4, 8, 15, 16, 24, 32:
	default:
		r[dispiBPP] = 8
	}
	r[dispiXRes] = min(max(r[dispiXRes]&^7, 8), dispiMaxXRes)
	r[dispiVirtWidth] = min(max(r[dispiVirtWidth]&^7, r[dispiXRes]), dispiMaxXRes)
	line := s.lineBytes()
	lines := min(vram/line, 0xFFFF)
	r[dispiVirtHeight] = uint16(lines)
	r[dispiYRes] = min(max(r[dispiYRes], 1), dispiMaxYRes, uint16(lines))
	r[dispiXOffset] = min(r[dispiXOffset], dispiMaxXRes)
	r[dispiYOffset] = min(r[dispiYOffset], dispiMaxYRes)
	if s.dispiEnd() > vram {
		r[dispiYOffset] = 0
	}
	if s.dispiEnd() > vram {
		r[dispiXOffset] = 0
	}
	r[dispiBank] &= s.bankMask(vram)
}

// dispiStart is the first byte that is shown. A planar mode starts with a whole
// byte of each plane.
func (s *State) dispiStart() int {
	x := int(s.DISPI[dispiXOffset])
	if s.DISPI[dispiBPP] == 4 {
		x &^= 7
	}
	return x*s.pixelBits()/8 + int(s.DISPI[dispiYOffset])*s.lineBytes()
}

// dispiEnd is the end of the last line that is shown.
func (s *State) dispiEnd() int { return s.dispiStart() + int(s.DISPI[dispiYRes])*s.lineBytes() }

// mirrorDISPI keeps the VGA registers in agreement with a VBE mode, for video
// BIOSes and drivers that look there: graphics in 64 KiB at 0xA0000, without
// the addressing of older adapters, split screens or doubled lines.
func (s *State) mirrorDISPI() {
	if !s.dispiEnabled() {
		return
	}
	shift := uint8(gfxMode256)
	if s.DISPI[dispiBPP] == 4 {
		shift = 0
	}
	s.Graphics[gfxMode] = s.Graphics[gfxMode]&^(gfxModeCGA|gfxMode256) | shift
	s.Graphics[gfxMisc] = s.Graphics[gfxMisc]&^(3<<gfxMiscMapShift) | 1<<gfxMiscMapShift | gfxMiscGraphics
	c := &s.CRTC
	h := int(s.DISPI[dispiYRes]) - 1
	c[crtcMode] |= crtcModeA13 | crtcModeA14
	c[crtcOffset] = uint8(s.lineBytes() >> 3)
	c[crtcHDisplayEnd] = uint8(s.DISPI[dispiXRes]>>3 - 1)
	c[crtcVDisplayEnd] = uint8(h)
	c[crtcLineCompare] = 0xFF
	c[crtcOverflow] = c[crtcOverflow]&^0x42 | uint8(h>>8&1<<1|h>>9&1<<6) | overflowCompare8
	c[crtcMaxScan] = c[crtcMaxScan]&^(crtcDoubleScan|0x1F) | maxScanCompare9
}

// DISPIPorts is the handler of the VBE ports, DISPIPort. They are 16 bits
// wide: narrower accesses are not answered.
func (v *VGA) DISPIPorts() bus.Handler { return dispiPorts{v} }

type dispiPorts struct{ v *VGA }

func (p dispiPorts) Read(offset uint64, data []byte) {
	p.v.mu.Lock()
	defer p.v.mu.Unlock()
	for i := range data {
		data[i] = 0xFF
	}
	for i := 0; i+2 <= len(data); i += 2 {
		value := p.v.s.DISPIIndex
		if offset+uint64(i) != 0 {
			value = p.v.readDISPI(value)
		}
		binary.LittleEndian.PutUint16(data[i:], value)
	}
}

func (p dispiPorts) Write(offset uint64, data []byte) {
	p.v.mu.Lock()
	defer p.v.mu.Unlock()
	for i := 0; i+2 <= len(data); i += 2 {
		value := binary.LittleEndian.Uint16(data[i:])
		if offset+uint64(i) == 0 {
			p.v.s.DISPIIndex = value
		} else {
			p.v.writeDISPI(p.v.s.DISPIIndex, value)
		}
	}
}
