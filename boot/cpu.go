package boot

import "encoding/binary"

// Mode is the processor mode that a guest starts in.
type Mode uint8

// The modes.
const (
	Real16      Mode = iota // real mode, as after reset
	Protected32             // flat 32-bit protected mode, paging off
	Long64                  // 64-bit mode, identity-mapped paging on
)

func (m Mode) String() string {
	switch m {
	case Real16:
		return "16-bit real mode"
	case Protected32:
		return "32-bit protected mode"
	case Long64:
		return "64-bit long mode"
	}
	return "unknown mode"
}

// Segment is a segment register with its hidden part, as the Intel SDM volume
// 3 section 3.4.5 describes a descriptor.
type Segment struct {
	Selector uint16
	Base     uint64
	Limit    uint32 // in bytes, after scaling by the granularity
	Type     uint8  // 4 bits
	DPL      uint8  // 2 bits
	Present  bool
	S        bool // code or data, not a system segment
	L        bool // 64-bit code
	DB       bool // 32-bit default size
	G        bool // limit counts 4 KiB pages
	AVL      bool
}

// Table is a descriptor table register: a linear address and a limit in bytes,
// that is the table's size less one.
type Table struct {
	Base  uint64
	Limit uint16
}

// Entry is the state that the boot processor starts in. Registers that are not
// named here start as zero, debug registers and the local APIC as after reset.
type Entry struct {
	Mode Mode

	RIP, RSP, RSI, RBX uint64
	RFLAGS             uint64
	CR0, CR3, CR4      uint64
	EFER               uint64

	CS   Segment // code
	Data Segment // DS, ES, FS, GS and SS
	TR   Segment // task register
	LDT  Segment // local descriptor table register: not present

	GDT, IDT Table
}

// Bits of control registers and of EFER, Intel SDM volume 3 section 2.5.
const (
	cr0PE = 1 << 0
	cr0ET = 1 << 4
	cr0PG = 1 << 31

	cr4PAE = 1 << 5

	eferLME = 1 << 8
	eferLMA = 1 << 10

	rflagsReserved = 1 << 1 // always one
)

// Segment types, Intel SDM volume 3 tables 3-1 and 3-2.
const (
	typeDataRW  = 0x3 // read/write, accessed
	typeCodeRX  = 0xb // execute/read, accessed
	typeLDT     = 0x2
	typeTSSBusy = 0xb
)

// Selectors of the Linux boot protocol, section "32-bit boot protocol".
const (
	selectorCS  = 0x10 // __BOOT_CS
	selectorDS  = 0x18 // __BOOT_DS
	selectorTSS = 0x20
)

// ResetEntry returns the state after reset: real mode, the first instruction
// 16 bytes below 4 GiB (Intel SDM volume 3 table 11-1). It is how firmware
// starts.
func ResetEntry() *Entry {
	seg := func(selector uint16, base uint64, typ uint8) Segment {
		return Segment{Selector: selector, Base: base, Limit: 0xFFFF, Type: typ, Present: true, S: true}
	}
	return &Entry{
		Mode:   Real16,
		RIP:    0xFFF0,
		RFLAGS: rflagsReserved,
		CR0:    1<<30 | 1<<29 | cr0ET, // CD, NW
		CS:     seg(0xF000, 0xFFFF0000, typeCodeRX),
		Data:   seg(0, 0, typeDataRW),
		TR:     Segment{Limit: 0xFFFF, Type: typeTSSBusy, Present: true},
		LDT:    Segment{Limit: 0xFFFF, Type: typeLDT, Present: true},
		GDT:    Table{Limit: 0xFFFF},
		IDT:    Table{Limit: 0xFFFF},
	}
}

// flatEntry returns the flat state of both Linux protocols and of PVH, in the
// given mode, starting at rip. PVH (xen/docs/misc/pvh.pandoc) wants a 32-bit
// TSS of limit 0x67 and all other writable bits of CR0 clear.
func flatEntry(mode Mode, rip uint64) *Entry {
	e := &Entry{
		Mode:   mode,
		RIP:    rip,
		RSP:    StackTop,
		RFLAGS: rflagsReserved,
		CR0:    cr0PE | cr0ET,
		CS: Segment{Selector: selectorCS, Limit: 0xFFFFFFFF, Type: typeCodeRX,
			Present: true, S: true, DB: true, G: true},
		Data: Segment{Selector: selectorDS, Limit: 0xFFFFFFFF, Type: typeDataRW,
			Present: true, S: true, DB: true, G: true},
		TR:  Segment{Selector: selectorTSS, Limit: 0x67, Type: typeTSSBusy, Present: true},
		LDT: Segment{Type: typeLDT},
		GDT: Table{Base: GDTBase, Limit: gdtEntries*8 - 1},
	}
	if mode == Long64 {
		e.CS.L, e.CS.DB = true, false
		e.CR0 |= cr0PG
		e.CR3 = PageTableBase
		e.CR4 = cr4PAE
		e.EFER = eferLME | eferLMA
	}
	return e
}

// gdtEntries counts the null descriptor, an unused one, CS, DS, and a TSS that
// takes two in 64-bit mode.
const gdtEntries = 6

// writeGDT puts the descriptors that e uses where its GDT says.
func writeGDT(mem Memory, e *Entry) error {
	var gdt [gdtEntries * 8]byte
	for _, s := range []Segment{e.CS, e.Data, e.TR} {
		binary.LittleEndian.PutUint64(gdt[s.Selector:], s.descriptor())
	}
	return mem.WriteAt(gdt[:], e.GDT.Base)
}

// descriptor packs a segment with a 32-bit base, Intel SDM volume 3 figure 3-8:
//
//	63    56 55 54 53 52 51    48 47 46 45 44 43  40 39    16 15     0
//	base     G  DB L  A  limit    P  DPL   S  type   base     limit
//	31:24             VL 19:16                       23:0     15:0
func (s Segment) descriptor() uint64 {
	limit := uint64(s.Limit)
	if s.G {
		limit >>= 12
	}
	d := limit&0xFFFF | s.Base&0xFFFFFF<<16 | uint64(s.Type&0xF)<<40 |
		uint64(s.DPL&3)<<45 | limit>>16&0xF<<48 | s.Base>>24&0xFF<<56
	for _, f := range []struct {
		set bool
		bit uint
	}{{s.S, 44}, {s.Present, 47}, {s.AVL, 52}, {s.L, 53}, {s.DB, 54}, {s.G, 55}} {
		if f.set {
			d |= 1 << f.bit
		}
	}
	return d
}
