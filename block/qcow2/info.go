package qcow2

import (
	"github.com/govmm/govmm/block"
)

// Info is what an image says of itself.
type Info struct {
	Version       int
	Size          int64 // of the disk, in bytes
	ClusterSize   int64 // bytes
	RefcountBits  int
	LazyRefcounts bool
	ExtendedL2    bool
	Compression   Compression
	Dirty         bool // it was not closed in order
	Corrupt       bool

	Backing       string // the name of the backing file, empty for none
	BackingFormat string // empty if the image does not say
	Snapshots     []Snapshot
}

// ReadInfo reads what the image in a store says of itself, which must not be open
// as an Image for writing. It does not look for the backing file.
func ReadInfo(below block.Layer) (Info, error) {
	h, err := readHeader(below)
	if err != nil {
		return Info{}, err
	}
	g := newGeometry(h)
	snapshots, _, err := readSnapshots(below, h, &g)
	if err != nil {
		return Info{}, err
	}
	return h.info(snapshots), nil
}

// Info is what the image said of itself when it was opened.
func (d *Image) Info() Info {
	i := d.header.info(d.snapshots)
	i.Size = d.Size()
	return i
}

func (h *header) info(snapshots []Snapshot) Info {
	return Info{
		Version: int(h.version), Size: int64(h.size), ClusterSize: 1 << h.clusterBits, RefcountBits: 1 << h.refcountOrder,
		LazyRefcounts: h.compatible&compatLazyRefcounts != 0, ExtendedL2: h.incompatible&incompatExtendedL2 != 0,
		Compression: h.compression, Dirty: h.incompatible&incompatDirty != 0, Corrupt: h.incompatible&incompatCorrupt != 0,
		Backing: h.backing, BackingFormat: h.backingFormat, Snapshots: snapshots,
	}
}
