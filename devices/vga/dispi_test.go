package vga

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/devices/pci"
)

func TestDISPIIdentity(t *testing.T) {
	r := newRig(t, Options{VRAM: 32 << 20})
	if got := readDISPI(r, dispiID); got != 0xB0C5 {
		t.Errorf("the identity is %#x, want 0xb0c5", got)
	}
	for _, tt := range []struct{ write, want uint16 }{{0xB0C0, 0xB0C0}, {0xB0C4, 0xB0C4}, {0xB0C6, 0xB0C4}, {0, 0xB0C4}, {0xB0C5, 0xB0C5}} {
		dispi(r, dispiID, tt.write)
		if got := readDISPI(r, dispiID); got != tt.want {
			t.Errorf("identity %#x reads %#x, want %#x", tt.write, got, tt.want)
		}
	}
	if got := readDISPI(r, dispiMemory64K); got != 512 {
		t.Errorf("%d blocks of memory, want 512", got)
	}
	if got := readDISPI(r, 0xB); got != 0 {
		t.Errorf("a register that does not exist reads %#x", got)
	}
	r.out(0x1CE, 2, dispiID)
	if got := r.in(0x1CF, 2); got != 0xB0C5 {
		t.Errorf("port 0x1cf reads %#x, want 0xb0c5", got)
	}
	if got := r.in(0x1CE, 4); got != 0xB0C5<<16 {
		t.Errorf("both ports at once read %#x, want 0xb0c50000", got)
	}
	if got := r.in(0x1D0, 1); got != 0xFF {
		t.Errorf("a byte of the data port reads %#x, want ones", got)
	}
}

func TestDISPICapabilities(t *testing.T) {
	r := newRig(t, Options{})
	dispi(r, dispiXRes, 640)
	dispi(r, dispiEnable, dispiGetCaps)
	for index, want := range map[uint16]uint16{dispiXRes: 16000, dispiYRes: 12000, dispiBPP: 32} {
		if got := readDISPI(r, index); got != want {
			t.Errorf("the largest value of register %d is %d, want %d", index, got, want)
		}
	}
	dispi(r, dispiEnable, 0)
	if got := readDISPI(r, dispiXRes); got != 640 {
		t.Errorf("the width is %d, want 640", got)
	}
}

func TestDISPIClamps(t *testing.T) {
	type regs struct{ x, y, bpp, virt, xoff, yoff uint16 }
	for _, tt := range []struct {
		name      string
		set, want regs
		height    uint16
	}{
		{"as asked", regs{1024, 768, 32, 0, 0, 0}, regs{1024, 768, 32, 1024, 0, 0}, 4096},
		{"nothing", regs{}, regs{8, 1, 8, 8, 0, 0}, 65535},
		{"odd sizes", regs{1023, 767, 17, 1031, 3, 5}, regs{1016, 767, 8, 1024, 3, 5}, 16384},
		{"15 bits", regs{800, 600, 15, 0, 0, 0}, regs{800, 600, 15, 800, 0, 0}, 10485},
		{"too large", regs{65535, 65535, 32, 65535, 65535, 65535}, regs{16000, 262, 32, 16000, 0, 0}, 262},
		{"too large for 4 bits", regs{65535, 65535, 4, 0, 0, 0}, regs{16000, 2097, 4, 16000, 0, 0}, 2097},
		{"y offset beyond", regs{1024, 768, 32, 1024, 0, 3329}, regs{1024, 768, 32, 1024, 0, 0}, 4096},
		{"y offset at the end", regs{1024, 768, 32, 1024, 0, 3328}, regs{1024, 768, 32, 1024, 0, 3328}, 4096},
		{"x offset beyond", regs{1024, 4096, 32, 1024, 8, 0}, regs{1024, 4096, 32, 1024, 0, 0}, 4096},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, Options{})
			dispi(r, dispiXRes, tt.set.x)
			dispi(r, dispiYRes, tt.set.y)
			dispi(r, dispiBPP, tt.set.bpp)
			dispi(r, dispiEnable, dispiEnabled)
			dispi(r, dispiVirtWidth, tt.set.virt)
			dispi(r, dispiXOffset, tt.set.xoff)
			dispi(r, dispiYOffset, tt.set.yoff)
			get := func(i uint16) uint16 { return readDISPI(r, i) }
			got := regs{get(dispiXRes), get(dispiYRes), get(dispiBPP), get(dispiVirtWidth), get(dispiXOffset), get(dispiYOffset)}
			if got != tt.want {
				t.Errorf("the mode is %v, want %v", got, tt.want)
			}
			if h := get(dispiVirtHeight); h != tt.height {
				t.Errorf("the virtual height is %d, want %d", h, tt.height)
			}
		})
	}
}

func TestDISPIEnableClears(t *testing.T) {
	for _, tt := range []struct {
		name   string
		enable uint16
		want   byte
	}{{"clears", dispiEnabled, 0}, {"keeps", dispiEnabled | dispiNoClear, 0xAA}} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, Options{})
			for i := range r.vga.VRAM()[:1<<20] {
				r.vga.VRAM()[i] = 0xAA
			}
			dispi(r, dispiXRes, 640)
			dispi(r, dispiYRes, 480)
			dispi(r, dispiBPP, 8)
			dispi(r, dispiEnable, tt.enable)
			if got := r.vga.VRAM()[640*480-1]; got != tt.want {
				t.Errorf("the last pixel is %#x, want %#x", got, tt.want)
			}
			if got := r.vga.VRAM()[640*480]; got != 0xAA {
				t.Errorf("the byte after the screen is %#x, want it kept", got)
			}
		})
	}
}

func TestRegistersBAR(t *testing.T) {
	r := newRig(t, Options{})
	get := func(offset uint64, n int) uint64 {
		data := make([]byte, 8)
		copy(data, r.read(testRegisters+offset, n))
		return binary.LittleEndian.Uint64(data)
	}
	put := func(offset uint64, n int, v uint32) {
		r.write(testRegisters+offset, binary.LittleEndian.AppendUint32(nil, v)[:n])
	}
	put(0x402, 1, 0x67)
	put(0x414, 2, 0x5A0E)
	if got := get(0x414, 2); got != 0x5A0E {
		t.Errorf("the CRTC at 0x414 reads %#x, want 0x5a0e", got)
	}
	if got := r.in(0x3D4, 2); got != 0x5A0E {
		t.Errorf("its port reads %#x, want 0x5a0e", got)
	}
	put(0x502, 2, 800)
	put(0x504, 2, 600)
	put(0x506, 2, 32)
	put(0x508, 2, dispiEnabled|dispiLFB)
	if got := get(0x502, 2); got != 800 {
		t.Errorf("the width at 0x502 reads %d, want 800", got)
	}
	if got := get(0x514, 2); got != 256 {
		t.Errorf("the memory size at 0x514 reads %d, want 256", got)
	}
	if got := get(0x516, 2); got != 0 {
		t.Errorf("0x516 reads %#x, want 0", got)
	}
	if size, order := get(0x600, 4), get(0x604, 4); size != 8 || order != littleEndian {
		t.Errorf("the extended registers read %d and %#x", size, order)
	}
	put(0x604, 4, bigEndian)
	put(0x604, 4, 0x12345678)
	if got := get(0x604, 4); got != bigEndian {
		t.Errorf("the byte order reads %#x, want big endian", got)
	}
	if got := get(0xFF8, 8); got != 0 {
		t.Errorf("0xff8 reads %#x, want 0", got)
	}
}

func TestEDID(t *testing.T) {
	r := newRig(t, Options{PreferredWidth: 1920, PreferredHeight: 1080})
	e := r.read(testRegisters, 0x400)
	if !bytes.HasPrefix(e, []byte{0, 255, 255, 255, 255, 255, 255, 0}) {
		t.Errorf("the header is % x", e[:8])
	}
	var sum byte
	for _, b := range e[:128] {
		sum += b
	}
	if sum != 0 {
		t.Errorf("the sum is %#x, want 0", sum)
	}
	width, height := int(e[0x38])|int(e[0x3A]>>4)<<8, int(e[0x3B])|int(e[0x3D]>>4)<<8
	if width != 1920 || height != 1080 {
		t.Errorf("the preferred timing is %dx%d, want 1920x1080", width, height)
	}
	if len(bytes.Trim(e[128:], "\x00")) != 0 {
		t.Error("there is something behind the block")
	}
}

func TestPCI(t *testing.T) {
	image := append([]byte{0x55, 0xAA, 80}, bytes.Repeat([]byte{0x90}, 40000)...)
	r := newRig(t, Options{ROM: image, VRAM: 64 << 20})
	config := func(reg uint8, n int) uint32 {
		data := make([]byte, 4)
		r.vga.ReadConfig(reg, data[:n])
		return binary.LittleEndian.Uint32(data)
	}
	sizeOf := func(reg uint8) uint32 {
		old := config(reg, 4)
		r.vga.WriteConfig(reg, []byte{255, 255, 255, 255})
		v := config(reg, 4)
		r.vga.WriteConfig(reg, binary.LittleEndian.AppendUint32(nil, old))
		return v
	}
	for _, tt := range []struct {
		what      string
		got, want uint32
	}{
		{"the identity", config(pci.RegVendor, 4), 0x11111234},
		{"the class and revision", config(pci.RegRevision, 4), 0x03000002},
		{"the subsystem", config(pci.RegSubsystemVendor, 4), 0x11001AF4},
		{"the interrupt pin", config(pci.RegInterruptPin, 1), 0},
		{"BAR 0", sizeOf(pci.RegBAR0), 0xFC000008},
		{"BAR 1", sizeOf(pci.RegBAR0 + 4), 0},
		{"BAR 2", sizeOf(pci.RegBAR0 + 8), 0xFFFFF000},
		{"the ROM BAR", sizeOf(pci.RegROM), 0xFFFF0001},
	} {
		if tt.got != tt.want {
			t.Errorf("%s reads %#x, want %#x", tt.what, tt.got, tt.want)
		}
	}
	if got := r.read(testROM, 8); !bytes.Equal(got, image[:8]) {
		t.Errorf("the ROM reads % x", got)
	}
	r.write(testROM, []byte{1})
	if got := r.read(testROM+40000, 8); string(got) != "\x90\x90\x90\xFF\xFF\xFF\xFF\xFF" {
		t.Errorf("the end of the ROM reads % x", got)
	}
	if image[0] != 0x55 {
		t.Error("the guest has changed the ROM")
	}
	if len(r.moves) == 0 || r.moves[len(r.moves)-1] != testFramebuffer {
		t.Errorf("BAR 0 was told to be at %#x, want %#x", r.moves, uint64(testFramebuffer))
	}
	r.write(testFramebuffer+64<<20-4, []byte("last"))
	if got := string(r.vga.VRAM()[64<<20-4:]); got != "last" {
		t.Errorf("the end of video memory is %q", got)
	}
}

func TestOptionsRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    Options
		want string
	}{
		{"no clock", Options{}, "clock"},
		{"odd memory", Options{VRAM: 3 << 20}, "power of two"},
		{"little memory", Options{VRAM: 1 << 19}, "power of two"},
		{"much memory", Options{VRAM: 512 << 20}, "256 MiB"},
		{"no BIOS", Options{ROM: []byte("MZ\x00\x00")}, "55 AA"},
		{"empty BIOS", Options{ROM: []byte{}}, "55 AA"},
		{"wide", Options{PreferredWidth: 5000, PreferredHeight: 1}, "5000x1"},
		{"half a resolution", Options{PreferredWidth: 800}, "800x0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.name != "no clock" {
				tt.o.Clock = &clock.Fake{}
			}
			tt.o.Name = "video7"
			v, err := New(tt.o)
			if err == nil {
				v.Close()
				t.Fatal("New accepts it")
			}
			if !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "video7") {
				t.Errorf("error %q does not name the device and %q", err, tt.want)
			}
		})
	}
}

func TestClosed(t *testing.T) {
	r := newRig(t, Options{})
	text80x25.set(r)
	for range 2 {
		if err := r.vga.Close(); err != nil {
			t.Fatal(err)
		}
	}
	r.write(0xB8000, []byte("x"))
	r.write(testFramebuffer, []byte("x"))
	dispi(r, dispiXRes, 640)
	dispi(r, dispiEnable, dispiEnabled)
	for _, addr := range []uint64{0xB8000, testFramebuffer} {
		if got := r.read(addr, 1)[0]; got != 0xFF {
			t.Errorf("%#x reads %#x, want ones", addr, got)
		}
	}
	if _, err := r.vga.Image(); err != ErrClosed {
		t.Errorf("Image gives %v, want ErrClosed", err)
	}
	if _, err := r.vga.Text(); err != ErrClosed {
		t.Errorf("Text gives %v, want ErrClosed", err)
	}
	r.vga.Reset()
}
