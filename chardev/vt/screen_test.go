package vt

import (
	"strings"
	"testing"
)

func TestScreen(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want string // of a screen of 10 by 4
		x, y int
	}{
		"text":            {"hello", "hello", 5, 0},
		"lines":           {"one\r\ntwo\r\n", "one\ntwo", 0, 2},
		"line feed":       {"one\ntwo", "one\n   two", 6, 1},
		"backspace":       {"abc\b\bx\b\b\b\b", "axc", 0, 0},
		"tabs":            {"a\tb\tc", "a       bc", 9, 0},
		"wraps late":      {"0123456789", "0123456789", 9, 0},
		"wraps":           {"0123456789a", "0123456789\na", 1, 1},
		"wraps not":       {"\x1b[?7l0123456789ab", "012345678b", 9, 0},
		"scrolls":         {"1\r\n2\r\n3\r\n4\r\n5", "2\n3\n4\n5", 1, 3},
		"UTF-8":           {"Grüße €", "Grüße €", 7, 0},
		"no UTF-8":        {"a\xffb\xc3c", "a\ufffdb\ufffdc", 5, 0},
		"cut UTF-8":       {"a\xe2\x82\r\nb", "a\nb", 1, 1},
		"cursor":          {"\x1b[2;3Hx\x1b[Ay\x1b[2Bz\x1b[3Dw\x1b[Cv", "   y\n  x\n  w v", 5, 2},
		"cursor far":      {"\x1b[99;99Hx\x1b[99A\x1b[99Dy\x1b[99999999999Cz", "y        z\n\n\n         x", 9, 0},
		"column and row":  {"\x1b[5Gx\x1b[3dy\x1b[Ez\x1b[Fw", "    x\n\nw    y\nz", 1, 2},
		"erase line":      {"abcdef\x1b[4D\x1b[K", "ab", 2, 0},
		"erase to cursor": {"abcdef\x1b[4D\x1b[1K", "   def", 2, 0},
		"erase screen":    {"1\r\n2\r\n3\x1b[2;1H\x1b[J", "1", 0, 1},
		"erase above":     {"1\r\n2\r\n3\x1b[2;1H\x1b[1J", "\n\n3", 0, 1},
		"erase all":       {"1\r\n2\x1b[2Jx", "\n x", 2, 1},
		"erase some":      {"abcdef\x1b[1;2H\x1b[3X", "a   ef", 1, 0},
		"insert":          {"abcdef\x1b[1;2H\x1b[2@", "a  bcdef", 1, 0},
		"insert mode":     {"abc\r\x1b[4hxy\x1b[4lz", "xyzbc", 3, 0},
		"delete":          {"abcdef\x1b[1;2H\x1b[2P", "adef", 1, 0},
		"insert lines":    {"1\r\n2\r\n3\x1b[2;1H\x1b[L", "1\n\n2\n3", 0, 1},
		"delete lines":    {"1\r\n2\r\n3\x1b[1;1H\x1b[2M", "3", 0, 0},
		"region":          {"1\r\n2\r\n3\r\n4\x1b[2;3r\x1b[3;1H\nx", "1\n3\nx\n4", 1, 2},
		"reverse":         {"1\r\n2\x1b[H\x1bMx", "x\n1\n2", 1, 0},
		"origin":          {"\x1b[2;3r\x1b[?6h\x1b[2;2Hx\x1b[9;1Hy", "\n\nyx", 1, 2},
		"saved":           {"ab\x1b7\x1b[3;3Hx\x1b8c", "abc\n\n  x", 3, 0},
		"attributes":      {"\x1b[1;4;31;38;5;200;48;2;1;2;3mred\x1b[m.", "red.", 4, 0},
		"title":           {"\x1b]0;title\x07a\x1bPx\x1b\\b", "ab", 2, 0},
		"unknown":         {"a\x1b[>c\x1b[!pb\x1b(Bc\x1b=d\x1b[?2004he", "abcde", 5, 0},
		"cancelled":       {"a\x1b[12\x18b", "ab", 2, 0},
		"reset":           {"abc\x1b[31m\x1bcx", "x", 1, 0},
		"many parameters": {"\x1b[" + strings.Repeat("1;", 100) + "Hx", "x", 1, 0},
		"bad region":      {"\x1b[3;2rx", "x", 1, 0},
		"scroll far":      {"a\x1b[9999S\x1b[9999Tb", " b", 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(10, 4)
			for _, b := range []byte(test.text) { // in the smallest pieces
				if n, err := s.Write([]byte{b}); n != 1 || err != nil {
					t.Fatal(n, err)
				}
			}
			if got := s.String(); got != test.want {
				t.Errorf("screen %q, want %q", got, test.want)
			}
			if x, y := s.Cursor(); x != test.x || y != test.y {
				t.Errorf("cursor at %d, %d, want %d, %d", x, y, test.x, test.y)
			}
			sameRedrawn(t, s)
		})
	}
}

// sameRedrawn checks that a redrawn screen is the same.
func sameRedrawn(t *testing.T, s *Screen) {
	t.Helper()
	again := New(s.columns, s.rows)
	_, _ = again.Write([]byte("\x1b[2;3r\x1b[7;32mgarbage\x1b[?7l\x1b[4h"))
	_, _ = again.Write(s.Redraw(nil))
	for y := range s.cells {
		for x, want := range s.cells[y] {
			got := again.cells[y][x]
			if want.char == ' ' || want.char == 0 {
				want.char, got.char = 0, strippedBlank(got.char)
			}
			if got != want {
				t.Fatalf("redrawn, column %d of row %d is %+v, want %+v", x, y, got, want)
			}
		}
	}
	if again.attr != s.attr || again.top != s.top || again.bottom != s.bottom || again.insert != s.insert || again.noWrap != s.noWrap || again.origin != s.origin {
		t.Error("redrawn, another state")
	}
	if again.x != s.x || again.y != s.y {
		t.Errorf("redrawn, the cursor is at %d, %d; want %d, %d", again.x, again.y, s.x, s.y)
	}
}

func strippedBlank(r rune) rune {
	if r == ' ' {
		return 0
	}
	return r
}

func FuzzScreen(f *testing.F) {
	f.Add([]byte("a\x1b[2;3H\x1b[1;31mb\x1b[3;4r\x1b[9S\r\n\xe2\x82\xac\x1b[9999;1;2L"), 3, 2)
	f.Add([]byte("\x1b[?6h\x1b[2;3r\x1b[A\x1bM\x1bD\x1b[5P\x1b[5@"), 1, 1)
	f.Fuzz(func(t *testing.T, text []byte, columns, rows int) {
		s := New(1+columns&63, 1+rows&31)
		_, _ = s.Write(text)
		if x, y := s.Cursor(); x < 0 || y < 0 || x >= s.columns || y >= s.rows {
			t.Fatalf("the cursor is at %d, %d of %d by %d", x, y, s.columns, s.rows)
		}
		_ = s.String()
		s.parser = parser{}
		sameRedrawn(t, s)
	})
}

func BenchmarkWrite(b *testing.B) {
	s := New(80, 24)
	line := []byte("[    0.000000] Linux version 6.1.0, a line of an usual length as a kernel prints it\r\n")
	b.ReportAllocs()
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		_, _ = s.Write(line)
	}
}
