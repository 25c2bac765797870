package vga

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
)

// Errors of reading the screen.
var (
	ErrClosed  = errors.New("vga: the adapter is closed")
	ErrNotText = errors.New("vga: the screen is not in a text mode")
)

// Image returns the screen as the monitor is sent it now: an *image.Paletted in
// all modes of up to 256 colours, else an *image.RGBA. A VGA mode has the size
// of its dots and lines, so that mode 13h gives 640x400 for its 320x200 pixels,
// and 80x25 characters 720x400. What is blanked is black. The guest keeps
// running, and what it draws meanwhile may be in the picture or not. The size is
// at most 16000x12000, and the memory twice that of the adapter, or 10 MB.
// The only error is ErrClosed.
func (v *VGA) Image() (image.Image, error) {
	v.open.RLock()
	defer v.open.RUnlock()
	d, err := v.display()
	if err != nil {
		return nil, err
	}
	return d.image(), nil
}

// WritePNG writes the screen as Image returns it in the PNG format.
func (v *VGA) WritePNG(w io.Writer) error {
	img, err := v.Image()
	if err != nil {
		return err
	}
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(w, img); err != nil {
		return fmt.Errorf("vga: write the screen: %w", err)
	}
	return nil
}

// display is what the screen is made of: the registers at one time, and the
// video memory, which goes on changing.
type display struct {
	s    State
	vram []byte
}

// display takes the registers. open is held, and as long as the memory is used.
func (v *VGA) display() (*display, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.vram == nil {
		return nil, ErrClosed
	}
	return &display{s: v.s, vram: v.vram}, nil
}

func (d *display) image() image.Image {
	size := d.size()
	switch {
	case d.blank():
		return image.NewPaletted(size, color.Palette{color.RGBA{A: 0xFF}})
	case !d.s.dispiEnabled():
		img := image.NewPaletted(size, d.palette())
		d.drawVGA(img)
		return img
	case d.s.pixelBits() > 8:
		img := image.NewRGBA(size)
		d.drawTrueColour(img)
		return img
	}
	img := image.NewPaletted(size, d.palette())
	if d.s.pixelBits() == 8 {
		d.drawLinear(img)
	} else {
		d.drawPlanar(img)
	}
	return img
}

func (d *display) size() image.Rectangle {
	s := &d.s
	if s.dispiEnabled() {
		return image.Rect(0, 0, int(s.DISPI[dispiXRes]), int(s.DISPI[dispiYRes]))
	}
	r := s.raster()
	return image.Rect(0, 0, r.width(), r.lines)
}

// blank reports whether the screen is off: by the attribute controller, which
// otherwise serves as a driver's screen saver, or by the sequencer.
func (d *display) blank() bool {
	s := &d.s
	return !s.Enabled || s.AttributeIndex&attrIndexDisplay == 0 ||
		s.Sequencer[seqClocking]&clockingOff != 0
}

// palette is the colours of the DAC, as the pixel mask lets them be reached.
func (d *display) palette() color.Palette {
	s := &d.s
	p := make(color.Palette, 256)
	for i := range p {
		c := s.DAC[uint8(i)&s.DACMask]
		if !s.dac8Bit() {
			for j, v := range c {
				c[j] = v<<2 | v>>4&3
			}
		}
		p[i] = color.RGBA{c[0], c[1], c[2], 0xFF}
	}
	return p
}

// attributePalette is where in the DAC the attribute controller looks for the
// 16 colours.
func (s *State) attributePalette() (p [16]uint8) {
	for i := range p {
		v := s.Attribute[uint8(i)&s.Attribute[attrPlaneEnable]&0x0F]
		colour := s.Attribute[attrColour]
		if s.Attribute[attrMode]&attrModePalette54 != 0 {
			p[i] = colour<<4 | v&0x0F
		} else {
			p[i] = colour&0x0C<<4 | v
		}
	}
	return p
}
