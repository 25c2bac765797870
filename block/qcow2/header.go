package qcow2

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"strings"
	"unicode/utf8"

	"github.com/govmm/govmm/block"
)

// The header, in big-endian numbers:
//
//	  0  magic                    4   version
//	  8  backing_file_offset     16   backing_file_size
//	 20  cluster_bits            24   size
//	 32  crypt_method            36   l1_size
//	 40  l1_table_offset         48   refcount_table_offset
//	 56  refcount_table_clusters 60   nb_snapshots
//	 64  snapshots_offset
//	 version 3 alone:
//	 72  incompatible_features   80   compatible_features
//	 88  autoclear_features      96   refcount_order
//	100  header_length          104   compression_type
//
// Header extensions follow, up to the end of the first cluster.
const (
	magic         = 'Q'<<24 | 'F'<<16 | 'I'<<8 | 0xfb
	headerLength2 = 72
	headerLength3 = 104
	headerLength  = 112 // with compression_type, as it is written here

	atSize          = 24
	atL1            = 36
	atRefcountTable = 48
	atIncompatible  = 72
	atAutoclear     = 88
)

// Bits of incompatible_features and compatible_features.
const (
	incompatDirty       = 1 << 0
	incompatCorrupt     = 1 << 1
	incompatDataFile    = 1 << 2
	incompatCompression = 1 << 3
	incompatExtendedL2  = 1 << 4
	incompatKnown       = 1<<5 - 1

	compatLazyRefcounts = 1 << 0
)

// Limits, which are QEMU's.
const (
	minClusterBits   = 9
	maxClusterBits   = 21
	minExtendedBits  = 14
	maxL1            = 32 << 20 // bytes
	maxRefcountTable = 8 << 20  // bytes
	maxSnapshots     = 65536
	maxSnapshotTable = 64 << 20 // bytes
	maxBackingName   = 1023
	maxRefcountOrder = 6
)

// header is the header of an image.
type header struct {
	version         uint32
	backingOffset   uint64
	backingSize     uint32
	clusterBits     uint32
	size            uint64
	crypt           uint32
	l1Size          uint32
	l1Offset        uint64
	tableOffset     uint64
	tableClusters   uint32
	snapshots       uint32
	snapshotsOffset uint64

	incompatible, compatible, autoclear uint64

	refcountOrder uint32
	length        uint32
	compression   Compression

	extensions
	backing string // the name of the backing file, empty if there is none
}

// Compression is how compressed clusters are compressed.
type Compression uint8

// The kinds of Compression.
const (
	Zlib Compression = 0
	Zstd Compression = 1
)

func (c Compression) String() string {
	switch c {
	case Zlib:
		return "zlib"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("compression type %d", uint8(c))
}

// readHeader reads the header and its extensions, and checks what it can without
// the rest of the image.
func readHeader(below block.Layer) (*header, error) {
	var p [headerLength]byte
	n := min(below.Size(), headerLength)
	if n < headerLength2 {
		return nil, badHeader("it has %d bytes", n)
	}
	if err := below.ReadVec([][]byte{p[:n]}, 0); err != nil {
		return nil, fmt.Errorf("qcow2 header: %w", err)
	}
	h, err := parseHeader(p[:])
	if err != nil {
		return nil, err
	}
	first := make([]byte, 1<<h.clusterBits)
	if err := below.ReadVec([][]byte{first[:min(below.Size(), int64(len(first)))]}, 0); err != nil {
		return nil, fmt.Errorf("qcow2 header: %w", err)
	}
	if h.extensions, err = parseExtensions(first, h); err != nil {
		return nil, err
	}
	if h.backingOffset != 0 {
		h.backing = string(first[h.backingOffset:][:h.backingSize])
		if strings.ContainsRune(h.backing, 0) || !utf8.ValidString(h.backing) {
			return nil, badHeader("the name of the backing file, %q, is not UTF-8 without zeroes", h.backing)
		}
	}
	return h, h.checkFeatures(h.names)
}

// parseHeader takes apart the image's first bytes, at least headerLength of them.
func parseHeader(p []byte) (*header, error) {
	u32, u64 := binary.BigEndian.Uint32, binary.BigEndian.Uint64
	if u32(p) != magic {
		return nil, badHeader("it does not begin with the magic number of qcow2")
	}
	h := &header{
		version: u32(p[4:]), backingOffset: u64(p[8:]), backingSize: u32(p[16:]), clusterBits: u32(p[20:]),
		size: u64(p[24:]), crypt: u32(p[32:]), l1Size: u32(p[36:]), l1Offset: u64(p[40:]),
		tableOffset: u64(p[48:]), tableClusters: u32(p[56:]), snapshots: u32(p[60:]), snapshotsOffset: u64(p[64:]),
		refcountOrder: 4, length: headerLength2,
	}
	switch h.version {
	case 2:
	case 3:
		h.incompatible, h.compatible, h.autoclear = u64(p[72:]), u64(p[80:]), u64(p[88:])
		h.refcountOrder, h.length = u32(p[96:]), u32(p[100:])
		if h.length > headerLength3 {
			h.compression = Compression(p[104])
		}
	default:
		return nil, unsupported("version %d; 2 and 3 are", h.version)
	}
	return h, h.check()
}

// check looks at every field. Offsets are compared with the file later.
func (h *header) check() error {
	if h.clusterBits < minClusterBits || h.clusterBits > maxClusterBits {
		return badHeader("cluster_bits is %d, not %d to %d", h.clusterBits, minClusterBits, maxClusterBits)
	}
	cluster := uint64(1) << h.clusterBits
	if h.length < headerLength3 && h.version == 3 || h.length%8 != 0 || uint64(h.length) > cluster {
		return badHeader("header_length is %d, not a multiple of 8 from %d to the cluster size", h.length, headerLength3)
	}
	if h.refcountOrder > maxRefcountOrder {
		return badHeader("refcount_order is %d, more than %d", h.refcountOrder, maxRefcountOrder)
	}
	if h.incompatible&incompatExtendedL2 != 0 && h.clusterBits < minExtendedBits {
		return badHeader("cluster_bits is %d, and extended L2 entries need %d", h.clusterBits, minExtendedBits)
	}
	if h.size > math.MaxInt64-1<<maxClusterBits {
		return badHeader("size is %d bytes", h.size)
	}
	if h.backingOffset != 0 {
		if h.backingSize == 0 || h.backingSize > maxBackingName {
			return badHeader("backing_file_size is %d, not 1 to %d", h.backingSize, maxBackingName)
		}
		if h.backingOffset < uint64(h.length) || h.backingOffset > cluster-min(cluster, uint64(h.backingSize)) {
			return badHeader("backing_file_offset %#x is not in the first cluster after the header", h.backingOffset)
		}
	}
	if err := h.checkTables(cluster); err != nil {
		return err
	}
	return h.checkCompression()
}

// checkTables looks at the places and sizes of the tables.
func (h *header) checkTables(cluster uint64) error {
	for _, t := range []struct {
		field  string
		offset uint64
		bytes  uint64
		limit  uint64
		empty  bool // it may be absent
	}{
		{"l1", h.l1Offset, uint64(h.l1Size) * 8, maxL1, h.l1Size == 0},
		{"refcount", h.tableOffset, uint64(h.tableClusters) * cluster, maxRefcountTable, false},
		{"snapshot", h.snapshotsOffset, uint64(h.snapshots) * snapshotHeader, maxSnapshots * snapshotHeader, h.snapshots == 0},
	} {
		switch {
		case t.bytes > t.limit:
			return badHeader("the %s table has %d bytes, more than %d", t.field, t.bytes, t.limit)
		case t.empty:
		case t.bytes == 0 || t.offset < cluster || t.offset >= maxHost || t.offset%cluster != 0:
			return badHeader("the %s table has %d bytes at %#x, which is not the offset of a cluster after the header", t.field, t.bytes, t.offset)
		}
	}
	shift := 2*h.clusterBits - 3
	if h.incompatible&incompatExtendedL2 != 0 {
		shift--
	}
	if need := (h.size + 1<<shift - 1) >> shift; uint64(h.l1Size) < need {
		return badHeader("l1_size is %d, and a disk of %d bytes needs %d", h.l1Size, h.size, need)
	}
	return nil
}

func (h *header) checkCompression() error {
	if (h.incompatible&incompatCompression != 0) != (h.compression != Zlib) {
		return badHeader("compression_type is %d, which the feature bit for it contradicts", h.compression)
	}
	if h.compression > Zstd {
		return unsupported("%v; zlib and zstd are", h.compression)
	}
	return nil
}

// checkFeatures refuses what this package does not have, by the names that the
// image gives.
func (h *header) checkFeatures(names map[feature]string) error {
	if unknown := h.incompatible &^ incompatKnown; unknown != 0 {
		var list []string
		for ; unknown != 0; unknown &= unknown - 1 {
			bit := uint8(bits.TrailingZeros64(unknown))
			name := names[feature{0, bit}]
			if name == "" {
				name = "without a name"
			}
			list = append(list, fmt.Sprintf("%q (incompatible feature bit %d)", name, bit))
		}
		return unsupported("%s", strings.Join(list, ", "))
	}
	if h.incompatible&incompatDataFile != 0 {
		return unsupported("external data file; qemu-img convert makes an image without one")
	}
	switch h.crypt {
	case 0:
		return nil
	case 1:
		return unsupported("encryption by AES; qemu-img convert makes an image without it")
	case 2:
		return unsupported("encryption by LUKS within the image")
	}
	return unsupported("encryption method %d", h.crypt)
}

// encode writes the header to the beginning of a new image.
func (h *header) encode(p []byte) {
	put32, put64 := binary.BigEndian.PutUint32, binary.BigEndian.PutUint64
	put32(p, magic)
	put32(p[4:], h.version)
	put64(p[8:], h.backingOffset)
	put32(p[16:], h.backingSize)
	put32(p[20:], h.clusterBits)
	put64(p[24:], h.size)
	put32(p[32:], h.crypt)
	put32(p[36:], h.l1Size)
	put64(p[40:], h.l1Offset)
	put64(p[48:], h.tableOffset)
	put32(p[56:], h.tableClusters)
	put32(p[60:], h.snapshots)
	put64(p[64:], h.snapshotsOffset)
	if h.version < 3 {
		return
	}
	put64(p[72:], h.incompatible)
	put64(p[80:], h.compatible)
	put64(p[88:], h.autoclear)
	put32(p[96:], h.refcountOrder)
	put32(p[100:], h.length)
	p[104] = uint8(h.compression)
}
