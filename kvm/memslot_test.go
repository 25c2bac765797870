package kvm

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMemorySlotErrors(t *testing.T) {
	g := newGuest(t, guestConfig{noCPU: true})
	ram := mapRAM(t, 4*PageSize)
	tests := []struct {
		name string
		slot MemorySlot
		is   error // nil: one of our own
		says string
	}{
		{"empty", MemorySlot{Slot: 1, GPA: 1 << 20}, nil, "no host memory"},
		{"part of a page", MemorySlot{Slot: 1, GPA: 1 << 20, Host: ram[:100]}, nil, "whole 4096-byte pages"},
		{"host not aligned", MemorySlot{Slot: 1, GPA: 1 << 20, Host: ram[8 : 8+PageSize]}, nil, "whole 4096-byte pages"},
		{"guest not aligned", MemorySlot{Slot: 1, GPA: 1<<20 + 1, Host: ram}, nil, "whole 4096-byte pages"},
		{"overlap", MemorySlot{Slot: 1, GPA: ramSize - PageSize, Host: ram}, unix.EEXIST, "overlaps another memory slot"},
		{"wraps around", MemorySlot{Slot: 1, GPA: ^uint64(PageSize - 1), Host: ram}, unix.EINVAL, ""},
		{"no such slot", MemorySlot{Slot: 1 << 15, GPA: 1 << 20, Host: ram}, unix.EINVAL, ""},
		{"flags", MemorySlot{Slot: 1, GPA: 1 << 20, Host: ram, Flags: 1 << 9}, unix.EINVAL, ""},
	}
	for _, tt := range tests {
		err := g.vm.SetMemorySlot(tt.slot)
		if err == nil {
			t.Errorf("%s: no error", tt.name)
			continue
		}
		if tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%s: %v is not %v", tt.name, err, tt.is)
		}
		if !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), "memory slot") {
			t.Errorf("%s: %v does not say %q", tt.name, err, tt.says)
		}
	}
}

// TestReadOnlySlot: the guest reads it like RAM, and its writes are ours to
// deal with.
func TestReadOnlySlot(t *testing.T) {
	lockThread(t)
	g := newGuest(t, guestConfig{}, []byte{
		0xb8, 0x00, 0xf0, // mov ax, 0xf000
		0x8e, 0xd8, // mov ds, ax
		0xa0, 0x07, 0x00, // mov al, [7]
		0xe6, 0x10, // out 0x10, al
		0xa2, 0x08, 0x00, // mov [8], al
		0xf4, // hlt
	}...)
	rom := mapRAM(t, PageSize)
	copy(rom, "firmware")
	must(t, g.vm.SetMemorySlot(MemorySlot{Slot: 1, Flags: MemReadOnly, GPA: 0xf0000, Host: rom}))
	g.run(t, ExitIO)
	if io := g.cpu.Exit().IO(); string(io.Data) != "e" {
		t.Errorf("the guest read %q", io.Data)
	}
	g.run(t, ExitMMIO)
	if m := g.cpu.Exit().MMIO(); !m.Write || m.GPA != 0xf0008 || string(m.Data) != "e" {
		t.Errorf("the guest's write: %+v", m)
	}
	g.run(t, ExitHLT)
	if rom[8] != 0 {
		t.Error("the guest wrote to read-only memory")
	}
}

// TestMoveAndDeleteSlot: memory shows where the slot is, and nowhere else.
func TestMoveAndDeleteSlot(t *testing.T) {
	lockThread(t)
	read := []byte{
		0xb8, 0x00, 0xf0, // mov ax, 0xf000
		0x8e, 0xd8, // mov ds, ax
		0xa0, 0x00, 0x00, // mov al, [0]
		0xe6, 0x10, // out 0x10, al
		0xf4, // hlt
	}
	g := newGuest(t, guestConfig{}, read...)
	mem := mapRAM(t, PageSize)
	mem[0] = 0x42
	slot := MemorySlot{Slot: 3, GPA: 0xe0000, Host: mem}
	must(t, g.vm.SetMemorySlot(slot))
	g.run(t, ExitMMIO)

	slot.GPA = 0xf0000
	must(t, g.vm.SetMemorySlot(slot))
	g.reset(t)
	g.run(t, ExitIO)
	if io := g.cpu.Exit().IO(); !bytes.Equal(io.Data, []byte{0x42}) {
		t.Errorf("read % x from the moved slot", io.Data)
	}
	g.run(t, ExitHLT)

	must(t, g.vm.DeleteMemorySlot(3))
	g.reset(t)
	g.run(t, ExitMMIO)
	if err := g.vm.DeleteMemorySlot(3); !errors.Is(err, unix.EINVAL) {
		t.Errorf("deleting no slot: %v, want EINVAL", err)
	}
}

var writePages = []byte{
	0xb8, 0x00, 0x10, // mov ax, 0x1000
	0x8e, 0xd8, // mov ds, ax
	0xa2, 0x00, 0x30, // mov [0x3000], al
	0xa2, 0xff, 0x7f, // mov [0x7fff], al
	0xf4, // hlt
}

// The pages that writePages writes, as bits of the log, and the one that it is
// in: some hosts log that as well.
const (
	dirtyPages = 1<<0x13 | 1<<0x17
	codePage   = 1 << (codeGPA / PageSize)
)

func TestDirtyLog(t *testing.T) {
	lockThread(t)
	g := newGuest(t, guestConfig{slot: MemLogDirtyPages}, writePages...)
	g.run(t, ExitHLT)
	bitmap := make([]uint64, DirtyLogWords(ramSize))
	must(t, g.vm.DirtyLog(ramSlot, bitmap))
	if got := bitmap[0] &^ codePage; got != dirtyPages {
		t.Errorf("dirty pages %#x, want %#x", got, uint64(dirtyPages))
	}
	must(t, g.vm.DirtyLog(ramSlot, bitmap))
	if bitmap[0] != 0 {
		t.Errorf("asked again, dirty pages %#x", bitmap)
	}
	if err := g.vm.DirtyLog(ramSlot, nil); err == nil || !strings.Contains(err.Error(), "need 1") {
		t.Errorf("a bitmap too short for the kernel: %v", err)
	}
	if err := g.vm.DirtyLog(7, bitmap); err == nil || !strings.Contains(err.Error(), "no such slot") {
		t.Errorf("no slot: %v", err)
	}
	must(t, g.vm.SetMemorySlot(MemorySlot{Slot: ramSlot, Host: g.ram}))
	if err := g.vm.DirtyLog(ramSlot, bitmap); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a slot that does not log: %v, want ENOENT", err)
	}
}

// TestClearDirtyLog: with manual protection pages stay dirty until cleared.
func TestClearDirtyLog(t *testing.T) {
	lockThread(t)
	g := newGuest(t, guestConfig{slot: MemLogDirtyPages}, writePages...)
	bitmap := make([]uint64, DirtyLogWords(ramSize))
	must(t, g.vm.EnableCap(CapManualDirtyLogProtect2, 1))
	g.run(t, ExitHLT)
	for range 2 {
		must(t, g.vm.DirtyLog(ramSlot, bitmap))
		if got := bitmap[0] &^ codePage; got != dirtyPages {
			t.Errorf("dirty pages %#x, want %#x", got, uint64(dirtyPages))
		}
	}
	bitmap[0] = 1 << 0x13
	must(t, g.vm.ClearDirtyLog(ramSlot, bitmap))
	must(t, g.vm.DirtyLog(ramSlot, bitmap))
	if got := bitmap[0] &^ codePage; got != 1<<0x17 {
		t.Errorf("after clearing one, dirty pages %#x", got)
	}
}
