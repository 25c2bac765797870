package boot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/govmm/govmm/boot/payload"
)

// Address space layout randomisation of the kernel, done here because the
// guest's decompressor, which does it otherwise, does not run. The rules are
// those of arch/x86/boot/compressed/kaslr.c: the kernel's physical address is
// any multiple of its alignment with room for it, and its virtual addresses are
// moved, by a multiple of the alignment too, within the 1 GiB of virtual
// addresses that a kernel with CONFIG_RANDOMIZE_BASE has. Unlike there, the
// physical address stays below 4 GiB.
const (
	// kernelMapBase is __START_KERNEL_map: virtual address kernelMapBase + x
	// was linked for physical address x.
	kernelMapBase = 0xFFFF_FFFF_8000_0000
	// kernelImageSize is KERNEL_IMAGE_SIZE with CONFIG_RANDOMIZE_BASE.
	kernelImageSize = 1 << 30
	// maxRelocs bounds the relocation tables and what lies around them, in
	// bytes. Distribution kernels have about 1 MiB.
	maxRelocs = 64 << 20
)

// placement is where a kernel goes.
type placement struct {
	random   bool
	physical uint64
	virtual  uint64 // how far virtual addresses move, bytes
}

// wantKASLR tells whether a kernel's address is to be random: it has
// relocations behind its ELF image, as every kernel with CONFIG_RANDOMIZE_BASE
// and no other 64-bit one, and its command line does not say nokaslr.
func wantKASLR(cmdline string, v *vmlinux) bool {
	for word := range strings.FieldsSeq(cmdline) {
		if word == "nokaslr" {
			return false
		}
	}
	return v.relocsSize() > 0
}

// limitsMemory tells whether a command line takes RAM away from the kernel, or
// asks for pages of 1 GiB that a kernel in their midst would spoil. The
// physical address is then left alone, rather than understanding the options
// in detail.
func limitsMemory(cmdline string) bool {
	for word := range strings.FieldsSeq(cmdline) {
		for _, option := range []string{"mem=", "memmap=", "hugepages=", "hugepagesz="} {
			if strings.HasPrefix(word, option) {
				return true
			}
		}
	}
	return false
}

// randomPlacement chooses a place for a kernel that fits at first.
func (l *loader) randomPlacement(h *setupHeader, v *vmlinux, first uint64) (placement, error) {
	p := placement{random: true, physical: first}
	if !limitsMemory(l.Cmdline) {
		i, err := l.random(l.arena.places(v.window(h)))
		if err != nil {
			return p, err
		}
		p.physical = l.arena.place(i, v.window(h))
	}
	// The unpacked file with its relocations has room here too, since that is
	// what the guest's decompressor makes sure of.
	size := max(v.span.Size, uint64(v.size))
	if v.span.Base+size <= kernelImageSize {
		i, err := l.random((kernelImageSize-v.span.Base-size)/h.alignment + 1)
		if err != nil {
			return p, err
		}
		p.virtual = i * h.alignment
	}
	return p, nil
}

// random returns a random number below n, which is at least 1.
func (l *loader) random(n uint64) (uint64, error) {
	var b [8]byte
	if _, err := io.ReadFull(l.Rand, b[:]); err != nil {
		return 0, fmt.Errorf("random number for the kernel's address: %w", err)
	}
	return binary.LittleEndian.Uint64(b[:]) % n, nil
}

// relocTables are the relocations of a 64-bit kernel. Each entry is the lower
// half, 32 bits, of the virtual address of a word to be changed.
type relocTables struct {
	add64 []byte // 64-bit words that grow
	sub32 []byte // 32-bit words that shrink: relative, to per-CPU data
	add32 []byte // 32-bit words that grow
}

// errRelocLayout means that a kernel's relocations are not laid out as any
// known kernel's.
var errRelocLayout = errors.New("relocations have an unknown layout")

// parseRelocs decodes what arch/x86/tools/relocs appends to vmlinux: here, all
// that follows the section header table. Each table has a zero word before it,
// because the guest's decompressor reads them from their ends:
//
//	0, 64-bit relocations, 0, inverse 32-bit relocations, 0, 32-bit relocations
//
// The table of inverse ones is missing in old kernels and in the newest.
func parseRelocs(b []byte) (relocTables, error) {
	if len(b)%4 != 0 || len(b) < 4 || binary.LittleEndian.Uint32(b) != 0 {
		return relocTables{}, errRelocLayout
	}
	var tables [][]byte
	start := 4
	for i := 4; i <= len(b); i += 4 {
		if i < len(b) && binary.LittleEndian.Uint32(b[i:]) != 0 {
			continue
		}
		if len(tables) == 3 {
			return relocTables{}, errRelocLayout
		}
		tables = append(tables, b[start:i])
		start = i + 4
	}
	switch len(tables) {
	case 2:
		return relocTables{add64: tables[0], add32: tables[1]}, nil
	case 3:
		return relocTables{add64: tables[0], sub32: tables[1], add32: tables[2]}, nil
	}
	return relocTables{}, errRelocLayout
}

// relocsSize returns how many bytes of the image lie behind the section header
// table, which ends every vmlinux without relocations.
func (v *vmlinux) relocsSize() int64 {
	if v.img.sectEnd == 0 || v.img.sectEnd >= uint64(v.size) {
		return 0
	}
	return v.size - int64(v.img.sectEnd)
}

// relocs returns that part of the image, to be read.
func (v *vmlinux) relocs() payload.Part {
	return payload.Part{Off: int64(v.img.sectEnd), Dst: make([]byte, v.relocsSize())}
}

// relocate moves the virtual addresses of a loaded kernel, by its relocations.
func (l *loader) relocate(relocs []byte, v *vmlinux, where placement) error {
	t, err := parseRelocs(relocs)
	if err != nil {
		return err
	}
	image, err := l.mem.Slice(where.physical, v.span.Size)
	if err != nil {
		return err
	}
	return t.apply(image, v.span.Base, where.virtual)
}

// apply changes an image that is linked for physical address linked, so that
// its virtual addresses are delta (under 1 GiB) higher. Every word must lie in
// the image.
func (t *relocTables) apply(image []byte, linked, delta uint64) error {
	le := binary.LittleEndian
	for _, table := range []struct {
		entries []byte
		size    uint64 // bytes of a word
		change  func(word []byte)
	}{
		{t.add64, 8, func(p []byte) { le.PutUint64(p, le.Uint64(p)+delta) }},
		{t.sub32, 4, func(p []byte) { le.PutUint32(p, le.Uint32(p)-uint32(delta)) }},
		{t.add32, 4, func(p []byte) { le.PutUint32(p, le.Uint32(p)+uint32(delta)) }},
	} {
		if uint64(len(image)) < table.size {
			return errRelocLayout
		}
		last := uint64(len(image)) - table.size
		for i := 0; i < len(table.entries); i += 4 {
			addr := uint64(int64(int32(le.Uint32(table.entries[i:]))))
			// An address below the image wraps around and is too large too.
			off := addr - kernelMapBase - linked
			if off > last {
				return fmt.Errorf("relocation of %#x is outside the kernel", addr)
			}
			table.change(image[off : off+table.size])
		}
	}
	return nil
}
