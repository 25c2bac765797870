package vga

import (
	"encoding/binary"
	"image"
	"math/bits"
)

// line returns the memory of line y of a VBE mode, up to n bytes of it: an x
// offset can lead out of the memory.
func (d *display) line(y, n int) []byte {
	from := min(d.s.dispiStart()+y*d.s.lineBytes(), len(d.vram))
	return d.vram[from:min(from+n, len(d.vram))]
}

// drawLinear draws a VBE mode with a byte a pixel.
func (d *display) drawLinear(img *image.Paletted) {
	for y := range img.Rect.Dy() {
		copy(img.Pix[y*img.Stride:][:img.Stride], d.line(y, img.Stride))
	}
}

// drawPlanar draws a VBE mode with a bit in each plane a pixel.
func (d *display) drawPlanar(img *image.Paletted) {
	palette := d.s.attributePalette()
	skip := int(d.s.DISPI[dispiXOffset] & 7)
	width := img.Rect.Dx()
	line := make([]uint8, width+8)
	for y := range img.Rect.Dy() {
		mem := d.line(y, len(line)/8*planes)
		for i := 0; i+planes <= len(mem); i += planes {
			planarPixels(line[i*2:], [planes]uint8(mem[i:]), &palette)
		}
		copy(img.Pix[y*img.Stride:][:width], line[skip:])
	}
}

// drawTrueColour draws a VBE mode whose pixels are colours.
func (d *display) drawTrueColour(img *image.RGBA) {
	bytes := d.s.pixelBits() / 8
	for y := range img.Rect.Dy() {
		out := img.Pix[y*img.Stride:][:img.Stride]
		rest := d.s.convert(out, d.line(y, img.Rect.Dx()*bytes))
		for x := 0; x < len(rest); x += 4 {
			rest[x+3] = 0xFF // black, where there is no memory
		}
	}
}

// convert makes RGBA pixels of those in memory, and returns the part of out
// that mem was too short for. In big endian the bytes of a pixel are reversed.
//
//	           31   24 23   16 15    8 7     0
//	          +-------+-------+-------+-------+
//	32 bits   |       |  red  | green | blue  |
//	24 bits           |  red  | green | blue  |
//	                  +-------+-------+-------+
//	16 bits: red in 15:11, green in 10:5, blue in 4:0
//	15 bits: red in 14:10, green in 9:5, blue in 4:0
func (s *State) convert(out, mem []byte) []byte {
	put := binary.LittleEndian.PutUint32
	switch s.DISPI[dispiBPP] {
	case 32:
		for ; len(mem) >= 4; out, mem = out[4:], mem[4:] {
			v := binary.LittleEndian.Uint32(mem)
			if s.BigEndian {
				v = bits.ReverseBytes32(v)
			}
			put(out, rgba(v>>16, v>>8, v))
		}
	case 24:
		for ; len(mem) >= 3; out, mem = out[4:], mem[3:] {
			low, green, high := uint32(mem[0]), uint32(mem[1]), uint32(mem[2])
			if s.BigEndian {
				low, high = high, low
			}
			put(out, rgba(high, green, low))
		}
	case 15, 16:
		shift := s.DISPI[dispiBPP] - 15 // green has one bit more in 16
		for ; len(mem) >= 2; out, mem = out[4:], mem[2:] {
			v := binary.LittleEndian.Uint16(mem)
			if s.BigEndian {
				v = bits.ReverseBytes16(v)
			}
			green := fiveBits(v >> 5)
			if shift == 1 {
				green = uint32(v>>5&0x3F<<2 | v>>9&3)
			}
			put(out, rgba(fiveBits(v>>(10+shift)), green, fiveBits(v)))
		}
	}
	return out
}

// rgba puts the bytes of an opaque pixel of an image.RGBA together, of the low
// eight bits of its colours.
func rgba(red, green, blue uint32) uint32 {
	return red&0xFF | green&0xFF<<8 | blue&0xFF<<16 | 0xFF<<24
}

// fiveBits widens the low five bits to eight.
func fiveBits(v uint16) uint32 { return uint32(v&0x1F<<3 | v>>2&7) }
