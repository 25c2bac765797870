package vga

import (
	"testing"
	"time"
)

// TestRegisterBits writes ones and zeros to every indexed register.
func TestRegisterBits(t *testing.T) {
	for _, tt := range []struct {
		name  string
		port  uint64
		index uint8
		want  uint32
	}{
		{"reset", 0x3C4, 0, 0x03},
		{"clocking", 0x3C4, 1, 0x3D},
		{"map mask", 0x3C4, 2, 0x0F},
		{"font", 0x3C4, 3, 0x3F},
		{"memory mode", 0x3C4, 4, 0x0E},
		{"no such sequencer register", 0x3C4, 5, 0},
		{"set/reset", 0x3CE, 0, 0x0F},
		{"enable set/reset", 0x3CE, 1, 0x0F},
		{"colour compare", 0x3CE, 2, 0x0F},
		{"rotate", 0x3CE, 3, 0x1F},
		{"read map", 0x3CE, 4, 0x03},
		{"graphics mode", 0x3CE, 5, 0x7B},
		{"miscellaneous", 0x3CE, 6, 0x0F},
		{"don't care", 0x3CE, 7, 0x0F},
		{"bit mask", 0x3CE, 8, 0xFF},
		{"no such graphics register", 0x3CE, 9, 0},
		{"horizontal total", 0x3D4, 0, 0xFF},
		{"line compare", 0x3D4, 0x18, 0xFF},
		{"no such CRTC register", 0x3D4, 0x19, 0},
		{"far away CRTC register", 0x3D4, 0xFF, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, Options{})
			r.out(0x3C2, 1, 0x67)
			for _, v := range []uint8{0xFF, 0} {
				indexed(r, tt.port, tt.index, v)
				if got, want := r.in(tt.port+1, 1), tt.want&uint32(v); got != want {
					t.Errorf("%#x reads %#x, want %#x", v, got, want)
				}
			}
		})
	}
}

func TestPorts(t *testing.T) {
	r := newRig(t, Options{})
	for _, tt := range []struct {
		write    uint64
		v        uint32
		read     uint64
		want     uint32
		property string
	}{
		{0x3C2, 0xFF, 0x3CC, 0xEF, "miscellaneous output"},
		{0x3DA, 0xFF, 0x3CA, 0x0B, "feature control"},
		{0x3C4, 0xFF, 0x3C4, 0x07, "sequencer index"},
		{0x3CE, 0xFF, 0x3CE, 0x0F, "graphics index"},
		{0x3D4, 0xFF, 0x3D4, 0xFF, "CRTC index"},
		{0x3C6, 0x5A, 0x3C6, 0x5A, "DAC mask"},
		{0x3C3, 0xFF, 0x3C3, 0x01, "enable"},
		{0x3C1, 0xFF, 0x3C2, 0x10, "input status 0"},
		{0x3CB, 0xFF, 0x3CB, 0x00, "a port without a register"},
	} {
		r.out(tt.write, 1, tt.v)
		if got := r.in(tt.read, 1); got != tt.want {
			t.Errorf("%s reads %#x, want %#x", tt.property, got, tt.want)
		}
	}
}

func TestColourAndMonochromePorts(t *testing.T) {
	r := newRig(t, Options{})
	for _, tt := range []struct {
		misc           uint32
		answers, quiet uint64
	}{{0, 0x3B4, 0x3D4}, {1, 0x3D4, 0x3B4}} {
		r.out(0x3C2, 1, tt.misc)
		r.out(tt.answers, 2, 0x5A0E)
		r.out(tt.quiet, 2, 0x0F0F)
		if got := r.in(tt.answers, 2); got != 0x5A0E {
			t.Errorf("misc %d: port %#x reads %#x, want 0x5a0e", tt.misc, tt.answers, got)
		}
		if got := r.in(tt.quiet, 2); got != 0xFFFF {
			t.Errorf("misc %d: port %#x reads %#x, want ones", tt.misc, tt.quiet, got)
		}
		if got := r.in(tt.quiet+6, 1); got != 0xFF {
			t.Errorf("misc %d: the quiet status port reads %#x, want ones", tt.misc, got)
		}
	}
}

func TestDisabledAdapterIsDeaf(t *testing.T) {
	r := newRig(t, Options{})
	text80x25.set(r)
	r.write(0xB8000, []byte("A\x07"))
	r.out(0x3C3, 1, 0)
	r.out(0x3C6, 1, 0)
	r.write(0xB8000, []byte("B"))
	if got := r.in(0x3C6, 1); got != 0xFF {
		t.Errorf("a disabled adapter's port reads %#x, want ones", got)
	}
	if got := r.read(0xB8000, 1)[0]; got != 0xFF {
		t.Errorf("a disabled adapter's memory reads %#x, want ones", got)
	}
	r.out(0x3C3, 1, 1)
	if mask, cell := r.in(0x3C6, 1), r.read(0xB8000, 1)[0]; mask != 0xFF || cell != 'A' {
		t.Errorf("enabled again, the mask is %#x and the memory %q, want 0xff and 'A'", mask, cell)
	}
	r.out(0x3C2, 1, 0x65)
	if got := r.read(0xB8000, 1)[0]; got != 0xFF {
		t.Errorf("memory reads %#x without the RAM bit, want ones", got)
	}
}

func TestProtectedCRTCRegisters(t *testing.T) {
	r := newRig(t, Options{})
	r.out(0x3C2, 1, 0x67)
	for i := range uint8(8) {
		indexed(r, 0x3D4, i, 0x10+i)
	}
	indexed(r, 0x3D4, 0x11, 0x80)
	for i := range uint8(8) {
		indexed(r, 0x3D4, i, 0xEF)
	}
	indexed(r, 0x3D4, 8, 0x1F)
	s := r.vga.State()
	for i := range uint8(7) {
		if s.CRTC[i] != 0x10+i {
			t.Errorf("protected register %d is %#x, want %#x", i, s.CRTC[i], 0x10+i)
		}
	}
	if s.CRTC[7] != 0x07 {
		t.Errorf("the overflow register is %#x, want 0x07: bit 4 alone can be written", s.CRTC[7])
	}
	if s.CRTC[8] != 0x1F {
		t.Errorf("register 8 is %#x, want 0x1f", s.CRTC[8])
	}
}

func TestAttributeFlipFlop(t *testing.T) {
	r := newRig(t, Options{})
	r.out(0x3C2, 1, 1)
	r.in(0x3DA, 1)
	r.out(0x3C0, 1, 0x03)
	r.out(0x3C0, 1, 0x2A) // data
	r.out(0x3C0, 1, 0x33) // index, and the screen on
	r.in(0x3DA, 1)        // the next one is an index again
	r.out(0x3C0, 1, 0x23)
	if got := r.in(0x3C0, 1); got != 0x23 {
		t.Errorf("the index reads %#x, want 0x23", got)
	}
	if got := r.in(0x3C1, 1); got != 0x2A {
		t.Errorf("the data reads %#x, want 0x2a", got)
	}
	r.out(0x3C0, 1, 0x3F) // data
	if got := r.vga.State().Attribute[3]; got != 0x3F {
		t.Errorf("register 3 is %#x, want 0x3f", got)
	}
	attribute(r, 0x1F, 0xFF) // no such register
	if got := r.in(0x3C1, 1); got != 0 {
		t.Errorf("a register that does not exist reads %#x, want 0", got)
	}
}

func TestDAC(t *testing.T) {
	r := newRig(t, Options{})
	write := func(index uint32, v ...uint32) {
		r.out(0x3C8, 1, index)
		for _, b := range v {
			r.out(0x3C9, 1, b)
		}
	}
	read := func(index uint32, n int) (v []uint32) {
		r.out(0x3C7, 1, index)
		for range n {
			v = append(v, r.in(0x3C9, 1))
		}
		return v
	}
	same := func(got []uint32, want ...uint32) {
		t.Helper()
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("read % x, want % x", got, want)
				return
			}
		}
	}
	write(255, 0x11, 0x22, 0xFF, 1, 2, 3, 9, 9) // runs on to index 0; two components too few
	same(read(255, 6), 0x11, 0x22, 0x3F, 1, 2, 3)
	same(read(1, 3), 0, 0, 0)
	if got := r.in(0x3C7, 1); got != 3 {
		t.Errorf("the state is %d, want 3 for reading", got)
	}
	write(7)
	if state, index := r.in(0x3C7, 1), r.in(0x3C8, 1); state != 0 || index != 7 {
		t.Errorf("state %d, index %d; want 0 for writing, 7", state, index)
	}
	dispi(r, dispiEnable, dispiDAC8)
	write(9, 0xFF, 0x80, 0x41)
	same(read(9, 3), 0xFF, 0x80, 0x41)
}

func TestRetrace(t *testing.T) {
	r := newRig(t, Options{})
	vga640x480.set(r) // 800 dots by 525 lines at 25.175 MHz
	const frame = 800 * 525 * time.Second / 25_175_000
	var blank, retrace, samples int
	for range 4096 {
		v := r.in(0x3DA, 1)
		samples++
		if v&1 != 0 {
			blank++
		}
		if v&8 != 0 {
			retrace++
		}
		if v&8 != 0 && v&1 == 0 {
			t.Fatalf("status %#x: retrace while the display is enabled", v)
		}
		r.clock.Advance(frame / 4096)
	}
	near := func(what string, n int, want float64) {
		t.Helper()
		if got := float64(n) / float64(samples); got < want-0.01 || got > want+0.01 {
			t.Errorf("%s for %.3f of the frame, want %.3f", what, got, want)
		}
	}
	near("vertical retrace", retrace, 45.0/525)
	near("blank", blank, 1-640*480/(800.0*525))

	// The phase is exact after a long time, too.
	r = newRig(t, Options{})
	vga640x480.set(r)
	r.clock.Advance(1000 * 24 * time.Hour)
	first := r.in(0x3DA, 1) & 8
	for i := 0; r.in(0x3DA, 1)&8 == first; i++ {
		if i > 4096 {
			t.Fatal("the retrace bit does not change after 1000 days")
		}
		r.clock.Advance(frame / 4096)
	}
}

func TestReset(t *testing.T) {
	r := newRig(t, Options{})
	fresh := r.vga.State()
	vga320x200.set(r)
	dispi(r, dispiXRes, 640)
	dispi(r, dispiEnable, dispiEnabled)
	r.write(testFramebuffer+1000, []byte("kept"))
	r.vga.Reset()
	if got := r.vga.State(); got != fresh {
		t.Errorf("the state after a reset is %+v, want %+v", got, fresh)
	}
	if got := string(r.vga.VRAM()[1000:1004]); got != "kept" {
		t.Errorf("video memory is %q after a reset, want it kept", got)
	}
	if n := len(r.moves); n == 0 || r.moves[n-1] != 0 {
		t.Errorf("BAR 0 was told to be at %#x, want it unmapped at last", r.moves)
	}
}
