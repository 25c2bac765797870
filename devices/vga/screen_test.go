package vga

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"strings"
	"sync"
	"testing"
)

// picture is the screen through a PNG file.
func picture(t *testing.T, r *rig) image.Image {
	t.Helper()
	var file bytes.Buffer
	if err := r.vga.WritePNG(&file); err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(&file)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func pixel(img image.Image, x, y int) color.RGBA {
	return color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)
}

// dacColour is testColour as it comes out of the DAC.
func dacColour(i int) color.RGBA {
	widen := func(v uint8) uint8 { return v<<2 | v>>4 }
	r, g, b := testColour(i)
	return color.RGBA{widen(r), widen(g), widen(b), 0xFF}
}

func wantPixels(t *testing.T, img image.Image, size image.Point, want func(x, y int) color.RGBA) {
	t.Helper()
	if img.Bounds().Size() != size {
		t.Fatalf("the picture has %v, want %v", img.Bounds().Size(), size)
	}
	for y := range size.Y {
		for x := range size.X {
			if got := pixel(img, x, y); got != want(x, y) {
				t.Fatalf("(%d,%d) is %v, want %v", x, y, got, want(x, y))
			}
		}
	}
}

// smallText is 4 columns and 2 rows of 4 lines.
func smallText(r *rig) {
	text80x25.set(r)
	r.in(0x3DA, 1)
	indexed(r, 0x3D4, 0x11, 0x0E)
	indexed(r, 0x3D4, 0x01, 3)
	indexed(r, 0x3D4, 0x07, 0x10) // display end and line compare below 256
	indexed(r, 0x3D4, 0x09, 0x43)
	indexed(r, 0x3D4, 0x12, 7)
	indexed(r, 0x3D4, 0x13, 2)
	indexed(r, 0x3D4, 0x0A, 0x20)
}

// TestTextPicture compares pictures of text with drawings. A dot is drawn as
// the colour of its attribute in hexadecimal.
func TestTextPicture(t *testing.T) {
	font := make([]byte, 2*256*32)
	copy(font['A'*32:], []byte{0x18, 0x24, 0x7E, 0x81})
	copy(font[0xC4*32:], []byte{0, 0xFF, 0, 0})
	copy(font[0xB0*32:], []byte{0x55, 0xAA, 0x55, 0xAA})
	copy(font[256*32+'A'*32:], []byte{0xFF, 0, 0, 0xFF}) // the second font
	text := "A\x1F\xC4\x07\xB0\x02A\x8C" + " \x10A\x09\xC4\x2E\x00\x70"

	for _, tt := range []struct {
		name string
		set  func(r *rig)
		want string
	}{
		{"nine dots", func(*rig) {}, `
111FF1111 000000000 020202020 000CC0000
11F11F111 777777777 202020200 00C00C000
1FFFFFF11 000000000 020202020 0CCCCCC00
F111111F1 000000000 202020200 C000000C0
111111111 000990000 222222222 777777777
111111111 009009000 EEEEEEEEE 777777777
111111111 099999900 222222222 777777777
111111111 900000090 222222222 777777777`},
		{"eight dots, bright backgrounds", func(r *rig) {
			indexed(r, 0x3C4, 1, 1)
			attribute(r, 0x10, 0x04)
			r.out(0x3C0, 1, 0x20)
		}, `
111FF111 00000000 02020202 888CC888
11F11F11 77777777 20202020 88C88C88
1FFFFFF1 00000000 02020202 8CCCCCC8
F111111F 00000000 20202020 C888888C
11111111 00099000 22222222 77777777
11111111 00900900 EEEEEEEE 77777777
11111111 09999990 22222222 77777777
11111111 90000009 22222222 77777777`},
		{"second font for bright characters", func(r *rig) { indexed(r, 0x3C4, 3, 0x20) }, `
FFFFFFFF1 000000000 020202020 CCCCCCCC0
111111111 777777777 202020200 000000000
111111111 000000000 020202020 000000000
FFFFFFFF1 000000000 202020200 CCCCCCCC0
111111111 999999990 222222222 777777777
111111111 000000000 222222222 777777777
111111111 000000000 222222222 777777777
111111111 999999990 222222222 777777777`},
		{"cursor and scrolling", func(r *rig) {
			indexed(r, 0x3D4, 0x0A, 2)
			indexed(r, 0x3D4, 0x0B, 3)
			indexed(r, 0x3D4, 0x0F, 6)
			indexed(r, 0x3D4, 0x0D, 4)
		}, `
111111111 000990000 222222222 777777777
111111111 009009000 EEEEEEEEE 777777777
111111111 099999900 EEEEEEEEE 777777777
111111111 900000090 EEEEEEEEE 777777777
000000000 000000000 000000000 000000000
000000000 000000000 000000000 000000000
000000000 000000000 000000000 000000000
000000000 000000000 000000000 000000000`},
		{"panned by two dots and a line", func(r *rig) {
			attribute(r, 0x13, 1)
			r.out(0x3C0, 1, 0x20)
			indexed(r, 0x3D4, 0x08, 1)
		}, `
F11F11177 777777720 202020000 C00C00011
FFFFF1100 000000002 02020200C CCCCC0011
11111F100 000000020 2020200C0 00000C011
111111100 099000022 222222277 777777700
111111100 9009000EE EEEEEEE77 777777700
111111109 999990022 222222277 777777700
111111190 000009022 222222277 777777700
000000000 000000000 000000000 000000000`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, Options{})
			smallText(r)
			loadFont(r, font)
			r.write(0xB8000, []byte(text))
			tt.set(r)
			palette := map[color.RGBA]byte{}
			for i, v := range egaPalette {
				palette[dacColour(int(v))] = "0123456789ABCDEF"[i]
			}
			img := picture(t, r)
			dots := 9
			if tt.name[0] == 'e' {
				dots = 8
			}
			var got strings.Builder
			for y := range img.Bounds().Dy() {
				got.WriteByte('\n')
				for x := range img.Bounds().Dx() {
					if x > 0 && x%dots == 0 {
						got.WriteByte(' ')
					}
					got.WriteByte(palette[pixel(img, x, y)])
				}
			}
			if got.String() != tt.want {
				t.Errorf("the picture is%s\nwant%s", got.String(), tt.want)
			}
		})
	}
}

func TestUnderline(t *testing.T) {
	r := newRig(t, Options{})
	mono80x25.set(r)
	indexed(r, 0x3B4, 0x0A, 0x20)
	attribute(r, 0x10, 0x0E)
	r.in(0x3BA, 1)
	for i, v := range mono80x25.attribute {
		r.in(0x3BA, 1)
		r.out(0x3C0, 1, uint32(i))
		r.out(0x3C0, 1, uint32(v))
	}
	r.out(0x3C0, 1, 0x20)
	for i, v := range mono80x25.crtc {
		if i != 0x0A {
			indexed(r, 0x3B4, uint8(i), v)
		}
	}
	r.write(0xB0000, []byte(" \x01 \x07"))
	img := picture(t, r)
	for y := range 16 {
		want := dacColour(0)
		if y == 13 {
			want = dacColour(8)
		}
		if got := pixel(img, 0, y); got != want {
			t.Errorf("line %d of an underlined blank is %v, want %v", y, got, want)
		}
		if got := pixel(img, 9, y); got != dacColour(0) {
			t.Errorf("line %d of a plain blank is %v", y, got)
		}
	}
}

func TestGraphicsPictures(t *testing.T) {
	rnd := newRand()
	t.Run("CGA 320x200", func(t *testing.T) {
		r := newRig(t, Options{})
		cga320x200.set(r)
		mem := randomBytes(rnd, 0x4000)
		r.write(0xB8000, mem)
		wantPixels(t, picture(t, r), image.Pt(640, 400), func(x, y int) color.RGBA {
			x, y = x/2, y/2
			v := mem[y%2*0x2000+y/2*80+x/4] >> (6 - x%4*2) & 3
			return dacColour(int(cgaPalette[v]))
		})
	})
	t.Run("CGA 640x200", func(t *testing.T) {
		r := newRig(t, Options{})
		cga640x200.set(r)
		mem := randomBytes(rnd, 0x4000)
		r.write(0xB8000, mem)
		wantPixels(t, picture(t, r), image.Pt(640, 400), func(x, y int) color.RGBA {
			y /= 2
			v := mem[y%2*0x2000+y/2*80+x/8] >> (7 - x%8) & 1
			return dacColour(int(cgaPalette[v]))
		})
	})
	t.Run("planar 640x480", func(t *testing.T) {
		r := newRig(t, Options{})
		vga640x480.set(r)
		var mem [4][]byte
		for p := range mem {
			mem[p] = randomBytes(rnd, 38400)
			indexed(r, 0x3C4, 2, 1<<p)
			r.write(0xA0000, mem[p])
		}
		attribute(r, 0x12, 0x0B)
		r.out(0x3C0, 1, 0x20)
		wantPixels(t, picture(t, r), image.Pt(640, 480), func(x, y int) color.RGBA {
			v := 0
			for p := range mem {
				v |= int(mem[p][y*80+x/8]>>(7-x%8)&1) << p
			}
			return dacColour(int(egaPalette[v&0x0B]))
		})
	})
	t.Run("palette pages", func(t *testing.T) {
		r := newRig(t, Options{})
		vga640x480.set(r)
		indexed(r, 0x3C4, 2, 8) // colour 8
		r.write(0xA0000, []byte{0xFF})
		for _, tt := range []struct {
			mode, page uint8
			want       int
		}{{0x01, 0x0C, 0xC0 | 0x38}, {0x81, 0x05, 0x50 | 0x08}} {
			attribute(r, 0x10, tt.mode)
			attribute(r, 0x14, tt.page)
			r.out(0x3C0, 1, 0x20)
			if got := pixel(picture(t, r), 0, 0); got != dacColour(tt.want) {
				t.Errorf("colour 8 of page %#x is %v, want that of %#x", tt.page, got, tt.want)
			}
		}
	})
	t.Run("mode 13h", func(t *testing.T) {
		r := newRig(t, Options{})
		vga320x200.set(r)
		mem := randomBytes(rnd, 64000)
		r.write(0xA0000, mem)
		r.out(0x3C6, 1, 0x7F)
		wantPixels(t, picture(t, r), image.Pt(640, 400), func(x, y int) color.RGBA {
			return dacColour(int(mem[y/2*320+x/2] & 0x7F))
		})
	})
	t.Run("mode X, panned, with a split", func(t *testing.T) {
		r := newRig(t, Options{})
		modeX320x240.set(r)
		var mem [4][]byte
		for p := range mem {
			mem[p] = randomBytes(rnd, 65536)
			indexed(r, 0x3C4, 2, 1<<p)
			r.write(0xA0000, mem[p])
		}
		indexed(r, 0x3D4, 0x0C, 0x80)
		indexed(r, 0x3D4, 0x18, 0x8F) // line 399
		indexed(r, 0x3D4, 0x07, 0x3E)
		indexed(r, 0x3D4, 0x11, 0x2C)
		indexed(r, 0x3D4, 0x07, 0x3E)
		indexed(r, 0x3D4, 0x09, 0x01)
		attribute(r, 0x13, 4) // two pixels
		attribute(r, 0x10, 0x61)
		r.out(0x3C0, 1, 0x20)
		wantPixels(t, picture(t, r), image.Pt(640, 480), func(x, y int) color.RGBA {
			x, at := x/2+2, 0x8000
			if y > 399 {
				x, y, at = x-2, y-400, 0
			}
			return dacColour(int(mem[x%4][(at+y/2*80+x/4)%65536]))
		})
	})
}

func TestVBEPictures(t *testing.T) {
	const width, height, virtual = 64, 40, 80
	five := func(v uint16) uint8 { return uint8(v&31)<<3 | uint8(v&31)>>2 }
	for _, bpp := range []int{4, 8, 15, 16, 24, 32} {
		for _, big := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d bits, big endian %v", bpp, big), func(t *testing.T) {
				r := newRig(t, Options{})
				vga320x200.set(r)
				if big {
					r.write(testRegisters+0x604, []byte{0xBE, 0xBE, 0xBE, 0xBE})
				}
				const xoff, yoff = 11, 3
				for index, v := range []uint16{dispiXRes: width, dispiYRes: height, dispiBPP: uint16(bpp)} {
					dispi(r, uint16(index), v)
				}
				dispi(r, dispiEnable, dispiEnabled|dispiLFB)
				dispi(r, dispiVirtWidth, virtual)
				dispi(r, dispiXOffset, xoff)
				dispi(r, dispiYOffset, yoff)
				mem := randomBytes(newRand(), virtual*64*4)
				r.write(testFramebuffer, mem)
				wantPixels(t, picture(t, r), image.Pt(width, height), func(x, y int) color.RGBA {
					n := (y+yoff)*virtual + x + xoff
					bytes := max((bpp+1)/8, 1)
					p := append([]byte(nil), mem[n*bytes:][:bytes]...)
					if big {
						for i := range bytes / 2 {
							p[i], p[bytes-1-i] = p[bytes-1-i], p[i]
						}
					}
					switch bpp {
					case 4:
						v := 0
						for plane := range 4 {
							v |= int(mem[n/8*4+plane]>>(7-n%8)&1) << plane
						}
						return dacColour(v)
					case 8:
						return dacColour(int(p[0]))
					case 15:
						v := uint16(p[0]) | uint16(p[1])<<8
						return color.RGBA{five(v >> 10), five(v >> 5), five(v), 0xFF}
					case 16:
						v := uint16(p[0]) | uint16(p[1])<<8
						g := uint8(v>>5&63)<<2 | uint8(v>>9&3)
						return color.RGBA{five(v >> 11), g, five(v), 0xFF}
					}
					return color.RGBA{p[2], p[1], p[0], 0xFF}
				})
			})
		}
	}
}

func TestEightBitDAC(t *testing.T) {
	r := newRig(t, Options{})
	vga320x200.set(r)
	dispi(r, dispiXRes, 64)
	dispi(r, dispiYRes, 1)
	dispi(r, dispiBPP, 8)
	dispi(r, dispiEnable, dispiEnabled|dispiDAC8)
	r.out(0x3C8, 1, 7)
	for _, v := range []uint32{0xFE, 0x81, 0x03} {
		r.out(0x3C9, 1, v)
	}
	r.write(testFramebuffer, []byte{7})
	if got := pixel(picture(t, r), 0, 0); got != (color.RGBA{0xFE, 0x81, 0x03, 0xFF}) {
		t.Errorf("the colour is %v", got)
	}
}

func TestBlankScreen(t *testing.T) {
	r := newRig(t, Options{})
	picture(t, r) // before any mode is set, there is a picture, too
	vga320x200.set(r)
	r.write(0xA0000, bytes.Repeat([]byte{5}, 64000))
	for _, blank := range []func(){
		func() { r.in(0x3DA, 1); r.out(0x3C0, 1, 0) },
		func() { r.out(0x3C0, 1, 0x20); r.in(0x3DA, 1); r.out(0x3C0, 1, 0x20); indexed(r, 0x3C4, 1, 0x21) },
	} {
		blank()
		wantPixels(t, picture(t, r), image.Pt(640, 400), func(int, int) color.RGBA { return color.RGBA{A: 0xFF} })
	}
	indexed(r, 0x3C4, 1, 0x01)
	wantPixels(t, picture(t, r), image.Pt(640, 400), func(int, int) color.RGBA { return dacColour(5) })
}

func TestText(t *testing.T) {
	r := newRig(t, Options{})
	put := func(row, column int, s string) {
		for i, b := range []byte(s) {
			r.write(0xB8000+uint64(row*80+column+i)*2, []byte{b, 7})
		}
	}
	text80x25.set(r)
	put(0, 0, "C:\\> dir   ")
	put(2, 3, "\xC9\xCD\xBB \x01 \xE1\x80\xFF\x00")
	put(24, 79, "!")
	indexed(r, 0x3D4, 0x0E, 0)
	indexed(r, 0x3D4, 0x0F, 165)
	got, err := r.vga.Text()
	if err != nil {
		t.Fatal(err)
	}
	want := "C:\\> dir\n\n   ╔═╗ ☺ ßÇ" + strings.Repeat("\n", 22) + strings.Repeat(" ", 79) + "!"
	if got.String() != want {
		t.Errorf("the text is %q, want %q", got, want)
	}
	if len(got.Lines) != 25 || got.Columns != 80 {
		t.Errorf("%d lines of %d columns, want 25 of 80", len(got.Lines), got.Columns)
	}
	if got.CursorRow != 2 || got.CursorColumn != 5 || !got.CursorShown {
		t.Errorf("the cursor is at %d,%d, shown: %v; want 2,5, shown", got.CursorRow, got.CursorColumn, got.CursorShown)
	}

	indexed(r, 0x3D4, 0x0D, 160) // scrolled by two rows
	indexed(r, 0x3D4, 0x0A, 0x2D)
	indexed(r, 0x3D4, 0x0F, 10)
	if got, err = r.vga.Text(); err != nil {
		t.Fatal(err)
	}
	if got.Lines[0] != "   ╔═╗ ☺ ßÇ" || got.CursorRow != -1 || got.CursorColumn != -1 || got.CursorShown {
		t.Errorf("scrolled, line 0 is %q, the cursor at %d,%d, shown: %v", got.Lines[0], got.CursorRow, got.CursorColumn, got.CursorShown)
	}

	text40x25.set(r)
	if got, err = r.vga.Text(); err != nil || got.Columns != 40 || len(got.Lines) != 25 {
		t.Errorf("40 columns: %v, %v", got, err)
	}
	text80x50.set(r)
	if got, err = r.vga.Text(); err != nil || got.Columns != 80 || len(got.Lines) != 50 {
		t.Errorf("50 rows: %v, %v", got, err)
	}
	if size := picture(t, r).Bounds().Size(); size != image.Pt(640, 400) {
		t.Errorf("the picture of 80x50 is %v, want 640x400", size)
	}
	vga320x200.set(r)
	if _, err := r.vga.Text(); !errors.Is(err, ErrNotText) {
		t.Errorf("graphics: %v, want ErrNotText", err)
	}
}

// TestLargestScreens sees that a picture's memory follows that of the adapter.
func TestLargestScreens(t *testing.T) {
	for _, bpp := range []uint16{4, 8, 16, 32} {
		r := newRig(t, Options{VRAM: MinVRAM})
		vga320x200.set(r)
		dispi(r, dispiXRes, 0xFFFF)
		dispi(r, dispiYRes, 0xFFFF)
		dispi(r, dispiBPP, bpp)
		dispi(r, dispiEnable, dispiEnabled)
		dispi(r, dispiVirtWidth, 0xFFFF)
		dispi(r, dispiXOffset, 0xFFFF)
		var size int
		switch img := r.screen().(type) {
		case *image.Paletted:
			size = len(img.Pix)
		case *image.RGBA:
			size = len(img.Pix)
		}
		if size == 0 || size > 2*MinVRAM {
			t.Errorf("%d bits: the picture takes %d bytes, want at most %d", bpp, size, 2*MinVRAM)
		}
	}
}

// TestScreenWhileTheGuestDraws reads the screen from one side while the other
// one changes modes and memory; then the adapter is closed under it.
func TestScreenWhileTheGuestDraws(t *testing.T) {
	r := newRig(t, Options{VRAM: MinVRAM})
	var reader sync.WaitGroup
	started := make(chan struct{})
	var once sync.Once
	reader.Go(func() {
		for {
			_, _ = r.vga.Text()
			err := r.vga.WritePNG(io.Discard)
			once.Do(func() { close(started) })
			if err == ErrClosed {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	<-started
	for i := range 10 {
		for _, md := range []*mode{&text80x25, &vga640x480, &vga320x200} {
			md.set(r)
			r.write(0xA0000, bytes.Repeat([]byte{byte(i)}, 4096))
		}
		dispi(r, dispiXRes, 320)
		dispi(r, dispiYRes, 200)
		dispi(r, dispiBPP, 32)
		dispi(r, dispiEnable, dispiEnabled)
		r.write(testFramebuffer, bytes.Repeat([]byte{byte(i)}, 4096))
		dispi(r, dispiEnable, 0)
	}
	if err := r.vga.Close(); err != nil {
		t.Fatal(err)
	}
	reader.Wait()
}

type fullDisk struct{}

var errFull = errors.New("disk full")

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

func TestWritePNGFails(t *testing.T) {
	r := newRig(t, Options{})
	if err := r.vga.WritePNG(fullDisk{}); !errors.Is(err, errFull) {
		t.Errorf("WritePNG gives %v, want the writer's error", err)
	}
}
