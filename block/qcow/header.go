package qcow

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/govmm/govmm/block"
)

const (
	magic      = 0x514649FB // "QFI" and FBh
	version    = 1
	headerSize = 48 // bytes

	entrySize = 8 // bytes

	maxBackingName = 1023 // bytes

	minClusterBits, maxClusterBits = 9, 16
	minTableBits, maxTableBits     = 6, 13 // of the number of entries

	cryptAES = 1
)

// header is the beginning of an image:
//
//	 0  u32  magic
//	 4  u32  version                  1
//	 8  u64  backing_file_offset      bytes; 0 for none
//	16  u32  backing_file_size        bytes
//	20  u32  mtime                    of the backing file, seconds since 1970
//	24  u64  size                     bytes
//	32  u8   cluster_bits             9 to 16
//	33  u8   l2_bits                  6 to 13
//	34  u16  unused
//	36  u32  crypt_method             0 none, 1 AES
//	40  u64  l1_table_offset          bytes
type header struct {
	backingOffset uint64
	backingSize   uint32
	mtime         uint32
	size          uint64
	clusterBits   uint8
	tableBits     uint8
	crypt         uint32
	l1            uint64
}

func (h *header) decode(p *[headerSize]byte) error {
	be := binary.BigEndian
	if be.Uint32(p[0:]) != magic {
		return badHeader("it does not begin with QFI")
	}
	if v := be.Uint32(p[4:]); v != version {
		return badHeader("its version is %d; 2 and 3 are called qcow2", v)
	}
	*h = header{
		backingOffset: be.Uint64(p[8:]), backingSize: be.Uint32(p[16:]), mtime: be.Uint32(p[20:]), size: be.Uint64(p[24:]),
		clusterBits: p[32], tableBits: p[33], crypt: be.Uint32(p[36:]), l1: be.Uint64(p[40:]),
	}
	return nil
}

// geometry is what the sizes in a header come to.
type geometry struct {
	size    int64 // of the disk, bytes
	shift   uint  // of a cluster
	cluster int64 // bytes
	entries int64 // of an L2 table
	l1      int64 // offset of the L1 table
	end     int64 // of the store
}

// inside reports whether n bytes at an offset that an entry has are in the store.
func (g *geometry) inside(offset uint64, n int64) bool {
	return offset >= headerSize && g.end >= n && offset <= uint64(g.end-n)
}

// check verifies a header against the length of the store. Of a size that is not
// of whole sectors the last one is left out, as in QEMU.
func (h *header) check(length int64) (geometry, error) {
	g := geometry{end: length}
	switch {
	case h.clusterBits < minClusterBits || h.clusterBits > maxClusterBits:
		return g, badHeader("clusters of 2^%d bytes; they have 512 bytes to 64 KiB", h.clusterBits)
	case h.tableBits < minTableBits || h.tableBits > maxTableBits:
		return g, badHeader("L2 tables of 2^%d entries; they have 64 to 8192", h.tableBits)
	case h.crypt > cryptAES:
		return g, badHeader("the encryption has the number %d; 0 (none) and 1 (AES) are", h.crypt)
	case h.size <= 1 || h.size > math.MaxInt64-1<<(maxClusterBits+maxTableBits):
		return g, badHeader("a disk of %d bytes", h.size)
	}
	g.shift = uint(h.clusterBits)
	g.cluster = 1 << g.shift
	g.entries = 1 << h.tableBits
	g.size = int64(h.size) &^ (block.SectorSize - 1)
	per := g.entries << g.shift // bytes of the disk for an entry of the L1 table
	if l1 := (int64(h.size) + per - 1) / per * entrySize; h.l1%entrySize != 0 || !g.inside(h.l1, l1) {
		return g, badHeader("an L1 table of %d bytes is at %#x, the store ends at %#x", l1, h.l1, length)
	}
	g.l1 = int64(h.l1)
	return g, nil
}

// backingName reads the name of the backing file, empty if there is none.
func (h *header) backingName(below block.Layer, g *geometry) (string, error) {
	if h.backingOffset == 0 {
		return "", nil
	}
	if h.backingSize == 0 || h.backingSize > maxBackingName || !g.inside(h.backingOffset, int64(h.backingSize)) {
		return "", badHeader("a name of %d bytes at %#x for the backing file; it has up to %d", h.backingSize, h.backingOffset, maxBackingName)
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

// readHeader reads and checks the header.
func readHeader(below block.Layer) (header, geometry, error) {
	var h header
	var p [headerSize]byte
	if below.Size() < headerSize {
		return h, geometry{}, badHeader("it has %d bytes", below.Size())
	}
	if err := below.ReadVec([][]byte{p[:]}, 0); err != nil {
		return h, geometry{}, fmt.Errorf("qcow header: %w", err)
	}
	if err := h.decode(&p); err != nil {
		return h, geometry{}, err
	}
	g, err := h.check(below.Size())
	return h, g, err
}

// Info is what the header of an image says.
type Info struct {
	Size        int64 // of the disk, in bytes
	ClusterSize int64 // bytes
	Encrypted   bool
	Backing     string    // the name of the backing file, empty for none
	BackingTime time.Time // when that was changed last, as far as the image knows
}

// ReadInfo reads the header of the image in a store.
func ReadInfo(below block.Layer) (Info, error) {
	h, g, err := readHeader(below)
	if err != nil {
		return Info{}, err
	}
	i := Info{Size: g.size, ClusterSize: g.cluster, Encrypted: h.crypt == cryptAES}
	if i.Backing, err = h.backingName(below, &g); err != nil {
		return Info{}, err
	}
	if i.Backing != "" && h.mtime != 0 {
		i.BackingTime = time.Unix(int64(h.mtime), 0)
	}
	return i, nil
}
