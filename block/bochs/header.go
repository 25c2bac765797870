package bochs

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"

	"github.com/govmm/govmm/block"
)

const (
	magic   = "Bochs Virtual HD Image"
	kind    = "Redolog"
	subkind = "Growing"

	version1 = 0x00010000
	version2 = 0x00020000

	headerSize = 512 // bytes
	entrySize  = 4   // bytes
	sectorSize = block.SectorSize

	absent = 0xFFFFFFFF // the entry of what has no extent
)

// Limits of the format, those of QEMU.
const (
	MinExtentSize = 512      // bytes
	MaxExtentSize = 8 << 20  // bytes
	MaxEntries    = 1 << 20  // of the catalog
	maxBitmapSize = 1 << 20  // bytes; the largest extent needs 2 KiB
	maxHeaderSize = 64 << 20 // bytes
	MaxSize       = 8 << 40  // bytes: MaxEntries of MaxExtentSize
	minEntries    = 512      // of the catalog of a new image
	minExtent     = 4096     // bytes, of a new image: those of a bitmap of one byte
)

// header is the beginning of an image:
//
//	 0  char[32]  "Bochs Virtual HD Image"
//	32  char[16]  type          "Redolog"
//	48  char[16]  subtype       "Growing"
//	64  u32       version       10000h, 20000h
//	68  u32       header size   bytes
//	72  u32       catalog       entries
//	76  u32       bitmap        bytes
//	80  u32       extent        bytes
//	84  u64       disk          bytes; in version 20000h at 88, after a u32 timestamp
type header struct {
	version    uint32
	headerSize uint32
	catalog    uint32
	bitmap     uint32
	extent     uint32
	size       uint64
}

// sizeOffset is where the size of the disk is in the header.
func (h *header) sizeOffset() int64 {
	if h.version == version1 {
		return 84
	}
	return 88
}

func (h *header) decode(p *[headerSize]byte) error {
	for _, text := range []struct {
		from, to int
		want     string
	}{{0, 32, magic}, {32, 48, kind}, {48, 64, subkind}} {
		got, _, _ := strings.Cut(string(p[text.from:text.to]), "\x00")
		if got != text.want {
			return badHeader("it has %q where %q should be", got, text.want)
		}
	}
	le := binary.LittleEndian
	*h = header{
		version: le.Uint32(p[64:]), headerSize: le.Uint32(p[68:]), catalog: le.Uint32(p[72:]),
		bitmap: le.Uint32(p[76:]), extent: le.Uint32(p[80:]),
	}
	if h.version != version1 && h.version != version2 {
		return badHeader("version %#x; 0x10000 and 0x20000 are", h.version)
	}
	h.size = le.Uint64(p[h.sizeOffset():])
	return nil
}

func (h *header) encode() []byte {
	p := make([]byte, headerSize)
	copy(p, magic)
	copy(p[32:], kind)
	copy(p[48:], subkind)
	le := binary.LittleEndian
	le.PutUint32(p[64:], h.version)
	le.PutUint32(p[68:], h.headerSize)
	le.PutUint32(p[72:], h.catalog)
	le.PutUint32(p[76:], h.bitmap)
	le.PutUint32(p[80:], h.extent)
	le.PutUint64(p[h.sizeOffset():], h.size)
	return p
}

// geometry is what the sizes in a header come to, in bytes.
type geometry struct {
	entries int64 // of the catalog
	table   int64 // offset of the catalog
	first   int64 // offset of extent 0
	extent  int64 // of the disk
	shift   uint  // of extent
	bitmap  int64 // of one
	stride  int64 // of a bitmap and its sectors
}

// maxSize is the greatest size of a disk.
func (g *geometry) maxSize() int64 { return g.entries << g.shift }

// place is the offset of an extent, by its number.
func (g *geometry) place(number uint32) int64 { return g.first + int64(number)*g.stride }

// fits is how many extents a store of a length has.
func (g *geometry) fits(length int64) int64 { return max(0, (length-g.first)/g.stride) }

// check verifies a header against the length of the store. Of a size that is not
// of whole sectors the last one is left out, as in QEMU.
func (h *header) check(length int64) (geometry, error) {
	g := geometry{entries: int64(h.catalog), table: int64(h.headerSize), extent: int64(h.extent)}
	switch {
	case h.headerSize < headerSize || h.headerSize > maxHeaderSize:
		return g, badHeader("a header of %d bytes", h.headerSize)
	case h.extent < MinExtentSize || h.extent > MaxExtentSize || bits.OnesCount32(h.extent) != 1:
		return g, badHeader("extents of %d bytes; they have a power of 2 from 512 bytes to 8 MiB", h.extent)
	case h.bitmap > maxBitmapSize || int64(h.bitmap)*8 < g.extent/sectorSize:
		return g, badHeader("bitmaps of %d bytes for extents of %d bytes", h.bitmap, h.extent)
	case h.catalog == 0 || h.catalog > MaxEntries:
		return g, badHeader("a catalog of %d entries; it has up to %d", h.catalog, MaxEntries)
	}
	g.shift = uint(bits.TrailingZeros32(h.extent))
	g.first = g.table + g.entries*entrySize
	g.bitmap = (int64(h.bitmap) + sectorSize - 1) / sectorSize * sectorSize
	g.stride = g.bitmap + g.extent
	h.size -= h.size % sectorSize
	switch {
	case g.first > length:
		return g, badHeader("the catalog ends at %d, the store at %d", g.first, length)
	case h.size > uint64(g.maxSize()):
		return g, badHeader("a disk of %d bytes, and a catalog for %d", h.size, g.maxSize())
	}
	return g, nil
}

// readHeader reads and checks the header.
func readHeader(below block.Layer) (header, geometry, error) {
	var h header
	var p [headerSize]byte
	if below.Size() < headerSize {
		return h, geometry{}, badHeader("it has %d bytes", below.Size())
	}
	if err := below.ReadVec([][]byte{p[:]}, 0); err != nil {
		return h, geometry{}, fmt.Errorf("header of a growing image: %w", err)
	}
	if err := h.decode(&p); err != nil {
		return h, geometry{}, err
	}
	g, err := h.check(below.Size())
	return h, g, err
}

// Info is what the header of an image says.
type Info struct {
	Size       int64 // of the disk, in bytes
	MaxSize    int64 // that it can be given, in bytes
	ExtentSize int64 // bytes
}

// ReadInfo reads the header of the image in a store.
func ReadInfo(below block.Layer) (Info, error) {
	h, g, err := readHeader(below)
	if err != nil {
		return Info{}, err
	}
	return Info{Size: int64(h.size), MaxSize: g.maxSize(), ExtentSize: g.extent}, nil
}
