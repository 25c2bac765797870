package qed

import (
	"github.com/govmm/govmm/block"
)

// kind is where a stretch of the disk is.
type kind uint8

const (
	absent kind = iota // in the backing file, or zeroes
	zeroes
	data
)

// Entries of an L2 table that are no offsets.
const (
	entryAbsent = 0
	entryZero   = 1
)

// run is a stretch of the disk that is in one place.
type run struct {
	kind   kind
	offset int64 // in the store, of data
	length int64
}

// find looks up the run that begins at pos of the disk and ends at end or
// before. With cached it is false if that takes reading.
func (d *Image) find(pos, end int64, cached bool) (r run, ok bool, err error) {
	number := pos >> d.shift
	at := d.l1 + number/d.entries*entrySize
	p, err := d.page(at, cached)
	if p == nil {
		return r, false, err
	}
	table := p.entries[at%pageSize/entrySize].Load()
	if table == 0 {
		// Absent up to the end of what the L2 table would be of.
		next := number - number%d.entries + d.entries
		return run{kind: absent, length: d.upTo(pos, end, next)}, true, nil
	}
	if !d.inside(table, d.table, d.end.Load()) {
		return r, false, badEntry("L1", at, table)
	}
	at = int64(table) + number%d.entries*entrySize
	if p, err = d.page(at, cached); p == nil {
		return r, false, err
	}
	index := at % pageSize / entrySize
	entry := p.entries[index].Load()
	n := int64(1)
	limit := min(pageEntries-index, (end-1)>>d.shift-number+1)
	if entry == entryAbsent || entry == entryZero {
		for n < limit && p.entries[index+n].Load() == entry {
			n++
		}
		r.kind = absent
		if entry == entryZero {
			r.kind = zeroes
		}
		r.length = d.upTo(pos, end, number+n)
		return r, true, nil
	}
	last := d.end.Load()
	if !d.inside(entry, d.cluster, last) {
		return r, false, badEntry("L2", at, entry)
	}
	limit = min(limit, (last-int64(entry))>>d.shift)
	for n < limit && p.entries[index+n].Load() == entry+uint64(n*d.cluster) {
		n++
	}
	return run{kind: data, offset: int64(entry) + pos&(d.cluster-1), length: d.upTo(pos, end, number+n)}, true, nil
}

// upTo is the distance from pos to the cluster next, or to end if that comes
// first.
func (d *Image) upTo(pos, end, next int64) int64 {
	if next > (end-1)>>d.shift {
		return end - pos
	}
	return next<<d.shift - pos
}

// page is the page that an entry is in.
func (d *Image) page(at int64, cached bool) (*page, error) {
	at &^= pageSize - 1
	if cached {
		return d.tables.peek(at), nil
	}
	return d.tables.get(at)
}

// ReadVec implements [block.Layer].
func (d *Image) ReadVec(vec [][]byte, offset int64) error {
	n := total(vec)
	if err := d.check(offset, n); err != nil {
		return err
	}
	for pos, end := offset, offset+n; pos < end; {
		r, _, err := d.find(pos, end, false)
		if err != nil {
			return err
		}
		if err := d.readRun(r, vec, pos-offset, n, pos); err != nil {
			return err
		}
		pos += r.length
	}
	return nil
}

// readRun fills a run's part of vec, which is n bytes long, from byte skip on.
func (d *Image) readRun(r run, vec [][]byte, skip, n, pos int64) error {
	if r.kind == zeroes {
		zeroVec(vec, skip, r.length)
		return nil
	}
	if r.kind == absent {
		return d.readBacking(vec, skip, r.length, pos)
	}
	if r.length == n {
		return d.below.ReadVec(vec, r.offset)
	}
	s := d.borrow()
	defer d.giveBack(s)
	return d.below.ReadVec(s.part(vec, skip, r.length), r.offset)
}

// readBacking fills n bytes of vec from byte skip on with what the disk has at
// pos without this image. A backing file that is shorter goes on with zeroes.
func (d *Image) readBacking(vec [][]byte, skip, n, pos int64) error {
	have := int64(0)
	if d.backing != nil {
		have = max(0, min(n, d.backing.Size()-pos))
	}
	if have < n {
		zeroVec(vec, skip+have, n-have)
	}
	if have == 0 {
		return nil
	}
	s := d.borrow()
	defer d.giveBack(s)
	return d.backing.ReadVec(s.part(vec, skip, have), pos)
}

// TryReadVec implements [block.TryReader]: it reads what is in one run whose
// entries are in memory.
func (d *Image) TryReadVec(vec [][]byte, offset int64) bool {
	n := total(vec)
	if n == 0 || d.check(offset, n) != nil {
		return false
	}
	r, ok, err := d.find(offset, offset+n, true)
	if !ok || err != nil || r.length < n {
		return false
	}
	if r.kind == zeroes || r.kind == absent && d.backing == nil {
		zeroVec(vec, 0, n)
		return true
	}
	from, at := d.below, r.offset
	if r.kind == absent {
		from, at = d.backing, offset
		if at > from.Size() || n > from.Size()-at {
			return false
		}
	}
	try, ok := from.(block.TryReader)
	return ok && try.TryReadVec(vec, at)
}

// Map implements [block.Mapper].
func (d *Image) Map(offset, length int64) (block.Extent, error) {
	if err := d.check(offset, length); err != nil {
		return block.Extent{}, err
	}
	if length == 0 {
		return block.Extent{}, block.ErrOutOfRange
	}
	r, _, err := d.find(offset, offset+length, false)
	if err != nil {
		return block.Extent{}, err
	}
	e := block.Extent{Length: r.length, Allocated: r.kind != absent, Zero: r.kind == zeroes}
	if r.kind == absent {
		switch {
		case d.backing == nil || offset >= d.backing.Size():
			e.Zero = true
		case r.length > d.backing.Size()-offset:
			e.Length = d.backing.Size() - offset
		}
	}
	return e, nil
}

// check is what every request begins with.
func (d *Image) check(offset, n int64) error {
	if size := d.size.Load(); offset < 0 || n < 0 || offset > size || n > size-offset {
		return block.ErrOutOfRange
	}
	return nil
}
