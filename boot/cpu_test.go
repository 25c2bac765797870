package boot

import "testing"

// The descriptors are those of Linux's own boot GDT, and a 32-bit TSS.
func TestDescriptor(t *testing.T) {
	long, flat := flatEntry(Long64, 0), flatEntry(Protected32, 0)
	for _, tt := range []struct {
		name string
		seg  Segment
		want uint64
	}{
		{"64-bit code", long.CS, 0x00AF9B000000FFFF},
		{"32-bit code", flat.CS, 0x00CF9B000000FFFF},
		{"data", flat.Data, 0x00CF93000000FFFF},
		{"TSS", flat.TR, 0x00008B0000000067},
		{"scattered", Segment{Base: 0x12345678, Limit: 0xABCDE, Type: 3, DPL: 3, Present: true, S: true, AVL: true},
			0x121AF3345678BCDE},
	} {
		if got := tt.seg.descriptor(); got != tt.want {
			t.Errorf("%s: %#016x, want %#016x", tt.name, got, tt.want)
		}
	}
}

func TestEntryStates(t *testing.T) {
	long, flat, reset := flatEntry(Long64, 5), flatEntry(Protected32, 6), ResetEntry()
	if long.CR0 != 0x80000011 || long.CR4 != 0x20 || long.EFER != 0x500 || long.CR3 != PageTableBase || long.RIP != 5 {
		t.Errorf("64-bit: %+v", long)
	}
	// PVH: only PE of the writable bits of CR0.
	if flat.CR0 != 0x11 || flat.CR4 != 0 || flat.EFER != 0 || flat.CR3 != 0 || flat.TR.Limit != 0x67 {
		t.Errorf("32-bit: %+v", flat)
	}
	if reset.Mode != Real16 || reset.CS.Base+reset.RIP != 4<<30-16 || reset.CS.Selector != 0xF000 || reset.CR0 != 0x60000010 {
		t.Errorf("reset: %+v", reset)
	}
}

func TestWriteGDT(t *testing.T) {
	mem := newMemory(mib, 0)
	e := flatEntry(Long64, 0)
	if err := writeGDT(mem, e); err != nil {
		t.Fatal(err)
	}
	gdt := mem.low[GDTBase:]
	for i, want := range []uint64{0, 0, e.CS.descriptor(), e.Data.descriptor(), e.TR.descriptor(), 0} {
		if got := le.Uint64(gdt[8*i:]); got != want {
			t.Errorf("entry %d is %#x, want %#x", i, got, want)
		}
	}
	if e.GDT != (Table{GDTBase, 47}) {
		t.Errorf("GDTR: %+v", e.GDT)
	}
	if err := writeGDT(newMemory(0x100, 0), e); err == nil {
		t.Error("GDT outside RAM was accepted")
	}
}

// Every address below 4 GiB is walked to itself as the processor does it.
func TestIdentityTables(t *testing.T) {
	mem := newMemory(mib, 0)
	if err := writeIdentityTables(mem); err != nil {
		t.Fatal(err)
	}
	const addr = 0x000F_FFFF_FFFF_F000
	walk := func(va uint64) (uint64, bool) {
		table := uint64(PageTableBase)
		for _, shift := range []uint{39, 30, 21} {
			e := le.Uint64(mem.low[table+va>>shift&511*8:])
			if e&3 != 3 {
				return 0, false
			}
			if e&pageLarge != 0 {
				return e&addr | va&(1<<shift-1), true
			}
			table = e & addr
		}
		return 0, false
	}
	for _, va := range []uint64{0, 0xFFF, 0x200000, 0x3FFFFFFF, 0x40000000, 0xABCDE123, 0xFFFFFFFF} {
		if got, ok := walk(va); !ok || got != va {
			t.Errorf("%#x is mapped to %#x, %v", va, got, ok)
		}
	}
	for _, va := range []uint64{4 << 30, 1 << 39} {
		if got, ok := walk(va); ok {
			t.Errorf("%#x is mapped to %#x", va, got)
		}
	}
}
