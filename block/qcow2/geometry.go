package qcow2

// geometry is what follows from the header's sizes. It does not change.
type geometry struct {
	version int
	bits    uint  // log2 of the cluster size
	cluster int64 // bytes

	words   int    // of 8 bytes in an L2 entry: 2 if it is extended
	l2Bits  uint   // log2 of the number of entries in an L2 table
	subs    int    // subclusters in a cluster: 1, or 32 if extended
	subBits uint   // log2 of a subcluster's size
	full    uint32 // a bit for every subcluster

	order uint // log2 of the number of bits of a refcount
}

// Numbers of extended L2 entries.
const (
	subclusters    = 32
	subclusterBits = 5
)

func newGeometry(h *header) geometry {
	g := geometry{
		version: int(h.version), bits: uint(h.clusterBits), cluster: 1 << h.clusterBits,
		words: 1, subs: 1, full: 1, order: uint(h.refcountOrder),
	}
	g.l2Bits, g.subBits = g.bits-3, g.bits
	if h.incompatible&incompatExtendedL2 != 0 {
		g.words, g.subs, g.full = 2, subclusters, 1<<subclusters-1
		g.l2Bits, g.subBits = g.bits-4, g.bits-subclusterBits
	}
	return g
}

// span is log2 of the bytes of the disk that one L2 table leads to.
func (g *geometry) span() uint { return g.bits + g.l2Bits }

// l1Index is the L1 entry of a place on the disk.
func (g *geometry) l1Index(offset int64) int { return int(offset >> g.span()) }

// l2Index is the L2 entry of a place on the disk.
func (g *geometry) l2Index(offset int64) int {
	return int(offset>>g.bits) & (1<<g.l2Bits - 1)
}

// spanEnd is where the part of the disk ends that is in the same L2 table as offset.
func (g *geometry) spanEnd(offset int64) int64 { return (offset>>g.span() + 1) << g.span() }

// sub is the subcluster that holds a place on the disk.
func (g *geometry) sub(offset int64) int {
	return int(offset>>g.subBits) & (g.subs - 1)
}

// down rounds down to whole clusters.
func (g *geometry) down(n int64) int64 { return n &^ (g.cluster - 1) }

// unit is the size of a subcluster in bytes, which is a cluster if there are none.
func (g *geometry) unit() int64 { return 1 << g.subBits }

// refsPerBlock is how many clusters a refcount block counts.
func (g *geometry) refsPerBlock() int64 { return g.cluster * 8 >> g.order }

// up rounds up to whole clusters.
func (g *geometry) up(n int64) int64 { return (n + g.cluster - 1) &^ (g.cluster - 1) }

// clusters is how many clusters n bytes take.
func (g *geometry) clusters(n int64) int64 { return g.up(n) >> g.bits }

// aligned reports whether an offset is a cluster's.
func (g *geometry) aligned(offset int64) bool { return offset&(g.cluster-1) == 0 }

// subMask has the bits of the subclusters from one to another, both included.
func subMask(from, to int) uint32 {
	return uint32(1<<(uint64(to)+1) - 1<<uint64(from))
}
