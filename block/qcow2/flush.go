package qcow2

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/govmm/govmm/block"
)

// Flush implements [block.Layer].
func (d *Image) Flush() error {
	if d.readOnly {
		return nil
	}
	arrived := d.begun.Load()
	d.flushing.Lock()
	defer d.flushing.Unlock()
	if d.done.Load() > arrived {
		return nil // one that began later has done what there was to do
	}
	number := d.begun.Add(1)
	if err := d.flush(); err != nil {
		return err
	}
	d.done.Store(number)
	return nil
}

// flush writes the tables that have changed, in the order that the package's
// documentation gives. The caller holds flushing.
func (d *Image) flush() error {
	c := d.tables.takeChanges()
	if c.any() {
		if err := d.writeChanges(c); err != nil {
			d.tables.putBack(c)
			return err
		}
		d.tables.settle(c)
	}
	if err := d.below.Flush(); err != nil {
		d.tables.retryFrees(c)
		return err
	}
	if len(c.frees) == 0 {
		return nil
	}
	return d.free(c.frees)
}

// changes are copies of what has changed in the tables.
type changes struct {
	old, fresh []change
	l1         []l1Change
	frees      []span
}

// change is of words of an L2 table.
type change struct {
	table    *table
	at       int64 // of the table in the container
	from, to int   // words
	bytes    []byte
}

// l1Change is of an entry of the L1 table.
type l1Change struct {
	index int
	entry uint64
}

func (c *changes) any() bool { return len(c.old)+len(c.fresh)+len(c.l1) > 0 }

// takeChanges copies what has changed, which then counts as written. The words are
// taken by whole sectors.
func (t *tables) takeChanges() (c changes) {
	const sectorWords = block.SectorSize / 8
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.dirty {
		if t.loaded[n.index] != n {
			continue // another one has taken its place
		}
		from, to := n.from&^(sectorWords-1), min(len(n.words), (n.to+sectorWords-1)&^(sectorWords-1))
		w := change{table: n, at: int64(t.l1[n.index] & offsetMask), from: from, to: to}
		w.bytes = appendBytes(make([]byte, 0, 8*(to-from)), n.words[from:to])
		if n.fresh {
			c.fresh = append(c.fresh, w)
		} else {
			c.old = append(c.old, w)
		}
		n.from, n.to, n.fresh, n.flushing = 0, 0, false, true
	}
	slices.Sort(t.dirtyL1)
	for _, i := range slices.Compact(t.dirtyL1) {
		c.l1 = append(c.l1, l1Change{i, t.l1[i]})
	}
	c.frees, t.frees = t.frees, nil
	t.dirty, t.dirtyL1 = t.dirty[:0], t.dirtyL1[:0]
	slices.SortFunc(c.old, func(a, b change) int { return cmp.Compare(a.at, b.at) })
	slices.SortFunc(c.fresh, func(a, b change) int { return cmp.Compare(a.at, b.at) })
	return c
}

// settle ends a successful writing of changes.
func (t *tables) settle(c changes) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range slices.Concat(c.old, c.fresh) {
		w.table.flushing = false
	}
}

// putBack makes what could not be written changes of the next time.
func (t *tables) putBack(c changes) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range slices.Concat(c.old, c.fresh) {
		w.table.flushing = false
		t.mark(w.table, w.from, w.to)
	}
	for _, w := range c.fresh {
		w.table.fresh = true
	}
	for _, e := range c.l1 {
		t.dirtyL1 = append(t.dirtyL1, e.index)
	}
	t.frees = append(t.frees, c.frees...)
}

// retryFrees leaves the freeing for the next time.
func (t *tables) retryFrees(c changes) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.frees = append(t.frees, c.frees...)
}

// writeChanges writes first what nothing refers to yet, and then what does.
func (d *Image) writeChanges(c changes) error {
	if !d.lazy() {
		if err := d.refs.flush(); err != nil {
			return err
		}
	}
	if err := d.writeTables(c.fresh); err != nil {
		return err
	}
	if err := d.below.Flush(); err != nil {
		return err
	}
	if err := d.writeTables(c.old); err != nil {
		return err
	}
	for _, e := range c.l1 {
		p := binary.BigEndian.AppendUint64(nil, e.entry)
		if err := d.writeBelow([][]byte{p}, d.tables.l1Offset+int64(e.index)*8); err != nil {
			return err
		}
	}
	return nil
}

func (d *Image) writeTables(list []change) error {
	for _, w := range list {
		if err := d.writeBelow([][]byte{w.bytes}, w.at+int64(w.from)*8); err != nil {
			return err
		}
	}
	return nil
}

// flush is writeBack for those who do not hold the lock.
func (r *refcounts) flush() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.writeBack()
}

// free counts less references, now that there are none in the container either.
// A request that is on its way may still know a cluster, so that it is not used
// again before the request has ended.
func (d *Image) free(frees []span) error {
	d.grace.wait()
	d.inflater.forget()
	d.packer.forget()
	var errs []error
	for _, s := range frees {
		// What is used by nothing else is given back first, as it may be used
		// again at once.
		if d.aligned(s.at) && s.length == d.cluster {
			n, err := d.refs.count(s.at)
			if err == nil && n == 1 {
				err = d.below.Discard(s.at, min(s.length, max(0, d.below.Size()-s.at)))
			}
			errs = append(errs, err)
		}
		errs = append(errs, d.refs.drop(s))
	}
	return errors.Join(errs...)
}

// finish leaves the store as a whole image, with nothing that needs a repair.
func (d *Image) finish() error {
	d.inflater.close()
	if d.readOnly {
		return nil
	}
	if d.broken.Load() {
		d.markBroken()
		return nil
	}
	d.flushing.Lock()
	defer d.flushing.Unlock()
	err := d.flush()
	if err == nil {
		err = d.refs.flush() // of what has been freed
	}
	if err != nil {
		return err
	}
	if d.features&incompatDirty != 0 {
		if err := d.below.Flush(); err != nil {
			return err
		}
		if err := d.setFeatures(d.features &^ incompatDirty); err != nil {
			return err
		}
	}
	return d.trim()
}

// trim cuts off what the store was made longer by and nothing uses.
func (d *Image) trim() error {
	r, ok := d.below.(block.Resizer)
	end := max(d.refs.original, d.refs.fresh)
	if !ok || d.fixed || d.below.Size() <= end {
		return nil
	}
	return r.Resize(end)
}
