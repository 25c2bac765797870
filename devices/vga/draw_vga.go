package vga

import "image"

const glyphSize = 32 // lines of a character in the font

// drawVGA draws a mode that the CRTC scans out, as indexes into the DAC.
func (d *display) drawVGA(img *image.Paletted) {
	s := &d.s
	r := s.raster()
	palette := s.attributePalette()
	line := make([]uint8, (r.columns+1)*r.dots) // panning shows part of one more
	var draw func(line []uint8, r *raster, palette *[16]uint8)
	switch {
	case !s.graphics():
		draw = d.textLine
	case s.Graphics[gfxMode]&gfxMode256 != 0:
		draw = d.line256
	case s.Graphics[gfxMode]&gfxModeCGA != 0:
		draw = d.lineCGA
	default:
		draw = d.linePlanar
	}
	for y := range r.lines {
		draw(line, &r, &palette)
		out := img.Pix[y*img.Stride:][:img.Stride]
		if r.double {
			for x := range out {
				out[x] = line[r.pan+x/2]
			}
		} else {
			copy(out, line[r.pan:])
		}
		r.next(y)
	}
}

// fetch returns the four planes at the address counter ma.
func (d *display) fetch(ma, rowScan int) (p [planes]uint8) {
	at := d.s.displayAddress(ma&(planeSize-1), rowScan) * planes
	return [planes]uint8(d.vram[at : at+planes])
}

// Attribute of a character:
//
//	   7     6    4   3    2    0
//	+-------+------+------+------+
//	| blink | back | font | fore |   blink and font are colours, too
//	+-------+------+------+------+

// textLine draws one line of a row of characters: code in plane 0, attribute
// in plane 1, fonts in plane 2.
func (d *display) textLine(line []uint8, r *raster, palette *[16]uint8) {
	s := &d.s
	mode := s.Attribute[attrMode]
	fonts := s.fonts()
	cursorAt, cursor := -1, false
	if first, last, on := s.cursorLines(); on {
		cursorAt, cursor = s.cursorAddress(), r.rowScan >= first && r.rowScan <= last
	}
	underline := mode&attrModeMono != 0 && r.rowScan == int(s.CRTC[crtcUnderline]&0x1F)
	for x := 0; len(line) >= r.dots; x, line = x+1, line[r.dots:] {
		ma := (r.start + x) & (planeSize - 1)
		cell := d.fetch(ma, r.rowScan)
		code, attr := cell[0], cell[1]
		at := fonts[attr>>3&1] + int(code)*glyphSize + r.rowScan
		glyph := uint16(d.vram[at*planes+2]) << 1
		if mode&attrModeLine != 0 && code >= 0xC0 && code <= 0xDF {
			glyph |= glyph >> 1 & 1
		}
		if cursor && ma == cursorAt || underline && attr&0x77 == 0x01 {
			glyph = 0x1FF
		}
		back := attr >> 4
		if mode&attrModeBlink != 0 {
			back &= 7
		}
		colours := [2]uint8{palette[back], palette[attr&0x0F]}
		for i := range line[:r.dots] {
			line[i] = colours[glyph>>(8-i)&1]
		}
	}
}

// fonts gives the addresses in plane 2 of the fonts for the characters without
// and with attribute bit 3 (character map select: B in bits 4, 1 and 0, A in
// bits 5, 3 and 2).
func (s *State) fonts() [2]int {
	v := int(s.Sequencer[seqFont])
	address := func(low, high int) int { return low&3*0x4000 + high&1*0x2000 }
	return [2]int{address(v, v>>4), address(v>>2, v>>5)}
}

// cursorLines gives the first and last line of the cursor; on is false when it
// does not show.
func (s *State) cursorLines() (first, last int, on bool) {
	start := s.CRTC[crtcCursorStart]
	first, last = int(start&0x1F), int(s.CRTC[crtcCursorEnd]&0x1F)
	return first, last, start&crtcCursorOff == 0 && first <= last
}

// linePlanar draws pixels of a bit in each plane.
func (d *display) linePlanar(line []uint8, r *raster, palette *[16]uint8) {
	for x := 0; len(line) >= 8; x, line = x+1, line[8:] {
		planarPixels(line, d.fetch(r.start+x, r.rowScan), palette)
	}
}

func planarPixels(line []uint8, p [planes]uint8, palette *[16]uint8) {
	for i := range line[:8] {
		bit := 7 - i
		line[i] = palette[p[0]>>bit&1|p[1]>>bit&1<<1|p[2]>>bit&1<<2|p[3]>>bit&1<<3]
	}
}

// lineCGA draws the interleaved shift mode: four pixels in two bits of planes 0
// and 2, then four of planes 1 and 3.
func (d *display) lineCGA(line []uint8, r *raster, palette *[16]uint8) {
	for x := 0; len(line) >= 8; x, line = x+1, line[8:] {
		p := d.fetch(r.start+x, r.rowScan)
		for i := range line[:8] {
			low, bit := i/4, 6-i%4*2
			line[i] = palette[p[low]>>bit&3|p[low+2]>>bit&3<<2]
		}
	}
}

// line256 draws pixels of a byte, each two dots wide; or, if the attribute
// controller does not put two nibbles together, a pixel each.
func (d *display) line256(line []uint8, r *raster, palette *[16]uint8) {
	pairs := d.s.Attribute[attrMode]&attrMode256 != 0
	for x := 0; len(line) >= 8; x, line = x+1, line[8:] {
		for i, v := range d.fetch(r.start+x, r.rowScan) {
			if pairs {
				line[2*i], line[2*i+1] = v, v
			} else {
				line[2*i], line[2*i+1] = palette[v>>4], palette[v&0x0F]
			}
		}
	}
}
