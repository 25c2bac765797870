package bochs

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/govmm/govmm/block"
)

// CheckResult is what Check found.
type CheckResult struct {
	Entries int64 // of the catalog
	Extents int64 // in use
	Invalid int64 // entries that are no extent of the store
	Shared  int64 // entries for an extent that another one has
	Leaked  int64 // extents that no entry has
	End     int64 // of the last extent in use, in bytes

	end uint32 // the extent behind it
}

// Sound reports whether every entry makes sense.
func (r CheckResult) Sound() bool { return r.Invalid == 0 && r.Shared == 0 }

func (r CheckResult) String() string {
	return fmt.Sprintf("%d extents, %d invalid entries, %d shared extents, %d leaked extents", r.Extents, r.Invalid, r.Shared, r.Leaked)
}

// Check looks through the catalog of the image in a store, which must not be open
// as an Image. With trim it cuts off what lies behind the last extent in use, which
// a process that was killed may have left.
func Check(ctx context.Context, below block.Layer, trim bool) (CheckResult, error) {
	if err := ctx.Err(); err != nil {
		return CheckResult{}, err
	}
	_, g, err := readHeader(below)
	if err != nil {
		return CheckResult{}, err
	}
	catalog, err := readCatalog(below, &g)
	if err != nil {
		return CheckResult{}, err
	}
	extents := g.fits(below.Size())
	r := inspect(catalog, extents)
	r.End = g.place(r.end)
	if resizer, ok := below.(block.Resizer); ok && trim && r.Sound() {
		if err := resizer.Resize(r.End); err != nil {
			return r, err
		}
		extents = g.fits(r.End)
	}
	r.Leaked = extents - r.Extents
	return r, nil
}

// inspect looks through a catalog, for a store that has room for some extents. An
// image has no more of them in use than entries.
func inspect(catalog []atomic.Uint32, extents int64) CheckResult {
	r := CheckResult{Entries: int64(len(catalog))}
	used := make(map[uint32]struct{})
	for i := range catalog {
		number := catalog[i].Load()
		switch {
		case number == absent:
			continue
		case int64(number) >= extents:
			r.Invalid++
			continue
		}
		if _, ok := used[number]; ok {
			r.Shared++
			continue
		}
		used[number] = struct{}{}
		r.Extents++
		r.end = max(r.end, number+1)
	}
	return r
}
