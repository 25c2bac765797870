package acpi

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Alignments in bytes that the specification asks for: 16 for the RSDP (section
// 5.2.5.1) and 64 for the FACS (section 5.2.10), which begins Tables.Data.
const (
	RSDPAlign = 16
	DataAlign = 64
)

// The area a guest searches for the RSDP (section 5.2.5.1), in bytes.
const (
	rsdpAreaStart = 0xE_0000
	rsdpAreaEnd   = 0x10_0000
)

// Blob names one of the two byte strings of Tables.
type Blob int

// The two blobs.
const (
	RSDP Blob = iota // Tables.RSDP
	Data             // Tables.Data
)

// Pointer is a little-endian field that holds an offset into blob To. Adding
// the address of To to the field makes it a pointer.
type Pointer struct {
	In     Blob
	Offset int // of the field in In
	Size   int // of the field: 4 or 8 bytes
	To     Blob
}

// Checksum is a byte, zero so far, that makes a range of its blob sum to zero
// modulo 256.
type Checksum struct {
	In            Blob
	Offset        int // of the checksum byte
	Start, Length int // of the range
}

// Table says where a table lies in Tables.Data.
type Table struct {
	Signature      string
	Offset, Length int
}

// Tables holds all tables, before they have an address. Apply Pointers first,
// then Checksums in their order.
type Tables struct {
	RSDP      []byte // to be placed on a multiple of RSDPAlign in 0xE0000-0xFFFFF
	Data      []byte // all other tables, to be placed on a multiple of DataAlign below 4 GiB
	Pointers  []Pointer
	Checksums []Checksum
	Index     []Table // the tables in Data
}

// Image is a set of tables ready to be copied to guest memory.
//
// The memory of Data must be given to the guest as reserved or, better, as ACPI
// NVS (E820 type 4), because both sides write to the FACS in it. The RSDP
// belongs into the BIOS area, which is reserved anyway.
type Image struct {
	RSDPAddr uint64
	RSDP     []byte
	DataAddr uint64
	Data     []byte
}

// Place returns the tables as they look with Data at physical address data and
// the RSDP at rsdp. Both may lie in 0xE0000-0xFFFFF, but they may not overlap.
func (t *Tables) Place(data, rsdp uint64) (*Image, error) {
	dataEnd, rsdpEnd := data+uint64(len(t.Data)), rsdp+uint64(len(t.RSDP))
	switch {
	case data%DataAlign != 0:
		return nil, fmt.Errorf("acpi: tables at %#x are not aligned to %d bytes", data, DataAlign)
	case data >= 1<<32 || dataEnd > 1<<32:
		return nil, fmt.Errorf("acpi: %d bytes of tables at %#x do not fit below 4 GiB", len(t.Data), data)
	case rsdp%RSDPAlign != 0:
		return nil, fmt.Errorf("acpi: RSDP at %#x is not aligned to %d bytes", rsdp, RSDPAlign)
	case rsdp < rsdpAreaStart || rsdp >= rsdpAreaEnd || rsdpEnd > rsdpAreaEnd:
		return nil, fmt.Errorf("acpi: RSDP at %#x is outside %#x to %#x", rsdp, rsdpAreaStart, rsdpAreaEnd-1)
	case data < rsdpEnd && rsdp < dataEnd:
		return nil, fmt.Errorf("acpi: RSDP at %#x overlaps the tables at %#x to %#x", rsdp, data, dataEnd-1)
	}
	img := &Image{
		RSDPAddr: rsdp, RSDP: slices.Clone(t.RSDP),
		DataAddr: data, Data: slices.Clone(t.Data),
	}
	blobs := map[Blob][]byte{RSDP: img.RSDP, Data: img.Data}
	addrs := map[Blob]uint64{RSDP: rsdp, Data: data}
	for _, p := range t.Pointers {
		field := blobs[p.In][p.Offset:]
		if p.Size == 4 {
			le.PutUint32(field, le.Uint32(field)+uint32(addrs[p.To]))
		} else {
			le.PutUint64(field, le.Uint64(field)+addrs[p.To])
		}
	}
	for _, c := range t.Checksums {
		blobs[c.In][c.Offset] -= sum(blobs[c.In][c.Start : c.Start+c.Length])
	}
	return img, nil
}

// Table returns the bytes of the first table with a signature, not yet
// relocated, or nil.
func (t *Tables) Table(signature string) []byte {
	for _, x := range t.Index {
		if x.Signature == signature {
			return t.Data[x.Offset : x.Offset+x.Length]
		}
	}
	return nil
}

// sum adds bytes modulo 256.
func sum(b []byte) (s byte) {
	for _, v := range b {
		s += v
	}
	return s
}

var le = binary.LittleEndian

// header begins every table but the RSDP and the FACS (section 5.2.6).
type header struct {
	Signature       [4]byte
	Length          uint32
	Revision        uint8
	Checksum        uint8
	OEMID           [6]byte
	OEMTableID      [8]byte
	OEMRevision     uint32
	CreatorID       [4]byte
	CreatorRevision uint32
}

const (
	headerSize     = 36
	checksumOffset = 9

	oemID      = "GOVMM "
	oemTableID = "GOVMMPC "
	creatorID  = "GVMM"
)

// tableAlign is the alignment of tables in Data. The specification asks for
// none; 16 keeps hex dumps readable.
const tableAlign = 16

// builder gathers tables, pointers and checksums.
type builder struct{ tables *Tables }

func newBuilder() *builder { return &builder{tables: &Tables{}} }

// add appends a table as it is and returns its offset.
func (b *builder) add(signature string, table []byte) int {
	t := b.tables
	for len(t.Data)%tableAlign != 0 {
		t.Data = append(t.Data, 0)
	}
	offset := len(t.Data)
	t.Data = append(t.Data, table...)
	t.Index = append(t.Index, Table{signature, offset, len(table)})
	return offset
}

// table appends a table of a body after the standard header and returns its
// offset. The checksum is entered in the list.
func (b *builder) table(signature string, revision uint8, body []byte) int {
	h := header{
		Length:          uint32(headerSize + len(body)),
		Revision:        revision,
		OEMRevision:     1,
		CreatorRevision: 1,
	}
	copy(h.Signature[:], signature)
	copy(h.OEMID[:], oemID)
	copy(h.OEMTableID[:], oemTableID)
	copy(h.CreatorID[:], creatorID)
	offset := b.add(signature, append(encode(h), body...))
	b.checksum(Data, offset+checksumOffset, offset, int(h.Length))
	return offset
}

func (b *builder) checksum(in Blob, offset, start, length int) {
	b.tables.Checksums = append(b.tables.Checksums, Checksum{in, offset, start, length})
}

// pointer enters a field in the list that already holds an offset into Data.
func (b *builder) pointer(in Blob, offset, size int) {
	b.tables.Pointers = append(b.tables.Pointers, Pointer{in, offset, size, Data})
}

// encode lays out a struct of fixed-size fields without padding, little-endian.
func encode(v any) []byte {
	out, err := binary.Append(nil, le, v)
	if err != nil {
		panic(err) // v is not of fixed size: a bug in this package
	}
	return out
}
