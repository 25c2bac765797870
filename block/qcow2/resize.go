package qcow2

import (
	"errors"
	"fmt"

	"github.com/govmm/govmm/block"
)

// Resize implements [block.Resizer]. One of version 2 cannot be resized if it has
// snapshots, as these do not say how large the disk was.
func (d *Image) Resize(size int64) error {
	old := d.size.Load()
	switch {
	case d.readOnly:
		return block.ErrReadOnly
	case d.broken.Load():
		return errBroken
	case size < 0 || size%block.SectorSize != 0 || size > int64(maxL1/8)<<d.span():
		return fmt.Errorf("%d bytes are no size of this qcow2 image, which has a multiple of %d, at most %d", size, block.SectorSize, int64(maxL1/8)<<d.span())
	}
	if d.version < 3 && len(d.snapshots) > 0 {
		return fmt.Errorf("a qcow2 image of version 2 that has snapshots cannot be resized: %w", errors.ErrUnsupported)
	}
	if err := d.begin(); err != nil {
		return err
	}
	if size < old {
		return d.shrink(size)
	}
	if err := d.growL1(int((size + 1<<d.span() - 1) >> d.span())); err != nil {
		return err
	}
	// What there was beyond the end, in the last cluster or the backing file,
	// must not come to light.
	hidden := min(size, d.up(old))
	if d.backing != nil {
		hidden = max(hidden, min(size, d.backing.Size()))
	}
	if err := d.change(func() error { return d.zero(old, hidden, true) }); err != nil {
		return err
	}
	if err := d.Flush(); err != nil {
		return err
	}
	return d.setSize(size)
}

// setSize changes the size in the header.
func (d *Image) setSize(size int64) error {
	d.flushing.Lock()
	defer d.flushing.Unlock()
	if err := d.putHeader(atSize, uint64(size)); err != nil {
		return err
	}
	if err := d.below.Flush(); err != nil {
		return err
	}
	d.size.Store(size)
	return nil
}

// shrink cuts the end of the disk off, and frees what it had.
func (d *Image) shrink(size int64) error {
	end := d.size.Load()
	if err := d.setSize(size); err != nil {
		return err
	}
	return d.change(func() error {
		// What is left of the last cluster must not come to light when another
		// program makes the disk larger.
		if err := d.zero(size, min(d.up(size), end), false); err != nil {
			return err
		}
		for pos := d.up(size); pos < end; {
			next := min(d.spanEnd(pos), d.up(end))
			s, _, err := d.find(pos, next, false)
			if err != nil {
				return err
			}
			if s.place != absent || s.length < next-pos {
				if err := d.cutEntries(pos, next); err != nil {
					return err
				}
			}
			pos = next
		}
		return nil
	})
}

// cutEntries makes entries empty that are beyond the end of the disk, in one L2
// table.
func (d *Image) cutEntries(pos, end int64) error {
	first, last := pos>>d.bits, (end-1)>>d.bits
	d.flights.begin(first, last)
	defer d.flights.end(first, last)
	return d.edit(pos, end, func(entry, uint32) entry { return entry{} })
}

// growL1 makes the L1 table longer if it has less entries than that.
func (d *Image) growL1(entries int) error {
	d.flushing.Lock()
	defer d.flushing.Unlock()
	t := &d.tables
	// Only this function changes how many there are.
	old := len(t.l1)
	if entries <= old {
		return nil
	}
	if err := d.flush(); err != nil {
		return err
	}
	to, err := d.refs.takeWhole(d.clusters(int64(entries) * 8))
	if err != nil {
		return err
	}
	if err := d.moveL1(entries, to); err != nil {
		return errors.Join(err, d.refs.drop(span{to.at, to.length}))
	}
	was := span{t.l1Offset, int64(old) * 8}
	t.l1Offset = to.at
	d.reserved.replace(was, span{to.at, to.length})
	if was.length == 0 {
		return nil
	}
	return d.refs.drop(was)
}

// moveL1 writes a longer L1 table to another place, and has the header point to it.
func (d *Image) moveL1(entries int, to run) error {
	t := &d.tables
	// It is a copy of what the container has: in memory there may already be
	// entries for tables that are not written yet.
	l1, err := readWords(d.below, t.l1Offset, int64(len(t.l1)))
	if err != nil {
		return err
	}
	p := make([]byte, to.length)
	appendBytes(p[:0], l1)
	if err := d.refs.flush(); err != nil {
		return err
	}
	if err := d.writeBelow([][]byte{p}, to.at); err != nil {
		return err
	}
	if err := d.below.Flush(); err != nil {
		return err
	}
	if err := d.switchTable(atL1, uint64(to.at), uint32(entries)); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.l1 = append(t.l1, make([]uint64, entries-len(t.l1))...)
	t.loaded = append(t.loaded, make([]*table, entries-len(t.loaded))...)
	return nil
}
