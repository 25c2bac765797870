package qcow2

import (
	"cmp"
	"slices"
	"sync"
)

// reserved are the clusters that hold the image's own tables. Nothing of a guest's
// is written there, whatever the tables say.
type reserved struct {
	mu       sync.RWMutex
	spans    []span             // the header and the tables of several clusters, in order
	clusters map[int64]struct{} // by offset: L2 tables and refcount blocks
}

// overlaps reports whether n bytes at an offset are among them.
func (r *reserved) overlaps(at, n int64, g *geometry) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	i, _ := slices.BinarySearchFunc(r.spans, at, func(s span, at int64) int {
		if s.at+s.length <= at {
			return -1
		}
		return 1
	})
	if i < len(r.spans) && r.spans[i].at < at+n {
		return true
	}
	for c := g.down(at); c < at+n; c += g.cluster {
		if _, ok := r.clusters[c]; ok {
			return true
		}
	}
	return false
}

// add takes an L2 table or a refcount block.
func (r *reserved) add(at int64) {
	r.mu.Lock()
	r.clusters[at] = struct{}{}
	r.mu.Unlock()
}

// remove takes out what has become free.
func (r *reserved) remove(at int64) {
	r.mu.Lock()
	delete(r.clusters, at)
	r.mu.Unlock()
}

// replace puts one span in the place of another one, which may be empty.
func (r *reserved) replace(was, now span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.spans = slices.DeleteFunc(r.spans, func(s span) bool { return was.length > 0 && s.at == was.at })
	r.spans = append(r.spans, now)
	slices.SortFunc(r.spans, inOrder)
}

func inOrder(a, b span) int { return cmp.Compare(a.at, b.at) }

// reserve finds all tables, and that no two are in the same place.
func (d *Image) reserve(snapshots span, l1, refs []uint64) error {
	r := &d.reserved
	h := d.header
	r.spans = []span{{0, d.cluster}, {int64(h.tableOffset), int64(h.tableClusters) << d.bits}}
	if l1Bytes := int64(h.l1Size) * 8; l1Bytes > 0 {
		r.spans = append(r.spans, span{int64(h.l1Offset), d.up(l1Bytes)})
	}
	if snapshots.length > 0 {
		r.spans = append(r.spans, span{snapshots.at, d.up(snapshots.length)})
	}
	for _, s := range d.snapshots {
		if s.l1.length > 0 {
			r.spans = append(r.spans, span{s.l1.at, d.up(s.l1.length)})
		}
	}
	slices.SortFunc(r.spans, inOrder)
	for i, next := range r.spans[1:] {
		if s := r.spans[i]; s.at+s.length > next.at {
			return corrupt("two tables are at %#x", next.at)
		}
	}
	r.clusters = make(map[int64]struct{})
	for i, entry := range l1 {
		if err := d.reserveCluster("L1 table", i, int64(entry&offsetMask)); err != nil {
			return err
		}
	}
	for i, entry := range refs {
		if err := d.reserveCluster("refcount table", i, int64(entry)); err != nil {
			return err
		}
	}
	return nil
}

// reserveCluster takes a cluster that an entry of a table points to.
func (d *Image) reserveCluster(table string, index int, at int64) error {
	if at == 0 {
		return nil
	}
	if !d.inside(at, d.cluster) {
		return corrupt("entry %d of the %s, %#x, is no cluster of the image", index, table, at)
	}
	if d.reserved.overlaps(at, d.cluster, &d.geometry) {
		return corrupt("entry %d of the %s, %#x, is where another table is", index, table, at)
	}
	d.reserved.clusters[at] = struct{}{}
	return nil
}
