package pci

import (
	"fmt"
	"strings"
	"testing"

	"github.com/govmm/govmm/devices/bus"
)

// device is a function with nothing but its configuration space.
type device struct{ *Config }

func newDevice(tb testing.TB, h Header) *device {
	c, err := NewConfig(h)
	if err != nil {
		tb.Fatal(err)
	}
	return &device{c}
}

// mark answers reads with its value.
type mark byte

func (m mark) Read(_ uint64, data []byte) {
	for i := range data {
		data[i] = byte(m)
	}
}
func (mark) Write(uint64, []byte) {}

func TestHeaderRefuses(t *testing.T) {
	for _, h := range []Header{{InterruptPin: 5}, {Class: 1 << 24}} {
		if _, err := NewConfig(h); err == nil {
			t.Errorf("%+v accepted", h)
		}
	}
}

func TestBARRefuses(t *testing.T) {
	tests := map[string]BAR{
		"index":            {Index: 7, Size: 16, Handler: mark(1)},
		"negative index":   {Index: -1, Size: 16, Handler: mark(1)},
		"taken":            {Index: 0, Size: 16, Handler: mark(1)},
		"upper half":       {Index: 3, Size: 16, Handler: mark(1)},
		"no room above":    {Index: 1, Kind: Memory64, Size: 16, Handler: mark(1)},
		"64 bits at 5":     {Index: 5, Kind: Memory64, Size: 16, Handler: mark(1)},
		"no handler":       {Index: 4, Size: 16},
		"not a power of 2": {Index: 4, Size: 24, Handler: mark(1)},
		"zero":             {Index: 4, Handler: mark(1)},
		"small I/O":        {Index: 4, Kind: IO, Size: 2, Handler: mark(1)},
		"large I/O":        {Index: 4, Kind: IO, Size: 512, Handler: mark(1)},
		"small memory":     {Index: 4, Kind: Memory32, Size: 8, Handler: mark(1)},
		"large memory":     {Index: 4, Kind: Memory32, Size: 1 << 32, Handler: mark(1)},
		"prefetchable I/O": {Index: 4, Kind: IO, Size: 16, Prefetchable: true, Handler: mark(1)},
		"I/O ROM":          {Index: ROM, Kind: IO, Size: 2048, Handler: mark(1)},
		"small ROM":        {Index: ROM, Kind: Memory32, Size: 1024, Handler: mark(1)},
	}
	for name, b := range tests {
		d := newDevice(t, Header{Name: "d"})
		if err := d.AddBAR(BAR{Index: 0, Kind: IO, Size: 16, Handler: mark(1)}); err != nil {
			t.Fatal(err)
		}
		if err := d.AddBAR(BAR{Index: 2, Kind: Memory64, Size: 16, Handler: mark(1)}); err != nil {
			t.Fatal(err)
		}
		if err := d.AddBAR(b); err == nil || !strings.HasPrefix(err.Error(), "pci: d: BAR ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// addBARs puts a device with every kind of BAR at slot 3.
func addBARs(t testing.TB, r *rig, moved func(uint64, bool)) *device {
	d := newDevice(t, Header{Name: "nic", InterruptPin: 1})
	for _, b := range []BAR{
		{Index: 0, Kind: IO, Size: 32, Handler: mark(0)},
		{Index: 1, Kind: Memory32, Size: 4096, Handler: mark(1), Moved: moved},
		{Index: 2, Kind: Memory64, Prefetchable: true, Size: 1 << 16, Handler: mark(2)},
		{Index: 4, Kind: Memory32, Size: 1 << 20, Moved: moved},
		{Index: ROM, Kind: Memory32, Size: 2048, Handler: mark(6)},
	} {
		if err := d.AddBAR(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.bus.Add(d, 3, 0); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestBARSizing(t *testing.T) {
	r := newRig(t, false)
	addBARs(t, r, nil2)
	for reg, want := range map[uint64][2]uint32{ // at reset, after writing ones
		0x10: {0x00000001, 0xFFFFFFE1},
		0x14: {0x00000000, 0xFFFFF000},
		0x18: {0x0000000C, 0xFFFF000C},
		0x1C: {0x00000000, 0xFFFFFFFF},
		0x20: {0x00000000, 0xFFF00000},
		0x24: {0, 0},
		0x30: {0x00000000, 0xFFFFF801},
	} {
		before := r.read(3, 0, reg, 4)
		r.write(3, 0, reg, 4, 0xFFFFFFFF)
		if after := r.read(3, 0, reg, 4); before != want[0] || after != want[1] {
			t.Errorf("register %#x: %08x, then %08x, want %08x", reg, before, after, want)
		}
	}
	before := len(r.ports.Ranges()) + len(r.memory.Ranges())
	r.write(3, 0, RegCommand, 2, CommandIO|CommandMemory)
	if after := len(r.ports.Ranges()) + len(r.memory.Ranges()); after != before {
		t.Errorf("sizing mapped something: %v %v", r.ports.Ranges(), r.memory.Ranges())
	}
}

func nil2(uint64, bool) {}

func TestBARMapping(t *testing.T) {
	r := newRig(t, false)
	var moves []string
	addBARs(t, r, func(base uint64, mapped bool) { moves = append(moves, fmt.Sprintf("%#x %v", base, mapped)) })
	memory := func() string { return fmt.Sprint(r.memory.Ranges()) }
	r.write(3, 0, 0x10, 4, 0xC000)
	r.write(3, 0, 0x14, 4, 0xFEB00000)
	r.write(3, 0, 0x18, 4, 0x00010000)
	r.write(3, 0, 0x1C, 4, 0x00000012)
	r.write(3, 0, 0x20, 4, 0xE0000000)
	r.write(3, 0, 0x30, 4, 0xFEA00000)
	if r.in(0xC000, 1) != 0xFF || memory() != "[]" {
		t.Error("mapped before it was enabled")
	}
	r.write(3, 0, RegCommand, 2, CommandIO)
	if r.in(0xC01F, 1) != 0 || r.in(0xC020, 1) != 0xFF || memory() != "[]" {
		t.Errorf("I/O enabled: %v %v", r.ports.Ranges(), memory())
	}
	r.write(3, 0, RegCommand, 2, CommandMemory)
	if got := memory(); got != "[0xfeb00000-0xfeb00fff nic BAR 1 0x1200010000-0x120001ffff nic BAR 2]" {
		t.Error(got)
	}
	if r.in(0xC000, 1) != 0xFF {
		t.Error("I/O answers while disabled")
	}
	r.write(3, 0, 0x30, 1, 1) // ROM enable
	r.write(3, 0, 0x16, 1, 0xC0)
	if got := memory(); got != "[0xfea00000-0xfea007ff nic ROM 0xfec00000-0xfec00fff nic BAR 1 0x1200010000-0x120001ffff nic BAR 2]" {
		t.Error(got)
	}
	if got := strings.Join(moves, ", "); got != "0xfeb00000 true, 0xe0000000 true, 0xfec00000 true" {
		t.Error(got)
	}
	moves = nil
	r.bus.Reset()
	if got := memory(); got != "[]" || r.read(3, 0, 0x14, 4) != 0 {
		t.Error("mapped after a reset: ", got)
	}
	if len(moves) != 2 {
		t.Errorf("moves at reset: %v", moves)
	}
}

// TestBARSwap has two BARs change places, which makes one overlap the other
// for a while.
func TestBARSwap(t *testing.T) {
	r := newRig(t, false)
	for slot := 3; slot <= 4; slot++ {
		d := newDevice(t, Header{Name: fmt.Sprint("d", slot)})
		if err := d.AddBAR(BAR{Kind: Memory32, Size: 4096, Handler: mark(slot)}); err != nil {
			t.Fatal(err)
		}
		if err := r.bus.Add(d, slot, 0); err != nil {
			t.Fatal(err)
		}
		r.write(slot, 0, 0x10, 4, uint32(slot)<<24)
		r.write(slot, 0, RegCommand, 2, CommandMemory)
	}
	at := func(addr uint64) byte {
		data := []byte{0}
		r.memory.Read(addr, data)
		return data[0]
	}
	r.write(3, 0, 0x10, 4, 4<<24)
	if at(3<<24) != 0xFF || at(4<<24) != 4 {
		t.Errorf("overlap: %v", r.memory.Ranges())
	}
	if !strings.Contains(r.log.String(), "d3 BAR 0") {
		t.Error("the overlap is not logged")
	}
	r.write(4, 0, 0x10, 4, 3<<24)
	if at(3<<24) != 4 || at(4<<24) != 3 {
		t.Errorf("swapped: %v", r.memory.Ranges())
	}
	r.write(3, 0, 0x10, 4, 3<<24) // waits for d4's place ...
	r.write(3, 0, 0x10, 4, 5<<24) // ... and then no more
	if err := r.bus.Remove(4, 0); err != nil {
		t.Fatal(err)
	}
	if at(3<<24) != 0xFF || at(4<<24) != 0xFF || at(5<<24) != 3 {
		t.Errorf("in the end: %v", r.memory.Ranges())
	}
}

func TestBARBeyondTheBus(t *testing.T) {
	r := newRig(t, false)
	addBARs(t, r, nil2)
	r.write(3, 0, 0x1C, 4, 0x01000000)
	r.write(3, 0, RegCommand, 2, CommandMemory)
	if n := len(r.memory.Ranges()); n != 0 {
		t.Errorf("%d ranges", n)
	}
	for range 1000 {
		r.write(3, 0, 0x1C, 4, 0x01000000)
		r.write(3, 0, 0x1C, 4, 0x02000000)
	}
	if n := strings.Count(r.log.String(), "\n"); n > 30 {
		t.Errorf("%d log lines", n)
	}
}

func TestCapabilities(t *testing.T) {
	r := newRig(t, false)
	d := newDevice(t, Header{Name: "nic"})
	if _, err := d.AddCapability(CapMSI, make([]byte, 12), []byte{1, 0}); err == nil {
		t.Error("a mask of another length was accepted")
	}
	writable := make([]byte, 12)
	writable[0] = 1
	if msi, err := d.AddCapability(CapMSI, make([]byte, 12), writable); err != nil || msi != 0x40 {
		t.Fatal(msi, err)
	}
	msix, err := d.AddCapability(CapMSIX, []byte{3, 0, 1, 0, 0, 0, 1, 8, 0, 0}, nil)
	if err != nil || msix != 0x50 {
		t.Fatal(msix, err)
	}
	if _, err = d.AddCapability(CapVendor, make([]byte, 200), nil); err == nil {
		t.Error("a capability beyond the end was accepted")
	}
	if err := r.bus.Add(d, 3, 0); err != nil {
		t.Fatal(err)
	}
	r.bus.Reset()
	if r.read(3, 0, RegStatus, 2)&statusCapabilities == 0 {
		t.Error("the status register does not say so")
	}
	var ids []uint32
	for at := r.read(3, 0, RegCapabilities, 1); at != 0; at = r.read(3, 0, uint64(at)+1, 1) {
		ids = append(ids, r.read(3, 0, uint64(at), 1))
	}
	if fmt.Sprint(ids) != "[5 17]" {
		t.Errorf("list %v", ids)
	}
	r.write(3, 0, 0x40, 4, 0xFFFFFFFF)
	if v := r.read(3, 0, 0x40, 4); v != 0x00015005 {
		t.Errorf("MSI %08x", v)
	}
}

func TestWriteOneToClear(t *testing.T) {
	d := newDevice(t, Header{Name: "d"})
	d.SetUint16(RegStatus, 0xF900|0x0010)
	d.WriteConfig(RegStatus, []byte{0xFF, 0x80})
	if v := d.Uint16(RegStatus); v != 0x7910 {
		t.Errorf("status %#x", v)
	}
	d.SetUint8(0x3C, 7)
	d.SetUint32(0x40, 0x12345678)
	if d.Uint8(0x3C) != 7 || d.Uint32(0x40) != 0x12345678 {
		t.Error("the device's own writes are lost")
	}
	data := make([]byte, 4)
	d.ReadConfig(0xFE, data) // a device's bug must not read beyond
	d.WriteConfig(0xFE, data)
	if data[2] != 0xFF {
		t.Errorf("beyond the end: %x", data)
	}
}

func TestConfigAllocatesNothing(t *testing.T) {
	r := newRig(t, true)
	addBARs(t, r, nil2)
	r.address(3, 0, RegCommand)
	data := []byte{0, 0, 0, 0}
	if n := testing.AllocsPerRun(100, func() {
		r.ports.Read(0xCFC, data)
		r.ports.Write(0xCFC, data)
		r.ports.Read(0xCF9, data[:1])
		r.ports.Read(0x608, data)
		r.ports.Write(0x604, data[:2])
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkConfigRead(b *testing.B) {
	r := newRig(b, false)
	r.address(1, 0, 0)
	data := make([]byte, 4)
	b.ReportAllocs()
	for b.Loop() {
		r.ports.Read(0xCFC, data)
	}
}

// FuzzConfig writes to the ports of the whole bus at random. Whatever the
// guest does, each BAR is either mapped where its register says or waits.
func FuzzConfig(f *testing.F) {
	f.Add([]byte{0, 3, 0x10, 0xC0, 0, 3, 4, 3, 1, 1, 0x60, 5, 3, 4, 1, 0xFF})
	f.Fuzz(func(t *testing.T, ops []byte) {
		r := newRig(t, true)
		addBARs(t, r, nil2)
		for n := 0; len(ops) >= 4 && n < 100; ops, n = ops[4:], n+1 {
			slot, function, reg, v := int(ops[0]>>3&3), int(ops[0]>>6&3), uint64(ops[1]), uint32(ops[2])|uint32(ops[3])<<24
			switch ops[0] & 7 {
			case 0, 1:
				r.write(slot, function, reg&^3, 4, v)
			case 2:
				r.write(slot, function, reg, 1, v)
			case 3:
				r.read(slot, function, reg, 2)
			case 4:
				r.out(0x600+(reg&63), 2, v)
			case 5:
				r.out(0xCF8+(reg&7), 2, v)
			case 6:
				r.clock.Advance(1 << (reg & 31))
				r.pm.PressPowerButton()
			case 7:
				if reg == 0 {
					r.bus.Reset()
				}
				r.out(APMPort, 1, uint32(reg))
			}
		}
		names := map[string]bus.Range{}
		for _, b := range []*bus.Bus{r.ports, r.memory} {
			for _, rg := range b.Ranges() {
				names[rg.Name] = rg
			}
		}
		data := r.bus.Function(3, 0).Space().State().Data
		for _, b := range r.bus.Function(3, 0).Space().bars {
			if b == nil || b.Handler == nil {
				continue
			}
			base, enabled := b.decode(&data, uint16(data[4])|uint16(data[5])<<8)
			rg, mapped := names[b.window.name]
			if mapped != b.window.mapped || mapped && (!enabled || rg.Base != base) {
				t.Fatalf("%s is at %v, wanted %v at %#x", b.window.name, rg, enabled, base)
			}
		}
	})
}
