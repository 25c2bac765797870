package bochs

import (
	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/internal/vec"
)

// run is a stretch of the disk that is in one place.
type run struct {
	written bool  // otherwise it is zeroes
	offset  int64 // in the store, if it is written
	length  int64
}

// find looks up the run that begins at pos of the disk and ends at end or before.
// With cached it is false if that takes reading.
func (d *Image) find(pos, end int64, cached bool) (r run, ok bool, err error) {
	index := pos >> d.shift
	number := d.catalog[index].Load()
	if number == absent {
		next := index + 1
		for next<<d.shift < end && d.catalog[next].Load() == absent {
			next++
		}
		return run{length: min(next<<d.shift, end) - pos}, true, nil
	}
	if int64(number) >= d.extents.Load() {
		return r, false, badEntry(index, number)
	}
	place := d.place(number)
	b := d.bitmaps.peek(place)
	if b == nil {
		if cached {
			return r, false, nil
		}
		if b, err = d.bitmaps.get(place); err != nil {
			return r, false, err
		}
	}
	end = min(end, (index+1)<<d.shift)
	within := pos & (d.extent - 1)
	sector := within / sectorSize
	written, n := b.run(sector, (within+end-pos+sectorSize-1)/sectorSize)
	length := min((sector+n)*sectorSize-within, end-pos)
	return run{written: written, offset: place + d.bitmap + within, length: length}, true, nil
}

// ReadVec implements [block.Layer].
func (d *Image) ReadVec(v [][]byte, offset int64) error {
	n := vec.Total(v)
	if err := d.check(offset, n); err != nil {
		return err
	}
	for pos, end := offset, offset+n; pos < end; {
		r, _, err := d.find(pos, end, false)
		if err != nil {
			return err
		}
		switch {
		case !r.written:
			vec.Zero(v, pos-offset, r.length)
		case r.length == n:
			err = d.below.ReadVec(v, r.offset)
		default:
			err = d.readPart(v, pos-offset, r)
		}
		if err != nil {
			return err
		}
		pos += r.length
	}
	return nil
}

// readPart fills a run's part of v, from byte skip on.
func (d *Image) readPart(v [][]byte, skip int64, r run) error {
	s := d.borrow()
	defer d.giveBack(s)
	return d.below.ReadVec(s.part(v, skip, r.length), r.offset)
}

// TryReadVec implements [block.TryReader]: it reads what is in one run whose
// bitmap is in memory.
func (d *Image) TryReadVec(v [][]byte, offset int64) bool {
	n := vec.Total(v)
	if n == 0 || d.check(offset, n) != nil {
		return false
	}
	r, ok, err := d.find(offset, offset+n, true)
	if !ok || err != nil || r.length < n {
		return false
	}
	if !r.written {
		vec.Zero(v, 0, n)
		return true
	}
	try, ok := d.below.(block.TryReader)
	return ok && try.TryReadVec(v, r.offset)
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
	return block.Extent{Length: r.length, Zero: !r.written, Allocated: r.written}, nil
}

// check is what every request begins with.
func (d *Image) check(offset, n int64) error {
	if size := d.size.Load(); offset < 0 || n < 0 || offset > size || n > size-offset {
		return block.ErrOutOfRange
	}
	return nil
}

// scratch is room for a part of a vector.
type scratch struct{ vec [][]byte }

// part is n bytes of v from byte skip on.
func (s *scratch) part(v [][]byte, skip, n int64) [][]byte {
	s.vec = vec.AppendPart(s.vec[:0], v, skip, n)
	return s.vec
}

func (d *Image) borrow() *scratch { return d.scratch.Get().(*scratch) }

// giveBack keeps s without the memory of its user.
func (d *Image) giveBack(s *scratch) {
	clear(s.vec)
	d.scratch.Put(s)
}
