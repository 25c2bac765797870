package qed

import "github.com/govmm/govmm/block"

// Info is what the header of an image says.
type Info struct {
	Size        int64  // of the disk, in bytes
	ClusterSize int64  // bytes
	TableSize   int64  // clusters
	NeedCheck   bool   // the image was not closed after its last change
	Backing     string // the name of the backing file, empty for none
	BackingRaw  bool   // the image says that its backing file is raw
}

// ReadInfo reads the header of the image in a store.
func ReadInfo(below block.Layer) (Info, error) {
	h, g, err := readHeader(below)
	if err != nil {
		return Info{}, err
	}
	i := Info{
		Size: int64(h.imageSize), ClusterSize: g.cluster, TableSize: g.table / g.cluster,
		NeedCheck: h.features&featureNeedCheck != 0,
	}
	if i.Backing, err = h.backingName(below, &g); err != nil {
		return Info{}, err
	}
	i.BackingRaw = i.Backing != "" && h.features&featureBackingRaw != 0
	return i, nil
}
