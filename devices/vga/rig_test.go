package vga

import (
	"encoding/binary"
	"image"
	"math/rand/v2"
	"testing"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/devices/irq"
	"github.com/govmm/govmm/devices/pci"
)

// Where the rigs put the BARs.
const (
	testFramebuffer = 0xF0000000
	testRegisters   = 0xFE000000
	testROM         = 0xFE100000
)

// machine is a PC with a display adapter: ours, or another to compare it with.
type machine interface {
	out(port uint64, size int, v uint32)
	in(port uint64, size int) uint32
	write(addr uint64, data []byte)
	read(addr uint64, n int) []byte
	screen() image.Image
}

// rig is an adapter on its buses.
type rig struct {
	tb     testing.TB
	clock  clock.Fake
	ports  *bus.Bus
	memory *bus.Bus
	pci    *pci.Bus
	vga    *VGA
	moves  []uint64 // where BAR 0 was told to be; 0 is nowhere
}

func newRig(tb testing.TB, o Options) *rig {
	tb.Helper()
	r := &rig{tb: tb, ports: bus.New("ports", 0x10000), memory: bus.New("memory", 1<<40)}
	o.Name, o.Clock = "video0", &r.clock
	o.FramebufferMoved = func(base uint64, mapped bool) {
		if !mapped {
			base = 0
		}
		r.moves = append(r.moves, base)
	}
	v, err := New(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := v.Close(); err != nil {
			tb.Error(err)
		}
	})
	r.vga = v
	router := pci.NewRouter([16]irq.Line{})
	r.pci = pci.NewBus(pci.Options{Ports: r.ports, Memory: r.memory, Router: router})
	for _, err := range []error{
		r.pci.Add(v, 2, 0),
		r.ports.Add(Port, Ports, "vga", v.Ports()),
		r.ports.Add(MonoPort, MonoPorts, "vga mono", v.MonoPorts()),
		r.ports.Add(DISPIPort, DISPIPorts, "vbe", v.DISPIPorts()),
		r.memory.Add(LegacyBase, LegacySize, "vga window", v.Window()),
	} {
		if err != nil {
			tb.Fatal(err)
		}
	}
	r.pci.Reset()
	r.configure()
	return r
}

// configure does the firmware's part.
func (r *rig) configure() {
	for reg, v := range map[uint8]uint32{
		pci.RegBAR0:     testFramebuffer,
		pci.RegBAR0 + 8: testRegisters,
		pci.RegROM:      testROM | 1,
		pci.RegCommand:  pci.CommandIO | pci.CommandMemory,
	} {
		data := make([]byte, 4)
		binary.LittleEndian.PutUint32(data, v)
		r.vga.WriteConfig(reg, data)
	}
}

func (r *rig) out(port uint64, size int, v uint32) {
	data := make([]byte, 4)
	binary.LittleEndian.PutUint32(data, v)
	r.ports.Write(port, data[:size])
}

func (r *rig) in(port uint64, size int) uint32 {
	data := make([]byte, 4)
	r.ports.Read(port, data[:size])
	return binary.LittleEndian.Uint32(data)
}

func (r *rig) write(addr uint64, data []byte) {
	for len(data) > 0 {
		n := min(8, len(data))
		r.memory.Write(addr, data[:n])
		addr, data = addr+uint64(n), data[n:]
	}
}

func (r *rig) read(addr uint64, n int) []byte {
	data := make([]byte, n)
	for i := 0; i < n; i += 8 {
		r.memory.Read(addr+uint64(i), data[i:min(i+8, n)])
	}
	return data
}

func (r *rig) screen() image.Image {
	img, err := r.vga.Image()
	if err != nil {
		r.tb.Fatal(err)
	}
	return img
}

// indexed writes a register behind an index port.
func indexed(m machine, port uint64, index, v uint8) {
	m.out(port, 2, uint32(index)|uint32(v)<<8)
}

func attribute(m machine, index, v uint8) {
	m.in(0x3DA, 1)
	m.out(0x3C0, 1, uint32(index))
	m.out(0x3C0, 1, uint32(v))
}

func dispi(m machine, index, v uint16) {
	m.out(0x1CE, 2, uint32(index))
	m.out(0x1D0, 2, uint32(v))
}

func readDISPI(m machine, index uint16) uint16 {
	m.out(0x1CE, 2, uint32(index))
	return uint16(m.in(0x1D0, 2))
}

// setDAC gives the DAC a colour for each index, in 6 bits.
func setDAC(m machine, colour func(i int) (r, g, b uint8)) {
	m.out(0x3C6, 1, 0xFF)
	m.out(0x3C8, 1, 0)
	for i := range 256 {
		r, g, b := colour(i)
		for _, v := range []uint8{r, g, b} {
			m.out(0x3C9, 1, uint32(v))
		}
	}
}

// testColour is different for every index.
func testColour(i int) (r, g, b uint8) {
	return uint8(i % 64), uint8(i / 64 * 21), uint8(i * 7 % 64)
}

// mode is the registers of a video mode, as the IBM BIOS sets them.
type mode struct {
	misc      uint8
	sequencer [5]uint8
	crtc      [25]uint8
	graphics  [9]uint8
	attribute [21]uint8
}

func (md *mode) set(m machine) {
	m.out(0x3C2, 1, uint32(md.misc))
	for i, v := range md.sequencer {
		indexed(m, 0x3C4, uint8(i), v)
	}
	indexed(m, 0x3D4, 0x11, 0) // unprotect
	for i, v := range md.crtc {
		indexed(m, 0x3D4, uint8(i), v)
	}
	for i, v := range md.graphics {
		indexed(m, 0x3CE, uint8(i), v)
	}
	for i, v := range md.attribute {
		attribute(m, uint8(i), v)
	}
	m.in(0x3DA, 1)
	m.out(0x3C0, 1, 0x20)
	setDAC(m, testColour)
}

var (
	egaPalette = [16]uint8{0, 1, 2, 3, 4, 5, 0x14, 7, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F}
	identity   = [16]uint8{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	cgaPalette = [16]uint8{0, 0x13, 0x15, 0x17, 2, 4, 6, 7, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17}
)

func attributes(palette [16]uint8, rest ...uint8) (a [21]uint8) {
	copy(a[:], palette[:])
	copy(a[16:], rest)
	return a
}

var (
	text80x25 = mode{0x67,
		[5]uint8{3, 0, 3, 0, 2},
		[25]uint8{0x5F, 0x4F, 0x50, 0x82, 0x55, 0x81, 0xBF, 0x1F, 0, 0x4F, 0x0D, 0x0E, 0, 0, 0, 0, 0x9C, 0x8E, 0x8F, 0x28, 0x1F, 0x96, 0xB9, 0xA3, 0xFF},
		[9]uint8{0, 0, 0, 0, 0, 0x10, 0x0E, 0, 0xFF},
		attributes(egaPalette, 0x0C, 0, 0x0F, 8, 0)}
	text40x25 = mode{0x67,
		[5]uint8{3, 8, 3, 0, 2},
		[25]uint8{0x2D, 0x27, 0x28, 0x90, 0x2B, 0xA0, 0xBF, 0x1F, 0, 0x4F, 0x0D, 0x0E, 0, 0, 0, 0, 0x9C, 0x8E, 0x8F, 0x14, 0x1F, 0x96, 0xB9, 0xA3, 0xFF},
		[9]uint8{0, 0, 0, 0, 0, 0x10, 0x0E, 0, 0xFF},
		attributes(egaPalette, 0x0C, 0, 0x0F, 8, 0)}
	text80x50 = mode{0x63,
		[5]uint8{3, 1, 3, 0, 2},
		[25]uint8{0x5F, 0x4F, 0x50, 0x82, 0x55, 0x81, 0xBF, 0x1F, 0, 0x47, 0x06, 0x07, 0, 0, 0, 0, 0x9C, 0x8E, 0x8F, 0x28, 0x1F, 0x96, 0xB9, 0xA3, 0xFF},
		[9]uint8{0, 0, 0, 0, 0, 0x10, 0x0E, 0, 0xFF},
		attributes(egaPalette, 0x0C, 0, 0x0F, 0, 0)}
	mono80x25 = mode{0x66,
		[5]uint8{3, 0, 3, 0, 2},
		[25]uint8{0x5F, 0x4F, 0x50, 0x82, 0x55, 0x81, 0xBF, 0x1F, 0, 0x4F, 0x0D, 0x0E, 0, 0, 0, 0, 0x9C, 0x8E, 0x8F, 0x28, 0x0D, 0x96, 0xB9, 0xA3, 0xFF},
		[9]uint8{0, 0, 0, 0, 0, 0x10, 0x0A, 0, 0xFF},
		attributes([16]uint8{0, 8, 8, 8, 8, 8, 8, 8, 0x10, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18}, 0x0E, 0, 0x0F, 8, 0)}
	cga320x200 = mode{0x63,
		[5]uint8{3, 9, 3, 0, 2},
		[25]uint8{0x2D, 0x27, 0x28, 0x90, 0x2B, 0x80, 0xBF, 0x1F, 0, 0xC1, 0, 0, 0, 0, 0, 0, 0x9C, 0x8E, 0x8F, 0x14, 0, 0x96, 0xB9, 0xA2, 0xFF},
		[9]uint8{0, 0, 0, 0, 0, 0x30, 0x0F, 0, 0xFF},
		attributes(cgaPalette, 1, 0, 3, 0, 0)}
	cga640x200 = mode{0x63,
		[5]uint8{3, 1, 1, 0, 6},
		[25]uint8{0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0xBF, 0x1F, 0, 0xC1, 0, 0, 0, 0, 0, 0, 0x9C, 0x8E, 0x8F, 0x28, 0, 0x96, 0xB9, 0xC2, 0xFF},
		[9]uint8{0, 0, 0, 0, 0, 0, 0x0D, 0, 0xFF},
		attributes(cgaPalette, 1, 0, 1, 0, 0)}
	ega320x200 = mode{0x63,
		[5]uint8{3, 9, 15, 0, 6},
		[25]uint8{0x2D, 0x27, 0x28, 0x90, 0x2B, 0x80, 0xBF, 0x1F, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0x9C, 0x8E, 0x8F, 0x14, 0, 0x96, 0xB9, 0xE3, 0xFF},
		[9]uint8{0, 0, 0, 0, 0, 0, 5, 0x0F, 0xFF},
		attributes(cgaPalette, 1, 0, 15, 0, 0)}
	vga640x480 = mode{0xE3,
		[5]uint8{3, 1, 15, 0, 6},
		[25]uint8{0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0x0B, 0x3E, 0, 0x40, 0, 0, 0, 0, 0, 0, 0xEA, 0x8C, 0xDF, 0x28, 0, 0xE7, 0x04, 0xE3, 0xFF},
		[9]uint8{0, 0, 0, 0, 0, 0, 5, 0x0F, 0xFF},
		attributes(egaPalette, 1, 0, 15, 0, 0)}
	vga320x200 = mode{0x63,
		[5]uint8{3, 1, 15, 0, 0x0E},
		[25]uint8{0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0xBF, 0x1F, 0, 0x41, 0, 0, 0, 0, 0, 0, 0x9C, 0x8E, 0x8F, 0x28, 0x40, 0x96, 0xB9, 0xA3, 0xFF},
		[9]uint8{0, 0, 0, 0, 0, 0x40, 5, 0x0F, 0xFF},
		attributes(identity, 0x41, 0, 15, 0, 0)}
	modeX320x240 = mode{0xE3,
		[5]uint8{3, 1, 15, 0, 6},
		[25]uint8{0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0x0D, 0x3E, 0, 0x41, 0, 0, 0, 0, 0, 0, 0xEA, 0xAC, 0xDF, 0x28, 0, 0xE7, 0x06, 0xE3, 0xFF},
		[9]uint8{0, 0, 0, 0, 0, 0x40, 5, 0x0F, 0xFF},
		attributes(identity, 0x41, 0, 15, 0, 0)}
)

// loadFont puts a font of glyphs, 32 bytes each, where characters without and
// with attribute bit 3 find it, and returns to text.
func loadFont(m machine, font []byte) {
	indexed(m, 0x3C4, 2, 4)
	indexed(m, 0x3C4, 4, 6)
	indexed(m, 0x3CE, 5, 0)
	indexed(m, 0x3CE, 6, 0)
	m.write(0xA0000, font)
	indexed(m, 0x3C4, 2, 3)
	indexed(m, 0x3C4, 4, 2)
	indexed(m, 0x3CE, 5, 0x10)
	indexed(m, 0x3CE, 6, 0x0E)
}

// newRand gives the same numbers in every run.
func newRand() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}
