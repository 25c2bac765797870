package firmware

// kernelROMName is the file of the option ROM that boots a kernel.
const kernelROMName = "genroms/linux.bin"

// kernelROM returns an option ROM with a bootstrap entry vector (BIOS Boot
// Specification 1.01, section 3.3): one 512-byte block that firmware copies
// below 1 MiB and offers as a boot device. Booting it fetches the four parts of
// the kernel from the firmware configuration device, each to the address that
// the device gives for it, and jumps to the kernel's real-mode entry.
//
// The header of an option ROM:
//
//	0x00  55 AA                signature
//	0x02  01                   length in blocks of 512 bytes
//	0x03  CB                   initialisation: nothing to do, far return
//	0x1A  20 00                where the expansion header is
//
// The expansion header (Plug and Play BIOS specification 1.0A, section 3.2):
//
//	0x20  "$PnP" 01 02         signature, revision, length in 16-byte units
//	0x26  0000                 no next header
//	0x29  checksum
//	0x2E  40 00  46 00         where the names of manufacturer and product are
//	0x3A  54 00                bootstrap entry vector
func kernelROM() []byte {
	rom := make([]byte, romSize)
	copy(rom, "\x55\xAA\x01\xCB")
	le.PutUint16(rom[0x1A:], romPnP)
	copy(rom[romPnP:], "$PnP\x01\x02")
	le.PutUint16(rom[0x2E:], romManufacturer)
	le.PutUint16(rom[0x30:], romProduct)
	le.PutUint16(rom[0x3A:], romEntry)
	copy(rom[romManufacturer:], "govmm\x00")
	copy(rom[romProduct:], "Linux kernel\x00")
	at := romEntry
	for _, i := range kernelROMCode() {
		at += copy(rom[at:], i.code)
	}
	rom[romPnP+9] = -sum(rom[romPnP:romManufacturer])
	rom[romSize-1] = -sum(rom)
	return rom
}

const (
	romSize         = 512
	romPnP          = 0x20
	romManufacturer = 0x40
	romProduct      = 0x46
	romEntry        = 0x54
)

// instruction is one line of the listing: where it is in the ROM, its bytes,
// and what they mean.
type instruction struct {
	at         int
	code, text string
}

// kernelROMCode is the code of the ROM, for the 16-bit real mode, and its table.
//
// At 0000:7C00 it has its stack, growing down, and above the description of a
// DMA operation (16 bytes, big-endian: control, length, address) and a number
// that it reads.
func kernelROMCode() []instruction {
	return []instruction{
		{0x54, "\xFA", "       cli"},
		{0x55, "\xFC", "       cld"},
		{0x56, "\x31\xC0", "       xor ax, ax"},
		{0x58, "\x8E\xD0", "       mov ss, ax"},
		{0x5A, "\xBC\x00\x7C", "       mov sp, 0x7C00"},
		{0x5D, "\x8E\xD8", "       mov ds, ax"},
		{0x5F, "\xBE\xEC\x00", "       mov si, parts"},
		{0x62, "\xB9\x04\x00", "       mov cx, 4"},
		{0x65, "\xE8\x26\x00", "next:  call number          ; address"},
		{0x68, "\x66\x97", "       xchg eax, edi"},
		{0x6A, "\xE8\x21\x00", "       call number          ; length"},
		{0x6D, "\x66\x95", "       xchg eax, ebp"},
		{0x6F, "\x2E\xAC", "       cs lodsb             ; key of the data"},
		{0x71, "\xE8\x33\x00", "       call read"},
		{0x74, "\xE2\xEF", "       loop next"},

		// The kernel wants all segment registers at its real-mode code
		// (setupBase), of which the second sector is the entry.
		{0x76, "\xB8\x00\x10", "       mov ax, 0x1000"},
		{0x79, "\x8E\xD8", "       mov ds, ax"},
		{0x7B, "\x8E\xC0", "       mov es, ax"},
		{0x7D, "\x8E\xE0", "       mov fs, ax"},
		{0x7F, "\x8E\xE8", "       mov gs, ax"},
		{0x81, "\x8E\xD0", "       mov ss, ax"},
		{0x83, "\x66\xBC\xF0\xFF\x00\x00", "       mov esp, 0xFFF0"},
		{0x89, "\xEA\x00\x00\x20\x10", "       jmp 0x1020:0"},

		// number returns in EAX the number under the next key of the table.
		{0x8E, "\x2E\xAC", "number: cs lodsb"},
		{0x90, "\x66\x57", "       push edi"},
		{0x92, "\x66\xBF\x10\x7C\x00\x00", "       mov edi, 0x7C10"},
		{0x98, "\x66\xBD\x04\x00\x00\x00", "       mov ebp, 4"},
		{0x9E, "\xE8\x06\x00", "       call read"},
		{0xA1, "\x66\x8B\x05", "       mov eax, [di]"},
		{0xA4, "\x66\x5F", "       pop edi"},
		{0xA6, "\xC3", "       ret"},

		// read copies EBP bytes of the item with key AL to address EDI.
		{0xA7, "\x88\xC4", "read:  mov ah, al"},
		{0xA9, "\xB0\x00", "       mov al, 0"},
		{0xAB, "\xA3\x00\x7C", "       mov [0x7C00], ax     ; control: key ..."},
		{0xAE, "\xC7\x06\x02\x7C\x00\x0A", "       mov word [0x7C02], 0x0A00 ; ... select and read"},
		{0xB4, "\x66\x89\xE8", "       mov eax, ebp"},
		{0xB7, "\x66\x0F\xC8", "       bswap eax"},
		{0xBA, "\x66\xA3\x04\x7C", "       mov [0x7C04], eax    ; length"},
		{0xBE, "\x66\x31\xC0", "       xor eax, eax"},
		{0xC1, "\x66\xA3\x08\x7C", "       mov [0x7C08], eax    ; address 63:32"},
		{0xC5, "\x66\x89\xF8", "       mov eax, edi"},
		{0xC8, "\x66\x0F\xC8", "       bswap eax"},
		{0xCB, "\x66\xA3\x0C\x7C", "       mov [0x7C0C], eax    ; address 31:0"},
		{0xCF, "\xBA\x18\x05", "       mov dx, 0x518"},
		{0xD2, "\x66\xB8\x00\x00\x7C\x00", "       mov eax, 0x007C0000  ; 0x7C00, big-endian"},
		{0xD8, "\x66\xEF", "       out dx, eax"},
		{0xDA, "\xF6\x06\x03\x7C\xFE", "wait:  test byte [0x7C03], 0xFE"},
		{0xDF, "\x75\xF9", "       jnz wait"},
		{0xE1, "\xF6\x06\x03\x7C\x01", "       test byte [0x7C03], 1 ; error"},
		{0xE6, "\x75\x01", "       jnz fail"},
		{0xE8, "\xC3", "       ret"},

		// fail lets the firmware try the next boot device.
		{0xE9, "\xFB", "fail:  sti"},
		{0xEA, "\xCD\x18", "       int 0x18"},

		// The keys of address, length and data of each part.
		{0xEC, "\x16\x17\x18", "parts: db 0x16, 0x17, 0x18  ; real-mode code"},
		{0xEF, "\x0A\x0B\x12", "       db 0x0A, 0x0B, 0x12  ; initial ramdisk"},
		{0xF2, "\x07\x08\x11", "       db 0x07, 0x08, 0x11  ; kernel"},
		{0xF5, "\x13\x14\x15", "       db 0x13, 0x14, 0x15  ; command line"},
	}
}

// sum adds bytes modulo 256.
func sum(b []byte) (s byte) {
	for _, v := range b {
		s += v
	}
	return s
}
