package boot

// Guest-physical memory below 1 MiB, as this package lays it out. All of it is
// read by the guest in its first moments and is free for it afterwards, except
// the extended BIOS data area and the BIOS area, which the memory map reserves.
//
//	0x00000  real-mode interrupt table and BIOS data area: left zero
//	0x00500  GDT
//	0x06000  PVH: start info, module list, memory map
//	0x07000  Linux: boot_params ("zero page")
//	0x08000  stack, growing down from 0x9000
//	0x09000  identity page tables: PML4, PDPT, four page directories
//	0x0F000  Linux: setup_data
//	0x20000  command line
//	0x30000  end of what is written here
//	0x9FC00  extended BIOS data area: MP floating pointer structure
//	0xA0000  VGA memory and option ROMs: no RAM
//	0xE0000  BIOS area: ACPI RSDP, SMBIOS entry point, tables
//	0x100000 1 MiB
const (
	GDTBase       = 0x500
	StartInfoBase = 0x6000
	ZeroPageBase  = 0x7000
	StackTop      = 0x9000
	PageTableBase = 0x9000
	SetupDataBase = 0xF000
	CmdlineBase   = 0x20000
	CmdlineMax    = 0x10000 // bytes, with the terminating zero

	// LowEnd is the end of the area below 1 MiB that Load writes to.
	LowEnd = CmdlineBase + CmdlineMax

	// EBDABase is where conventional memory ends and the extended BIOS data
	// area begins. Firmware and operating systems look here for the MP
	// floating pointer structure and the ACPI RSDP.
	EBDABase = 0x9FC00
	EBDASize = 0x400 // bytes

	// BIOSBase is the area that is searched for the ACPI RSDP, the SMBIOS
	// entry point and (from 0xF0000) the MP floating pointer structure.
	BIOSBase = 0xE0000
	BIOSSize = 0x20000 // bytes

	// VGABase begins the hole up to BIOSBase where a PC has no RAM.
	VGABase = 0xA0000

	// HighBase is where RAM goes on above the 32-bit device hole.
	HighBase = 4 << 30

	oneMiB = 1 << 20
)
