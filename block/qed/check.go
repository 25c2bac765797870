package qed

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/govmm/govmm/block"
)

// CheckResult is what Check found.
type CheckResult struct {
	Clusters int64 // of data
	Tables   int64 // of the second level
	Invalid  int64 // entries that point to what is no cluster of the file
	Repaired int64 // entries of these that were cleared
	Shared   int64 // entries that point to what another one points to
	Leaked   int64 // clusters that nothing points to
	End      int64 // of the last cluster in use, in bytes
}

// Sound reports whether every entry of the tables makes sense now.
func (r CheckResult) Sound() bool { return r.Shared == 0 && r.Invalid == r.Repaired }

func (r CheckResult) String() string {
	return fmt.Sprintf("%d clusters of data, %d invalid entries of which %d cleared, %d shared clusters, %d leaked clusters",
		r.Clusters, r.Invalid, r.Repaired, r.Shared, r.Leaked)
}

// Check looks through all tables of the image in a store, which must not be open
// as an Image. With repair it clears entries that point to what is no cluster of
// the file, as QEMU does, and makes that durable. Memory is a bit for each
// cluster of the store, at most 64 MiB.
func Check(ctx context.Context, below block.Layer, repair bool) (CheckResult, error) {
	_, g, err := readHeader(below)
	if err != nil {
		return CheckResult{}, err
	}
	return check(ctx, below, &g, repair)
}

// maxChecked is the most clusters that a store may have to be checked: 2 TiB of
// the smallest ones, 32 TiB of the usual ones.
const maxChecked = 512 << 20

// chunkSize is how much of a table is read at a time, in bytes.
const chunkSize = 64 << 10

// checker looks through an image.
type checker struct {
	*geometry
	ctx    context.Context
	below  block.Layer
	end    int64 // of the store's whole clusters
	repair bool
	used   []uint64 // a bit for each cluster
	result CheckResult
}

func check(ctx context.Context, below block.Layer, g *geometry, repair bool) (CheckResult, error) {
	c := &checker{geometry: g, ctx: ctx, below: below, end: g.roundDown(below.Size()), repair: repair}
	n := c.end >> g.shift
	if n > maxChecked {
		return c.result, fmt.Errorf("%w: checking an image of %d clusters; the most is %d", ErrUnsupported, n, maxChecked)
	}
	c.used = make([]uint64, (n+63)/64)
	c.mark(0, g.firstUsable)
	c.mark(g.l1, g.table)
	err := c.each(g.l1, func(table uint64) (ok bool, err error) {
		if !c.fits(table, c.table) {
			return false, nil
		}
		if !c.mark(int64(table), c.table) {
			return true, nil
		}
		c.result.Tables++
		return true, c.each(int64(table), func(entry uint64) (bool, error) {
			if entry == entryZero {
				return true, nil
			}
			if !c.fits(entry, c.cluster) {
				return false, nil
			}
			if c.mark(int64(entry), c.cluster) {
				c.result.Clusters++
			}
			return true, nil
		})
	})
	if err != nil {
		return c.result, fmt.Errorf("checking a QED image: %w", err)
	}
	if repair && c.result.Repaired > 0 {
		err = below.Flush()
	}
	used := (c.firstUsable+c.table)>>c.shift + c.result.Tables*(c.table>>c.shift) + c.result.Clusters
	c.result.Leaked = max(0, n-used)
	return c.result, err
}

func (c *checker) fits(entry uint64, n int64) bool { return c.inside(entry, n, c.end) }

// mark notes that n bytes at an offset are in use, and is false if some of them
// were already.
func (c *checker) mark(offset, n int64) bool {
	first, end := offset>>c.shift, (offset+n)>>c.shift
	for i := first; i < end; i++ {
		if c.used[i/64]&(1<<(i%64)) != 0 {
			c.result.Shared++
			return false
		}
	}
	for i := first; i < end; i++ {
		c.used[i/64] |= 1 << (i % 64)
	}
	c.result.End = max(c.result.End, offset+n)
	return true
}

// each calls f with all entries of a table but those that are 0. If it is false,
// the entry is invalid.
func (c *checker) each(table int64, f func(entry uint64) (bool, error)) error {
	buf := make([]byte, min(chunkSize, c.table))
	for pos, end := table, table+c.table; pos < end; {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		// Tables are mostly holes, and may be very long.
		if m, ok := c.below.(block.Mapper); ok {
			e, err := m.Map(pos, end-pos)
			if err != nil {
				return err
			}
			if e.Zero {
				pos += e.Length
				pos &^= entrySize - 1
				if e.Length >= entrySize {
					continue
				}
			}
		}
		p := buf[:min(int64(len(buf)), end-pos)]
		if err := c.below.ReadVec([][]byte{p}, pos); err != nil {
			return err
		}
		changed, err := c.chunk(p, f)
		if err != nil {
			return err
		}
		if changed {
			if err := c.below.WriteVec([][]byte{p}, pos); err != nil {
				return err
			}
		}
		pos += int64(len(p))
	}
	return nil
}

// chunk goes through a part of a table, and clears the invalid entries if they
// are to be repaired.
func (c *checker) chunk(p []byte, f func(entry uint64) (bool, error)) (changed bool, err error) {
	for ; len(p) > 0; p = p[entrySize:] {
		entry := binary.LittleEndian.Uint64(p)
		if entry == entryAbsent {
			continue
		}
		ok, err := f(entry)
		if err != nil {
			return changed, err
		}
		if ok {
			continue
		}
		c.result.Invalid++
		if c.repair {
			binary.LittleEndian.PutUint64(p, entryAbsent)
			c.result.Repaired++
			changed = true
		}
	}
	return changed, nil
}
