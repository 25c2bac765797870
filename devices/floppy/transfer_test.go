package floppy

import (
	"bytes"
	"testing"
)

var g144 = Geometry{80, 2, 18}

func TestRead(t *testing.T) {
	for _, tt := range []struct {
		name    string
		command byte
		cyl     byte // the head is there
		params  []byte
		dma     int // bytes that the channel is programmed for
		want    []byte
		lba, n  int // sectors in the buffer afterwards
	}{
		{"one sector", 0x46, 0, []byte{0, 0, 0, 1, 2, 18, 0x1B, 0xFF}, 512, []byte{0, 0, 0, 0, 0, 2, 2}, 0, 1},
		{"a track", 0x46, 5, []byte{4, 5, 1, 1, 2, 18, 0x1B, 0xFF}, 18 * 512, []byte{4, 0, 0, 6, 1, 1, 2}, chs(g144, 5, 1, 1), 18},
		{"a cylinder", 0xE6, 5, []byte{0, 5, 0, 1, 2, 18, 0x1B, 0xFF}, 36 * 512, []byte{4, 0, 0, 6, 0, 1, 2}, chs(g144, 5, 0, 1), 36},
		{"head 0 alone", 0xE6, 5, []byte{0, 5, 0, 1, 2, 18, 0x1B, 0xFF}, 18 * 512, []byte{4, 0, 0, 5, 1, 1, 2}, chs(g144, 5, 0, 1), 18},
		{"over the heads", 0xC6, 79, []byte{0, 79, 0, 17, 2, 18, 0x1B, 0xFF}, 4 * 512, []byte{4, 0, 0, 79, 1, 3, 2}, chs(g144, 79, 0, 17), 4},
		{"to the end of the track", 0x46, 1, []byte{0, 1, 0, 17, 2, 18, 0x1B, 0xFF}, 4 * 512, []byte{0x40, 0x80, 0, 2, 0, 1, 2}, chs(g144, 1, 0, 17), 2},
		{"a short track", 0x46, 1, []byte{0, 1, 0, 1, 2, 9, 0x1B, 0xFF}, 18 * 512, []byte{0x40, 0x80, 0, 2, 0, 1, 2}, chs(g144, 1, 0, 1), 9},
		{"part of a sector", 0x46, 0, []byte{0, 0, 0, 3, 2, 18, 0x1B, 0xFF}, 100, []byte{0, 0, 0, 0, 0, 4, 2}, 2, 0},
		{"no such sector", 0x46, 0, []byte{0, 0, 0, 19, 2, 19, 0x1B, 0xFF}, 512, []byte{0x40, 4, 0, 0, 0, 19, 2}, 0, 0},
		{"sector 0", 0x46, 0, []byte{0, 0, 0, 0, 2, 18, 0x1B, 0xFF}, 512, []byte{0x40, 4, 0, 0, 0, 0, 2}, 0, 0},
		{"sector beyond EOT", 0x46, 0, []byte{0, 0, 0, 18, 2, 9, 0x1B, 0xFF}, 1024, []byte{0x40, 4, 0, 0, 0, 19, 2}, 17, 1},
		{"wrong cylinder", 0x46, 0, []byte{0, 1, 0, 1, 2, 18, 0x1B, 0xFF}, 512, []byte{0x40, 4, 0x10, 1, 0, 1, 2}, 0, 0},
		{"wrong head", 0x46, 0, []byte{0, 0, 1, 1, 2, 18, 0x1B, 0xFF}, 512, []byte{0x40, 4, 0, 0, 1, 1, 2}, 0, 0},
		{"wrong size", 0x46, 0, []byte{0, 0, 0, 1, 3, 18, 0x1B, 0xFF}, 512, []byte{0x40, 4, 0, 0, 0, 1, 3}, 0, 0},
		{"FM", 0x06, 0, []byte{0, 0, 0, 1, 2, 18, 0x1B, 0xFF}, 512, []byte{0x40, 1, 0, 0, 0, 1, 2}, 0, 0},
		{"no drive", 0x46, 0, []byte{2, 0, 0, 1, 2, 18, 0x1B, 0xFF}, 512, []byte{0x42, 1, 0, 0, 0, 1, 2}, 0, 0},
		{"deleted", 0x4C, 0, []byte{0, 0, 0, 1, 2, 18, 0x1B, 0xFF}, 1024, []byte{0, 0, 0x40, 0, 0, 1, 2}, 0, 1},
		{"deleted, skip", 0x6C, 0, []byte{0, 0, 0, 1, 2, 18, 0x1B, 0xFF}, 1024, []byte{0x40, 0x80, 0x40, 1, 0, 1, 2}, 0, 0},
		{"deleted, skip, both heads", 0xEC, 0, []byte{0, 0, 0, 1, 2, 18, 0x1B, 0xFF}, 1024, []byte{0x44, 0x80, 0x40, 1, 0, 1, 2}, 0, 0},
		{"track", 0x42, 3, []byte{0, 3, 0, 1, 2, 18, 0x1B, 0xFF}, 18 * 512, []byte{0, 0, 0, 4, 0, 1, 2}, chs(g144, 3, 0, 1), 18},
		{"track under another name", 0x42, 3, []byte{4, 9, 0, 7, 2, 4, 0x1B, 0xFF}, 18 * 512, []byte{0x44, 0x84, 0, 4, 1, 1, 2}, chs(g144, 3, 1, 1), 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, img := new144(t)
			r.seek(0, tt.cyl)
			r.setUpDMA(dmaWrite, tt.dma)
			edges := r.edges
			r.expect("read", append([]byte{tt.command}, tt.params...), tt.want...)
			if r.edges != edges+1 || r.irq {
				t.Errorf("%d interrupts, pending %v", r.edges-edges, r.irq)
			}
			n := tt.n * sectorSize
			if tt.name == "part of a sector" {
				n = tt.dma
			}
			want := append(bytes.Clone(img[tt.lba*sectorSize:][:n]), make([]byte, 512)...)
			if !bytes.Equal(r.buffer(n+512), want) {
				t.Error("wrong data")
			}
		})
	}
}

func TestImpliedSeek(t *testing.T) {
	r, img := new144(t)
	r.command(0x13, 0, configImpliedSeek, 0)
	r.setUpDMA(dmaWrite, 512)
	r.expect("read", []byte{0x46, 4, 33, 1, 2, 2, 18, 0x1B, 0xFF}, 0x24, 0, 0, 33, 1, 3, 2)
	if !bytes.Equal(r.buffer(512), sectorsOf(img, chs(g144, 33, 1, 2), 1)) {
		t.Error("wrong data")
	}
	if s := r.fdc.State(); s.Drives[0].Track != 33 || s.Cylinder[0] != 33 {
		t.Errorf("head at %d, PCN %d", s.Drives[0].Track, s.Cylinder[0])
	}
}

// TestDoubleStep reads a disk of 40 tracks in a drive of 80.
func TestDoubleStep(t *testing.T) {
	g := Geometry{40, 2, 9}
	img := image(g.Size())
	r := newRig(t, DriveOptions{Type: Drive1200K, Disk: disk(t, img, false)}, DriveOptions{})
	r.start()
	for _, rate := range []byte{rate300, rate250} {
		r.out(0x3F7, rate)
		for _, c := range []byte{0, 1, 39} {
			r.seek(0, 2*c)
			r.setUpDMA(dmaWrite, 512)
			r.expect("read", []byte{0x46, 0, c, 0, 5, 2, 9, 0x1B, 0xFF}, 0, 0, 0, c, 0, 6, 2)
			if !bytes.Equal(r.buffer(512), sectorsOf(img, chs(g, int(c), 0, 5), 1)) {
				t.Errorf("cylinder %d: wrong data", c)
			}
		}
	}
	r.seek(0, 3)
	r.expect("between two tracks", []byte{0x46, 0, 1, 0, 5, 2, 9, 0x1B, 0xFF}, 0x40, 1, 0, 1, 0, 5, 2)
}

func TestSingleSided(t *testing.T) {
	g := Geometry{40, 1, 8}
	img := image(g.Size())
	r := newRig(t, DriveOptions{Disk: disk(t, img, false)}, DriveOptions{})
	r.start()
	r.out(0x3F7, rate250)
	r.seek(0, 1)
	r.setUpDMA(dmaWrite, 9*512)
	r.expect("other side", []byte{0xC6, 0, 1, 0, 8, 2, 8, 0x1B, 0xFF}, 0x44, 1, 0, 1, 1, 1, 2)
	if !bytes.Equal(r.buffer(512), sectorsOf(img, 15, 1)) {
		t.Error("wrong data")
	}
}

func TestWrite(t *testing.T) {
	r, img := new144(t)
	before := bytes.Clone(img)
	for i := range 40 * 512 {
		r.ram[buffer+i] = byte(i * 3)
	}
	for _, tt := range []struct {
		name   string
		op     byte
		params []byte
		dma    int
		want   []byte
		lba    int
		zeroes int
	}{
		{"one sector", 0x45, []byte{0, 2, 0, 3, 2, 18, 0x1B, 0xFF}, 512, []byte{0, 0, 0, 2, 0, 4, 2}, chs(g144, 2, 0, 3), 0},
		{"a cylinder", 0xC5, []byte{0, 2, 0, 1, 2, 18, 0x1B, 0xFF}, 36 * 512, []byte{4, 0, 0, 3, 0, 1, 2}, chs(g144, 2, 0, 1), 0},
		{"part of a sector", 0x45, []byte{4, 2, 1, 9, 2, 18, 0x1B, 0xFF}, 700, []byte{4, 0, 0, 2, 1, 11, 2}, chs(g144, 2, 1, 9), 324},
		{"deleted", 0x49, []byte{0, 2, 0, 18, 2, 18, 0x1B, 0xFF}, 512, []byte{0, 0, 0, 3, 0, 1, 2}, chs(g144, 2, 0, 18), 0},
		{"more than the track", 0x45, []byte{0, 2, 0, 18, 2, 18, 0x1B, 0xFF}, 513, []byte{0x40, 0x80, 0, 3, 0, 1, 2}, chs(g144, 2, 0, 18), 0},
	} {
		r.seek(0, 2)
		r.setUpDMA(dmaRead, tt.dma)
		r.expect(tt.name, append([]byte{tt.op}, tt.params...), tt.want...)
		n := min(tt.dma, 512*((tt.dma+511)/512))
		if tt.want[1] != 0 {
			n = 512
		}
		copy(before[tt.lba*512:], r.buffer(n))
		clear(before[tt.lba*512+n:][:tt.zeroes])
		if !bytes.Equal(img, before) {
			t.Errorf("%s: wrong data on the disk", tt.name)
		}
	}
}

func TestWriteProtected(t *testing.T) {
	img := image(1474560)
	before := bytes.Clone(img)
	r := newRig(t, DriveOptions{Disk: disk(t, img, true)}, DriveOptions{})
	r.start()
	r.setUpDMA(dmaRead, 512)
	r.expect("write", []byte{0x45, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF}, 0x40, 2, 0, 0, 0, 1, 2)
	r.expect("format", []byte{0x4D, 0, 2, 18, 0x6C, 0xF6}, 0x40, 2, 0, 0, 0, 0, 2)
	if !bytes.Equal(img, before) {
		t.Error("written to")
	}
}

// TestDMALater enables the channel, or the DMA gate, after the command.
func TestDMALater(t *testing.T) {
	r, img := new144(t)
	for name, tt := range map[string]struct{ before, after func() }{
		"mask": {func() { r.out(0x0A, 6) }, func() { r.out(0x0A, 2) }},
		"gate": {func() { r.out(0x3F2, 0x14) }, func() { r.out(0x3F2, 0x1C) }},
	} {
		clear(r.ram)
		r.setUpDMA(dmaWrite, 1024)
		tt.before()
		r.command(0x46, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF)
		r.settle()
		if s := r.in(0x3F4); s != msrBusy {
			t.Errorf("%s: MSR %#x", name, s)
		}
		if name == "mask" && r.in(0x08)&0x40 == 0 {
			t.Error("no request to the DMA controller")
		}
		tt.after()
		if got := r.results(); !bytes.Equal(got, []byte{0, 0, 0, 0, 0, 3, 2}) || !bytes.Equal(r.buffer(1024), img[:1024]) {
			t.Errorf("%s: result %x", name, got)
		}
		if r.in(0x08)&0x40 != 0 {
			t.Error("the request stays")
		}
	}
	// A reset takes the request back.
	r.out(0x0A, 6)
	r.command(0x46, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF)
	r.settle()
	r.out(0x3F4, 0x80)
	if r.in(0x08)&0x40 != 0 {
		t.Error("the request stays after a reset")
	}
}

func TestNonDMA(t *testing.T) {
	for _, fifo := range []bool{true, false} {
		r, img := new144(t)
		want, edgesPerSector := byte(0x20), 512
		if fifo {
			want, edgesPerSector = 0x0F, 512/16
		}
		r.command(0x13, 0, want, 0)
		r.command(0x03, 0xAF, 0x03)
		edges := r.edges
		r.command(0x46, 0, 0, 0, 2, 2, 3, 0x1B, 0xFF)
		r.settle()
		var got []byte
		for r.in(0x3F4) == msrRequest|msrToHost|msrNonDMA|msrBusy {
			got = append(got, r.in(0x3F5))
		}
		if !bytes.Equal(got, sectorsOf(img, 1, 2)) || r.edges != edges+2*edgesPerSector+1 {
			t.Errorf("FIFO %v: read %d bytes, %d interrupts", fifo, len(got), r.edges-edges)
		}
		if got := r.results(); !bytes.Equal(got, []byte{0x40, 0x80, 0, 1, 0, 1, 2}) {
			t.Errorf("FIFO %v: result %x", fifo, got)
		}

		edges = r.edges
		data := pattern(12345)
		r.command(0x45, 0, 0, 0, 5, 2, 5, 0x1B, 0xFF)
		n := 0
		for r.in(0x3F4) == msrRequest|msrNonDMA|msrBusy {
			r.out(0x3F5, data[n])
			n++
		}
		if got := r.results(); !bytes.Equal(got, []byte{0x40, 0x80, 0, 1, 0, 1, 2}) || n != 512 || r.edges != edges+edgesPerSector+1 {
			t.Errorf("FIFO %v: result %x after %d bytes, %d interrupts", fifo, got, n, r.edges-edges)
		}
		if !bytes.Equal(sectorsOf(img, 4, 1), data) {
			t.Errorf("FIFO %v: wrong data on the disk", fifo)
		}
	}
}

func TestVerify(t *testing.T) {
	r, _ := new144(t)
	for _, tt := range []struct {
		name    string
		command []byte
		want    []byte
	}{
		{"a track", []byte{0x56, 0, 0, 0, 1, 2, 18, 0x1B, 0}, []byte{0, 0, 0, 1, 0, 1, 2}},
		{"a cylinder", []byte{0xD6, 0, 0, 0, 1, 2, 18, 0x1B, 0}, []byte{4, 0, 0, 1, 0, 1, 2}},
		{"too many", []byte{0x56, 0, 0, 0, 1, 2, 19, 0x1B, 0}, []byte{0x40, 4, 0, 0, 0, 19, 2}},
		{"counted", []byte{0x56, 0x80, 0, 0, 3, 2, 18, 0x1B, 5}, []byte{0, 0, 0, 0, 0, 8, 2}},
		{"counted over the heads", []byte{0xD6, 0x80, 0, 0, 18, 2, 18, 0x1B, 3}, []byte{4, 0, 0, 0, 1, 3, 2}},
		{"counted too many", []byte{0x56, 0x80, 0, 0, 18, 2, 18, 0x1B, 2}, []byte{0x40, 0x80, 0, 1, 0, 1, 2}},
	} {
		r.expect(tt.name, tt.command, tt.want...)
	}
}

func TestReadID(t *testing.T) {
	r, _ := new144(t)
	r.seek(0, 7)
	for i := range byte(20) {
		r.expect("id", []byte{0x4A, 4}, 0x04, 0, 0, 7, 1, i%18+1, 2)
	}
	r.expect("FM", []byte{0x0A, 0}, 0x40, 1, 0, 0, 0, 0, 0)
	r.expect("no drive", []byte{0x4A, 1}, 0x41, 1, 0, 0, 0, 0, 0)
	r.out(0x3F4, rate250)
	r.expect("wrong rate", []byte{0x4A, 0}, 0x40, 1, 0, 0, 0, 0, 0)
}

func TestFormat(t *testing.T) {
	r, img := new144(t)
	want := bytes.Clone(img)
	send := func(ids ...byte) {
		copy(r.ram[buffer:], ids)
		r.setUpDMA(dmaRead, len(ids))
	}
	var ids []byte
	for i := range byte(18) {
		ids = append(ids, 4, 1, 1+i*5%18, 2) // interleaved
	}
	r.seek(0, 4)
	send(ids...)
	r.expect("format", []byte{0x4D, 4, 2, 18, 0x6C, 0xF6}, 0x04, 0, 0, 4, 1, 1, 2)
	track := sectorsOf(want, chs(g144, 4, 1, 1), 18)
	for i := range track {
		track[i] = 0xF6
	}
	if !bytes.Equal(img, want) {
		t.Error("wrong data on the disk")
	}

	send(4, 0, 2, 2, 4, 0, 4, 2, 4, 0, 5, 2) // three sectors
	r.expect("some", []byte{0x4D, 0, 2, 3, 0x6C, 0xE5}, 0x00, 0, 0, 4, 0, 4, 2)
	for _, s := range []int{2, 4, 5} {
		for i := range sectorsOf(want, chs(g144, 4, 0, s), 1) {
			sectorsOf(want, chs(g144, 4, 0, s), 1)[i] = 0xE5
		}
	}
	if !bytes.Equal(img, want) {
		t.Error("wrong data after some sectors")
	}
	for _, tt := range []struct {
		name    string
		ids     []byte
		command []byte
	}{
		{"another size", []byte{4, 0, 1, 3}, []byte{0x4D, 0, 3, 1, 0x6C, 0xF6}},
		{"too many", []byte{4, 0, 1, 2}, []byte{0x4D, 0, 2, 19, 0x6C, 0xF6}},
		{"none", []byte{4, 0, 1, 2}, []byte{0x4D, 0, 2, 0, 0x6C, 0xF6}},
		{"another cylinder", []byte{5, 0, 1, 2}, []byte{0x4D, 0, 2, 1, 0x6C, 0xF6}},
		{"another head", []byte{4, 1, 1, 2}, []byte{0x4D, 0, 2, 1, 0x6C, 0xF6}},
		{"sector 0", []byte{4, 0, 0, 2}, []byte{0x4D, 0, 2, 1, 0x6C, 0xF6}},
		{"sector 19", []byte{4, 0, 19, 2}, []byte{0x4D, 0, 2, 1, 0x6C, 0xF6}},
	} {
		send(tt.ids...)
		r.command(tt.command...)
		if got := r.results(); len(got) != 7 || got[0] != 0x40 || got[1] != st1Protected {
			t.Errorf("%s: result %x", tt.name, got)
		}
	}
	if !bytes.Equal(img, want) {
		t.Error("a refused format has written")
	}
	if !bytes.Contains(r.log.Bytes(), []byte("image=1.44M")) {
		t.Errorf("log: %s", &r.log)
	}
}

func TestScan(t *testing.T) {
	const equal, low, high = 0x51, 0x59, 0x5D
	r, img := new144(t)
	for i := range img[:18*512] { // sector n of the first track is all n
		img[i] = byte(i/512 + 1)
	}
	for _, tt := range []struct {
		name string
		op   byte
		host byte
		r    byte
		eot  byte
		stp  byte
		dma  int
		st2  byte
		at   byte // R in the result
	}{
		{"equal at once", equal, 3, 3, 18, 1, 512, st2ScanHit, 3},
		{"equal later", equal, 5, 3, 18, 1, 4 * 512, st2ScanHit, 5},
		{"not equal", equal, 9, 3, 5, 1, 8 * 512, st2ScanMiss, 5},
		{"ended by the count", equal, 9, 3, 18, 1, 2 * 512, st2ScanMiss, 4},
		{"stepped over", equal, 4, 3, 7, 2, 9 * 512, st2ScanMiss, 7},
		{"mask", equal, 0xFF, 3, 18, 1, 512, st2ScanHit, 3},
		{"low", low, 5, 3, 18, 1, 512, 0, 3},
		{"low or equal", low, 3, 3, 18, 1, 512, st2ScanHit, 3},
		{"not low", low, 2, 3, 5, 1, 4 * 512, st2ScanMiss, 5},
		{"high", high, 4, 3, 18, 1, 4 * 512, st2ScanHit, 4},
		{"higher", high, 2, 3, 18, 1, 4 * 512, 0, 3},
	} {
		for i := range r.buffer(18 * 512) {
			r.ram[buffer+i] = tt.host
		}
		r.setUpDMA(dmaRead, tt.dma)
		r.expect(tt.name, []byte{tt.op, 0, 0, 0, tt.r, 2, tt.eot, 0x1B, tt.stp}, 0, 0, tt.st2, 0, 0, tt.at, 2)
	}
	// Over to the other head.
	for i := range r.buffer(512) {
		r.ram[buffer+i] = 99
	}
	r.setUpDMA(dmaRead, 3*512)
	copy(sectorsOf(img, 18, 1), r.buffer(512))
	for i := range r.buffer(3 * 512) {
		r.ram[buffer+i] = 99
	}
	r.expect("both heads", []byte{0xD1, 0, 0, 0, 18, 2, 18, 0x1B, 1}, 0x04, 0, st2ScanHit, 0, 1, 1, 2)
}
