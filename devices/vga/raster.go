package vga

// raster is the way of the CRTC through the screen in a VGA mode, line by
// line.
type raster struct {
	columns int // characters
	dots    int // of a character, before they are doubled
	double  bool
	lines   int

	maxScan    int
	doubleScan bool
	offset     int // from one row of characters to the next
	splitLine  int // the last one before the split
	splitPan   bool

	start   int // address counter at the start of the line
	rowScan int // the line within the row of characters
	repeat  bool
	pan     int // dots to the left
}

func (s *State) graphics() bool { return s.Graphics[gfxMisc]&gfxMiscGraphics != 0 }

func (s *State) raster() raster {
	r := raster{
		columns:    int(s.CRTC[crtcHDisplayEnd]) + 1,
		dots:       8,
		double:     s.Sequencer[seqClocking]&clockingHalf != 0,
		lines:      s.verticalDisplayEnd() + 1,
		maxScan:    int(s.CRTC[crtcMaxScan] & 0x1F),
		doubleScan: s.CRTC[crtcMaxScan]&crtcDoubleScan != 0,
		offset:     int(s.CRTC[crtcOffset]) * 2,
		splitLine:  s.lineCompare(),
		splitPan:   s.Attribute[attrMode]&attrModeSplitPan != 0,
		start:      s.startAddress() + int(s.CRTC[crtcPresetRow]>>5&3),
		rowScan:    int(s.CRTC[crtcPresetRow] & 0x1F),
		pan:        int(s.Attribute[attrPanning]),
	}
	if s.CRTC[crtcMode]&crtcModeHalfV != 0 {
		r.lines *= 2
		r.splitLine = r.splitLine*2 + 1
	}
	switch {
	case !s.graphics() && s.Sequencer[seqClocking]&clockingEightDots == 0:
		r.dots = 9
		r.pan = (r.pan + 1) % 9
	case s.graphics() && s.Graphics[gfxMode]&gfxMode256 != 0:
		r.pan &= 6 // whole pixels of two dots
	default:
		r.pan &= 7
	}
	return r
}

// width is in dots as they reach the monitor.
func (r *raster) width() int {
	if r.double {
		return r.columns * r.dots * 2
	}
	return r.columns * r.dots
}

// rowBegins reports whether the line is the first of a row of characters.
func (r *raster) rowBegins() bool { return r.rowScan == 0 && !r.repeat }

// next goes from line y to the next one.
func (r *raster) next(y int) {
	switch {
	case y == r.splitLine:
		r.start, r.rowScan, r.repeat = 0, 0, false
		if r.splitPan {
			r.pan = 0
		}
	case r.doubleScan && !r.repeat:
		r.repeat = true
	case r.rowScan == r.maxScan:
		r.rowScan, r.repeat = 0, false
		r.start = (r.start + r.offset) & (planeSize - 1)
	default:
		r.rowScan, r.repeat = (r.rowScan+1)&0x1F, false
	}
}
