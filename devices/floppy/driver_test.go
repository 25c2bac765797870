package floppy

import (
	"bytes"
	"testing"
)

// TestFirmware boots as a BIOS does: reset, recalibrate, sense the medium by
// its rate, and read the boot sector with MT, MFM and SK.
func TestFirmware(t *testing.T) {
	for _, tt := range []struct {
		size int64
		rate byte // that is found
	}{{1474560, rate500}, {737280, rate250}, {368640, rate300}, {1228800, rate500}, {2949120, rate1M}} {
		img := image(tt.size)
		r := newRig(t, DriveOptions{Disk: disk(t, img, false)}, DriveOptions{})
		wait := func(what string) {
			t.Helper()
			r.settle()
			if !r.irq {
				t.Fatalf("%d: no interrupt after %s", tt.size, what)
			}
		}
		r.out(0xDA, 0) // the firmware sets up the cascade
		r.out(0xD6, 0xC0)
		r.out(0xD4, 0)
		r.out(0x3F2, 0x08)
		r.out(0x3F2, 0x0C)
		wait("reset")
		for range 4 {
			r.command(0x08)
			r.results()
		}
		r.out(0x3F2, 0x1C)
		r.command(0x07, 0)
		wait("recalibrate")
		r.expect("sense", []byte{0x08}, 0x20, 0)
		found := -1
		for _, rate := range []byte{rate500, rate300, rate250, rate1M} {
			r.out(0x3F7, rate)
			r.command(0x4A, 0)
			wait("read id")
			if id := r.results(); id[0]&0xC0 == 0 {
				found = int(rate)
				break
			}
		}
		if found != int(tt.rate) {
			t.Fatalf("%d: found rate %d", tt.size, found)
		}
		r.command(0x03, 0xAF, 0x02)
		r.setUpDMA(dmaWrite, 512)
		r.command(0xE6, 0, 0, 0, 1, 2, 1, 0x1B, 0xFF)
		wait("read")
		if got := r.results(); len(got) != 7 || got[0]&0xC0 != 0 || !bytes.Equal(r.buffer(512), img[:512]) {
			t.Errorf("%d: result %x", tt.size, got)
		}
	}
}

// TestLinux goes through what Linux does from finding the controller to
// writing a track and reading it back.
func TestLinux(t *testing.T) {
	r, img := new144(t)
	r.out(0x3F4, 0x80|rate500) // it resets by the DSR
	for i := range byte(4) {
		r.expect("sense", []byte{0x08}, 0xC0|i, 0)
	}
	r.expect("dump", []byte{0x0E}, 0, 0, 0, 0, 0xAF, 0x02, 0, 0, 0x20, 0)
	r.command(0x13, 0, 0x1A, 0)
	r.command(0x12, 0x80)
	r.expect("unlock", []byte{0x14}, 0)
	r.expect("part id", []byte{0x18}, 0x80)
	r.command(0x13, 0, 0x1A, 0)
	r.expect("lock", []byte{0x94}, 0x10)
	r.out(0x3F7, rate500)
	r.command(0x03, 0xDF, 0x02)

	r.command(0x07, 0)
	r.expect("sense", []byte{0x08}, 0x20, 0)
	r.command(0x0F, 0, 1) // a step, to see that there is a disk
	r.expect("sense", []byte{0x08}, 0x20, 1)
	if r.in(0x3F7)&dirChanged != 0 {
		t.Fatal("no disk")
	}
	r.seek(0, 12)
	data := r.buffer(36 * 512)
	for i := range data {
		data[i] = byte(i>>9 + i)
	}
	written := bytes.Clone(data)
	r.setUpDMA(dmaRead, len(data))
	r.expect("write", []byte{0xC5, 0, 12, 0, 1, 2, 18, 0x1B, 0xFF}, 0x04, 0, 0, 13, 0, 1, 2)
	clear(data)
	r.setUpDMA(dmaWrite, len(data))
	r.expect("read", []byte{0xE6, 0, 12, 0, 1, 2, 18, 0x1B, 0xFF}, 0x04, 0, 0, 13, 0, 1, 2)
	if !bytes.Equal(data, written) || !bytes.Equal(sectorsOf(img, 12*36, 36), written) {
		t.Error("what was written does not come back")
	}
	r.out(0x3F2, 0x0C)
}

// TestBIOSVerify is INT 13h function 4: a read whose DMA transfer only counts.
func TestBIOSVerify(t *testing.T) {
	r, _ := new144(t)
	r.setUpDMA(dmaVerify, 3*512)
	r.expect("verify", []byte{0xE6, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF}, 0, 0, 0, 0, 0, 4, 2)
	if !bytes.Equal(r.buffer(512), make([]byte, 512)) {
		t.Error("the verify wrote to memory")
	}
}

func TestAllocatesNothing(t *testing.T) {
	r, _ := new144(t)
	one := []byte{0}
	results := func() {
		for one[0] = msrToHost; one[0]&msrToHost != 0; r.ports.Read(0x3F4, one) {
			r.ports.Read(0x3F5, one)
		}
	}
	if n := testing.AllocsPerRun(50, func() {
		for _, v := range []byte{0x08, 0x0E, 0x94, 0x14, 0x18, 0x10} {
			one[0] = v
			r.ports.Write(0x3F5, one)
			results()
		}
		for port := uint64(0x3F0); port < 0x3F8; port++ {
			r.ports.Read(port, one)
		}
		for _, v := range [...]byte{0x46, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF} {
			one[0] = v
			r.ports.Write(0x3F5, one)
		}
		r.settle()
		one[0] = 0x80 // DSR
		r.ports.Write(0x3F4, one)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkReadTrack(b *testing.B) {
	r, _ := new144(b)
	b.SetBytes(18 * 512)
	b.ReportAllocs()
	for b.Loop() {
		r.setUpDMA(dmaWrite, 18*512)
		r.command(0x46, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF)
		r.settle()
		for r.in(0x3F4)&msrToHost != 0 {
			r.in(0x3F5)
		}
	}
}

// FuzzFDC is a guest that writes anything anywhere. Whatever it does, the
// interrupt line follows the state, the controller comes to rest, and a reset
// brings it back to work.
func FuzzFDC(f *testing.F) {
	read := []byte{0, 0x46, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 18, 0, 0x1B, 0, 0xFF}
	f.Add(append([]byte{9, 1}, read...))
	f.Add(append([]byte{0, 3, 0, 0xAF, 0, 3, 0, 0xC5}, read[2:]...))
	f.Add([]byte{9, 4, 0, 0x4D, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0xF6, 0, 0, 0, 0, 0, 1, 0, 2})
	f.Add([]byte{0, 0x0F, 0, 0, 0, 200, 1, 0x80, 0, 8, 2, 0, 2, 0x1C, 6, 0, 7, 1})
	f.Fuzz(func(t *testing.T, ops []byte) {
		img := make([]byte, 368640)
		r := newRig(t, DriveOptions{Disk: disk(t, img, false)}, DriveOptions{Type: Drive1440K})
		r.start()
		r.out(0x3F7, rate250)
		for n := 0; len(ops) >= 2 && n < 400; ops, n = ops[2:], n+1 {
			v := ops[1]
			switch ops[0] % 12 {
			case 0, 1, 2:
				r.out(0x3F5, v)
			case 3:
				r.out(0x3F2+uint64(v&1), v) // DOR, TDR
			case 4:
				r.out(0x3F4, v)
			case 5:
				r.out(0x3F7, v)
			case 6:
				r.in(0x3F0 + uint64(v&7))
			case 7:
				if err := r.fdc.Eject(int(v & 1)); err != nil {
					t.Fatal(err)
				}
			case 8:
				if err := r.fdc.Insert(0, disk(t, img, v&1 != 0)); err != nil {
					t.Fatal(err)
				}
			case 9:
				r.setUpDMA(dmaVerify+v&0x0C, int(v)*64+1)
			case 10:
				r.out(uint64(v&0x0F), ops[0])
			case 11:
				r.settle()
			}
		}
		r.settle()
		s := r.fdc.State()
		if want := s.Interrupt && s.DOR&dorDMAGate != 0; r.irq != want || s.Asserted != want {
			t.Fatalf("interrupt %v with %+v", r.irq, s)
		}
		r.out(0x0D, 0)
		r.out(0x08, 0)
		r.out(0xD6, 0xC0)
		r.out(0xD4, 0)
		r.out(0x3F2, 0)
		if err := r.fdc.Insert(0, disk(t, img, false)); err != nil {
			t.Fatal(err)
		}
		r.start()
		r.out(0x3F7, rate250)
		r.command(0x13, 0, 0, 0)
		r.command(0x07, 0)
		r.command(0x08)
		r.results()
		r.setUpDMA(dmaWrite, 512)
		r.expect("read", []byte{0x46, 0, 0, 0, 1, 2, 9, 0x1B, 0xFF}, 0, 0, 0, 0, 0, 2, 2)
	})
}
