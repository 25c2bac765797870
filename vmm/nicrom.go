package vmm

import (
	"bytes"
	"encoding/binary"
)

// The virtio network card, as its transitional device names itself.
const (
	virtioVendor    = 0x1AF4
	virtioNetDevice = 0x1000
)

// forVirtioNet makes the first image of an option ROM one for our network card.
// Firmware runs a ROM for the card that the ROM names, and iPXE's names the modern
// virtio card alone in the field that firmware looks at. What is no such ROM stays
// as it is.
//
// The header of the image, and its PCI data structure (PCI Firmware Specification
// 3.0, section 5.1):
//
//	0x00  55 AA    signature           +0  "PCIR"
//	0x02  length in 512 bytes          +4  vendor
//	0x06  iPXE: makes the sum zero     +6  device
//	0x18  where the structure is
func forVirtioNet(rom []byte) []byte {
	const sumAt, pointerAt, headerSize, dataSize = 0x06, 0x18, 0x1A, 8
	if len(rom) < headerSize || rom[0] != 0x55 || rom[1] != 0xAA {
		return rom
	}
	at := int(binary.LittleEndian.Uint16(rom[pointerAt:]))
	if at+dataSize > len(rom) || string(rom[at:at+4]) != "PCIR" || binary.LittleEndian.Uint16(rom[at+4:]) != virtioVendor {
		return rom
	}
	rom = bytes.Clone(rom)
	device := rom[at+6 : at+8]
	before := device[0] + device[1]
	binary.LittleEndian.PutUint16(device, virtioNetDevice)
	rom[sumAt] += before - (device[0] + device[1])
	return rom
}
