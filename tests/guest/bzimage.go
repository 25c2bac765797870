package guest

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

// Of the setup header (Linux/x86 boot protocol, "The Real-Mode Kernel Header"),
// what is known only when the kernel is linked.
const (
	setupSectsOffset = 0x1f1 // u8: sectors of 512 bytes after the first
	syssizeOffset    = 0x1f4 // u32: size of the protected-mode code in 16 bytes
	initSizeOffset   = 0x260 // u32: memory in bytes the kernel takes from where it is loaded
	loadAddress      = 0x100000
)

// writeBzImage puts the setup code and the loaded segments of an ELF kernel
// into one file, the way a boot loader of the Linux protocol expects it.
func writeBzImage(out, setup, kernel string) error {
	header, err := os.ReadFile(setup)
	if err != nil {
		return fmt.Errorf("guest: %w", err)
	}
	if len(header) < initSizeOffset+4 || len(header) != (int(header[setupSectsOffset])+1)*512 {
		return fmt.Errorf("guest: setup code of %d bytes, its header says %d sectors", len(header), header[setupSectsOffset]+1)
	}
	payload, memory, err := flatten(kernel)
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(header[syssizeOffset:], uint32(len(payload)/16))
	binary.LittleEndian.PutUint32(header[initSizeOffset:], uint32(memory))
	if err := os.WriteFile(out, append(header, payload...), 0o644); err != nil {
		return fmt.Errorf("guest: %w", err)
	}
	return nil
}

// flatten returns the loaded segments of an ELF file as they lie in memory
// from loadAddress on, padded to 16 bytes, and the memory they take in bytes.
func flatten(name string) (payload []byte, memory uint64, err error) {
	f, err := elf.Open(name)
	if err != nil {
		return nil, 0, fmt.Errorf("guest: %s: %w", name, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD || p.Memsz == 0 {
			continue
		}
		if p.Paddr < loadAddress {
			return nil, 0, fmt.Errorf("guest: %s: a segment at %#x, below %#x", name, p.Paddr, loadAddress)
		}
		at := p.Paddr - loadAddress
		if grow := int(at+p.Filesz) - len(payload); grow > 0 {
			payload = append(payload, make([]byte, grow)...)
		}
		if _, err := io.ReadFull(p.Open(), payload[at:at+p.Filesz]); err != nil {
			return nil, 0, fmt.Errorf("guest: %s: %w", name, err)
		}
		memory = max(memory, at+p.Memsz)
	}
	if rest := len(payload) % 16; rest != 0 {
		payload = append(payload, make([]byte, 16-rest)...)
	}
	return payload, max(memory, uint64(len(payload))), nil
}
