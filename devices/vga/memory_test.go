package vga

import (
	"fmt"
	"testing"
)

// model is the graphics controller and the sequencer done slowly: separate
// planes, a bit at a time, nothing prepared.
type model struct {
	plane [4][65536]byte
	latch [4]byte
	seq   [5]uint8
	gfx   [9]uint8
}

func bit(b uint8, n int) uint8 { return b >> n & 1 }

// locate says where an address in the 128 KiB window leads.
func (m *model) locate(addr int, oddEven bool) (at int, hit [4]bool, ok bool) {
	size := 0x20000
	switch m.gfx[6] >> 2 & 3 {
	case 1:
		size = 0x10000
	case 2:
		addr, size = addr-0x10000, 0x8000
	case 3:
		addr, size = addr-0x18000, 0x8000
	}
	if addr < 0 || addr >= size {
		return 0, hit, false
	}
	switch {
	case bit(m.seq[4], 3) == 1:
		hit[addr%4] = true
		return (addr/4*4 + addr/65536) % 65536, hit, true
	case oddEven:
		hit[addr%2], hit[addr%2+2] = true, true
		at = addr / 2 * 2
		if size == 0x20000 && bit(m.gfx[6], 1) == 1 {
			at += addr / 65536
		}
		return at % 65536, hit, true
	}
	return addr % 65536, [4]bool{true, true, true, true}, true
}

func (m *model) read(addr int) byte {
	oddEven := bit(m.gfx[5], 4) == 1
	at, _, ok := m.locate(addr, oddEven)
	if !ok {
		return 0xFF
	}
	for p := range 4 {
		m.latch[p] = m.plane[p][at]
	}
	if bit(m.gfx[5], 3) == 1 {
		var v byte
		for n := range 8 {
			same := true
			for p := range 4 {
				if bit(m.gfx[7], p) == 1 && bit(m.latch[p], n) != bit(m.gfx[2], p) {
					same = false
				}
			}
			if same {
				v |= 1 << n
			}
		}
		return v
	}
	switch {
	case bit(m.seq[4], 3) == 1:
		return m.latch[addr%4]
	case oddEven:
		return m.latch[int(m.gfx[4]/2*2)+addr%2]
	}
	return m.latch[m.gfx[4]]
}

func (m *model) write(addr int, cpu byte) {
	at, hit, ok := m.locate(addr, bit(m.seq[4], 2) == 0)
	if !ok {
		return
	}
	rotate := int(m.gfx[3] & 7)
	for p := range 4 {
		if !hit[p] || bit(m.seq[2], p) == 0 {
			continue
		}
		var v byte
		for n := range 8 {
			rotated := bit(cpu, (n+rotate)%8)
			latch := bit(m.latch[p], n)
			in, mask := rotated, bit(m.gfx[8], n)
			switch m.gfx[5] & 3 {
			case 0:
				if bit(m.gfx[1], p) == 1 {
					in = bit(m.gfx[0], p)
				}
			case 1:
				v |= latch << n
				continue
			case 2:
				in = bit(cpu, p)
			case 3:
				in, mask = bit(m.gfx[0], p), mask&rotated
			}
			switch m.gfx[3] >> 3 {
			case 1:
				in &= latch
			case 2:
				in |= latch
			case 3:
				in ^= latch
			}
			if mask == 0 {
				in = latch
			}
			v |= in << n
		}
		m.plane[p][at] = v
	}
}

// TestWindowAgainstModel makes random accesses in random modes.
func TestWindowAgainstModel(t *testing.T) {
	rnd := newRand()
	r := newRig(t, Options{VRAM: MinVRAM})
	r.out(0x3C2, 1, miscColour|miscRAM)
	m := &model{}
	spots := []int{0, 1, 2, 3, 5, 0x7FFE, 0x8001, 0xFFFD, 0x10000, 0x10003, 0x17FFF, 0x18000, 0x18001, 0x1FFFC}
	for step := range 100_000 {
		switch rnd.IntN(4) {
		case 0:
			i, v := rnd.IntN(9), uint8(rnd.Uint32())
			m.gfx[i] = v & graphicsBits[i]
			indexed(r, 0x3CE, uint8(i), v)
		case 1:
			i, v := 2+2*rnd.IntN(2), uint8(rnd.Uint32())
			m.seq[i] = v & sequencerBits[i]
			indexed(r, 0x3C4, uint8(i), v)
		default:
			addr := spots[rnd.IntN(len(spots))]
			n := min(1<<rnd.IntN(4), LegacySize-addr)
			if n&(n-1) != 0 {
				n = 1
			}
			if rnd.IntN(2) == 0 {
				data := randomBytes(rnd, n)
				r.memory.Write(LegacyBase+uint64(addr), data)
				for i, b := range data {
					m.write(addr+i, b)
				}
				continue
			}
			got, want := r.read(LegacyBase+uint64(addr), n), make([]byte, n)
			for i := range want {
				want[i] = m.read(addr + i)
			}
			if string(got) != string(want) {
				t.Fatalf("step %d, address %#x: read % x, want % x\nsequencer % x, graphics % x",
					step, addr, got, want, m.seq, m.gfx)
			}
		}
	}
	for at := range planeSize {
		for p := range 4 {
			if got := r.vga.VRAM()[at*4+p]; got != m.plane[p][at] {
				t.Fatalf("plane %d, address %#x: %#x, want %#x", p, at, got, m.plane[p][at])
			}
		}
	}
}

// TestTextAccess sees that text as a driver writes it comes to be where the
// CRTC and the font loader expect it.
func TestTextAccess(t *testing.T) {
	r := newRig(t, Options{})
	text80x25.set(r)
	r.write(0xB8000, []byte("H\x1Fi\x2E"))
	want := []byte{'H', 0x1F, 0, 0, 0, 0, 0, 0, 'i', 0x2E, 0, 0}
	if got := r.vga.VRAM()[:12]; string(got) != string(want) {
		t.Errorf("video memory is % x, want % x", got, want)
	}
	if got := string(r.read(0xB8000, 4)); got != "H\x1Fi\x2E" {
		t.Errorf("read back %q", got)
	}
	for _, addr := range []uint64{0xA0000, 0xB0000} {
		r.write(addr, []byte{1})
		if got := r.read(addr, 1)[0]; got != 0xFF {
			t.Errorf("%#x reads %#x in a mode at 0xb8000, want ones", addr, got)
		}
	}
}

func TestBanks(t *testing.T) {
	for _, bpp := range []uint16{8, 32} {
		t.Run(fmt.Sprint(bpp), func(t *testing.T) {
			r := newRig(t, Options{})
			dispi(r, dispiXRes, 1024)
			dispi(r, dispiYRes, 768)
			dispi(r, dispiBPP, bpp)
			dispi(r, dispiEnable, dispiEnabled)
			for _, bank := range []uint16{0, 1, 255} {
				dispi(r, dispiBank, bank)
				r.write(0xA1234, []byte{byte(bank + 1), 2, 3, 4})
				at := int(bank)<<16 + 0x1234
				if got := r.vga.VRAM()[at : at+4]; got[0] != byte(bank+1) || got[3] != 4 {
					t.Errorf("bank %d: video memory is % x", bank, got)
				}
				if got := r.read(0xA1234, 1)[0]; got != byte(bank+1) {
					t.Errorf("bank %d reads %#x", bank, got)
				}
			}
			dispi(r, dispiBank, 0x101)
			if got := readDISPI(r, dispiBank); got != 1 {
				t.Errorf("bank 0x101 of 256 is %#x, want 1", got)
			}
			if got := r.read(0xB8000, 1)[0]; got != 0xFF {
				t.Errorf("0xb8000 reads %#x, want ones: the banks are at 0xa0000", got)
			}
		})
	}
	t.Run("planar", func(t *testing.T) {
		r := newRig(t, Options{})
		dispi(r, dispiXRes, 1024)
		dispi(r, dispiYRes, 768)
		dispi(r, dispiBPP, 4)
		dispi(r, dispiEnable, dispiEnabled)
		indexed(r, 0x3C4, 2, 0x0F)
		indexed(r, 0x3C4, 4, 0x06)
		indexed(r, 0x3CE, 8, 0xFF)
		dispi(r, dispiBank, 63)
		r.write(0xAFFFF, []byte{0xA5})
		if got := r.vga.VRAM()[16<<20-4:]; string(got) != "\xA5\xA5\xA5\xA5" {
			t.Errorf("the end of video memory is % x, want a5 in all planes", got)
		}
		dispi(r, dispiBank, 64)
		if got := readDISPI(r, dispiBank); got != 0 {
			t.Errorf("bank 64 of 64 is %d, want 0", got)
		}
	})
}

func TestAccessesDoNotAllocate(t *testing.T) {
	r := newRig(t, Options{})
	w, p := r.vga.Window(), r.vga.Ports()
	data := make([]byte, 8)
	for name, md := range map[string]*mode{"text": &text80x25, "planar": &vga640x480, "chain 4": &vga320x200} {
		md.set(r)
		if n := testing.AllocsPerRun(100, func() {
			w.Write(0x18000, data)
			w.Read(0x18000, data)
			w.Write(0, data)
			p.Write(4, data[:2])
			p.Read(0x1A, data[:1])
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
