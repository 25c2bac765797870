package fwcfg

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"math"
	"strings"
	"testing"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/memory"
)

// ramSize is the guest RAM of a rig, in bytes.
const ramSize = 64 << 10

// rig is a device on a port bus, with RAM.
type rig struct {
	tb    testing.TB
	dev   *Device
	ports *bus.Bus
	ram   *memory.Memory
	log   bytes.Buffer
}

func newRig(tb testing.TB, items ...Item) *rig {
	tb.Helper()
	r := &rig{tb: tb, ports: bus.New("ports", 0x10000)}
	var err error
	if r.ram, err = memory.New(memory.Config{Size: ramSize}); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { r.ram.Close() })
	log := slog.New(slog.NewTextHandler(&r.log, nil))
	if r.dev, err = New(Options{Items: items, Memory: r.ram, Log: log}); err != nil {
		tb.Fatal(err)
	}
	if err := r.ports.Add(Port, Ports, "fw_cfg", r.dev); err != nil {
		tb.Fatal(err)
	}
	return r
}

func (r *rig) choose(key uint16) { r.ports.Write(Port, []byte{byte(key), byte(key >> 8)}) }

// data reads n bytes through the data port.
func (r *rig) data(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		r.ports.Read(Port+1, b[i:i+1])
	}
	return b
}

func (r *rig) read(key uint16, n int) []byte {
	r.choose(key)
	return r.data(n)
}

// describeAt is where dma puts its descriptions.
const describeAt = 0x100

// dma does an operation and returns the control field after it.
func (r *rig) dma(control, length uint32, address uint64) uint32 {
	be := binary.BigEndian
	b := be.AppendUint64(be.AppendUint32(be.AppendUint32(nil, control), length), address)
	if err := r.ram.WriteAt(b, describeAt); err != nil {
		r.tb.Fatal(err)
	}
	r.ports.Write(Port+8, be.AppendUint32(nil, describeAt))
	if err := r.ram.ReadAt(b, describeAt); err != nil {
		r.tb.Fatal(err)
	}
	return be.Uint32(b)
}

func (r *rig) guest(gpa uint64, n int) []byte {
	b := make([]byte, n)
	if err := r.ram.ReadAt(b, gpa); err != nil {
		r.tb.Fatal(err)
	}
	return b
}

func text(s string) Content { return strings.NewReader(s) }

func TestBuiltInItems(t *testing.T) {
	r := newRig(t, Item{Name: "etc/b", Content: text("bb")}, Item{Name: "etc/a", Content: text("a")},
		Item{Key: 5, Content: text("\x02\x00")})
	if got := r.data(5); string(got) != "QEMU\x00" {
		t.Errorf("selected at power-on: %q", got)
	}
	if got := r.read(KeyID, 5); !bytes.Equal(got, []byte{3, 0, 0, 0, 0}) {
		t.Errorf("id % x", got)
	}
	want := "00000002" +
		"00000001" + "0020" + "0000" + hex.EncodeToString([]byte("etc/a")) + strings.Repeat("00", 51) +
		"00000002" + "0021" + "0000" + hex.EncodeToString([]byte("etc/b")) + strings.Repeat("00", 51)
	if got := hex.EncodeToString(r.read(KeyDirectory, 4+2*64)); got != want {
		t.Errorf("directory\n%s, want\n%s", got, want)
	}
	if a, b := r.read(0x20, 3), r.read(0x21, 3); string(a) != "a\x00\x00" || string(b) != "bb\x00" {
		t.Errorf("files %q %q", a, b)
	}
}

func TestSelector(t *testing.T) {
	r := newRig(t, Item{Key: 5, Content: text("five")}, Item{Key: 0x8002, Content: text("arch")})
	for _, tt := range []struct {
		key  uint16
		want string
	}{
		{5, "five\x00\x00"}, {0x8002, "arch\x00\x00"}, {0x4005, "five\x00\x00"}, {0xC002, "arch\x00\x00"},
		{2, "\x00\x00\x00\x00\x00\x00"}, {0x8005, "\x00\x00\x00\x00\x00\x00"}, {0xFFFF, "\x00\x00\x00\x00\x00\x00"},
	} {
		if got := r.read(tt.key, 6); string(got) != tt.want {
			t.Errorf("key %#x: %q, want %q", tt.key, got, tt.want)
		}
	}
	r.choose(5)
	if got := r.data(2); string(got) != "fi" {
		t.Errorf("%q", got)
	}
	// None of these is a write to the selector.
	r.ports.Write(Port, []byte{0})
	r.ports.Write(Port+1, []byte{0})
	r.ports.Write(Port+1, []byte{0, 0})
	r.ports.Write(Port, []byte{0, 0, 0, 0})
	if got := r.data(2); string(got) != "ve" {
		t.Errorf("%q after narrow and wide writes", got)
	}
	b := []byte{0, 0}
	r.choose(5)
	r.ports.Read(Port, b)
	if string(b) != "\xFFf" {
		t.Errorf("16-bit read: % x", b)
	}
}

func TestDMASignature(t *testing.T) {
	r := newRig(t)
	b := make([]byte, 8)
	r.ports.Read(Port+4, b[:4])
	r.ports.Read(Port+8, b[4:])
	if string(b) != "QEMU CFG" {
		t.Errorf("%q", b)
	}
	dev, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	dev.Read(4, b[:4])
	dev.Write(8, []byte{0, 0, 0, 0})
	if string(b[:4]) != "\xFF\xFF\xFF\xFF" {
		t.Errorf("without RAM: % x", b[:4])
	}
	dev.Write(0, []byte{KeyID, 0})
	dev.Read(1, b[:1])
	if b[0] != 1 {
		t.Errorf("without RAM: id %d", b[0])
	}
}

func TestDMA(t *testing.T) {
	const at = 0x1000
	r := newRig(t, Item{Key: 5, Content: text("0123456789")})
	for _, tt := range []struct {
		name            string
		control, length uint32
		status          uint32
		offset          uint32 // of the next byte
		want            string // at the address
	}{
		{"select and read", 5<<16 | dmaSelect | dmaRead, 4, 0, 4, "0123....."},
		{"read on", dmaRead, 2, 0, 6, "45......."},
		{"skip", dmaSkip, 2, 0, 8, "........."},
		{"read beyond the end", dmaRead, 5, 0, 10, "89\x00\x00\x00...."},
		{"read at the end", dmaRead, 3, 0, 10, "\x00\x00\x00......"},
		{"skip at the end", dmaSkip, math.MaxUint32, 0, 10, "........."},
		{"select only", 5<<16 | dmaSelect, 4, 0, 0, "........."},
		{"read and skip", 5<<16 | dmaSelect | dmaRead | dmaSkip | dmaWrite, 1, 0, 1, "0........"},
		{"nothing", 0, 4, 0, 1, "........."},
		{"an error asked for", dmaError, 4, 0, 1, "........."},
		{"write to what is read-only", 5<<16 | dmaSelect | dmaWrite, 1, dmaError, 0, "........."},
		{"write and skip", dmaSkip | dmaWrite, 1, dmaError, 0, "........."},
		{"write nothing", dmaWrite, 0, 0, 0, "........."},
		{"no such item", 6<<16 | dmaSelect | dmaRead, 2, 0, 0, "\x00\x00......."},
		{"skip in no item", dmaSkip, 2, 0, 0, "........."},
		{"write to no item", dmaWrite, 2, dmaError, 0, "........."},
	} {
		if err := r.ram.WriteAt([]byte("........."), at); err != nil {
			t.Fatal(err)
		}
		status := r.dma(tt.control, tt.length, at)
		if s := r.dev.State(); status != tt.status || s.Offset != tt.offset {
			t.Errorf("%s: control %#x, offset %d, want %#x, %d", tt.name, status, s.Offset, tt.status, tt.offset)
		}
		if got := r.guest(at, 9); string(got) != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestHostileDMA gives addresses and lengths that are not in RAM.
func TestHostileDMA(t *testing.T) {
	for _, tt := range []struct {
		name    string
		control uint32
		length  uint32
		address uint64
	}{
		{"read beyond RAM", dmaRead, 4, ramSize - 3},
		{"read at the end of the address space", dmaRead, 4, math.MaxUint64 - 1},
		{"zeros beyond RAM", dmaRead, ramSize, 8},
		{"zeros without end", dmaRead, math.MaxUint32, 0},
		{"zeros across the end of the address space", dmaRead, 16, math.MaxUint64 - 3},
		{"write from beyond RAM", dmaWrite, 4, ramSize - 3},
		{"write from the end of the address space", dmaWrite, 4, math.MaxUint64},
		{"write of more than fits", dmaWrite, 5, 0},
	} {
		written := false
		r := newRig(t, Item{Name: "w", Content: text("data"), Written: func(int, []byte) { written = true }})
		if got := r.dma(0x20<<16|dmaSelect|tt.control, tt.length, tt.address); got != dmaError {
			t.Errorf("%s: control %#x", tt.name, got)
		}
		if got := r.read(0x20, 4); string(got) != "data" || written {
			t.Errorf("%s: the item is now %q, written %v", tt.name, got, written)
		}
		if r.log.Len() == 0 {
			t.Errorf("%s: not logged", tt.name)
		}
	}
	// The description itself is elsewhere.
	r := newRig(t)
	for _, gpa := range []uint64{ramSize - 15, ramSize, 1 << 32, math.MaxUint64, math.MaxUint64 - 7} {
		be := binary.BigEndian
		r.ports.Write(Port+4, be.AppendUint32(nil, uint32(gpa>>32)))
		r.ports.Write(Port+8, be.AppendUint32(nil, uint32(gpa)))
		if s := r.dev.State(); s.DMAHigh != 0 {
			t.Errorf("description at %#x: %+v", gpa, s)
		}
	}
	if got := binary.BigEndian.Uint32(r.guest(ramSize-15, 4)); got != dmaError {
		t.Errorf("description across the end of RAM: control %#x", got)
	}
	// Data on top of its own description.
	if got := r.dma(dmaSelect|dmaRead, 64, describeAt); got != 0 {
		t.Errorf("data over the description: control %#x", got)
	}
}

func TestWritable(t *testing.T) {
	var offset int
	var data string
	r := newRig(t, Item{Name: "etc/vmcoreinfo", Content: text("........"), Written: func(o int, p []byte) {
		offset, data = o, string(p)
	}})
	if err := r.ram.WriteAt([]byte("abcd"), 0x1000); err != nil {
		t.Fatal(err)
	}
	r.read(0x20, 1) // fills the buffer that reads come from
	r.dma(0x20<<16|dmaSelect|dmaSkip, 2, 0)
	if got := r.dma(dmaWrite, 4, 0x1000); got != 0 || offset != 2 || data != "abcd" {
		t.Errorf("control %#x, told of %q at %d", got, data, offset)
	}
	if got := r.data(3); string(got) != "..\x00" {
		t.Errorf("after the write: %q", got)
	}
	if got := r.read(0x20, 8); string(got) != "..abcd.." {
		t.Errorf("%q", got)
	}
	if s := r.dev.State(); len(s.Written) != 1 || s.Written[0].Key != 0x20 || string(s.Written[0].Data) != "..abcd.." {
		t.Errorf("%+v", s)
	}
	r.ports.Write(Port+4, []byte{1, 2, 3, 4})
	r.dev.Reset()
	if s := r.dev.State(); s.Key != 0 || s.Offset != 0 || s.DMAHigh != 0 || string(s.Written[0].Data) != "........" {
		t.Errorf("after a reset: %+v", s)
	}
	if got := r.data(4); string(got) != "QEMU" {
		t.Errorf("after a reset: %q", got)
	}
}

// source is a large item: byte n is the low byte of n/3.
type source struct {
	size  int64
	reads int
	err   error
}

func (s *source) Size() int64 { return s.size }

func (s *source) ReadAt(p []byte, off int64) (int, error) {
	s.reads++
	if s.err != nil {
		return 0, s.err
	}
	for i := range p {
		if off+int64(i) >= s.size {
			return i, io.EOF
		}
		p[i] = byte((off + int64(i)) / 3)
	}
	return len(p), nil
}

func TestLargeItem(t *testing.T) {
	const size = 3 << 30
	s := &source{size: size}
	r := newRig(t, Item{Key: 0x11, Content: s})
	r.choose(0x11)
	for i, v := range r.data(10000) {
		if v != byte(i/3) {
			t.Fatalf("byte %d is %d", i, v)
		}
	}
	if s.reads > 3 {
		t.Errorf("%d reads of the file for 10000 bytes", s.reads)
	}
	r.dma(dmaSkip, size-10000-2, 0)
	if got := r.dma(dmaRead, 3, 0x1000); got != 0 {
		t.Errorf("control %#x", got)
	}
	const last = size - 2
	if got := r.guest(0x1000, 3); got[0] != byte(last/3%256) || got[1] != byte((last+1)/3%256) || got[2] != 0 {
		t.Errorf("the last bytes are % x", got)
	}
}

func TestUnreadableItem(t *testing.T) {
	s := &source{size: 10000, err: errors.New("input/output error")}
	r := newRig(t, Item{Key: 0x11, Content: s})
	if got := r.read(0x11, 20000); !bytes.Equal(got, make([]byte, 20000)) {
		t.Error("what cannot be read is not zero")
	}
	if s.reads > 3 {
		t.Errorf("%d reads of the file", s.reads)
	}
	if got := r.dma(0x11<<16|dmaSelect|dmaRead, 4, 0x1000); got != dmaError {
		t.Errorf("control %#x", got)
	}
	if !strings.Contains(r.log.String(), "input/output error") {
		t.Errorf("logged %q", r.log.String())
	}
}

func TestNewErrors(t *testing.T) {
	note := func(int, []byte) {}
	for _, tt := range []struct {
		name  string
		items []Item
		want  string
	}{
		{"signature", []Item{{Key: 0, Content: text("x")}}, "item 0x0: the key is taken"},
		{"id", []Item{{Key: 1, Content: text("x")}}, "the key is taken"},
		{"directory", []Item{{Key: 0x19, Content: text("x")}}, "the key is taken"},
		{"twice", []Item{{Key: 5, Content: text("x")}, {Key: 5, Content: text("x")}}, "the key is taken"},
		{"file key without name", []Item{{Key: 0x20, Content: text("x")}}, "0x0 to 0x1f"},
		{"write bit", []Item{{Key: 0x4005, Content: text("x")}}, "0x0 to 0x1f"},
		{"far", []Item{{Key: 0x8020, Content: text("x")}}, "0x0 to 0x1f"},
		{"no content", []Item{{Key: 5}}, "has no content"},
		{"file without content", []Item{{Name: "a"}}, `file "a": has no content`},
		{"key and name", []Item{{Key: 0x20, Name: "a", Content: text("x")}}, "gets its key from the device"},
		{"two of a name", []Item{{Name: "a", Content: text("x")}, {Name: "b", Content: text("x")}, {Name: "a", Content: text("x")}}, "two of the name"},
		{"long name", []Item{{Name: strings.Repeat("n", 56), Content: text("x")}}, "has 56 bytes, and 55 is the most"},
		{"zero in name", []Item{{Name: "a\x00b", Content: text("x")}}, "printable"},
		{"space in name", []Item{{Name: "a b", Content: text("x")}}, "printable"},
		{"too large", []Item{{Key: 5, Content: &source{size: 1 << 32}}}, "4 GiB - 1"},
		{"size negative", []Item{{Key: 5, Content: &source{size: -1}}}, "4 GiB - 1"},
		{"large and writable", []Item{{Name: "a", Content: &source{size: WritableMax + 1}, Written: note}}, "writable"},
		{"writable and unreadable", []Item{{Name: "a", Content: &source{size: 4, err: io.ErrClosedPipe}, Written: note}}, "reading its content"},
		{"too many", make([]Item, 0x4000), "too many"},
	} {
		if tt.name == "too many" {
			for i := range tt.items {
				tt.items[i] = Item{Name: "f", Content: text("")}
			}
		}
		if _, err := New(Options{Items: tt.items}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.name, err, tt.want)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	r := newRig(t, Item{Key: 0x11, Content: &source{size: 1 << 20}})
	b := make([]byte, 1)
	key := []byte{0x11, 0}
	address := binary.BigEndian.AppendUint32(nil, describeAt)
	be := binary.BigEndian
	describe := be.AppendUint64(be.AppendUint32(be.AppendUint32(nil, 0x11<<16|dmaSelect|dmaRead), 64), 0x1000)
	if n := testing.AllocsPerRun(100, func() {
		r.ports.Write(Port, key)
		for range 10 {
			r.ports.Read(Port+1, b)
		}
		r.ram.WriteAt(describe, describeAt)
		r.ports.Write(Port+8, address)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDataPort(b *testing.B) {
	r := newRig(b, Item{Key: 0x11, Content: &source{size: math.MaxUint32}})
	r.choose(0x11)
	data := make([]byte, 1)
	b.SetBytes(1)
	b.ReportAllocs()
	for b.Loop() {
		r.ports.Read(Port+1, data)
	}
}
