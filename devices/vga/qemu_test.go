package vga

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/govmm/govmm/devices/pci"
)

// qemu is QEMU's adapter, driven over its qtest protocol while the guest is stopped. QMP
// serves for the screen.
type qemu struct {
	tb     testing.TB
	stdin  io.Writer
	stdout *bufio.Scanner
	qmp    net.Conn
	dec    *json.Decoder
	dir    string
}

func newQEMU(tb testing.TB) *qemu {
	path, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		tb.Fatalf("%v: install the package qemu-system-x86", err)
	}
	q := &qemu{tb: tb, dir: tb.TempDir()}
	listener, err := net.Listen("unix", filepath.Join(q.dir, "qmp"))
	if err != nil {
		tb.Fatal(err)
	}
	defer listener.Close()
	cmd := exec.Command(path, "-machine", "pc,accel=tcg", "-S", "-nodefaults", "-display", "none",
		"-device", "VGA,addr=2", "-qtest", "stdio", "-qtest-log", "none",
		"-qmp", "unix:"+filepath.Join(q.dir, "qmp"))
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	q.stdin, q.stdout = stdin, bufio.NewScanner(stdout)
	q.stdout.Buffer(nil, 1<<20)
	if q.qmp, err = listener.Accept(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { q.qmp.Close() })
	q.dec = json.NewDecoder(q.qmp)
	var greeting map[string]any
	if err := q.dec.Decode(&greeting); err != nil {
		tb.Fatal(err)
	}
	q.execute(`{"execute": "qmp_capabilities"}`)
	for reg, v := range map[uint32]uint32{0x10: testFramebuffer, 0x18: testRegisters, 0x04: 3} {
		q.out(0xCF8, 4, 1<<31|2<<11|reg)
		q.out(0xCFC, 4, v)
	}
	return q
}

// command sends a line of the qtest protocol and returns the answer's value.
func (q *qemu) command(format string, args ...any) string {
	if _, err := fmt.Fprintf(q.stdin, format+"\n", args...); err != nil {
		q.tb.Fatal(err)
	}
	for q.stdout.Scan() {
		if answer, ok := bytes.CutPrefix(q.stdout.Bytes(), []byte("OK")); ok {
			return string(bytes.TrimSpace(answer))
		}
	}
	q.tb.Fatalf("QEMU ended: %v", q.stdout.Err())
	return ""
}

func (q *qemu) execute(command string) {
	if _, err := fmt.Fprintln(q.qmp, command); err != nil {
		q.tb.Fatal(err)
	}
	for {
		var answer map[string]any
		if err := q.dec.Decode(&answer); err != nil {
			q.tb.Fatal(err)
		}
		if e, failed := answer["error"]; failed {
			q.tb.Fatalf("%s: %v", command, e)
		}
		if _, done := answer["return"]; done {
			return
		}
	}
}

var sizeNames = map[int]string{1: "b", 2: "w", 4: "l"}

func (q *qemu) out(port uint64, size int, v uint32) {
	q.command("out%s %#x %#x", sizeNames[size], port, v)
}

func (q *qemu) in(port uint64, size int) (v uint32) {
	fmt.Sscanf(q.command("in%s %#x", sizeNames[size], port), "0x%x", &v)
	return v
}

func (q *qemu) write(addr uint64, data []byte) {
	for len(data) > 0 {
		n := min(4096, len(data))
		q.command("write %#x %#x 0x%x", addr, n, data[:n])
		addr, data = addr+uint64(n), data[n:]
	}
}

func (q *qemu) read(addr uint64, n int) []byte {
	answer := q.command("read %#x %#x", addr, n)
	data, err := hex.DecodeString(answer[2:])
	if err != nil {
		q.tb.Fatal(err)
	}
	return data
}

func (q *qemu) screen() image.Image {
	name := filepath.Join(q.dir, "screen.ppm")
	q.execute(fmt.Sprintf(`{"execute": "screendump", "arguments": {"filename": %q}}`, name))
	data, err := os.ReadFile(name)
	if err != nil {
		q.tb.Fatal(err)
	}
	var w, h, most int
	if _, err := fmt.Sscanf(string(data[:32]), "P6\n%d %d\n%d\n", &w, &h, &most); err != nil {
		q.tb.Fatal(err)
	}
	pix := data[len(data)-3*w*h:]
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		img.SetRGBA(i%w, i/w, color.RGBA{pix[3*i], pix[3*i+1], pix[3*i+2], 0xFF})
	}
	return img
}

// compareScreens wants the same pixels in the high bits of the colours: QEMU
// widens the 6 bits of the DAC in a way of its own, and 15-bit pixels not at
// all.
func compareScreens(t *testing.T, bits int, ours, theirs image.Image) {
	t.Helper()
	if ours.Bounds() != theirs.Bounds() {
		t.Fatalf("the screen is %v, in QEMU %v", ours.Bounds(), theirs.Bounds())
	}
	different := 0
	for y := range ours.Bounds().Dy() {
		for x := range ours.Bounds().Dx() {
			a, b := color.RGBAModel.Convert(ours.At(x, y)).(color.RGBA), color.RGBAModel.Convert(theirs.At(x, y)).(color.RGBA)
			if low := 8 - bits; a.R>>low == b.R>>low && a.G>>low == b.G>>low && a.B>>low == b.B>>low {
				continue
			}
			if different++; different <= 5 {
				t.Errorf("(%d,%d): %v, in QEMU %v", x, y, a, b)
			}
		}
	}
	if different > 0 {
		t.Errorf("%d pixels differ", different)
	}
}

// TestScreensAsQEMU draws the same in our adapter and in QEMU's, in all modes.
func TestScreensAsQEMU(t *testing.T) {
	q := newQEMU(t)
	font := randomBytes(newRand(), 256*32)
	text := func(md mode) func(m machine, r *rand.Rand) {
		return func(m machine, r *rand.Rand) {
			md.set(m)
			attribute(m, 0x10, md.attribute[0x10]&^attrModeBlink) // QEMU has bright backgrounds only
			m.out(0x3C0, 1, 0x20)
			indexed(m, 0x3D4, 0x0A, 0x20)
			loadFont(m, font)
			cells := randomBytes(r, 8192)
			for i := 0; i < len(cells); i += 2 {
				if cells[i]>>4 == 0xB {
					cells[i] &= 0x0F // has a ninth dot in QEMU only
				}
			}
			m.write(0xB8000, cells)
		}
	}
	graphics := func(md mode, base uint64, n int) func(m machine, r *rand.Rand) {
		return func(m machine, r *rand.Rand) {
			md.set(m)
			m.write(base, randomBytes(r, n))
		}
	}
	planar := func(md mode, n int) func(m machine, r *rand.Rand) {
		return func(m machine, r *rand.Rand) {
			md.set(m)
			for plane := range 4 {
				indexed(m, 0x3C4, 2, 1<<plane)
				m.write(0xA0000, randomBytes(r, n))
			}
		}
	}
	vbe := func(bpp uint16, x, y uint16) func(m machine, r *rand.Rand) {
		return func(m machine, r *rand.Rand) {
			vga320x200.set(m)
			dispi(m, dispiEnable, 0)
			dispi(m, dispiXRes, 320)
			dispi(m, dispiYRes, 200)
			dispi(m, dispiBPP, bpp)
			dispi(m, dispiEnable, dispiEnabled|dispiLFB)
			dispi(m, dispiVirtWidth, 400)
			dispi(m, dispiXOffset, x)
			dispi(m, dispiYOffset, y)
			m.write(testFramebuffer, randomBytes(r, 400*220*4))
		}
	}
	for _, tt := range []struct {
		name string
		draw func(m machine, r *rand.Rand)
	}{
		{"text 80x25", text(text80x25)},
		{"text 80x50", text(text80x50)},
		{"text cursor", func(m machine, r *rand.Rand) {
			text(text80x25)(m, r)
			indexed(m, 0x3D4, 0x0A, 0x05)
			indexed(m, 0x3D4, 0x0E, 0x02)
			indexed(m, 0x3D4, 0x0F, 0x47)
		}},
		{"text scrolled", func(m machine, r *rand.Rand) {
			text(text80x25)(m, r)
			indexed(m, 0x3D4, 0x0C, 0x05)
			indexed(m, 0x3D4, 0x0D, 0x10)
		}},
		{"cga 320x200", graphics(cga320x200, 0xB8000, 0x4000)},
		{"cga 640x200", graphics(cga640x200, 0xB8000, 0x4000)},
		{"ega 320x200", planar(ega320x200, 8000)},
		{"vga 640x480", planar(vga640x480, 38400)},
		{"split", func(m machine, r *rand.Rand) {
			planar(vga640x480, 65536)(m, r)
			indexed(m, 0x3D4, 0x0C, 0x40)
			indexed(m, 0x3D4, 0x18, 0x2B)
			indexed(m, 0x3D4, 0x07, 0x2E)
			indexed(m, 0x3D4, 0x09, 0x00)
		}},
		{"mode 13h", graphics(vga320x200, 0xA0000, 64000)},
		{"mode X", planar(modeX320x240, 19200)},
		{"vbe 4", vbe(4, 16, 3)},
		{"vbe 8", vbe(8, 16, 3)},
		{"vbe 15", vbe(15, 16, 3)},
		{"vbe 16", vbe(16, 0, 0)},
		{"vbe 24", vbe(24, 8, 3)},
		{"vbe 32", vbe(32, 80, 10)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, Options{})
			q.command("outw 0x1ce 4")
			q.command("outw 0x1d0 0")
			tt.draw(r, newRand())
			tt.draw(q, newRand())
			bits := 6
			if tt.name == "vbe 15" {
				bits = 5
			}
			compareScreens(t, bits, r.screen(), q.screen())
		})
	}
}

// TestRegistersAsQEMU writes random values to the VBE registers, and to the
// indexed registers of the VGA, and reads them back.
func TestRegistersAsQEMU(t *testing.T) {
	q := newQEMU(t)
	r := newRig(t, Options{})
	rnd := newRand()
	both := func(f func(m machine) uint32) (ours, theirs uint32) { return f(r), f(q) }

	values := []uint16{0, 1, 7, 8, 15, 320, 640, 1023, 1024, 4096, 15999, 16000, 16001, 12000, 32767, 65535}
	for step := range 300 {
		index := uint16(rnd.IntN(10))
		value := values[rnd.IntN(len(values))]
		switch index {
		case dispiBPP:
			value = []uint16{0, 4, 8, 15, 16, 24, 32, 33}[rnd.IntN(8)]
		case dispiEnable:
			value = []uint16{0, 1, 0x41, 0x61, 0xC1, 3}[rnd.IntN(6)]
		case dispiBank:
			continue // TestBanks; the bank survives in QEMU when a mode starts
		}
		both(func(m machine) uint32 { dispi(m, index, value); return 0 })
		for i := range uint16(0xB) {
			ours, theirs := both(func(m machine) uint32 { return uint32(readDISPI(m, i)) })
			if i == dispiVirtHeight && ours == 0xFFFF {
				continue // does not fit; QEMU gives the low 16 bits
			}
			if ours != theirs {
				t.Fatalf("step %d, after register %d was written %d: register %d is %d, in QEMU %d",
					step, index, value, i, ours, theirs)
			}
		}
	}
	both(func(m machine) uint32 { dispi(m, dispiEnable, 0); m.out(0x3C2, 1, 0x67); return 0 })
	for _, group := range []struct {
		port  uint64
		count int
	}{{0x3C4, 5}, {0x3CE, 9}, {0x3D4, 25}} {
		for i := range group.count {
			for range 4 {
				value := uint8(rnd.Uint32())
				ours, theirs := both(func(m machine) uint32 {
					indexed(m, group.port, uint8(i), value)
					return m.in(group.port+1, 1)
				})
				if ours != theirs {
					t.Errorf("port %#x, index %#x written %#x: %#x, in QEMU %#x", group.port, i, value, ours, theirs)
				}
			}
		}
	}
	for i := range uint8(21) {
		ours, theirs := both(func(m machine) uint32 {
			attribute(m, i, 0xFF)
			m.in(0x3DA, 1)
			m.out(0x3C0, 1, uint32(i))
			return m.in(0x3C1, 1)
		})
		if ours != theirs {
			t.Errorf("attribute register %#x: %#x, in QEMU %#x", i, ours, theirs)
		}
	}
}

// TestMemoryAsQEMU makes the same planar accesses to both adapters.
func TestMemoryAsQEMU(t *testing.T) {
	q := newQEMU(t)
	r := newRig(t, Options{})
	vga640x480.set(r)
	vga640x480.set(q)
	rnd := newRand()
	for step := range 3000 {
		addr := LegacyBase + uint64(rnd.IntN(8))
		switch rnd.IntN(4) {
		case 0:
			index, value := uint8(rnd.IntN(9)), uint8(rnd.Uint32())
			switch index {
			case gfxMode:
				value &= 0x0B
			case gfxMisc:
				continue
			}
			indexed(r, 0x3CE, index, value)
			indexed(q, 0x3CE, index, value)
		case 1:
			value := uint8(rnd.Uint32())
			indexed(r, 0x3C4, 2, value)
			indexed(q, 0x3C4, 2, value)
		case 2:
			data := binary.LittleEndian.AppendUint16(nil, uint16(rnd.Uint32()))
			r.write(addr, data)
			q.write(addr, data)
		case 3:
			if ours, theirs := r.read(addr, 1), q.read(addr, 1); !bytes.Equal(ours, theirs) {
				t.Fatalf("step %d: read % x, in QEMU % x", step, ours, theirs)
			}
		}
	}
}

// TestFunctionAsQEMU compares the configuration space, the BARs and what a
// driver reads in BAR 2.
func TestFunctionAsQEMU(t *testing.T) {
	q := newQEMU(t)
	r := newRig(t, Options{})
	theirs := func(reg uint8) uint32 {
		q.out(0xCF8, 4, 1<<31|2<<11|uint32(reg))
		return q.in(0xCFC, 4)
	}
	setTheirs := func(reg uint8, v uint32) {
		q.out(0xCF8, 4, 1<<31|2<<11|uint32(reg))
		q.out(0xCFC, 4, v)
	}
	for _, reg := range []uint8{pci.RegVendor, pci.RegRevision, pci.RegSubsystemVendor, pci.RegCapabilities, pci.RegInterruptLine} {
		if ours := r.vga.Uint32(reg); ours != theirs(reg) {
			t.Errorf("register %#x is %#x, in QEMU %#x", reg, ours, theirs(reg))
		}
	}
	for bar := range uint8(6) {
		reg := pci.RegBAR0 + 4*bar
		ours, before := r.vga.Uint32(reg), theirs(reg)
		r.vga.WriteConfig(reg, []byte{255, 255, 255, 255})
		setTheirs(reg, 0xFFFFFFFF)
		if got, want := r.vga.Uint32(reg), theirs(reg); got != want {
			t.Errorf("BAR %d sizes as %#x, in QEMU %#x", bar, got, want)
		}
		r.vga.WriteConfig(reg, binary.LittleEndian.AppendUint32(nil, ours))
		setTheirs(reg, before)
	}
	for _, m := range []machine{r, q} {
		vga320x200.set(m)
		dispi(m, dispiXRes, 1024)
		dispi(m, dispiYRes, 768)
		dispi(m, dispiBPP, 32)
		m.write(testRegisters+0x508, []byte{0x41, 0})
		m.write(testRegisters+0x414, []byte{0x0E, 0x5A})
	}
	compare := func(from, to, size uint64) {
		for offset := from; offset < to; offset += size {
			ours, theirs := r.read(testRegisters+offset, int(size)), q.read(testRegisters+offset, int(size))
			if !bytes.Equal(ours, theirs) {
				t.Errorf("BAR 2 offset %#x reads % x, in QEMU % x", offset, ours, theirs)
			}
		}
	}
	compare(0x404, 0x406, 1) // QEMU has no pixel mask at 0x406
	compare(0x40A, 0x418, 1)
	compare(0x500, 0x516, 2)
	compare(0x600, 0x608, 4)
	for _, m := range []machine{r, q} {
		m.write(testRegisters+0x604, []byte{0xBE, 0xBE, 0xBE, 0xBE})
	}
	compare(0x604, 0x608, 4)
}
