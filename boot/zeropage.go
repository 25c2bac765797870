package boot

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Fields of struct boot_params outside the setup header, from
// Documentation/arch/x86/zero-page.rst.
//
//	0x000  screen_info: left zero, there is no display set up
//	0x070  acpi_rsdp_addr
//	0x0c0  ext_ramdisk_image, ext_ramdisk_size: upper halves
//	0x0c8  ext_cmd_line_ptr
//	0x1e0  alt_mem_k: KiB above 1 MiB, for kernels without a use for e820
//	0x1e8  e820_entries
//	0x1f1  setup header
//	0x2d0  e820_table, 128 entries of 20 bytes
const (
	offRSDP            = 0x070
	offExtRamdiskImage = 0x0c0
	offExtRamdiskSize  = 0x0c4
	offAltMemK         = 0x1e0
	offE820Entries     = 0x1e8
	offE820Table       = 0x2d0

	e820EntryLen  = 20
	bootParamsLen = 4096
)

const (
	// loaderUndefined is type_of_loader for a loader without an assigned
	// number.
	loaderUndefined = 0xFF
	vidModeNormal   = 0xFFFF
	// heapEnd is the usual end of the setup heap; no real-mode code runs here.
	heapEnd = 0xE000 - 0x200

	setupRNGSeed    = 9 // setup_data type, Linux 6.0; older kernels skip it
	rngSeedLen      = 32
	setupDataHeader = 16
)

// writeBootParams writes the zero page, with a seed for the guest's random
// number generator at setupData if the kernel's protocol knows setup_data.
func (l *loader) writeBootParams(h *setupHeader, setupData uint64) error {
	var p [bootParamsLen]byte
	le := binary.LittleEndian
	copy(p[offSetupSects:], h.raw[offSetupSects:])

	p[offTypeOfLoader] = loaderUndefined
	p[offLoadflags] = h.loadflags | canUseHeap
	le.PutUint16(p[offVidMode:], vidModeNormal)
	le.PutUint16(p[offHeapEnd:], heapEnd)
	le.PutUint32(p[offCmdlinePtr:], CmdlineBase)
	le.PutUint64(p[offRSDP:], l.RSDP)

	if r := l.result.Initrd; r.Size > 0 {
		le.PutUint32(p[offRamdiskImage:], uint32(r.Base))
		le.PutUint32(p[offRamdiskSize:], uint32(r.Size))
		le.PutUint32(p[offExtRamdiskImage:], uint32(r.Base>>32))
		le.PutUint32(p[offExtRamdiskSize:], uint32(r.Size>>32))
	}
	le.PutUint32(p[offAltMemK:], uint32((l.LowRAM-oneMiB)>>10))
	p[offE820Entries] = uint8(len(l.result.MemoryMap))
	for i, e := range l.result.MemoryMap {
		at := p[offE820Table+i*e820EntryLen:]
		le.PutUint64(at, e.Base)
		le.PutUint64(at[8:], e.Size)
		le.PutUint32(at[16:], uint32(e.Type))
	}
	if h.version >= 0x209 {
		if err := l.writeRNGSeed(setupData); err != nil {
			return err
		}
		le.PutUint64(p[offSetupData:], setupData)
	}
	if err := l.mem.WriteAt(p[:], ZeroPageBase); err != nil {
		return fmt.Errorf("boot_params: %w", err)
	}
	return nil
}

// writeRNGSeed writes one struct setup_data:
//
//	0  next: none
//	8  type
//	12 length of the data
//	16 data
func (l *loader) writeRNGSeed(gpa uint64) error {
	var d [setupDataHeader + rngSeedLen]byte
	binary.LittleEndian.PutUint32(d[8:], setupRNGSeed)
	binary.LittleEndian.PutUint32(d[12:], rngSeedLen)
	if _, err := io.ReadFull(l.Rand, d[setupDataHeader:]); err != nil {
		return fmt.Errorf("random seed: %w", err)
	}
	if err := l.mem.WriteAt(d[:], gpa); err != nil {
		return fmt.Errorf("random seed: %w", err)
	}
	return nil
}
