package qed

import (
	"fmt"

	"github.com/govmm/govmm/block"
	"golang.org/x/sys/unix"
)

const (
	// growth is by how much the store is made longer at a time, in bytes, if a
	// cluster is not longer. What is not used in the end is cut off.
	growth = 4 << 20
	// copyBytes is how much is copied at a time from the backing file.
	copyBytes = 256 << 10
	// maxSpare is how many clusters of failed writes are remembered.
	maxSpare = 64
)

// WriteVec implements [block.Layer].
func (d *Image) WriteVec(vec [][]byte, offset int64) error {
	n := total(vec)
	if err := d.checkWrite(offset, n); err != nil {
		return err
	}
	for pos, end := offset, offset+n; pos < end; {
		r, _, err := d.find(pos, end, false)
		if err != nil {
			return err
		}
		if r.kind == data {
			err = d.writePart(vec, pos-offset, r.length, r.offset)
		} else {
			r.length = min(r.length, d.cluster-pos&(d.cluster-1))
			err = d.writeNew(vec, pos-offset, r.length, pos)
		}
		if err != nil {
			return err
		}
		pos += r.length
	}
	return nil
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

// writePart writes n bytes of vec from byte skip on to the store.
func (d *Image) writePart(vec [][]byte, skip, n, at int64) error {
	s := d.borrow()
	defer d.giveBack(s)
	return d.below.WriteVec(s.part(vec, skip, n), at)
}

// writeNew writes n bytes of vec, from byte skip on, to a cluster that the store
// did not have a moment ago. They are at pos of the disk. With vec nil they are
// zeroes.
func (d *Image) writeNew(vec [][]byte, skip, n, pos int64) error {
	stripe := &d.stripes[pos>>d.shift%int64(len(d.stripes))]
	stripe.Lock()
	defer stripe.Unlock()
	r, _, err := d.find(pos, pos+n, false)
	if err != nil {
		return err
	}
	if r.kind == data { // by another one meanwhile
		if vec == nil {
			return d.below.WriteZeroes(r.offset, n, true)
		}
		return d.writePart(vec, skip, n, r.offset)
	}
	d.meta.Lock()
	at, clean, err := d.takeCluster()
	d.meta.Unlock()
	if err != nil {
		return err
	}
	if err = d.fill(vec, skip, n, pos, at, clean, r.kind); err == nil {
		d.meta.Lock()
		err = d.link(pos>>d.shift, uint64(at))
		d.meta.Unlock()
	}
	if err != nil {
		d.meta.Lock()
		if len(d.spare) < maxSpare {
			d.spare = append(d.spare, at)
		}
		d.meta.Unlock()
	}
	return err
}

// fill writes a whole new cluster at an offset of the store: n bytes of vec at
// pos of the disk, and around them what the disk had. The cluster is all zeroes
// if it is clean.
func (d *Image) fill(vec [][]byte, skip, n, pos, at int64, clean bool, old kind) error {
	from := d.roundDown(pos)
	to := from + d.cluster
	if !clean {
		if err := d.below.WriteZeroes(at, d.cluster, true); err != nil {
			return err
		}
	}
	if old == absent && d.backing != nil {
		// Nothing beyond the end of the disk, or it would appear when that grows.
		limit := min(to, d.size.Load(), d.backing.Size())
		if err := d.copyBacking(from, min(pos, limit), at); err != nil {
			return err
		}
		if err := d.copyBacking(pos+n, limit, at+pos+n-from); err != nil {
			return err
		}
	}
	if vec == nil {
		return nil
	}
	return d.writePart(vec, skip, n, at+pos-from)
}

// copyBacking copies [from, to) of the backing file to an offset of the store.
func (d *Image) copyBacking(from, to, at int64) error {
	s := d.borrow()
	defer d.giveBack(s)
	for from < to {
		if s.buf == nil {
			s.buf = make([]byte, copyBytes)
		}
		n := min(to-from, copyBytes)
		s.one[0] = s.buf[:n]
		if err := d.backing.ReadVec(s.one[:], from); err != nil {
			return fmt.Errorf("backing file: %w", err)
		}
		if err := d.below.WriteVec(s.one[:], at); err != nil {
			return err
		}
		from, at = from+n, at+n
	}
	return nil
}

// takeCluster finds a cluster that nothing points to. It is clean if it is known
// to be all zeroes. The caller holds meta.
func (d *Image) takeCluster() (at int64, clean bool, err error) {
	if n := len(d.spare); n > 0 {
		at, d.spare = d.spare[n-1], d.spare[:n-1]
		return at, false, nil
	}
	return d.take(d.cluster)
}

// take gets n bytes, whole clusters, at the end of the image.
func (d *Image) take(n int64) (at int64, clean bool, err error) {
	if err := d.beginChange(); err != nil {
		return 0, false, err
	}
	at = d.end.Load()
	if d.fixed {
		if n > d.below.Size()-at {
			return 0, false, fmt.Errorf("the image has no room to grow: %w", unix.ENOSPC)
		}
		d.end.Store(at + n)
		return at, false, nil
	}
	if n > d.below.Size()-at {
		r, ok := d.below.(block.Resizer)
		if !ok {
			return 0, false, fmt.Errorf("the image has no room to grow: %w", unix.ENOSPC)
		}
		if err := r.Resize(at + max(n, growth/d.cluster*d.cluster)); err != nil {
			return 0, false, err
		}
	}
	d.end.Store(at + n)
	return at, true, nil
}

// beginChange marks the image as one that needs a check, before the first change
// that a crash could leave behind.
func (d *Image) beginChange() error {
	if d.features&featureNeedCheck != 0 {
		return nil
	}
	// What a file has beyond its last whole cluster would not be zeroes.
	if err := d.trim(); err != nil {
		return err
	}
	if err := d.setFeatures(d.features | featureNeedCheck); err != nil {
		return err
	}
	return d.below.Flush()
}

// link makes the entry of a cluster, by number. The caller holds meta.
func (d *Image) link(number int64, entry uint64) error {
	if d.tables.full() {
		if err := d.tables.writeBack(); err != nil {
			return err
		}
	}
	at := d.l1 + number/d.entries*entrySize
	p, err := d.tables.get(at &^ (pageSize - 1))
	if err != nil {
		return err
	}
	table := p.entries[at%pageSize/entrySize].Load()
	if table == 0 {
		if table, err = d.newTable(at); err != nil {
			return err
		}
	}
	if !d.inside(table, d.table, d.end.Load()) {
		return badEntry("L1", at, table)
	}
	return d.tables.set(int64(table)+number%d.entries*entrySize, entry)
}

// newTable makes an empty L2 table for the entry of the L1 table at an offset.
func (d *Image) newTable(entry int64) (uint64, error) {
	at, clean, err := d.take(d.table)
	if err != nil {
		return 0, err
	}
	if !clean {
		if err := d.below.WriteZeroes(at, d.table, true); err != nil {
			return 0, err
		}
	}
	return uint64(at), d.tables.set(entry, uint64(at))
}

// WriteZeroes implements [block.Layer]. Clusters that the image has keep their
// place, others get none.
func (d *Image) WriteZeroes(offset, length int64, unmap bool) error {
	if err := d.checkWrite(offset, length); err != nil {
		return err
	}
	return d.zero(offset, offset+length, unmap)
}

// zero clears [pos, end), also beyond the end of the disk.
func (d *Image) zero(pos, end int64, unmap bool) error {
	for pos < end {
		r, _, err := d.find(pos, end, false)
		if err != nil {
			return err
		}
		switch {
		case r.kind == data:
			err = d.below.WriteZeroes(r.offset, r.length, unmap)
		case r.kind == absent && d.backing != nil && pos < d.backing.Size():
			r.length, err = d.hideBacking(pos, pos+r.length)
		}
		if err != nil {
			return err
		}
		pos += r.length
	}
	return nil
}

// hideBacking makes zeroes of the first cluster, or what is in [pos, end) of it,
// and returns how long that was.
func (d *Image) hideBacking(pos, end int64) (n int64, err error) {
	from := d.roundDown(pos)
	n = min(end, from+d.cluster) - pos
	// All of the cluster that is on the disk.
	if pos != from || n < d.cluster && pos+n < d.size.Load() {
		return n, d.writeNew(nil, 0, n, pos)
	}
	number := pos >> d.shift
	stripe := &d.stripes[number%int64(len(d.stripes))]
	stripe.Lock()
	defer stripe.Unlock()
	r, _, err := d.find(pos, pos+n, false)
	if err != nil {
		return 0, err
	}
	if r.kind == data {
		return n, d.below.WriteZeroes(r.offset, n, true)
	}
	d.meta.Lock()
	defer d.meta.Unlock()
	if err := d.beginChange(); err != nil {
		return 0, err
	}
	return n, d.link(number, entryZero)
}

// Discard implements [block.Layer] by doing nothing: the format has no means to
// give a cluster back.
func (d *Image) Discard(offset, length int64) error { return d.checkWrite(offset, length) }
