package qcow2

// Entries of the L1 and L2 tables:
//
//	63        62          61..56  55 ... 9            8..1  0
//	COPIED    compressed  0       offset of cluster   0     reads as zeroes
//
// COPIED says that exactly one entry refers to the cluster, so that it may be
// written in place. L1 entries have neither bit 62 nor bit 0. An L2 entry with
// bit 62 has another layout, where x is 62 - (cluster_bits - 8):
//
//	63  62  61 ... x                          x-1 ... 0
//	0   1   sectors of 512 bytes, less one    offset in bytes
//
// An extended L2 entry has a second word for its 32 subclusters, and bit 0 of
// the first is 0:
//
//	63 ... 32                31 ... 0
//	reads as zeroes          allocated
const (
	flagCopied     = 1 << 63
	flagCompressed = 1 << 62
	flagZero       = 1 << 0
	offsetMask     = 1<<56 - 1<<9
	maxHost        = 1 << 56 // offsets in the container are less

	compressedSector = 512
)

// entry is what an L2 table says of one cluster of the disk. Subclusters that are
// neither allocated nor zero come from the backing image.
type entry struct {
	host  int64 // where in the container; 0 nowhere
	owned bool  // nothing else refers to host

	alloc uint32 // subclusters that are at host, a bit each
	zero  uint32 // subclusters that read as zeroes

	compressed bool
	length     int // of the compressed data, in bytes
}

// decode takes an entry apart.
func (g *geometry) decode(words []uint64) (entry, error) {
	w := words[0]
	if w&flagCompressed != 0 {
		x := 62 - (g.bits - 8)
		sectors := int(w>>x)&(1<<(g.bits-8)-1) + 1
		e := entry{compressed: true, host: int64(w & (1<<x - 1))}
		if e.host >= maxHost || e.host < g.cluster {
			return e, corrupt("L2 entry %#x has compressed data at %#x", w, e.host)
		}
		e.length = sectors*compressedSector - int(e.host%compressedSector)
		return e, nil
	}
	e := entry{host: int64(w & offsetMask), owned: w&flagCopied != 0}
	if !g.aligned(e.host) || e.host == 0 && e.owned {
		return e, corrupt("L2 entry %#x is not the offset of a cluster", w)
	}
	switch {
	case g.words == 2:
		e.alloc, e.zero = uint32(words[1]), uint32(words[1]>>32)
		if e.alloc&e.zero != 0 || e.alloc != 0 && e.host == 0 {
			return e, corrupt("L2 entry %#x has the subclusters %#x, which exclude each other", w, words[1])
		}
	case w&flagZero != 0:
		if g.version < 3 {
			return e, corrupt("L2 entry %#x is a zero cluster, which version 2 does not have", w)
		}
		e.zero = 1
	case e.host != 0:
		e.alloc = 1
	}
	return e, nil
}

// encode puts an entry into a table.
func (g *geometry) encode(words []uint64, e entry) {
	if e.compressed {
		sectors := (e.host+int64(e.length)-1)/compressedSector - e.host/compressedSector
		words[0] = flagCompressed | uint64(sectors)<<(62-(g.bits-8)) | uint64(e.host)
		clear(words[1:])
		return
	}
	w := uint64(e.host)
	if e.owned && e.host != 0 {
		w |= flagCopied
	}
	if g.words == 2 {
		words[1] = uint64(e.zero)<<32 | uint64(e.alloc)
	} else if e.zero != 0 {
		w |= flagZero
	}
	words[0] = w
}

// references is what an entry refers to: n bytes at an offset of the container, none
// if n is 0.
func (g *geometry) references(e entry) span {
	switch {
	case e.compressed:
		return span{e.host, int64(e.length)}
	case e.host != 0:
		return span{e.host, g.cluster}
	}
	return span{}
}

// span is a stretch of the container, in bytes.
type span struct {
	at, length int64
}

// place is where a subcluster is.
type place uint8

const (
	absent place = iota // in the backing image, or zeroes
	zeroes
	data
	compressed
)

// place is where a subcluster of the entry is.
func (e *entry) place(sub int) place {
	switch {
	case e.compressed:
		return compressed
	case e.alloc>>sub&1 != 0:
		return data
	case e.zero>>sub&1 != 0:
		return zeroes
	}
	return absent
}

// alike is the first subcluster after sub that is in another place, at most n.
func (e *entry) alike(sub, n int) int {
	p := e.place(sub)
	for sub++; sub < n && e.place(sub) == p; sub++ {
	}
	return sub
}
