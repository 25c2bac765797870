package pci

import (
	"errors"
	"math/bits"
)

// Sizes of an expansion ROM, in bytes.
const (
	minROM = 2048 // the smallest that a BAR can be
	maxROM = 16 << 20
)

// AddROM gives the function an expansion ROM with an image (PCI 3.0, section
// 6.3.1), which is not copied. Behind the image it reads as erased.
func (c *Config) AddROM(image []byte) error {
	if len(image) < 3 || len(image) > maxROM || image[0] != 0x55 || image[1] != 0xAA {
		return errors.New("not an expansion ROM of at most 16 MiB: such an image begins with 55 AA")
	}
	size := max(minROM, uint64(1)<<bits.Len(uint(len(image)-1)))
	return c.AddBAR(BAR{Index: ROM, Kind: Memory32, Size: size, Handler: expansionROM(image)})
}

// expansionROM answers the ROM's BAR.
type expansionROM []byte

func (r expansionROM) Read(offset uint64, data []byte) {
	n := 0
	if offset < uint64(len(r)) {
		n = copy(data, r[offset:])
	}
	for i := n; i < len(data); i++ {
		data[i] = 0xFF
	}
}

func (expansionROM) Write(uint64, []byte) {}
