package vga

import "strings"

// Text is the screen in a text mode.
type Text struct {
	// Lines are the rows from top to bottom, without blanks at their end.
	Lines   []string
	Columns int // characters in a row

	// CursorRow and CursorColumn count from 0; they are -1 when the cursor is
	// not on the screen.
	CursorRow, CursorColumn int
	CursorShown             bool
}

// String is the lines, without empty ones at the end.
func (t *Text) String() string {
	return strings.TrimRight(strings.Join(t.Lines, "\n"), "\n")
}

// Text reads the screen in a text mode, also while it is blanked. Characters
// are taken for those of code page 437, whatever the guest's font may be. The
// error is ErrNotText in a graphics mode, or ErrClosed.
func (v *VGA) Text() (*Text, error) {
	v.open.RLock()
	defer v.open.RUnlock()
	d, err := v.display()
	if err != nil {
		return nil, err
	}
	if d.s.dispiEnabled() || d.s.graphics() {
		return nil, ErrNotText
	}
	return d.text(), nil
}

func (d *display) text() *Text {
	r := d.s.raster()
	t := &Text{Columns: r.columns, CursorRow: -1, CursorColumn: -1}
	_, _, shown := d.s.cursorLines()
	var line strings.Builder
	for y := range r.lines {
		if y == 0 || r.rowBegins() {
			line.Reset()
			for x := range r.columns {
				ma := (r.start + x) & (planeSize - 1)
				line.WriteRune(codePage437[d.fetch(ma, r.rowScan)[0]])
				if t.CursorRow < 0 && ma == d.s.cursorAddress() {
					t.CursorRow, t.CursorColumn, t.CursorShown = len(t.Lines), x, shown
				}
			}
			t.Lines = append(t.Lines, strings.TrimRight(line.String(), " \u00A0"))
		}
		r.next(y)
	}
	return t
}

// codePage437 is the PC's character set with the pictures of its control
// codes. 0 is a blank.
var codePage437 = [256]rune([]rune("" +
	" ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼" +
	" !\"#$%&'()*+,-./0123456789:;<=>?" +
	"@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_" +
	"`abcdefghijklmnopqrstuvwxyz{|}~⌂" +
	"ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒ" +
	"áíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐" +
	"└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀" +
	"αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00A0"))
