package qed

import (
	"encoding/binary"
	"math"
	"math/bits"
	"unicode/utf8"

	"github.com/govmm/govmm/block"
)

const (
	magic      = 0x00444551 // "QED\0"
	headerSize = 64         // bytes

	entrySize = 8 // bytes

	maxBackingName = 1023 // bytes
)

// Limits of the format.
const (
	MinClusterSize = 4 << 10  // bytes
	MaxClusterSize = 64 << 20 // bytes
	MinTableSize   = 1        // clusters
	MaxTableSize   = 16       // clusters
)

// Bits of features, all of which a program must know to open an image.
const (
	featureBacking    = 1 << 0 // QED_F_BACKING_FILE
	featureNeedCheck  = 1 << 1 // QED_F_NEED_CHECK
	featureBackingRaw = 1 << 2 // QED_F_BACKING_FORMAT_NO_PROBE
	featuresKnown     = featureBacking | featureNeedCheck | featureBackingRaw
)

// Where in the header the fields are that change, in bytes.
const (
	offsetFeatures  = 16
	offsetAutoclear = 32
	offsetSize      = 48
)

// header is the beginning of an image:
//
//	 0  u32  magic                    "QED\0"
//	 4  u32  cluster_size             bytes
//	 8  u32  table_size               clusters
//	12  u32  header_size              clusters
//	16  u64  features                 unknown bits: do not open
//	24  u64  compat_features          unknown bits: of no matter
//	32  u64  autoclear_features       unknown bits: clear before writing
//	40  u64  l1_table_offset          bytes
//	48  u64  image_size               bytes
//	56  u32  backing_filename_offset  bytes from the start of the header
//	60  u32  backing_filename_size    bytes
type header struct {
	clusterSize   uint32
	tableSize     uint32
	headerSize    uint32
	features      uint64
	compat        uint64
	autoclear     uint64
	l1            uint64
	imageSize     uint64
	backingOffset uint32
	backingSize   uint32
}

func (h *header) decode(p *[headerSize]byte) error {
	le := binary.LittleEndian
	if le.Uint32(p[0:]) != magic {
		return badHeader("it does not begin with QED")
	}
	*h = header{
		clusterSize: le.Uint32(p[4:]), tableSize: le.Uint32(p[8:]), headerSize: le.Uint32(p[12:]),
		features: le.Uint64(p[16:]), compat: le.Uint64(p[24:]), autoclear: le.Uint64(p[offsetAutoclear:]),
		l1: le.Uint64(p[40:]), imageSize: le.Uint64(p[offsetSize:]),
		backingOffset: le.Uint32(p[56:]), backingSize: le.Uint32(p[60:]),
	}
	return nil
}

func (h *header) encode(p []byte) {
	le := binary.LittleEndian
	le.PutUint32(p[0:], magic)
	le.PutUint32(p[4:], h.clusterSize)
	le.PutUint32(p[8:], h.tableSize)
	le.PutUint32(p[12:], h.headerSize)
	le.PutUint64(p[offsetFeatures:], h.features)
	le.PutUint64(p[24:], h.compat)
	le.PutUint64(p[offsetAutoclear:], h.autoclear)
	le.PutUint64(p[40:], h.l1)
	le.PutUint64(p[offsetSize:], h.imageSize)
	le.PutUint32(p[56:], h.backingOffset)
	le.PutUint32(p[60:], h.backingSize)
}

// geometry is what the sizes in a header come to.
type geometry struct {
	cluster     int64 // bytes
	shift       uint  // of cluster
	table       int64 // bytes of a table
	entries     int64 // of a table
	l1          int64 // offset of the L1 table
	firstUsable int64 // bytes of the header: no cluster lies below
}

// maxSize is the greatest size of a disk, in bytes.
func (g *geometry) maxSize() int64 {
	hi, lo := bits.Mul64(uint64(g.entries)*uint64(g.entries), uint64(g.cluster))
	if hi != 0 || lo > math.MaxInt64-block.SectorSize {
		return math.MaxInt64 &^ (block.SectorSize - 1)
	}
	return int64(lo)
}

// inside reports whether n bytes at an offset that a table or the header has are
// clusters below end.
func (g *geometry) inside(offset uint64, n, end int64) bool {
	return offset&uint64(g.cluster-1) == 0 && offset >= uint64(g.firstUsable) && end >= n && offset <= uint64(end-n)
}

// roundDown is the beginning of the cluster that offset is in.
func (g *geometry) roundDown(offset int64) int64 { return offset &^ (g.cluster - 1) }

func shape(clusterSize, tableSize uint32) (geometry, error) {
	switch {
	case clusterSize < MinClusterSize || clusterSize > MaxClusterSize || bits.OnesCount32(clusterSize) != 1:
		return geometry{}, badHeader("clusters of %d bytes; they have a power of 2 from 4 KiB to 64 MiB", clusterSize)
	case tableSize < MinTableSize || tableSize > MaxTableSize || bits.OnesCount32(tableSize) != 1:
		return geometry{}, badHeader("tables of %d clusters; they have 1, 2, 4, 8 or 16", tableSize)
	}
	g := geometry{cluster: int64(clusterSize), shift: uint(bits.TrailingZeros32(clusterSize))}
	g.table = g.cluster * int64(tableSize)
	g.entries = g.table / entrySize
	return g, nil
}

// check verifies a header against the length of the store.
func (h *header) check(length int64) (geometry, error) {
	g, err := shape(h.clusterSize, h.tableSize)
	if err != nil {
		return g, err
	}
	end := g.roundDown(length)
	g.firstUsable = int64(h.headerSize) * g.cluster
	switch {
	case h.headerSize == 0 || g.firstUsable > end:
		return g, badHeader("a header of %d clusters of %d bytes in %d bytes", h.headerSize, g.cluster, length)
	case !g.inside(h.l1, g.table, end):
		return g, badHeader("the L1 table is at %#x, the store ends at %#x", h.l1, length)
	case h.imageSize%block.SectorSize != 0 || h.imageSize > uint64(g.maxSize()):
		return g, badHeader("the disk has %d bytes; with this layout it has a multiple of %d, at most %d", h.imageSize, block.SectorSize, g.maxSize())
	}
	g.l1 = int64(h.l1)
	return g, nil
}

// backingName reads the name of the backing file, empty if there is none.
func (h *header) backingName(below block.Layer, g *geometry) (string, error) {
	if h.features&featureBacking == 0 {
		return "", nil
	}
	if h.backingSize == 0 || h.backingSize > maxBackingName || int64(h.backingOffset)+int64(h.backingSize) > g.firstUsable {
		return "", badHeader("a name of %d bytes at %d for the backing file; it has up to %d, in the header", h.backingSize, h.backingOffset, maxBackingName)
	}
	name := make([]byte, h.backingSize)
	if err := below.ReadVec([][]byte{name}, int64(h.backingOffset)); err != nil {
		return "", err
	}
	for _, c := range name {
		if c == 0 {
			return "", badHeader("the name of the backing file has a byte 0 in it")
		}
	}
	if !utf8.Valid(name) {
		return "", badHeader("the name of the backing file is not UTF-8")
	}
	return string(name), nil
}
