package vga

import (
	"encoding/binary"
	"math/bits"

	"github.com/govmm/govmm/devices/bus"
)

const (
	planes    = 4
	planeSize = 1 << 16 // addresses
)

// addressing is how an address in the legacy window selects planes.
type addressing uint8

const (
	// sequential reaches all planes at the address.
	sequential addressing = iota
	// oddEven reaches planes 0 and 2 at even and 1 and 3 at odd addresses: a
	// character in plane 0 and its attribute in plane 1.
	oddEven
	// chain4 reaches the plane in the address's lowest two bits.
	chain4
)

// access is how the legacy window works at present, computed from the
// registers whenever they change.
type access struct {
	base, size uint64 // the part of the window that answers; 0 bytes for none
	linear     bool   // a VBE mode with bytes
	bank       uint64 // where base is in VRAM, in bytes if linear, else addresses
	limit      uint64 // addresses there are in a plane
	write      addressing
	read       addressing
	high       bool // odd/even puts bit 16 of the address in the place of bit 0
	plain      bool // bytes reach the planes as the CPU wrote them
}

// The memory map field of the miscellaneous graphics register.
var memoryMaps = [4]struct{ base, size uint64 }{
	{0, 0x20000},
	{0, 0x10000},
	{0x10000, 0x8000},
	{0x18000, 0x8000},
}

// changed computes access anew. mu is held.
func (v *VGA) changed() {
	s := &v.s
	// Drivers of VBE modes do not know of the RAM bit, which is the VGA's.
	ram := s.Misc&miscRAM != 0 || s.dispiEnabled()
	if v.vram == nil || !s.Enabled || !ram {
		v.access = access{}
		return
	}
	m := memoryMaps[s.Graphics[gfxMisc]>>gfxMiscMapShift&3]
	a := access{
		base:  m.base,
		size:  m.size,
		limit: planeSize,
		high:  m.size > planeSize && s.Graphics[gfxMisc]&gfxMiscChainOE != 0,
		plain: s.Graphics[gfxMode]&3 == 0 && s.Graphics[gfxRotate] == 0 &&
			s.Graphics[gfxEnableSetReset] == 0 && s.Graphics[gfxBitMask] == 0xFF,
	}
	switch {
	case s.dispiEnabled():
		a.read, a.write = sequential, sequential
		a.linear = s.DISPI[dispiBPP] != 4
		a.bank = uint64(s.DISPI[dispiBank]) << 16
		a.limit = uint64(len(v.vram)) / planes
	case s.Sequencer[seqMode]&seqModeChain4 != 0:
		a.read, a.write = chain4, chain4
	default:
		if s.Graphics[gfxMode]&gfxModeOddEven != 0 {
			a.read = oddEven
		}
		if s.Sequencer[seqMode]&seqModeSequential == 0 {
			a.write = oddEven
		}
	}
	v.access = a
}

// locate gives the address in the planes, and the planes as a mask, that an
// address in the window reaches.
func (a *access) locate(how addressing, addr uint64) (at uint64, mask uint8) {
	mask = 0x0F
	switch how {
	case oddEven:
		mask = 0x05 << (addr & 1)
		addr &^= 1
		if a.high {
			addr |= addr >> 16 & 1
		}
	case chain4:
		mask = 1 << (addr & 3)
		addr = addr&^3 | addr>>16&3
	}
	return (a.bank + addr) & (a.limit - 1), mask
}

// Window is the handler of the legacy memory window, LegacyBase.
func (v *VGA) Window() bus.Handler { return window{v} }

type window struct{ v *VGA }

// Read reads bytes, lowest address first: each one loads the latches anew.
func (w window) Read(offset uint64, data []byte) {
	v := w.v
	v.mu.Lock()
	defer v.mu.Unlock()
	a := &v.access
	for i := range data {
		addr := offset + uint64(i) - a.base
		switch {
		case addr >= a.size:
			data[i] = 0xFF
		case a.linear:
			data[i] = v.vram[a.bank+addr]
		default:
			at, mask := a.locate(a.read, addr)
			data[i] = v.s.load(v.vram[at*planes:], mask)
		}
	}
}

// Write writes bytes, lowest address first.
func (w window) Write(offset uint64, data []byte) {
	v := w.v
	v.mu.Lock()
	defer v.mu.Unlock()
	a := &v.access
	for i, b := range data {
		addr := offset + uint64(i) - a.base
		switch {
		case addr >= a.size:
		case a.linear:
			v.vram[a.bank+addr] = b
		default:
			at, mask := a.locate(a.write, addr)
			mask &= v.s.Sequencer[seqMapMask]
			p := v.vram[at*planes : at*planes+planes]
			if !a.plain {
				v.s.store(p, mask, b)
				continue
			}
			for ; mask != 0; mask &= mask - 1 {
				p[bits.TrailingZeros8(mask)&3] = b
			}
		}
	}
}

// load reads the four planes at p into the latches, and returns what the read
// mode makes of those in mask: the byte of a plane, or the pixels that have
// the colour looked for.
func (s *State) load(p []byte, mask uint8) uint8 {
	g := &s.Graphics
	s.Latch = binary.LittleEndian.Uint32(p)
	if g[gfxMode]&gfxModeRead1 != 0 {
		diff := (s.Latch ^ spread(g[gfxColourCompare])) & spread(g[gfxDontCare])
		diff |= diff >> 16
		return ^uint8(diff | diff>>8)
	}
	plane := g[gfxReadMap]
	switch {
	case mask == 0x0F:
	case mask&(mask-1) == 0: // chain 4
		plane = uint8(bits.TrailingZeros8(mask))
	default: // odd/even chooses bit 0 of the plane
		plane = plane&2 | uint8(bits.TrailingZeros8(mask))
	}
	return uint8(s.Latch >> (8 * plane))
}

// store writes a byte to the planes in mask through the graphics controller
// (FreeVGA, "Writing to display memory").
func (s *State) store(p []byte, mask, b uint8) {
	g := &s.Graphics
	count := int(g[gfxRotate] & 7)
	keep := g[gfxBitMask] // bits that come from the CPU rather than the latches
	var value uint32
	switch g[gfxMode] & 3 {
	case 0:
		enable := spread(g[gfxEnableSetReset])
		value = repeat(bits.RotateLeft8(b, -count))&^enable | spread(g[gfxSetReset])&enable
	case 1:
		merge(p, s.Latch, spread(mask))
		return
	case 2:
		value = spread(b)
	case 3:
		keep &= bits.RotateLeft8(b, -count)
		value = spread(g[gfxSetReset])
	}
	switch g[gfxRotate] >> 3 {
	case 1:
		value &= s.Latch
	case 2:
		value |= s.Latch
	case 3:
		value ^= s.Latch
	}
	chosen := repeat(keep)
	merge(p, value&chosen|s.Latch&^chosen, spread(mask))
}

// merge writes the bits of value in mask.
func merge(p []byte, value, mask uint32) {
	old := binary.LittleEndian.Uint32(p)
	binary.LittleEndian.PutUint32(p, old&^mask|value&mask)
}

// spread makes a byte of ones of each of the four low bits.
func spread(b uint8) uint32 { return uint32(b&0x0F) * 0x00204081 & 0x01010101 * 0xFF }

// repeat puts b in all four planes.
func repeat(b uint8) uint32 { return uint32(b) * 0x01010101 }
