package bochs

import (
	"bytes"
	"context"
	"fmt"

	"github.com/govmm/govmm/block"
)

// CreateOptions say what a new image is like.
type CreateOptions struct {
	// Size is that of the disk in bytes, a multiple of block.SectorSize and at
	// most MaxSize.
	Size int64
}

// Create makes an image of a store, whose content is lost. It is durable
// afterwards. The extents and the catalog are as long as bximage makes them.
func Create(ctx context.Context, below block.Layer, o CreateOptions) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if o.Size < 0 || o.Size > MaxSize || o.Size%sectorSize != 0 {
		return fmt.Errorf("a growing image with a disk of %d bytes is not possible: it has a multiple of %d, at most %d", o.Size, sectorSize, int64(MaxSize))
	}
	h := header{version: version2, headerSize: headerSize, catalog: minEntries, bitmap: 1, extent: minExtent, size: uint64(o.Size)}
	for longer := true; int64(h.catalog)*int64(h.extent) < o.Size; longer = !longer {
		if longer {
			h.bitmap, h.extent = h.bitmap*2, h.extent*2
		} else {
			h.catalog *= 2
		}
	}
	length := headerSize + int64(h.catalog)*entrySize
	if r, ok := below.(block.Resizer); ok {
		if err := r.Resize(0); err != nil {
			return err
		}
		if err := r.Resize(length); err != nil {
			return err
		}
	}
	// The header comes last: what is there before is no image.
	if err := below.WriteZeroes(0, headerSize, true); err != nil {
		return err
	}
	catalog := bytes.Repeat([]byte{0xFF}, int(h.catalog)*entrySize)
	if err := below.WriteVec([][]byte{catalog}, headerSize); err != nil {
		return err
	}
	if err := below.Flush(); err != nil {
		return err
	}
	if err := below.WriteVec([][]byte{h.encode()}, 0); err != nil {
		return err
	}
	return below.Flush()
}
