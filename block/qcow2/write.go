package qcow2

import (
	"errors"

	"github.com/govmm/govmm/block"
	"golang.org/x/sys/unix"
)

// maxNew is how many bytes of the disk get new clusters in one step, if a cluster
// has no more.
const maxNew = 4 << 20

// WriteVec implements [block.Layer].
func (d *Image) WriteVec(vec [][]byte, offset int64) error {
	n := total(vec)
	if err := d.checkWrite(offset, n); err != nil {
		return err
	}
	return d.change(func() error { return d.write(vec, offset, n) })
}

func (d *Image) checkWrite(offset, n int64) error {
	if err := d.check(offset, n); err != nil {
		return err
	}
	if d.readOnly {
		return block.ErrReadOnly
	}
	return nil
}

// change carries out a request that changes the image.
func (d *Image) change(f func() error) error {
	if d.broken.Load() {
		return errBroken
	}
	if err := d.begin(); err != nil {
		return err
	}
	err := d.inGrace(f)
	if errors.Is(err, unix.ENOSPC) && d.tables.pending() {
		// There is room in what the guest has discarded.
		if err := d.Flush(); err != nil {
			return err
		}
		err = d.inGrace(f)
	}
	if d.broken.Load() {
		d.markBroken()
	}
	if err == nil && d.tables.crowded() {
		return d.Flush()
	}
	return err
}

func (d *Image) inGrace(f func() error) error {
	g := d.grace.enter()
	defer d.grace.leave(g)
	return f()
}

// write writes vec, which is n bytes long, to the disk.
func (d *Image) write(vec [][]byte, offset, n int64) error {
	for pos, end := offset, offset+n; pos < end; {
		s, _, err := d.find(pos, end, false)
		if err != nil {
			return err
		}
		done := s.length
		if s.place == data && s.owned {
			err = d.writeInPlace(s, vec, pos-offset, n)
		} else {
			done, err = d.writeNew(vec, pos-offset, end-pos, pos)
		}
		if err != nil {
			return err
		}
		pos += done
	}
	return nil
}

// writeInPlace writes a stretch of vec, which is n bytes long, from byte skip on to
// the clusters that the disk has.
func (d *Image) writeInPlace(s stretch, vec [][]byte, skip, n int64) error {
	if d.reserved.overlaps(s.at, s.length, &d.geometry) {
		return d.spoil(corrupt("an L2 entry has data at %#x, where a table is", s.at))
	}
	if s.length == n {
		return d.writeBelow(vec, s.at)
	}
	b := d.borrow()
	defer d.giveBack(b)
	return d.writeBelow(b.part(vec, skip, s.length), s.at)
}

// writeBelow writes to the container, whose last cluster may go on beyond its end.
func (d *Image) writeBelow(vec [][]byte, at int64) error {
	if end := at + total(vec); end > d.below.Size() {
		if err := d.refs.reachTo(end); err != nil {
			return err
		}
	}
	return d.below.WriteVec(vec, at)
}

// plan is how to write to clusters of which some part has no place of its own yet.
type plan struct {
	inPlace bool  // the first one can be written in place after all
	host    int64 // the clusters there are used, else new ones
	count   int64 // of clusters
	keep    bool  // the first cluster has data that has to be copied
	table   *table
}

// plan looks at the clusters from number first to last. The caller has them in
// flight.
func (d *Image) plan(pos, first, last int64) (p plan, err error) {
	if p.table, err = d.owned(d.l1Index(pos)); err != nil {
		return p, err
	}
	// The table may have been dropped meanwhile, but nobody changes the entries.
	t := &d.tables
	t.mu.RLock()
	defer t.mu.RUnlock()
	for i := first; i <= last; i++ {
		e, err := d.entry(p.table, d.l2Index(i<<d.bits))
		if err != nil {
			return p, err
		}
		use := e.owned && e.host != 0 && !e.compressed
		switch {
		case i == first && use:
			if !d.inside(e.host, d.cluster) || d.reserved.overlaps(e.host, d.cluster, &d.geometry) {
				return p, d.spoil(corrupt("an L2 entry has data at %#x, where a table is or nothing", e.host))
			}
			return plan{inPlace: e.place(d.sub(pos)) == data, host: e.host, count: 1, table: p.table}, nil
		case i == first:
			p.keep = keeps(e)
		case use:
			return p, nil
		}
		p.count++
	}
	return p, nil
}

// keeps reports whether a write to a part of a cluster has to copy the rest.
func keeps(e entry) bool { return e.compressed || e.alloc != 0 }

// writeNew writes up to n bytes of vec, from byte skip on, to clusters of which a
// part has no place of its own yet. They are at pos of the disk. It returns how
// much was written, which may be nothing if another one was faster.
func (d *Image) writeNew(vec [][]byte, skip, n, pos int64) (done int64, err error) {
	n = min(n, d.spanEnd(pos)-pos, max(maxNew, d.cluster)-pos&(d.cluster-1))
	first, last := pos>>d.bits, (pos+n-1)>>d.bits
	d.flights.begin(first, last)
	defer d.flights.end(first, last)
	p, err := d.plan(pos, first, last)
	if err != nil || p.inPlace {
		return 0, err
	}
	to := run{at: p.host}
	if p.host == 0 {
		if to, p.count, err = d.refs.take(p.count); err != nil {
			return 0, err
		}
	}
	n = min(n, (first+p.count)<<d.bits-pos)
	from, end, err := d.fill(vec, skip, n, pos, to, p)
	if err == nil {
		err = d.link(from, end, to.at)
	}
	if err != nil {
		if p.host == 0 {
			err = errors.Join(err, d.refs.drop(span{to.at, to.length}))
		}
		return 0, err
	}
	return n, nil
}

// fill writes n bytes of vec at pos of the disk to where the plan says, and around
// them what the disk had. It returns from where to where the disk is in these
// clusters now.
func (d *Image) fill(vec [][]byte, skip, n, pos int64, to run, p plan) (from, end int64, err error) {
	from, end = d.edges(pos, n, p)
	b := d.borrow()
	defer d.giveBack(b)
	head, tail := pos-from, end-pos-n
	at := to.at + from&(d.cluster-1)
	// Beyond the end of the disk are zeroes, which the guest would see after it
	// has grown.
	tailEnd := max(min(end, d.size.Load()), pos+n)
	old := b.bytes(head + tailEnd - pos - n)
	headZero, tailZero := d.isZero(from, pos), d.isZero(pos+n, tailEnd)
	switch {
	case headZero && to.clean:
		at += head
	case headZero:
		b.addZeroes(d.zeroes, head)
	default:
		b.one[0] = old[:head]
		if err := d.read(b.one[:], from, head); err != nil {
			return 0, 0, err
		}
		b.vec = append(b.vec, old[:head])
	}
	b.add(vec, skip, n)
	if !tailZero {
		rest := old[head:]
		b.one[0] = rest
		if err := d.read(b.one[:], pos+n, int64(len(rest))); err != nil {
			return 0, 0, err
		}
		b.vec = append(b.vec, rest)
		tail -= int64(len(rest))
	}
	if !to.clean {
		b.addZeroes(d.zeroes, tail)
	}
	return from, end, d.writeBelow(b.vec, at)
}

// edges is from where to where the disk is written for n bytes at pos: whole
// subclusters, or whole clusters where there is data to be kept.
func (d *Image) edges(pos, n int64, p plan) (from, end int64) {
	unit := d.unit()
	from, end = pos&^(unit-1), (pos+n+unit-1)&^(unit-1)
	if p.host != 0 || d.subs == 1 {
		return from, end
	}
	if p.keep {
		from = d.down(pos)
	}
	t := &d.tables
	t.mu.RLock()
	e, err := d.entry(p.table, d.l2Index(pos+n-1))
	t.mu.RUnlock()
	if err == nil && keeps(e) {
		end = d.up(end)
	}
	return from, end
}

// link changes the entries of the disk from one place to another, whole
// subclusters, after their data has been written to clusters at host. The caller
// has them in flight.
func (d *Image) link(from, end, host int64) error {
	return d.edit(from, end, func(e entry, mask uint32) entry {
		e.owned, e.alloc, e.zero = true, e.alloc|mask, e.zero&^mask
		if e.compressed || e.host != host {
			// What is not in the mask has not been copied, so there was none.
			e.alloc = mask
		}
		e.compressed, e.host = false, host
		host += d.cluster
		return e
	})
}

// edit changes the entries of the disk from one place to another, whole
// subclusters, which are in one table that is there. The function is given an
// entry and the subclusters of it that are meant, and returns what it shall be.
// What it does not refer to any more is freed. The caller has the clusters in
// flight.
func (d *Image) edit(from, end int64, f func(e entry, mask uint32) entry) error {
	t := &d.tables
	index := d.l1Index(from)
	for {
		n, err := d.owned(index)
		if err != nil {
			return err
		}
		t.mu.Lock()
		if t.loaded[index] != n {
			t.mu.Unlock()
			continue
		}
		err = d.editTable(n, from, end, f)
		t.mu.Unlock()
		return err
	}
}

// editTable is edit with tables.mu held.
func (d *Image) editTable(n *table, from, end int64, f func(e entry, mask uint32) entry) error {
	for pos := from; pos < end; {
		next := min(d.down(pos)+d.cluster, end)
		i := d.l2Index(pos)
		old, err := d.entry(n, i)
		if err != nil {
			return err
		}
		e := f(old, subMask(d.sub(pos), d.sub(next-1)))
		if e != old {
			words := n.words[i*d.words : (i+1)*d.words]
			d.encode(words, e)
			d.tables.mark(n, i*d.words, (i+1)*d.words)
			if s := d.references(old); s.length > 0 && d.references(e) != s {
				d.tables.frees = append(d.tables.frees, s)
			}
		}
		pos = next
	}
	return nil
}
