package vt

// obey does what a control sequence (ESC [ ... final) says.
func (s *Screen) obey(final, private byte, p []int) {
	if private != 0 {
		if private == '?' && (final == 'h' || final == 'l') {
			s.setPrivate(p, final == 'h')
		}
		return
	}
	n := max(p[0], 1) // most count from 1, and take 0 for it
	second := 1
	if len(p) > 1 {
		second = max(p[1], 1)
	}
	switch final {
	case 'A':
		s.vertical(-n)
	case 'B', 'e':
		s.vertical(n)
	case 'C', 'a':
		s.x, s.wrapped = min(s.x+n, s.columns-1), false
	case 'D':
		s.x, s.wrapped = max(s.x-n, 0), false
	case 'E':
		s.vertical(n)
		s.x = 0
	case 'F':
		s.vertical(-n)
		s.x = 0
	case 'G', '`':
		s.x, s.wrapped = min(n, s.columns)-1, false
	case 'H', 'f':
		s.moveTo(second-1, n-1)
	case 'd':
		s.moveTo(s.x, n-1)
	case 'J':
		s.eraseScreen(p[0])
	case 'K':
		s.eraseLine(p[0])
	case 'X':
		s.erase(s.x, s.y, min(s.x+n, s.columns), s.y+1)
	case '@':
		s.insertCells(n)
	case 'P':
		s.deleteCells(n)
	case 'L', 'M':
		s.shiftLines(n, final == 'L')
	case 'S':
		s.scroll(s.top, n)
	case 'T':
		s.scroll(s.top, -n)
	case 'h', 'l':
		for _, mode := range p {
			if mode == 4 {
				s.insert = final == 'h'
			}
		}
	case 'm':
		s.attr.set(p)
	case 'r':
		s.setRegion(p)
	case 's':
		s.saved = s.cursor
	case 'u':
		s.cursor, s.wrapped = s.saved, false
	}
}

// moveTo puts the cursor where a guest says, which may count from the top of the
// scrolling region.
func (s *Screen) moveTo(x, y int) {
	if s.origin {
		y += s.top
	}
	s.move(x, y)
}

func (s *Screen) eraseScreen(what int) {
	switch what {
	case 0:
		s.eraseLine(0)
		s.erase(0, s.y+1, s.columns, s.rows)
	case 1:
		s.erase(0, 0, s.columns, s.y)
		s.eraseLine(1)
	case 2, 3:
		s.erase(0, 0, s.columns, s.rows)
	}
}

func (s *Screen) eraseLine(what int) {
	from, to := 0, s.columns
	switch what {
	case 0:
		from = s.x
	case 1:
		to = s.x + 1
	}
	s.erase(from, s.y, to, s.y+1)
}

// shiftLines inserts or deletes lines at the cursor, within the scrolling region.
func (s *Screen) shiftLines(n int, insert bool) {
	if s.y < s.top || s.y > s.bottom {
		return
	}
	if insert {
		n = -n
	}
	s.scroll(s.y, n)
	s.x, s.wrapped = 0, false
}

// setRegion sets the scrolling region, of two lines at least.
func (s *Screen) setRegion(p []int) {
	top, bottom := max(p[0], 1)-1, s.rows-1
	if len(p) > 1 && p[1] != 0 {
		bottom = min(p[1], s.rows) - 1
	}
	if top < bottom {
		s.top, s.bottom = top, bottom
		s.moveTo(0, 0)
	}
}

// setPrivate sets or resets DEC's modes.
func (s *Screen) setPrivate(modes []int, on bool) {
	for _, mode := range modes {
		switch mode {
		case 6:
			s.origin = on
			s.moveTo(0, 0)
		case 7:
			s.noWrap = !on
		case 25:
			s.hidden = !on
		}
	}
}

// set obeys SGR, "select graphic rendition".
func (a *attributes) set(p []int) {
	for i := 0; i < len(p); i++ {
		switch v := p[i]; {
		case v == 0:
			*a = attributes{}
		case v == 1, v == 4, v == 5, v == 7:
			a.flags |= 1 << v
		case v == 22:
			a.flags &^= bold
		case v == 24, v == 25, v == 27:
			a.flags &^= 1 << (v - 20)
		case v >= 30 && v <= 37:
			a.fg = uint8(v - 30 + 1)
		case v >= 40 && v <= 47:
			a.bg = uint8(v - 40 + 1)
		case v == 39:
			a.fg = 0
		case v == 49:
			a.bg = 0
		case v >= 90 && v <= 97:
			a.fg = uint8(v - 90 + 1)
		case v >= 100 && v <= 107:
			a.bg = uint8(v - 100 + 1)
		case v == 38 || v == 48:
			// A colour of many follows: 5;N or 2;R;G;B.
			if i+1 < len(p) && p[i+1] == 5 {
				i += 2
			} else {
				i += 4
			}
		}
	}
}

// append appends the SGR that sets a.
func (a attributes) append(p []byte) []byte {
	list := []int{0}
	for _, v := range []int{1, 4, 5, 7} {
		if a.flags&(1<<v) != 0 {
			list = append(list, v)
		}
	}
	if a.fg != 0 {
		list = append(list, int(a.fg)-1+30)
	}
	if a.bg != 0 {
		list = append(list, int(a.bg)-1+40)
	}
	return appendCSI(p, 'm', list...)
}
