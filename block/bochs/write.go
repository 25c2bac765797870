package bochs

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/internal/vec"
)

// growth is by how much the store is made longer at a time, in bytes, if an extent
// is not longer. What is not used in the end is cut off.
const growth = 4 << 20

// WriteVec implements [block.Layer].
func (d *Image) WriteVec(v [][]byte, offset int64) error {
	n := vec.Total(v)
	if err := d.checkWrite(offset, n); err != nil {
		return err
	}
	for pos, end := offset, offset+n; pos < end; {
		r, _, err := d.find(pos, end, false)
		if err != nil {
			return err
		}
		if r.written {
			err = d.writePart(v, pos-offset, r.length, r.offset)
		} else {
			// All that is in one extent at once, also where some of it was written.
			r.length = min(end, (pos>>d.shift+1)<<d.shift) - pos
			err = d.writeNew(v, pos-offset, r.length, pos)
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

// writePart writes n bytes of v from byte skip on to the store.
func (d *Image) writePart(v [][]byte, skip, n, at int64) error {
	s := d.borrow()
	defer d.giveBack(s)
	return d.below.WriteVec(s.part(v, skip, n), at)
}

// writeNew writes n bytes of v, from byte skip on, to an extent, and notes their
// sectors as written. They are at pos of the disk.
func (d *Image) writeNew(v [][]byte, skip, n, pos int64) error {
	index := pos >> d.shift
	stripe := &d.stripes[index%int64(len(d.stripes))]
	stripe.Lock()
	defer stripe.Unlock()
	number := d.catalog[index].Load()
	if number == absent {
		var err error
		if number, err = d.newExtent(index); err != nil {
			return err
		}
	}
	within := pos & (d.extent - 1)
	place := d.place(number)
	if err := d.pad(pos, n, place+d.bitmap+within); err != nil {
		return err
	}
	if err := d.writePart(v, skip, n, place+d.bitmap+within); err != nil {
		return err
	}
	d.meta.Lock()
	defer d.meta.Unlock()
	if d.bitmaps.full() {
		if err := d.writeBack(); err != nil {
			return err
		}
	}
	return d.bitmaps.change(place, within/sectorSize, (within+n+sectorSize-1)/sectorSize)
}

// pad clears what is around n bytes at pos of the disk, and at an offset of the
// store, in the first and the last of their sectors, where these have not been
// written before.
func (d *Image) pad(pos, n, at int64) error {
	var zeroes [sectorSize]byte
	clearSector := func(inside, from, to int64) error {
		if from == to {
			return nil
		}
		r, _, err := d.find(inside, inside+1, false)
		if err != nil || r.written {
			return err
		}
		return d.below.WriteVec([][]byte{zeroes[:to-from]}, at+from-pos)
	}
	end := pos + n
	if err := clearSector(pos, pos&^(sectorSize-1), pos); err != nil {
		return err
	}
	return clearSector(end-1, end, (end+sectorSize-1)&^(sectorSize-1))
}

// newExtent takes an extent into use for a stretch of the disk.
func (d *Image) newExtent(index int64) (uint32, error) {
	d.meta.Lock()
	defer d.meta.Unlock()
	if int64(d.next) >= d.extents.Load() {
		if err := d.grow(); err != nil {
			return 0, err
		}
	}
	number := d.next
	place := d.place(number)
	if place < d.clean {
		// It may have been in use before.
		if err := d.below.WriteZeroes(place, d.bitmap, true); err != nil {
			return 0, err
		}
	}
	d.bitmaps.insert(d.bitmaps.fresh(place), d.bitmaps.written.Load())
	d.next++
	d.catalog[index].Store(number)
	d.dirty[index*entrySize/sectorSize] = true
	return number, nil
}

// grow makes room for an extent or more.
func (d *Image) grow() error {
	r, ok := d.below.(block.Resizer)
	if !ok || d.fixed {
		return fmt.Errorf("the image has no room to grow: %w", unix.ENOSPC)
	}
	if err := r.Resize(d.place(d.next) + max(d.stride, growth/d.stride*d.stride)); err != nil {
		return err
	}
	d.grown = true
	d.extents.Store(d.fits(d.below.Size()))
	return nil
}

// WriteZeroes implements [block.Layer]. Sectors that have been written keep their
// place, others get none.
func (d *Image) WriteZeroes(offset, length int64, unmap bool) error {
	if err := d.checkWrite(offset, length); err != nil {
		return err
	}
	return d.zero(offset, offset+length, unmap)
}

// zero clears [pos, end), also beyond the end of the disk.
func (d *Image) zero(pos, end int64, unmap bool) error {
	return d.eachWritten(pos, end, func(r run) error { return d.below.WriteZeroes(r.offset, r.length, unmap) })
}

// Discard implements [block.Layer].
func (d *Image) Discard(offset, length int64) error {
	if err := d.checkWrite(offset, length); err != nil {
		return err
	}
	return d.eachWritten(offset, offset+length, func(r run) error { return d.below.Discard(r.offset, r.length) })
}

// eachWritten calls f with the runs in [pos, end) that have been written.
func (d *Image) eachWritten(pos, end int64, f func(run) error) error {
	for pos < end {
		r, _, err := d.find(pos, end, false)
		if err == nil && r.written {
			err = f(r)
		}
		if err != nil {
			return err
		}
		pos += r.length
	}
	return nil
}
