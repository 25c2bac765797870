package vga

import (
	"image"
	"io"
	"testing"
)

func benchmarkWrites(b *testing.B, md *mode, offset uint64, size int) {
	r := newRig(b, Options{})
	md.set(r)
	w := r.vga.Window()
	data := []byte("A\x07B\x07C\x07D\x07")[:size]
	b.ReportAllocs()
	b.SetBytes(int64(size))
	for i := 0; b.Loop(); i++ {
		w.Write(offset+uint64(i%4000*8), data)
	}
}

func BenchmarkWriteText(b *testing.B)   { benchmarkWrites(b, &text80x25, 0x18000, 2) }
func BenchmarkWriteText8(b *testing.B)  { benchmarkWrites(b, &text80x25, 0x18000, 8) }
func BenchmarkWriteChain4(b *testing.B) { benchmarkWrites(b, &vga320x200, 0, 8) }
func BenchmarkWritePlanar(b *testing.B) {
	md := vga640x480
	md.graphics[gfxMode] = 2
	md.graphics[gfxRotate] = 3 << 3
	benchmarkWrites(b, &md, 0, 8)
}

func BenchmarkReadText(b *testing.B) {
	r := newRig(b, Options{})
	text80x25.set(r)
	w := r.vga.Window()
	data := make([]byte, 2)
	b.ReportAllocs()
	for b.Loop() {
		w.Read(0x18000, data)
	}
}

func BenchmarkWriteBank(b *testing.B) {
	r := newRig(b, Options{})
	enable(r, 1024, 768, 8)
	w := r.vga.Window()
	data := make([]byte, 8)
	b.ReportAllocs()
	b.SetBytes(8)
	for b.Loop() {
		w.Write(0x1000, data)
	}
}

func enable(r *rig, width, height, bpp uint16) {
	vga320x200.set(r)
	dispi(r, dispiXRes, width)
	dispi(r, dispiYRes, height)
	dispi(r, dispiBPP, bpp)
	dispi(r, dispiEnable, dispiEnabled|dispiLFB)
}

func BenchmarkImage(b *testing.B) {
	for _, tt := range []struct {
		name string
		set  func(r *rig)
	}{
		{"text", func(r *rig) { text80x25.set(r) }},
		{"planar", func(r *rig) { vga640x480.set(r) }},
		{"mode13h", func(r *rig) { vga320x200.set(r) }},
		{"1024x768x8", func(r *rig) { enable(r, 1024, 768, 8) }},
		{"1024x768x32", func(r *rig) { enable(r, 1024, 768, 32) }},
	} {
		b.Run(tt.name, func(b *testing.B) {
			r := newRig(b, Options{})
			tt.set(r)
			b.ReportAllocs()
			var img image.Image
			for b.Loop() {
				img = r.screen()
			}
			b.ReportMetric(float64(img.Bounds().Dx()*img.Bounds().Dy()), "pixels")
		})
	}
}

func BenchmarkText(b *testing.B) {
	r := newRig(b, Options{})
	text80x25.set(r)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.vga.Text(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWritePNG(b *testing.B) {
	r := newRig(b, Options{})
	enable(r, 1024, 768, 32)
	b.ReportAllocs()
	for b.Loop() {
		if err := r.vga.WritePNG(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
