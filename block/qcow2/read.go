package qcow2

import (
	"fmt"

	"github.com/govmm/govmm/block"
)

// stretch is a part of the disk that is in one place.
type stretch struct {
	place  place
	owned  bool  // data: nothing else refers to its clusters
	at     int64 // in the container, of data and of what is compressed
	packed int   // bytes of what is compressed
	length int64
}

// find looks up the stretch that begins at pos of the disk and ends at end or
// before. With cached it is false if that takes reading.
func (d *Image) find(pos, end int64, cached bool) (s stretch, ok bool, err error) {
	index := d.l1Index(pos)
	t := &d.tables
	for {
		t.mu.RLock()
		if index >= len(t.l1) || t.l1[index] == 0 {
			t.mu.RUnlock()
			return stretch{length: min(end, d.spanEnd(pos)) - pos}, true, nil
		}
		if n := t.loaded[index]; n != nil {
			s, err = d.scan(n, pos, end)
			t.mu.RUnlock()
			n.touch()
			return s, err == nil, err
		}
		t.mu.RUnlock()
		if cached {
			return s, false, nil
		}
		if _, err := d.table(index); err != nil {
			return s, false, err
		}
	}
}

// entry is the entry of a table with an index. The caller holds tables.mu.
func (d *Image) entry(t *table, index int) (entry, error) {
	return d.decode(t.words[index*d.words:])
}

// scan finds the stretch at pos in the L2 table of it. The caller holds tables.mu.
func (d *Image) scan(t *table, pos, end int64) (s stretch, err error) {
	i := d.l2Index(pos)
	e, err := d.entry(t, i)
	if err != nil {
		return s, err
	}
	within := pos & (d.cluster - 1)
	if e.compressed {
		return stretch{place: compressed, at: e.host, packed: e.length, length: min(end-pos, d.cluster-within)}, nil
	}
	sub := d.sub(pos)
	s.place, s.owned = e.place(sub), e.owned
	if s.place == data {
		if !d.inside(e.host, d.cluster) {
			return s, corrupt("L2 entry %#x is beyond the end of the image", t.words[i*d.words])
		}
		s.at = e.host + within
	}
	next, start := e.alike(sub, d.subs), pos-within
	for next == d.subs && start+d.cluster < end && i+1 < 1<<d.l2Bits {
		i++
		f, err := d.entry(t, i)
		if err != nil || f.place(0) != s.place ||
			s.place == data && (f.host != e.host+d.cluster || f.owned != s.owned || !d.inside(f.host, d.cluster)) {
			break
		}
		e, start, next = f, start+d.cluster, f.alike(0, d.subs)
	}
	s.length = min(end, start+int64(next)<<d.subBits) - pos
	return s, nil
}

// ReadVec implements [block.Layer].
func (d *Image) ReadVec(vec [][]byte, offset int64) error {
	n := total(vec)
	if err := d.check(offset, n); err != nil {
		return err
	}
	g := d.grace.enter()
	defer d.grace.leave(g)
	return d.read(vec, offset, n)
}

// read fills vec, which is n bytes long. The caller has entered the grace period,
// as with what follows.
func (d *Image) read(vec [][]byte, offset, n int64) error {
	for pos, end := offset, offset+n; pos < end; {
		s, _, err := d.find(pos, end, false)
		if err != nil {
			return err
		}
		if err := d.readStretch(s, vec, pos-offset, n, pos); err != nil {
			return err
		}
		pos += s.length
	}
	return nil
}

// readStretch fills the part of vec, which is n bytes long, from byte skip on that
// a stretch has.
func (d *Image) readStretch(s stretch, vec [][]byte, skip, n, pos int64) error {
	switch s.place {
	case zeroes:
		zeroVec(vec, skip, s.length)
		return nil
	case absent:
		return d.readBacking(vec, skip, s.length, pos)
	case compressed:
		return d.readCompressed(s, vec, skip, pos)
	}
	if s.length == n {
		return d.readBelow(vec, n, s.at)
	}
	b := d.borrow()
	defer d.giveBack(b)
	return d.readBelow(b.part(vec, skip, s.length), s.length, s.at)
}

// readBelow fills vec, which is n bytes long, from the container. The last cluster
// may go on beyond its end, with zeroes.
func (d *Image) readBelow(vec [][]byte, n, at int64) error {
	size := d.below.Size()
	if n <= size-at {
		return d.below.ReadVec(vec, at)
	}
	have := max(0, size-at)
	zeroVec(vec, have, n-have)
	if have == 0 {
		return nil
	}
	b := d.borrow()
	defer d.giveBack(b)
	return d.below.ReadVec(b.part(vec, 0, have), at)
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
	b := d.borrow()
	defer d.giveBack(b)
	if err := d.backing.ReadVec(b.part(vec, skip, have), pos); err != nil {
		return fmt.Errorf("backing file: %w", err)
	}
	return nil
}

// TryReadVec implements [block.TryReader]: it reads what is in one stretch whose
// entries are in memory.
func (d *Image) TryReadVec(vec [][]byte, offset int64) bool {
	n := total(vec)
	if n == 0 || d.check(offset, n) != nil {
		return false
	}
	g := d.grace.enter()
	defer d.grace.leave(g)
	s, ok, err := d.find(offset, offset+n, true)
	if !ok || err != nil || s.length < n || s.place == compressed {
		return false
	}
	if s.place == zeroes || s.place == absent && d.backing == nil {
		zeroVec(vec, 0, n)
		return true
	}
	from, at := d.below, s.at
	if s.place == absent {
		from, at = d.backing, offset
	}
	if at > from.Size() || n > from.Size()-at {
		return false
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
	s, _, err := d.find(offset, offset+length, false)
	if err != nil {
		return block.Extent{}, err
	}
	e := block.Extent{Length: s.length, Allocated: s.place != absent, Zero: s.place == zeroes}
	if s.place != absent {
		return e, nil
	}
	if d.backing == nil || offset >= d.backing.Size() {
		e.Zero = true
		return e, nil
	}
	e.Length = min(e.Length, d.backing.Size()-offset)
	if m, ok := d.backing.(block.Mapper); ok {
		b, err := m.Map(offset, e.Length)
		if err != nil {
			return e, fmt.Errorf("backing file: %w", err)
		}
		e.Length, e.Zero = b.Length, b.Zero
	}
	return e, nil
}

// isZero reports whether the disk is known to be zeroes from pos to end.
func (d *Image) isZero(pos, end int64) bool {
	for pos < end {
		s, _, err := d.find(pos, end, false)
		switch {
		case err != nil || s.place == data || s.place == compressed:
			return false
		case s.place == absent && !d.backingZero(pos, pos+s.length):
			return false
		}
		pos += s.length
	}
	return true
}

// backingZero reports whether the backing file is known to be zeroes from pos to
// end.
func (d *Image) backingZero(pos, end int64) bool {
	if d.backing == nil {
		return true
	}
	end = min(end, d.backing.Size())
	if pos >= end {
		return true
	}
	m, ok := d.backing.(block.Mapper)
	if !ok {
		return false
	}
	// One look is enough: a file with many holes is soon read.
	e, err := m.Map(pos, end-pos)
	return err == nil && e.Zero && e.Length == end-pos
}

// check is what every request begins with.
func (d *Image) check(offset, n int64) error {
	if size := d.size.Load(); offset < 0 || n < 0 || offset > size || n > size-offset {
		return block.ErrOutOfRange
	}
	return nil
}
