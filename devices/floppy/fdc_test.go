package floppy

import (
	"strings"
	"testing"

	"github.com/govmm/govmm/block/blocktest"
	"github.com/govmm/govmm/devices/dma"
)

func TestGeometries(t *testing.T) {
	for _, tt := range []struct {
		size  int64
		want  Geometry
		drive DriveType
	}{
		{160 << 10, Geometry{40, 1, 8}, Drive360K},
		{180 << 10, Geometry{40, 1, 9}, Drive360K},
		{320 << 10, Geometry{40, 2, 8}, Drive360K},
		{360 << 10, Geometry{40, 2, 9}, Drive360K},
		{720 << 10, Geometry{80, 2, 9}, Drive1440K},
		{1200 << 10, Geometry{80, 2, 15}, Drive1200K},
		{1440 << 10, Geometry{80, 2, 18}, Drive1440K},
		{2880 << 10, Geometry{80, 2, 36}, Drive2880K},
	} {
		g, err := GeometryOf(tt.size)
		d, err2 := DriveFor(tt.size)
		if err != nil || err2 != nil || g != tt.want || d != tt.drive || g.Size() != tt.size {
			t.Errorf("%d bytes: %+v in %v, %v, %v", tt.size, g, d, err, err2)
		}
	}
	for _, size := range []int64{0, 512, 1474560 + 512, 1474560 - 512, 1 << 30} {
		_, err := GeometryOf(size)
		if err == nil || !strings.Contains(err.Error(), "163840 (160K), 184320 (180K)") || !strings.Contains(err.Error(), "2949120 (2.88M)") {
			t.Errorf("%d bytes: %v", size, err)
		}
		if _, err := DriveFor(size); err == nil {
			t.Errorf("a drive for %d bytes", size)
		}
	}
}

func TestDrives(t *testing.T) {
	disk := func(kib int) DriveOptions {
		return DriveOptions{Disk: blocktest.NewMemory(make([]byte, kib<<10), false)}
	}
	typed := func(d DriveType, o DriveOptions) DriveOptions { o.Type = d; return o }
	for _, tt := range []struct {
		a, b            DriveOptions
		cmos, equipment byte
		err             string
	}{
		{DriveOptions{}, DriveOptions{}, 0x00, 0x00, ""},
		{disk(1440), DriveOptions{}, 0x40, 0x01, ""},
		{disk(1200), disk(2880), 0x25, 0x41, ""},
		{typed(Drive1440K, DriveOptions{}), disk(720), 0x44, 0x41, ""},
		{typed(Drive2880K, disk(720)), disk(360), 0x51, 0x41, ""},
		{typed(Drive1200K, disk(360)), typed(Drive720K, disk(720)), 0x23, 0x41, ""},
		{typed(Drive1440K, disk(2880)), DriveOptions{}, 0, 0, "floppy drive A: a disk of 2.88M does not fit into a drive for 720K, 1.44M"},
		{DriveOptions{}, typed(Drive360K, disk(1200)), 0, 0, "floppy drive B: a disk of 1.2M does not fit into a drive for 160K, 180K, 320K, 360K"},
		{DriveOptions{}, disk(1000), 0, 0, "floppy drive B: no floppy disk has 1024000 bytes"},
		{typed(9, DriveOptions{}), DriveOptions{}, 0, 0, "floppy drive A: there is no drive type 9"},
	} {
		d := dma.New(dma.Options{Memory: ram{}})
		f, err := New(Options{Drives: [2]DriveOptions{tt.a, tt.b}, DMA: d.Channel(2)})
		if tt.err != "" {
			if err == nil || !strings.HasPrefix(err.Error(), tt.err) {
				t.Errorf("%v, want %q", err, tt.err)
			}
			continue
		}
		if err != nil {
			t.Error(err)
			continue
		}
		if f.CMOS() != tt.cmos || f.Equipment() != tt.equipment {
			t.Errorf("CMOS %#x, equipment %#x, want %#x, %#x", f.CMOS(), f.Equipment(), tt.cmos, tt.equipment)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestReset(t *testing.T) {
	r := newRig(t, DriveOptions{Type: Drive1440K}, DriveOptions{})
	if v := r.in(0x3F4); v != 0 {
		t.Errorf("MSR %#x at power-on", v)
	}
	r.out(0x3F5, 0x10) // not heard
	r.out(0x3F2, 0x04)
	if r.irq || r.in(0x3F0)&sraInterrupt == 0 {
		t.Error("the DMA gate does not hold the interrupt")
	}
	r.out(0x3F2, 0x0C)
	if !r.irq || r.edges != 1 {
		t.Errorf("interrupt %v, %d edges", r.irq, r.edges)
	}
	for i := range byte(4) {
		r.expect("sense", []byte{0x08}, 0xC0|i, 0)
		if r.irq {
			t.Error("the interrupt stays")
		}
	}
	r.expect("fifth sense", []byte{0x08}, 0x80)
	r.expect("version", []byte{0x10}, 0x90)

	// A reset in the middle of a command, by both registers.
	for _, reset := range []func(){
		func() { r.out(0x3F4, 0x80) },
		func() { r.out(0x3F2, 0x08); r.out(0x3F2, 0x0C) },
	} {
		r.command(0x46, 0)
		if v := r.in(0x3F4); v != msrRequest|msrBusy {
			t.Errorf("MSR %#x in a command", v)
		}
		edges := r.edges
		reset()
		if v := r.in(0x3F4); v != msrRequest || r.edges != edges+1 {
			t.Errorf("MSR %#x, %d edges after a reset", v, r.edges-edges)
		}
		edges = r.edges
		reset() // again, with the interrupt pending
		if r.edges != edges+1 {
			t.Errorf("%d edges after the second reset", r.edges-edges)
		}
		r.expect("sense", []byte{0x08}, 0xC0, 0)
		r.expect("sense", []byte{0x08}, 0xC1, 0)
		r.expect("sense", []byte{0x08}, 0xC2, 0)
		r.expect("sense", []byte{0x08}, 0xC3, 0)
	}
	r.fdc.Reset()
	if v := r.in(0x3F4); v != 0 || r.irq {
		t.Errorf("MSR %#x, interrupt %v after the machine's reset", v, r.irq)
	}
	if r.in(0x3F5) != 0 {
		t.Error("the FIFO answers in reset")
	}
}

// TestDetection is how drivers tell the controllers apart: an 82077AA knows all
// of these but PART ID.
func TestDetection(t *testing.T) {
	r := newRig(t, DriveOptions{}, DriveOptions{})
	r.start()
	r.expect("dump", []byte{0x0E}, 0, 0, 0, 0, 0xAF, 0x02, 0, 0, 0x20, 0)
	r.command(0x13, 0, 0x1A, 5)
	r.command(0x12, 0xBE)
	r.expect("dump", []byte{0x0E}, 0, 0, 0, 0, 0xAF, 0x02, 0, 0x3E, 0x1A, 5)
	r.command(0x12, 0x01) // without OW the drives stay
	r.expect("unlock", []byte{0x14}, 0x00)
	r.expect("part id", []byte{0x18}, 0x80)
	r.expect("lock", []byte{0x94}, 0x10)
	r.expect("dump", []byte{0x0E}, 0, 0, 0, 0, 0xAF, 0x02, 0, 0xBD, 0x1A, 5)
	r.out(0x3F4, 0x80)
	r.results()
	r.expect("locked through a reset", []byte{0x0E}, 0, 0, 0, 0, 0xAF, 0x02, 0, 0xBC, 0x0A, 5)
	r.expect("unlock", []byte{0x14}, 0x00)
	r.out(0x3F4, 0x80)
	r.expect("not locked", []byte{0x0E}, 0, 0, 0, 0, 0xAF, 0x02, 0, 0x3C, 0x20, 0)
	for _, c := range []byte{0x00, 0x01, 0x0B, 0x1F, 0x2E, 0x33, 0x87, 0x4F, 0xFF} {
		r.expect("invalid", []byte{c}, 0x80)
	}
}

func TestRegisters(t *testing.T) {
	r := newRig(t, DriveOptions{Disk: disk(t, make([]byte, 1474560), true)}, DriveOptions{})
	for _, tt := range []struct {
		port    uint64
		v, want byte
	}{
		{0x3F2, 0x1C, 0x1C}, {0x3F2, 0xFD, 0xFD}, {0x3F3, 0xFF, 0x03}, {0x3F3, 0x01, 0x01},
	} {
		r.out(tt.port, tt.v)
		if v := r.in(tt.port); v != tt.want {
			t.Errorf("port %#x reads %#x after %#x, want %#x", tt.port, v, tt.v, tt.want)
		}
	}
	if v := r.in(0x3F1); v != 0xE3 { // drive 1, both motors
		t.Errorf("SRB %#x", v)
	}
	r.out(0x3F2, 0x1C)
	if v := r.in(0x3F1); v != 0xC1 {
		t.Errorf("SRB %#x", v)
	}
	if v := r.in(0x3F0); v != 0xC4 { // INT, no drive 2, track 0, write protected
		t.Errorf("SRA %#x", v)
	}
	r.out(0x3F2, 0x2D)
	if v := r.in(0x3F0); v != 0xD6 { // drive 1 is not there
		t.Errorf("SRA %#x", v)
	}
	r.out(0x3F4, 0x02)
	r.out(0x3F7, 0x01)
	if s := r.fdc.State(); s.Rate != 1 || s.DSR != 2 {
		t.Errorf("rate %d, DSR %#x", s.Rate, s.DSR)
	}
	wide := []byte{0, 0}
	r.ports.Read(0x3F2, wide)
	if wide[0] != 0x2D || wide[1] != 0x01 {
		t.Errorf("a word reads %x", wide)
	}
}

func TestSeeks(t *testing.T) {
	r := newRig(t, DriveOptions{Disk: disk(t, make([]byte, 1474560), false)}, DriveOptions{Type: Drive360K})
	r.start()
	track := func() [2]uint8 { s := r.fdc.State(); return [2]uint8{s.Drives[0].Track, s.Drives[1].Track} }
	edges := r.edges
	for _, tt := range []struct {
		name    string
		command []byte
		sense   []byte
		tracks  [2]uint8
	}{
		{"seek", []byte{0x0F, 4, 40}, []byte{0x24, 40}, [2]uint8{40, 0}},
		{"seek out", []byte{0x0F, 0, 10}, []byte{0x20, 10}, [2]uint8{10, 0}},
		{"seek too far", []byte{0x0F, 0, 200}, []byte{0x20, 200}, [2]uint8{79, 0}},
		{"recalibrate", []byte{0x07, 0}, []byte{0x20, 0}, [2]uint8{0, 0}},
		{"relative in", []byte{0xCF, 0, 5}, []byte{0x20, 5}, [2]uint8{5, 0}},
		{"relative out", []byte{0x8F, 0, 2}, []byte{0x20, 3}, [2]uint8{3, 0}},
		{"relative out too far", []byte{0x8F, 0, 4}, []byte{0x20, 255}, [2]uint8{0, 0}},
		{"other drive", []byte{0x0F, 1, 60}, []byte{0x21, 60}, [2]uint8{0, 39}},
		{"recalibrate no drive", []byte{0x07, 2}, []byte{0x72, 0}, [2]uint8{0, 39}},
		{"seek no drive", []byte{0x0F, 3, 7}, []byte{0x23, 7}, [2]uint8{0, 39}},
	} {
		r.command(tt.command...)
		if !r.irq {
			t.Errorf("%s: no interrupt", tt.name)
		}
		r.expect(tt.name, []byte{0x08}, tt.sense...)
		if got := track(); got != tt.tracks {
			t.Errorf("%s: heads at %v, want %v", tt.name, got, tt.tracks)
		}
		edges++
		if r.irq || r.edges != edges {
			t.Errorf("%s: interrupt %v, %d edges, want %d", tt.name, r.irq, r.edges, edges)
		}
	}

	// Two seeks that overlap.
	r.command(0x0F, 0, 7)
	r.command(0x07, 1)
	r.expect("first", []byte{0x08}, 0x20, 7)
	if !r.irq {
		t.Error("the second seek has no interrupt")
	}
	r.expect("second", []byte{0x08}, 0x21, 0)
	r.expect("none", []byte{0x08}, 0x80)
}

func TestSenseDrive(t *testing.T) {
	r := newRig(t, DriveOptions{Disk: disk(t, make([]byte, 737280), true)}, DriveOptions{Type: Drive1200K})
	r.start()
	r.expect("protected, track 0", []byte{0x04, 0}, 0x78)
	r.seek(0, 3)
	r.expect("other head", []byte{0x04, 4}, 0x6C)
	r.expect("empty", []byte{0x04, 1}, 0x39)
	r.expect("no drive", []byte{0x04, 2}, 0x2A)
}

func TestDiskChange(t *testing.T) {
	r, _ := new144(t)
	changed := func(want bool, when string) {
		t.Helper()
		if got := r.in(0x3F7) == dirChanged; got != want {
			t.Errorf("%s: disk change %v", when, got)
		}
	}
	changed(true, "at power-on")
	r.seek(0, 0)
	changed(true, "after a seek that does not step")
	r.seek(0, 1)
	changed(false, "after a step")
	if err := r.fdc.Eject(0); err != nil {
		t.Fatal(err)
	}
	changed(true, "ejected")
	r.seek(0, 2)
	changed(true, "after a step without a disk")
	r.setUpDMA(dmaWrite, 512)
	r.expect("read without a disk", []byte{0xE6, 0, 2, 0, 1, 2, 18, 0x1B, 0xFF}, 0x40, 0x01, 0, 2, 0, 1, 2)
	if _, ok := r.fdc.Medium(0); ok {
		t.Error("a medium in an empty drive")
	}

	img := image(737280)
	if err := r.fdc.Insert(0, disk(t, img, true)); err != nil {
		t.Fatal(err)
	}
	changed(true, "inserted")
	r.command(0x07, 0)
	r.expect("sense", []byte{0x08}, 0x20, 0)
	changed(false, "recalibrated")
	r.expect("read at the old rate", []byte{0xE6, 0, 0, 0, 1, 2, 9, 0x1B, 0xFF}, 0x40, 0x01, 0, 0, 0, 1, 2)
	r.out(0x3F7, rate250)
	r.setUpDMA(dmaWrite, 512)
	r.expect("read", []byte{0xE6, 0, 0, 0, 1, 2, 9, 0x1B, 0xFF}, 0x00, 0, 0, 0, 0, 2, 2)
	if hex(r.buffer(512)) != hex(img[:512]) {
		t.Error("not the new disk's data")
	}
	if g, ok := r.fdc.Medium(0); !ok || g != (Geometry{80, 2, 9}) {
		t.Errorf("medium %v %v", g, ok)
	}

	// What does not fit leaves all as it is.
	if err := r.fdc.Insert(0, disk(t, make([]byte, 2949120), false)); err == nil || !strings.Contains(err.Error(), "does not fit") {
		t.Error(err)
	}
	if err := r.fdc.Insert(0, disk(t, make([]byte, 2949120+512), false)); err == nil || !strings.Contains(err.Error(), "no floppy disk has") {
		t.Error(err)
	}
	if err := r.fdc.Insert(1, disk(t, img, false)); err == nil || !strings.Contains(err.Error(), "no floppy drive B") {
		t.Error(err)
	}
	changed(false, "a disk that does not fit")
	r.out(0x3F2, 0x2D)
	changed(false, "no drive")
}
