package boot

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// The PVH start of day structures, from Xen's public header
// arch-x86/hvm/start_info.h, version 1:
//
//	start info                module                 memory map entry
//	 0  magic                  0  address             0  address
//	 4  version                8  size                8  size
//	 8  flags                 16  command line       16  type
//	12  number of modules     24  reserved           20  reserved
//	16  module list           32                     24
//	24  command line
//	32  RSDP
//	40  memory map
//	48  memory map entries
//	52  reserved
//	56
const (
	startInfoMagic   = 0x336ec578
	startInfoVersion = 1
	startInfoLen     = 56
	moduleLen        = 32
	memmapEntryLen   = 24
)

// xenPhys32Entry is the type of the note that holds the 32-bit entry point
// (XEN_ELFNOTE_PHYS32_ENTRY); its name is "Xen".
const xenPhys32Entry = 18

// pvhEntry looks for the PVH entry point in the contents of note segments.
//
// A note is the sizes of name and descriptor and the type, 32 bits each, then
// the name and the descriptor, each padded to 4 bytes.
func pvhEntry(notes [][]byte) (uint64, bool) {
	le := binary.LittleEndian
	for _, n := range notes {
		for len(n) >= 12 {
			namesz, descsz := uint64(le.Uint32(n)), uint64(le.Uint32(n[4:]))
			typ := le.Uint32(n[8:])
			n = n[12:]
			desc := alignUp(namesz, 4)
			next := alignUp(desc+descsz, 4)
			if desc+descsz > uint64(len(n)) {
				break
			}
			if typ == xenPhys32Entry && bytes.Equal(n[:namesz], []byte("Xen\x00")) {
				switch d := n[desc : desc+descsz]; descsz {
				case 4:
					return uint64(le.Uint32(d)), true
				case 8:
					return le.Uint64(d), true
				}
			}
			n = n[min(next, uint64(len(n))):]
		}
	}
	return 0, false
}

// startPVH writes the start info and sets the 32-bit entry.
func (l *loader) startPVH(img *elfImage, entry uint64) error {
	span := img.span()
	if entry < span.Base || entry >= span.End() || entry >= 4<<30 {
		return fmt.Errorf("PVH entry point %#x is outside the kernel at %#x-%#x", entry, span.Base, span.End()-1)
	}
	if err := l.writeCmdline(CmdlineMax); err != nil {
		return err
	}
	le := binary.LittleEndian
	info := make([]byte, startInfoLen+moduleLen, startInfoLen+moduleLen+e820Max*memmapEntryLen)
	le.PutUint32(info[0:], startInfoMagic)
	le.PutUint32(info[4:], startInfoVersion)
	le.PutUint64(info[24:], CmdlineBase)
	le.PutUint64(info[32:], l.RSDP)
	le.PutUint64(info[40:], StartInfoBase+startInfoLen+moduleLen)
	le.PutUint32(info[48:], uint32(len(l.result.MemoryMap)))
	if r := l.result.Initrd; r.Size > 0 {
		le.PutUint32(info[12:], 1)
		le.PutUint64(info[16:], StartInfoBase+startInfoLen)
		le.PutUint64(info[startInfoLen:], r.Base)
		le.PutUint64(info[startInfoLen+8:], r.Size)
	}
	for _, e := range l.result.MemoryMap {
		info = le.AppendUint64(info, e.Base)
		info = le.AppendUint64(info, e.Size)
		info = le.AppendUint64(info, uint64(e.Type)) // and the reserved word
	}
	if err := l.mem.WriteAt(info, StartInfoBase); err != nil {
		return fmt.Errorf("PVH start info: %w", err)
	}
	l.result.Protocol = PVH
	l.result.Entry = flatEntry(Protected32, entry)
	l.result.Entry.RBX = StartInfoBase
	return nil
}
