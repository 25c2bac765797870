package smbios

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
)

// Names of the fw_cfg files by which a firmware takes Tables over.
const (
	AnchorFile = "etc/smbios/smbios-anchor" // Tables.Anchor
	TablesFile = "etc/smbios/smbios-tables" // Tables.Data
)

// AnchorAlign is the alignment of the entry point in bytes (section 5.2).
const AnchorAlign = 16

// The area that a guest without UEFI searches for the entry point (section 5.2).
const (
	anchorAreaStart = 0xF_0000
	anchorAreaEnd   = 0x10_0000
)

// Tables holds the tables before they have an address.
type Tables struct {
	// Anchor is the entry point structure. The address and the checksums in it are
	// zero: a firmware fills them in, and Place does.
	Anchor []byte
	// Data is all structures, one after another.
	Data []byte
}

// Image is a set of tables ready to be copied to guest memory. The memory map
// must reserve both; the anchor lies in the BIOS area, which is reserved anyway.
type Image struct {
	AnchorAddr uint64
	Anchor     []byte
	DataAddr   uint64
	Data       []byte
}

// The entry point structures (sections 5.2.1 and 5.2.2).
type (
	entryPoint32 struct {
		Anchor           [4]byte // "_SM_"
		Checksum         uint8
		Length           uint8
		Major, Minor     uint8
		LargestStructure uint16 // bytes
		Revision         uint8
		_                [5]byte
		Anchor2          [5]byte // "_DMI_"
		Checksum2        uint8   // of what Anchor2 begins
		TableLength      uint16  // bytes
		TableAddress     uint32
		Structures       uint16
		BCDRevision      uint8
	}
	entryPoint64 struct {
		Anchor       [5]byte // "_SM3_"
		Checksum     uint8
		Length       uint8
		Major, Minor uint8
		DocRev       uint8
		Revision     uint8
		_            uint8
		TableMaxSize uint32 // bytes
		TableAddress uint64
	}
)

// Sizes and offsets in bytes.
const (
	entryPoint32Size = 0x1F
	entryPoint64Size = 0x18

	checksum32      = 4
	anchor2Start    = 0x10
	checksum2       = 0x15
	tableLength32   = 0x16
	tableAddress32  = 0x18
	checksum64      = 5
	tableMaxSize64  = 0x0C
	tableAddress64  = 0x10
	entryPoint3Rev1 = 1
)

// Anchor strings. The last one stood alone before version 2.1.
const (
	anchor32     = "_SM_"
	anchor64     = "_SM3_"
	anchorLegacy = "_DMI_"
)

// maxTable30 bounds the structures of version 3.0, in bytes. The format has no
// limit, but a firmware must find room for them.
const maxTable30 = 2 << 20

// makeAnchor makes the entry point of the structures that b has written.
func makeAnchor(v Version, b *builder) ([]byte, error) {
	var entry any
	switch v {
	case V2_8:
		if len(b.out) > math.MaxUint16 {
			return nil, fmt.Errorf("%d bytes of structures are more than the 65535 that version 2.8 allows: write version 3.0", len(b.out))
		}
		entry = entryPoint32{
			Anchor:           [4]byte([]byte(anchor32)),
			Length:           entryPoint32Size,
			Major:            2,
			Minor:            8,
			LargestStructure: uint16(b.largest),
			Anchor2:          [5]byte([]byte(anchorLegacy)),
			TableLength:      uint16(len(b.out)),
			Structures:       uint16(b.count),
			BCDRevision:      0x28,
		}
	case V3_0:
		if len(b.out) > maxTable30 {
			return nil, fmt.Errorf("%d bytes of structures are more than %d", len(b.out), maxTable30)
		}
		entry = entryPoint64{
			Anchor:       [5]byte([]byte(anchor64)),
			Length:       entryPoint64Size,
			Major:        3,
			Revision:     entryPoint3Rev1,
			TableMaxSize: uint32(len(b.out)),
		}
	}
	out, err := binary.Append(nil, le, entry)
	if err != nil {
		panic(err) // not of fixed size: a bug in this package
	}
	return out, nil
}

// Place returns the tables as they look with the structures at physical address
// data and the entry point at anchor: a multiple of AnchorAlign, and wholly in
// 0xF0000-0xFFFFF. Data may lie anywhere below 4 GiB, also in the same area. It is
// an error if one of them is elsewhere or they overlap.
func (t *Tables) Place(data, anchor uint64) (*Image, error) {
	dataEnd, anchorEnd := data+uint64(len(t.Data)), anchor+uint64(len(t.Anchor))
	switch {
	case data > math.MaxUint32 || dataEnd > highBase:
		return nil, fmt.Errorf("smbios: %d bytes of structures at %#x do not lie below 4 GiB", len(t.Data), data)
	case anchor%AnchorAlign != 0:
		return nil, fmt.Errorf("smbios: anchor at %#x is not aligned to %d bytes", anchor, AnchorAlign)
	case anchor < anchorAreaStart || anchor >= anchorAreaEnd || anchorEnd > anchorAreaEnd:
		return nil, fmt.Errorf("smbios: anchor of %d bytes at %#x lies outside %#x to %#x",
			len(t.Anchor), anchor, anchorAreaStart, anchorAreaEnd-1)
	case data < anchorEnd && anchor < dataEnd:
		return nil, fmt.Errorf("smbios: anchor at %#x overlaps the structures at %#x to %#x", anchor, data, dataEnd-1)
	}
	return &Image{
		AnchorAddr: anchor,
		Anchor:     t.anchorTo(data),
		DataAddr:   data,
		Data:       bytes.Clone(t.Data),
	}, nil
}

// anchorTo returns the entry point of structures at an address below 4 GiB.
func (t *Tables) anchorTo(data uint64) []byte {
	out := bytes.Clone(t.Anchor)
	if bytes.HasPrefix(out, []byte(anchor64)) {
		le.PutUint64(out[tableAddress64:], data)
		out[checksum64] = -sum(out)
		return out
	}
	le.PutUint32(out[tableAddress32:], uint32(data))
	out[checksum2] = -sum(out[anchor2Start:])
	out[checksum32] = -sum(out)
	return out
}

// sum adds bytes modulo 256.
func sum(b []byte) (s byte) {
	for _, v := range b {
		s += v
	}
	return s
}
