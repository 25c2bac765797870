package vmm

import (
	"bytes"
	"testing"

	"github.com/govmm/govmm/devices/bus"
	"github.com/govmm/govmm/devices/pci"
	"github.com/govmm/govmm/kvm"
	"github.com/govmm/govmm/memory"
)

// newShadow makes the shadow memory of a machine of KVM's.
func newShadow(t *testing.T) *shadow {
	t.Helper()
	sys, err := openKVM("")
	if err != nil {
		t.Fatal(err)
	}
	vm, err := sys.CreateVM()
	if err != nil {
		t.Fatal(err)
	}
	ram, err := memory.New(memory.Config{Size: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	rom, err := ram.Add("firmware", memory.ROM, 1<<32-128<<10, 128<<10)
	if err != nil {
		t.Fatal(err)
	}
	copy(rom.Host, bytes.Repeat([]byte{0x90}, len(rom.Host)))
	area, err := ram.Slice(pci.ShadowBase, pci.ShadowEnd-pci.ShadowBase)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, f := range []func() error{vm.Close, sys.Close, ram.Close} {
			if err := f(); err != nil {
				t.Error(err)
			}
		}
	})
	return &shadow{
		slots: &slots{vm: vm}, mmio: bus.New("memory", 0), ram: area, rom: rom.Host,
		fail: func(err error) { t.Error(err) }, log: bus.NewGuestLog(nil, "shadow"),
	}
}

// Whatever the registers say, the slots cover what can be read and nothing else,
// and writes go where the registers say.
func TestShadow(t *testing.T) {
	s := newShadow(t)
	read := func(gpa uint64) (slots int) {
		for _, a := range s.areas {
			if a.mapped && gpa >= a.GPA && gpa < a.GPA+a.Size {
				slots++
			}
		}
		return slots
	}
	for _, test := range []struct {
		name          string
		pam           [7]uint8
		c0000, f0000  int  // slots there
		behind        bool // writes go to RAM that is not read
		areas, number int
	}{
		{"power-on", [7]uint8{}, 0, 1, false, 2, 1},
		{"all RAM", [7]uint8{0x30, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33}, 1, 1, false, 1, 1},
		{"RAM for reading only", [7]uint8{0x10, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11}, 1, 1, false, 1, 1},
		{"copying", [7]uint8{0x20, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22}, 0, 1, true, 2, 1},
		{"option ROMs locked", [7]uint8{0x30, 0x11, 0x33, 0x33, 0x33, 0x33, 0x33}, 1, 1, false, 2, 2},
		{"power-on again", [7]uint8{}, 0, 1, false, 2, 1},
	} {
		s.set(test.pam)
		if c, f := read(0xC0000), read(0xF0000); c != test.c0000 || f != test.f0000 {
			t.Errorf("%s: %d slots at 0xC0000 and %d at 0xF0000, want %d and %d", test.name, c, f, test.c0000, test.f0000)
		}
		mapped := 0
		for _, a := range s.areas {
			if a.mapped {
				mapped++
			}
		}
		if len(s.areas) != test.areas || mapped != test.number {
			t.Errorf("%s: %d areas, %d of them mapped: %+v", test.name, len(s.areas), mapped, s.areas)
		}
		copy(s.ram[0xF0000-pci.ShadowBase:], []byte{0, 0})
		if got := s.mmio.Write(0xF0000, []byte{0xA5, 0x5A}); got != test.behind {
			t.Errorf("%s: a write that KVM cannot carry out is answered: %v, want %v", test.name, got, test.behind)
		}
		if got := s.ram[0xF0000-pci.ShadowBase] == 0xA5; got != test.behind {
			t.Errorf("%s: the write reached RAM: %v, want %v", test.name, got, test.behind)
		}
	}
}

// All values of a register are possible, one after the other.
func TestShadowAnyOrder(t *testing.T) {
	s := newShadow(t)
	for i := range 200 {
		var pam [7]uint8
		for r := range pam {
			pam[r] = uint8(i*37+r*91) & 0x33
		}
		s.set(pam)
	}
	s.set([7]uint8{})
	if n := len(s.areas); n != 2 {
		t.Errorf("%d areas at the end, want 2", n)
	}
}

// Slots are numbered again after they were given back, so that a guest cannot
// use them up.
func TestWindow(t *testing.T) {
	s := newShadow(t)
	w := &window{slots: s.slots, host: s.ram[:16<<10], log: bus.NewGuestLog(nil, "window")}
	for i := range 100 {
		w.move(0xE0000000+uint64(i)<<24, true)
		if !w.mapped {
			t.Fatalf("not mapped, the %dth time", i+1)
		}
	}
	w.move(0, false)
	if w.mapped || s.slots.next > 2 {
		t.Errorf("mapped: %v, slots: %d", w.mapped, s.slots.next)
	}
	var other uint32
	other, err := s.slots.add(0x10000000, s.ram[16<<10:32<<10], kvm.MemReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	w.move(0x10000000, true) // where something else is
	if w.mapped {
		t.Error("mapped over another slot")
	}
	if err := s.slots.remove(other); err != nil {
		t.Error(err)
	}
	w.move(0x10000000, true)
	if !w.mapped {
		t.Error("not mapped where there is room again")
	}
}
