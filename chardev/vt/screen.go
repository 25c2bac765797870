// Package vt is a text screen that understands what a VT100 does, after its user
// guide and ECMA-48: the cursor, erasing, inserting and deleting, scrolling
// regions, tabs and character attributes, with text in UTF-8. It shows what a
// guest wrote to a console that nobody looked at.
//
// It has no keyboard, and answers no questions. Double-height lines, the line
// drawing character set, 132 columns and what later terminals added (mouse, the
// alternate screen, more than eight colours) are left out; their sequences are
// passed over.
package vt

import (
	"strings"
	"unicode/utf8"
)

// attributes are how a character looks.
type attributes struct {
	flags  uint8
	fg, bg uint8 // 1 more than the colour's number, 0 for the default
}

// bold is one of the flags, whose bits have the numbers of SGR.
const (
	bold = 1 << 1
)

// cell is a place for a character; the rune 0 is a blank.
type cell struct {
	char rune
	attr attributes
}

// cursor is what ESC 7 saves.
type cursor struct {
	x, y   int
	attr   attributes
	origin bool // rows count from the top of the scrolling region
}

// Screen is a text screen. It is for one goroutine at a time.
type Screen struct {
	columns, rows int
	cells         [][]cell // by row
	cursor
	saved       cursor
	wrapped     bool // the next character begins a new line
	noWrap      bool // unless this is set
	hidden      bool // the cursor
	insert      bool
	top, bottom int // the scrolling region, both within
	parser      parser
}

// New is a screen of a size in characters, from 1 by 1 on.
func New(columns, rows int) *Screen {
	s := &Screen{columns: columns, rows: rows, cells: make([][]cell, rows)}
	for y := range s.cells {
		s.cells[y] = make([]cell, columns)
	}
	s.reset()
	return s
}

// reset is the state at power-on.
func (s *Screen) reset() {
	s.cursor, s.saved = cursor{}, cursor{}
	s.wrapped, s.noWrap, s.hidden, s.insert = false, false, false, false
	s.top, s.bottom = 0, s.rows-1
	s.parser = parser{}
	s.erase(0, 0, s.columns, s.rows)
}

// Write shows text. It never fails.
func (s *Screen) Write(p []byte) (int, error) {
	for _, b := range p {
		s.parser.put(s, b)
	}
	return len(p), nil
}

// Cursor is where the next character goes, from 0.
func (s *Screen) Cursor() (column, row int) { return s.x, s.y }

// String is the text of the screen, line by line, without blanks at the ends and
// empty lines at the bottom.
func (s *Screen) String() string {
	var b strings.Builder
	for _, row := range s.cells {
		line := make([]rune, len(row))
		for x, c := range row {
			if line[x] = c.char; c.char == 0 {
				line[x] = ' '
			}
		}
		b.WriteString(strings.TrimRight(string(line), " "))
		b.WriteByte('\n')
	}
	return strings.TrimRight(b.String(), "\n")
}

// print shows a character at the cursor.
func (s *Screen) print(r rune) {
	if s.wrapped && !s.noWrap {
		s.x = 0
		s.lineFeed()
	}
	s.wrapped = false
	if s.insert {
		s.insertCells(1)
	}
	s.cells[s.y][s.x] = cell{r, s.attr}
	if s.x < s.columns-1 {
		s.x++
	} else {
		s.wrapped = true
	}
}

// move puts the cursor somewhere on the screen.
func (s *Screen) move(x, y int) {
	low, high := 0, s.rows-1
	if s.origin {
		low, high = s.top, s.bottom
	}
	s.x, s.y = min(max(x, 0), s.columns-1), min(max(y, low), high)
	s.wrapped = false
}

// vertical moves the cursor up or down, not across a margin it is within.
func (s *Screen) vertical(n int) {
	low, high := 0, s.rows-1
	if s.y >= s.top {
		low = s.top
	}
	if s.y <= s.bottom {
		high = s.bottom
	}
	s.y = min(max(s.y+n, low), high)
	s.wrapped = false
}

// lineFeed moves down, and scrolls at the bottom of the region.
func (s *Screen) lineFeed() {
	switch {
	case s.y == s.bottom:
		s.scroll(s.top, 1)
	case s.y < s.rows-1:
		s.y++
	}
	s.wrapped = false
}

// reverseLineFeed moves up, and scrolls at the top of the region.
func (s *Screen) reverseLineFeed() {
	switch {
	case s.y == s.top:
		s.scroll(s.top, -1)
	case s.y > 0:
		s.y--
	}
	s.wrapped = false
}

// scroll moves the lines from top to the end of the region up by n, or down by -n.
func (s *Screen) scroll(top, n int) {
	lines := s.cells[top : s.bottom+1]
	up := min(max(n, 0), len(lines))
	down := min(max(-n, 0), len(lines))
	for range up {
		first := lines[0]
		copy(lines, lines[1:])
		lines[len(lines)-1] = first
	}
	for range down {
		last := lines[len(lines)-1]
		copy(lines[1:], lines)
		lines[0] = last
	}
	if up > 0 {
		s.erase(0, s.bottom+1-up, s.columns, s.bottom+1)
	}
	if down > 0 {
		s.erase(0, top, s.columns, top+down)
	}
}

// erase clears from column x0 to before x1 and row y0 to before y1.
func (s *Screen) erase(x0, y0, x1, y1 int) {
	for _, row := range s.cells[y0:y1] {
		for x := x0; x < x1; x++ {
			row[x] = cell{attr: attributes{bg: s.attr.bg}}
		}
	}
}

// insertCells makes n blanks at the cursor; deleteCells takes n away.
func (s *Screen) insertCells(n int) {
	row := s.cells[s.y]
	n = min(n, s.columns-s.x)
	copy(row[s.x+n:], row[s.x:])
	s.erase(s.x, s.y, s.x+n, s.y+1)
}

func (s *Screen) deleteCells(n int) {
	row := s.cells[s.y]
	n = min(n, s.columns-s.x)
	copy(row[s.x:], row[s.x+n:])
	s.erase(s.columns-n, s.y, s.columns, s.y+1)
}

// tabStop is the distance of tabs.
const tabStop = 8

// Redraw appends to p what makes another terminal of this size or a greater one
// show the same.
func (s *Screen) Redraw(p []byte) []byte {
	p = append(p, "\x1b[r\x1b[?6l\x1b[4l\x1b[?7h\x1b[0m\x1b[H\x1b[2J"...)
	last := attributes{}
	for y, row := range s.cells {
		end := len(row)
		for end > 0 && row[end-1] == (cell{}) {
			end--
		}
		if end == 0 {
			continue
		}
		p = appendCSI(p, 'H', y+1)
		for _, c := range row[:end] {
			if c.attr != last {
				p = c.attr.append(p)
				last = c.attr
			}
			if c.char == 0 {
				c.char = ' '
			}
			p = utf8.AppendRune(p, c.char)
		}
	}
	p = appendCSI(p, 'r', s.top+1, s.bottom+1)
	y := s.y
	if s.origin {
		p = append(p, "\x1b[?6h"...)
		y = max(y-s.top, 0)
	}
	p = appendCSI(p, 'H', y+1, s.x+1)
	p = s.attr.append(p)
	for _, mode := range []struct {
		on       bool
		sequence string
	}{{s.insert, "\x1b[4h"}, {s.noWrap, "\x1b[?7l"}, {s.hidden, "\x1b[?25l"}, {!s.hidden, "\x1b[?25h"}} {
		if mode.on {
			p = append(p, mode.sequence...)
		}
	}
	return p
}
