package boot

import (
	"cmp"
	"context"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/govmm/govmm/boot/payload"
)

// Sizes from the ELF specification (System V ABI, "Object Files").
const (
	elf32HeaderLen = 52
	elf64HeaderLen = 64
	elf32ProgLen   = 32
	elf64ProgLen   = 56
	elf64SectLen   = 64

	// elfHeadMax bounds the part of a file that holds its program headers.
	elfHeadMax = 64 << 10
	// elfNoteMax bounds one note segment; a kernel's has a few hundred bytes.
	elfNoteMax = 64 << 10
	// elfNotesMax bounds the note segments looked at.
	elfNotesMax = 16
)

// segment is one program header.
type segment struct {
	index         int
	off           uint64 // in the file
	vaddr, paddr  uint64
	filesz, memsz uint64
	dst           []byte // where the file's bytes go, once that is known
}

// elfImage is what is needed of an ELF executable's headers.
type elfImage struct {
	is64  bool
	entry uint64
	loads []segment // PT_LOAD with p_memsz > 0
	notes []segment // PT_NOTE
	// sectEnd is where the section header table ends in the file.
	sectEnd uint64
}

// parseELF reads the ELF and program headers of an x86 executable.
func parseELF(r *payload.Reader) (*elfImage, error) {
	head, err := r.Peek(elf64HeaderLen)
	if err != nil {
		return nil, err
	}
	if err := checkELFIdent(head); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	img := &elfImage{is64: elf.Class(head[elf.EI_CLASS]) == elf.ELFCLASS64}
	var phoff, shoff uint64
	var phentsize, phnum, shentsize, shnum uint16
	wantProg := elf32ProgLen
	if img.is64 {
		img.entry, phoff, shoff = le.Uint64(head[24:]), le.Uint64(head[32:]), le.Uint64(head[40:])
		phentsize, phnum = le.Uint16(head[54:]), le.Uint16(head[56:])
		shentsize, shnum = le.Uint16(head[58:]), le.Uint16(head[60:])
		wantProg = elf64ProgLen
	} else {
		img.entry, phoff = uint64(le.Uint32(head[24:])), uint64(le.Uint32(head[28:]))
		phentsize, phnum = le.Uint16(head[42:]), le.Uint16(head[44:])
	}
	if phnum == 0 {
		return nil, errors.New("ELF file without program headers: an object file, not a kernel")
	}
	if int(phentsize) != wantProg {
		return nil, fmt.Errorf("ELF program headers of %d bytes, want %d", phentsize, wantProg)
	}
	end := phoff + uint64(phnum)*uint64(phentsize)
	if phoff > elfHeadMax || end > elfHeadMax {
		return nil, fmt.Errorf("ELF program headers end at offset %d; within the first %d bytes is supported", end, elfHeadMax)
	}
	// A sum that wraps around comes out small, which later reads as "nothing
	// follows the image".
	if shoff != 0 && shentsize == elf64SectLen {
		img.sectEnd = shoff + uint64(shnum)*elf64SectLen
	}
	if head, err = r.Peek(int(end)); err != nil {
		return nil, err
	}
	if uint64(len(head)) < end {
		return nil, fmt.Errorf("ELF file is truncated: %d bytes, and its program headers end at %d", len(head), end)
	}
	for i := range int(phnum) {
		if err := img.addProg(i, head[int(phoff)+i*wantProg:]); err != nil {
			return nil, err
		}
	}
	if len(img.loads) == 0 {
		return nil, errors.New("ELF file has nothing to load (no PT_LOAD program header)")
	}
	return img, nil
}

// checkELFIdent refuses ELF files that are no x86 executables.
func checkELFIdent(head []byte) error {
	if len(head) < elf32HeaderLen {
		return fmt.Errorf("ELF file is truncated: it has %d bytes", len(head))
	}
	class, data := elf.Class(head[elf.EI_CLASS]), elf.Data(head[elf.EI_DATA])
	if data != elf.ELFDATA2LSB {
		return errors.New("big-endian ELF file: built for another machine; an x86 kernel is needed")
	}
	typ := elf.Type(binary.LittleEndian.Uint16(head[16:]))
	machine := elf.Machine(binary.LittleEndian.Uint16(head[18:]))
	switch {
	case machine != elf.EM_X86_64 && machine != elf.EM_386:
		return fmt.Errorf("ELF file for machine %v; an x86 kernel is needed", machine)
	case class != elf.ELFCLASS64 && class != elf.ELFCLASS32,
		class == elf.ELFCLASS64 && len(head) < elf64HeaderLen:
		return fmt.Errorf("ELF file of class %v with %d bytes of header", class, len(head))
	case typ != elf.ET_EXEC && typ != elf.ET_DYN:
		return fmt.Errorf("ELF file of type %v; an executable is needed", typ)
	}
	return nil
}

// addProg decodes one program header.
//
//	         type  offset  vaddr  paddr  filesz  memsz
//	32 bits     0       4      8     12      16     20
//	64 bits     0       8     16     24      32     40
func (img *elfImage) addProg(i int, p []byte) error {
	le := binary.LittleEndian
	typ := elf.ProgType(le.Uint32(p))
	if typ == elf.PT_INTERP {
		return errors.New("ELF program for an operating system (it asks for an interpreter), not a kernel")
	}
	if typ != elf.PT_LOAD && typ != elf.PT_NOTE {
		return nil
	}
	s := segment{index: i}
	if img.is64 {
		s.off, s.vaddr, s.paddr = le.Uint64(p[8:]), le.Uint64(p[16:]), le.Uint64(p[24:])
		s.filesz, s.memsz = le.Uint64(p[32:]), le.Uint64(p[40:])
	} else {
		s.off, s.vaddr, s.paddr = uint64(le.Uint32(p[4:])), uint64(le.Uint32(p[8:])), uint64(le.Uint32(p[12:]))
		s.filesz, s.memsz = uint64(le.Uint32(p[16:])), uint64(le.Uint32(p[20:]))
	}
	const maxOffset = 1 << 62
	switch {
	case s.off > maxOffset || s.filesz > maxOffset:
		return fmt.Errorf("ELF segment %d: %#x bytes at offset %#x", i, s.filesz, s.off)
	case typ == elf.PT_NOTE:
		if s.filesz > 0 && s.filesz <= elfNoteMax && len(img.notes) < elfNotesMax {
			img.notes = append(img.notes, s)
		}
		return nil
	case s.filesz > s.memsz:
		return fmt.Errorf("ELF segment %d: %d bytes in the file for %d in memory", i, s.filesz, s.memsz)
	case s.paddr+s.memsz < s.paddr:
		return fmt.Errorf("ELF segment %d: address %#x+%#x wraps around", i, s.paddr, s.memsz)
	case s.memsz > 0:
		img.loads = append(img.loads, s)
	}
	return nil
}

// span returns the range of physical addresses from the first loaded byte to
// the last.
func (img *elfImage) span() Range {
	lo, hi := ^uint64(0), uint64(0)
	for _, s := range img.loads {
		lo, hi = min(lo, s.paddr), max(hi, s.paddr+s.memsz)
	}
	return Range{lo, hi - lo}
}

// disjoint tells whether no byte of memory is loaded twice.
func (img *elfImage) disjoint() bool {
	loads := slices.SortedFunc(slices.Values(img.loads), func(a, b segment) int { return cmp.Compare(a.paddr, b.paddr) })
	for i := 1; i < len(loads); i++ {
		if loads[i].paddr-loads[i-1].paddr < loads[i-1].memsz {
			return false
		}
	}
	return true
}

// physicalEntry returns the entry point as a physical address; linkers also
// write it as a virtual one.
func (img *elfImage) physicalEntry() (uint64, error) {
	for _, s := range img.loads {
		if img.entry >= s.paddr && img.entry-s.paddr < s.memsz {
			return img.entry, nil
		}
	}
	for _, s := range img.loads {
		if img.entry >= s.vaddr && img.entry-s.vaddr < s.memsz {
			return s.paddr + (img.entry - s.vaddr), nil
		}
	}
	return 0, fmt.Errorf("ELF entry point %#x is in no segment", img.entry)
}

// loadSegments reads an image into guest RAM, moved up by shift bytes, and the
// parts in extra along with it. The RAM must have been claimed. It returns the
// contents of the note segments.
func (l *loader) loadSegments(ctx context.Context, r *payload.Reader, img *elfImage, shift uint64, extra ...payload.Part) ([][]byte, error) {
	parts := extra
	for i := range img.loads {
		s := &img.loads[i]
		ram, err := l.mem.Slice(s.paddr+shift, s.memsz)
		if err != nil {
			return nil, fmt.Errorf("ELF segment %d: %w", s.index, err)
		}
		s.dst = ram[:s.filesz]
		parts = append(parts, payload.Part{Off: int64(s.off), Dst: s.dst})
		if !l.ZeroedRAM {
			clear(ram[s.filesz:])
		}
	}
	var notes [][]byte
	for _, n := range img.notes {
		// The notes are part of a loaded segment, as a rule.
		in := slices.IndexFunc(img.loads, func(s segment) bool {
			return s.off <= n.off && n.off+n.filesz <= s.off+s.filesz
		})
		if in >= 0 {
			at := n.off - img.loads[in].off
			notes = append(notes, img.loads[in].dst[at:at+n.filesz])
			continue
		}
		note := make([]byte, n.filesz)
		notes = append(notes, note)
		parts = append(parts, payload.Part{Off: int64(n.off), Dst: note})
	}
	return notes, r.ReadParts(ctx, parts)
}

// loadELF loads an uncompressed kernel where it is linked to run.
func (l *loader) loadELF(ctx context.Context, r *payload.Reader) error {
	img, err := parseELF(r)
	if err != nil {
		return err
	}
	for _, p := range img.loads {
		if err := l.arena.claim(p.paddr, p.memsz); err != nil {
			return fmt.Errorf("ELF segment %d: %w: the machine has %d bytes of RAM below 4 GiB, "+
				"and the first %d are taken", p.index, err, l.LowRAM, LowEnd)
		}
	}
	l.result.Kernel = img.span()
	if err := l.placeInitrd(ctx, HighBase, false); err != nil {
		return err
	}
	notes, err := l.loadSegments(ctx, r, img, 0)
	if err != nil {
		return err
	}
	if entry, ok := pvhEntry(notes); ok {
		return l.startPVH(img, entry)
	}
	if !img.is64 {
		return errors.New("32-bit ELF kernel without a PVH entry (note XEN_ELFNOTE_PHYS32_ENTRY): " +
			"use its bzImage, or build it with CONFIG_PVH")
	}
	entry, err := img.physicalEntry()
	if err != nil {
		return err
	}
	if img.span().End() > identityGiB<<30 {
		return fmt.Errorf("ELF kernel is loaded up to %#x, over 4 GiB", img.span().End())
	}
	if err := l.writeCmdline(CmdlineMax); err != nil {
		return err
	}
	if err := l.writeBootParams(newSetupHeader(), SetupDataBase); err != nil {
		return err
	}
	return l.startLinux(Linux64, entry)
}
