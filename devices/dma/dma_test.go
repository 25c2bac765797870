package dma

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/govmm/govmm/devices/bus"
)

// ram is guest memory with a limit.
type ram []byte

var errNoRAM = errors.New("no memory there")

func (m ram) ReadAt(p []byte, gpa uint64) error {
	if gpa+uint64(len(p)) > uint64(len(m)) {
		return errNoRAM
	}
	copy(p, m[gpa:])
	return nil
}

func (m ram) WriteAt(p []byte, gpa uint64) error {
	if gpa+uint64(len(p)) > uint64(len(m)) {
		return errNoRAM
	}
	copy(m[gpa:], p)
	return nil
}

type rig struct {
	*DMA
	ports *bus.Bus
	ram   ram
	log   bytes.Buffer
}

func newRig(tb testing.TB, firmware bool) *rig {
	r := &rig{ports: bus.New("ports", 0x10000), ram: make(ram, 1<<20)}
	r.DMA = New(Options{Memory: r.ram, Firmware: firmware, Log: slog.New(slog.NewTextHandler(&r.log, nil))})
	if err := errors.Join(
		r.ports.Add(LowPort, LowPorts, "dma low", r.Low()),
		r.ports.Add(HighPort, HighPorts, "dma high", r.High()),
		r.ports.Add(PagePort, PagePorts, "dma pages", r.Pages()),
	); err != nil {
		tb.Fatal(err)
	}
	return r
}

func (r *rig) out(port uint64, values ...byte) {
	for _, v := range values {
		r.ports.Write(port, []byte{v})
	}
}

func (r *rig) in(port uint64) byte {
	data := []byte{0}
	r.ports.Read(port, data)
	return data[0]
}

// in16 reads an address or a count, from the low byte on.
func (r *rig) in16(port uint64) uint16 {
	if port < 0x10 {
		r.out(0x0C, 0)
	} else {
		r.out(0xD8, 0)
	}
	low := r.in(port)
	return uint16(low) | uint16(r.in(port))<<8
}

// setUp programs channel n as a driver does: a transfer of count units at the
// linear address, in the given mode.
func (r *rig) setUp(n int, mode byte, address, count int) {
	low := n < 4
	port := func(low8, high16 uint64) uint64 {
		if low {
			return low8
		}
		return high16
	}
	channel := byte(n & 3)
	r.out(port(0x0A, 0xD4), 4|channel)
	r.out(port(0x0C, 0xD8), 0)
	r.out(port(0x0B, 0xD6), mode|channel)
	at := address
	if !low {
		at >>= 1
	}
	r.out(port(uint64(2*channel), 0xC0+4*uint64(channel)), byte(at), byte(at>>8))
	r.out(port(uint64(2*channel)+1, 0xC2+4*uint64(channel)), byte(count-1), byte((count-1)>>8))
	r.out([]uint64{0x87, 0x83, 0x81, 0x82, 0x8F, 0x8B, 0x89, 0x8A}[n], byte(address>>16))
	r.out(port(0x0A, 0xD4), channel)
}

func TestPowerOn(t *testing.T) {
	r := newRig(t, false)
	for _, port := range []uint64{0x0F, 0xDE, 0xDF} {
		if v := r.in(port); v != 0x0F {
			t.Errorf("mask at port %#x is %#x", port, v)
		}
	}
	for _, port := range []uint64{0x08, 0x0D, 0xD0, 0xDA, 0x0B, 0x81, 0x8F} {
		if v := r.in(port); v != 0 {
			t.Errorf("port %#x reads %#x", port, v)
		}
	}
	if n, _ := r.Channel(2).Write([]byte{1}); n != 0 {
		t.Error("a masked channel transfers")
	}
	f := newRig(t, true)
	if v := f.in(0xDE); v != 0x0E {
		t.Errorf("firmware leaves mask %#x", v)
	}
	f.out(0xDA, 0)
	f.Reset()
	if v := f.in(0xDE); v != 0x0E {
		t.Errorf("after a reset mask %#x", v)
	}
}

func TestFlipFlop(t *testing.T) {
	r := newRig(t, true)
	r.out(0x0C, 0)
	r.out(0x04, 0x34, 0x12)
	r.out(0x05, 0x78, 0x56)
	if a, c := r.in16(0x04), r.in16(0x05); a != 0x1234 || c != 0x5678 {
		t.Errorf("address %#x, count %#x", a, c)
	}
	r.out(0x0C, 0)
	r.out(0x04, 0xAA) // leaves the flip-flop at the high byte
	if v := r.in(0x04); v != 0x12 {
		t.Errorf("high byte %#x", v)
	}
	if v := r.in(0x04); v != 0xAA {
		t.Errorf("low byte %#x", v)
	}
	r.out(0x0D, 0) // master clear
	if v := r.in(0x04); v != 0xAA || r.in(0x0F) != 0x0F {
		t.Errorf("master clear: low byte %#x", v)
	}
	r.out(0xC4, 0x11) // the controllers have a flip-flop each
	if r.in(0x04) != 0x12 || r.in(0xC4) != 0 {
		t.Error("the flip-flops are not apart")
	}
}

func TestMasks(t *testing.T) {
	r := newRig(t, false)
	for _, tt := range []struct {
		port uint64
		v    byte
		want byte
	}{
		{0x0E, 0x00, 0x0}, {0x0A, 0x06, 0x4}, {0x0A, 0x05, 0x6}, {0x0A, 0x02, 0x2}, {0x0F, 0xFB, 0xB},
		{0x0E, 0xFF, 0x0}, {0x0D, 0x00, 0xF},
	} {
		r.out(tt.port, tt.v)
		if v := r.in(0x0F); v != tt.want {
			t.Errorf("mask %#x after %#x to port %#x, want %#x", v, tt.v, tt.port, tt.want)
		}
	}
}

func TestTransfers(t *testing.T) {
	const verify, write, read, auto, down = 0x40, 0x44, 0x48, 0x10, 0x20
	for _, tt := range []struct {
		name           string
		channel        int
		mode           byte
		address, count int // as programmed
		device         string
		want           string // memory from at on
		at             int
		n              int
		tc             bool
		left           uint16 // address register afterwards
	}{
		{"write", 2, write, 0x12345, 4, "abcd", "abcd", 0x12345, 4, true, 0x2349},
		{"write less", 2, write, 0x12345, 8, "abcd", "abcd....", 0x12345, 4, false, 0x2349},
		{"write more", 2, write, 0x12345, 2, "abcd", "ab..", 0x12345, 2, true, 0x2347},
		{"wraps in its page", 3, write, 0x3FFFE, 4, "abcd", "ab", 0x3FFFE, 4, true, 2},
		{"wrapped", 3, write, 0x3FFFE, 4, "abcd", "cd..", 0x30000, 4, true, 2},
		{"down", 1, write | down, 0x20003, 4, "abcd", "dcba", 0x20000, 4, true, 0xFFFF},
		{"down wraps", 1, write | down, 0x20001, 4, "abcd", "ba", 0x20000, 4, true, 0xFFFD},
		{"down wrapped", 1, write | down, 0x20001, 4, "abcd", ".dc", 0x2FFFD, 4, true, 0xFFFD},
		{"autoinit", 0, write | auto, 0x0100, 4, "abcd", "abcd", 0x100, 4, true, 0x100},
		{"verify", 2, verify, 0x12345, 4, "abcd", "....", 0x12345, 4, true, 0x2349},
		{"words", 5, write, 0x54320, 2, "abcd", "abcd", 0x54320, 4, true, 0xA192},
		{"odd end", 6, write, 0x54320, 2, "abc", "ab..", 0x54320, 2, false, 0xA191},
		{"words wrap in 128 KiB", 7, write, 0x3FFFE, 2, "abcd", "ab", 0x3FFFE, 4, true, 1},
		{"words wrapped", 7, write, 0x3FFFE, 2, "abcd", "cd", 0x20000, 4, true, 1},
		{"words down", 7, write | down, 0x20002, 2, "abcd", "cdab", 0x20000, 4, true, 0xFFFF},
		{"other direction", 2, read, 0x12345, 4, "abcd", "....", 0x12345, 0, false, 0x2345},
		{"cascade", 2, 0xC4, 0x12345, 4, "abcd", "....", 0x12345, 0, false, 0x2345},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, true)
			fill(r.ram, '.')
			r.setUp(tt.channel, tt.mode, tt.address, tt.count)
			n, tc := r.Channel(tt.channel).Write([]byte(tt.device))
			if n != tt.n || tc != tt.tc {
				t.Errorf("moved %d, terminal count %v, want %d, %v", n, tc, tt.n, tt.tc)
			}
			if got := string(r.ram[tt.at : tt.at+len(tt.want)]); got != tt.want {
				t.Errorf("memory %q, want %q", got, tt.want)
			}
			status, mask, port := uint64(0x08), uint64(0x0F), uint64(2*tt.channel)
			if tt.channel > 3 {
				status, mask, port = 0xD0, 0xDE, 0xC0+4*uint64(tt.channel&3)
			}
			bit := byte(1) << (tt.channel & 3)
			if v := r.in(status)&bit != 0; v != tt.tc {
				t.Errorf("status shows terminal count %v", v)
			}
			if r.in(status)&bit != 0 {
				t.Error("reading the status does not clear it")
			}
			if v := r.in(mask)&bit != 0; v != (tt.tc && tt.mode&auto == 0) {
				t.Errorf("masked %v", v)
			}
			if v := r.in16(port); v != tt.left {
				t.Errorf("address %#x, want %#x", v, tt.left)
			}

			// What was written can be read back in the same way.
			if tt.n == 0 || tt.mode&modeTransfer != modeWrite {
				return
			}
			r.setUp(tt.channel, tt.mode^(modeWrite|modeRead), tt.address, tt.count)
			back := make([]byte, len(tt.device))
			if n, tc := r.Channel(tt.channel).Read(back); n != tt.n || tc != tt.tc || string(back[:n]) != tt.device[:n] {
				t.Errorf("read back %q, %d, %v", back, n, tc)
			}
		})
	}
}

func TestReadVerify(t *testing.T) {
	r := newRig(t, true)
	r.setUp(1, 0x40, 0, 2)
	b := []byte{0, 0, 0}
	if n, tc := r.Channel(1).Read(b); n != 2 || !tc || !bytes.Equal(b, []byte{0xFF, 0xFF, 0}) {
		t.Errorf("%x %d %v", b, n, tc)
	}
}

func TestOutsideRAM(t *testing.T) {
	r := newRig(t, true)
	b := []byte{1, 2}
	for range 100 {
		r.setUp(2, 0x44, 0xFF0000, 2)
		if n, tc := r.Channel(2).Write(b); n != 2 || !tc {
			t.Fatalf("%d %v", n, tc)
		}
		r.setUp(2, 0x48, 0xFF0000, 2)
		if n, tc := r.Channel(2).Read(b); n != 2 || !tc || b[0] != 0xFF || b[1] != 0xFF {
			t.Fatalf("%x %d %v", b, n, tc)
		}
	}
	if n := strings.Count(r.log.String(), "no RAM"); n == 0 || n > 20 {
		t.Errorf("%d log lines", n)
	}
}

func TestCascade(t *testing.T) {
	r := newRig(t, true)
	for _, tt := range []struct {
		name      string
		port      uint64
		value     byte
		low, high bool // what works
	}{
		{"as firmware leaves it", 0x80, 0, true, true},
		{"cascade masked", 0xD4, 4, false, true},
		{"cascade not masked", 0xD4, 0, true, true},
		{"second controller off", 0xD0, 4, false, false},
		{"second controller on", 0xD0, 0, true, true},
		{"first controller off", 0x08, 4, false, true},
		{"first controller on", 0x08, 0, true, true},
		{"no cascade mode", 0xD6, 0x40, false, true},
		{"cascade mode", 0xD6, 0xC0, true, true},
	} {
		r.out(tt.port, tt.value)
		r.setUp(2, 0x44, 0, 16)
		r.setUp(5, 0x44, 0, 16)
		low, _ := r.Channel(2).Write([]byte{1, 2})
		high, _ := r.Channel(5).Write([]byte{1, 2})
		if low > 0 != tt.low || high > 0 != tt.high {
			t.Errorf("%s: channel 2 moved %d, channel 5 %d", tt.name, low, high)
		}
	}
	if n, _ := r.Channel(4).Write([]byte{1, 2}); n != 0 {
		t.Error("the cascade moves data")
	}
}

// TestWaiting is a device that asks before its channel is programmed.
func TestWaiting(t *testing.T) {
	r := newRig(t, true)
	c := r.Channel(2)
	var got []string
	left := []byte("hello")
	c.OnReady(func() {
		n, tc := c.Write(left)
		got = append(got, string(left[:n]))
		left = left[n:]
		if tc {
			got = append(got, "tc")
		}
		if len(left) == 0 {
			c.SetDREQ(false)
		}
	})
	r.setUp(2, 0x44, 0, 3)
	if got != nil {
		t.Fatal("called without a request")
	}
	r.out(0x0A, 6)
	c.SetDREQ(true)
	if v := r.in(0x08); v != 0x40 {
		t.Errorf("status %#x", v)
	}
	r.out(0x0A, 2)
	r.out(0x0A, 2) // the terminal count has masked it; this is wanted or not, it is open
	if !slices.Equal(got, []string{"hel", "tc", "lo"}) || r.in(0x08) != 0x04 {
		t.Errorf("%q", got)
	}
	if c.Remaining() != 0x10000-2 {
		t.Errorf("%d bytes remain", c.Remaining())
	}
}

func TestSoftwareRequest(t *testing.T) {
	r := newRig(t, true)
	fill(r.ram, '.')
	r.setUp(1, 0x44, 0x100, 4) // single mode
	r.out(0x09, 5)
	if v := r.in(0x08); v != 0 {
		t.Errorf("status %#x in single mode", v)
	}
	r.out(0x0A, 5)    // a mask does not matter
	r.out(0x0B, 0x85) // block mode
	if v := r.in(0x08); v != 2 {
		t.Errorf("status %#x", v)
	}
	if a, c := r.in16(0x02), r.in16(0x03); a != 0x104 || c != 0xFFFF || r.ram[0x100] != '.' {
		t.Errorf("address %#x, count %#x", a, c)
	}
	if s := r.State(); s.Controllers[0].Requests != 0 {
		t.Error("the request is not cleared")
	}
	r.out(0x08, 4) // disabled
	r.out(0x09, 5)
	r.out(0x09, 1)
	r.out(0x08, 0)
	if v := r.in(0x08); v != 0 {
		t.Error("a request that was taken back is served")
	}
}

func TestPages(t *testing.T) {
	r := newRig(t, false)
	for port := uint64(0x81); port <= 0x8F; port++ {
		r.out(port, byte(port))
	}
	for port := uint64(0x81); port <= 0x8F; port++ {
		if v := r.in(port); v != byte(port) {
			t.Errorf("port %#x reads %#x", port, v)
		}
	}
	r.ports.Write(0x82, []byte{1, 2})
	if r.in(0x82) != 1 || r.in(0x83) != 2 {
		t.Error("a word is not two bytes")
	}
}

func TestAllocatesNothing(t *testing.T) {
	r := newRig(t, true)
	c := r.Channel(2)
	c.OnReady(func() {})
	c.SetDREQ(true)
	sector := make([]byte, 512)
	one := []byte{0}
	if n := testing.AllocsPerRun(100, func() {
		for _, port := range []uint64{0x0A, 0x0B, 0x0C, 0x04, 0x05, 0x81, 0x0E} {
			one[0] = 0x46 & byte(port)
			r.ports.Write(port, one)
			r.ports.Read(port, one)
		}
		c.Write(sector)
		c.Read(sector)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSector(b *testing.B) {
	r := newRig(b, true)
	r.setUp(2, 0x54, 0, 512)
	c := r.Channel(2)
	sector := make([]byte, 512)
	b.SetBytes(512)
	b.ReportAllocs()
	for b.Loop() {
		if n, tc := c.Write(sector); n != 512 || !tc {
			b.Fatal(n, tc)
		}
	}
}

// FuzzDMA compares long transfers with the same ones made byte by byte.
func FuzzDMA(f *testing.F) {
	f.Add([]byte{0x0B, 0x46, 0x04, 0x10, 0x05, 0x20, 0x0A, 0x02, 0xF2, 0x40})
	f.Add([]byte{0x0B, 0x66, 0x04, 0x10, 0x05, 0x20, 0x0A, 0x02, 0xF3, 0x90, 0xD6, 0x45, 0xD4, 1, 0xF5, 0x41})
	f.Fuzz(func(t *testing.T, ops []byte) {
		whole, single := newRig(t, true), newRig(t, true)
		for n := 0; len(ops) >= 2 && n < 100; ops, n = ops[2:], n+1 {
			port, v := ops[0], ops[1]
			if port < 0xF0 {
				whole.out(uint64(port), v)
				single.out(uint64(port), v)
				if a, b := whole.in(uint64(port)), single.in(uint64(port)); a != b {
					t.Fatalf("port %#x reads %#x and %#x", port, a, b)
				}
				continue
			}
			p := make([]byte, 4*int(v))
			for i := range p {
				p[i] = byte(i*7) + v
			}
			q := slices.Clone(p)
			a, b := whole.Channel(int(port&7)), single.Channel(int(port&7))
			unit := 1 << a.shift()
			moved, tc := 0, false
			if port&8 == 0 {
				moved, tc = a.Write(p)
			} else {
				moved, tc = a.Read(p)
			}
			for i := 0; i < moved; i += unit {
				var n int
				var last bool
				if port&8 == 0 {
					n, last = b.Write(q[i : i+unit])
				} else {
					n, last = b.Read(q[i : i+unit])
				}
				if n != unit || last != (tc && i == moved-unit) {
					t.Fatalf("unit at %d of %d: %d, %v", i, moved, n, last)
				}
			}
			if !bytes.Equal(p, q) {
				t.Fatal("the data differs")
			}
		}
		if whole.State() != single.State() || !bytes.Equal(whole.ram, single.ram) {
			t.Fatalf("state differs:\n%+v\n%+v", whole.State(), single.State())
		}
	})
}
