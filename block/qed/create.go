package qed

import (
	"cmp"
	"context"
	"fmt"

	"github.com/govmm/govmm/block"
)

// What CreateOptions have if they say nothing, as in qemu-img.
const (
	DefaultClusterSize = 64 << 10 // bytes
	DefaultTableSize   = 4        // clusters
)

// CreateOptions say what a new image is like.
type CreateOptions struct {
	// Size is that of the disk in bytes, a multiple of block.SectorSize.
	Size int64
	// ClusterSize is a power of 2 from MinClusterSize to MaxClusterSize, in
	// bytes; 0 is DefaultClusterSize.
	ClusterSize int
	// TableSize is 1, 2, 4, 8 or 16 clusters; 0 is DefaultTableSize. QEMU takes
	// an image with 1 for corrupt, against its description. The size limits
	// what the disk can grow to.
	TableSize int
	// Backing is the name of the backing file, whose content is raw; empty for
	// none. It is up to 1023 bytes long.
	Backing string
}

// Create makes an image of a store, whose content is lost. It is durable
// afterwards.
func Create(ctx context.Context, below block.Layer, o CreateOptions) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	o.ClusterSize, o.TableSize = cmp.Or(o.ClusterSize, DefaultClusterSize), cmp.Or(o.TableSize, DefaultTableSize)
	if o.ClusterSize < 0 || o.ClusterSize > MaxClusterSize || o.TableSize < 0 || o.TableSize > MaxTableSize || o.Size < 0 {
		return fmt.Errorf("a QED image with a disk of %d bytes, clusters of %d bytes and tables of %d clusters is not possible", o.Size, o.ClusterSize, o.TableSize)
	}
	h := header{
		clusterSize: uint32(o.ClusterSize), tableSize: uint32(o.TableSize), headerSize: 1,
		l1: uint64(o.ClusterSize), imageSize: uint64(o.Size),
	}
	g, err := shape(h.clusterSize, h.tableSize)
	if err != nil {
		return err
	}
	if o.Backing != "" {
		if len(o.Backing) > maxBackingName {
			return fmt.Errorf("the name of the backing file has %d bytes; the most is %d", len(o.Backing), maxBackingName)
		}
		h.features = featureBacking | featureBackingRaw
		h.backingOffset, h.backingSize = headerSize, uint32(len(o.Backing))
	}
	length := g.cluster + g.table
	if _, err := h.check(length); err != nil {
		return err
	}
	if err := empty(below, length); err != nil {
		return err
	}
	// The header comes last: what is there before is no image.
	if err := below.Flush(); err != nil {
		return err
	}
	p := make([]byte, headerSize, headerSize+len(o.Backing))
	h.encode(p)
	if err := below.WriteVec([][]byte{append(p, o.Backing...)}, 0); err != nil {
		return err
	}
	return below.Flush()
}

// empty makes the first length bytes of a store zeroes, and the store as long as
// that if it can be.
func empty(below block.Layer, length int64) error {
	r, ok := below.(block.Resizer)
	if !ok {
		return below.WriteZeroes(0, length, true)
	}
	if err := r.Resize(0); err != nil {
		return err
	}
	if err := r.Resize(length); err != nil {
		return err
	}
	return below.WriteZeroes(0, length, true) // on a device, which keeps its content
}
