package qcow2

// WriteZeroes implements [block.Layer]. With unmap clusters are freed, else they
// stay the disk's.
func (d *Image) WriteZeroes(offset, length int64, unmap bool) error {
	if err := d.checkWrite(offset, length); err != nil {
		return err
	}
	return d.change(func() error { return d.zero(offset, offset+length, unmap) })
}

// zero makes zeroes of the disk from pos to end, which may be beyond its end.
func (d *Image) zero(pos, end int64, unmap bool) error {
	unit := d.unit()
	for pos < end {
		next := min(end, d.spanEnd(pos))
		first, last := (pos+unit-1)&^(unit-1), next&^(unit-1)
		if next >= d.size.Load() {
			last = d.up(next)
		}
		// Either whole clusters, or a part of one.
		if !d.aligned(pos) {
			last = min(last, d.up(pos))
		} else if d.down(last) > pos {
			last = d.down(last)
		}
		done, err := int64(0), error(nil)
		switch {
		case d.version < 3 && d.backing != nil:
			done, err = d.zeroData(pos, next)
		case pos < first:
			done, err = d.zeroData(pos, min(first, next))
		case first < last:
			done, err = d.zeroEntries(pos, last, unmap)
		default:
			done, err = d.zeroData(pos, next)
		}
		if err != nil {
			return err
		}
		pos += done
	}
	return nil
}

// zeroData makes zeroes of the disk from pos on by writing them.
func (d *Image) zeroData(pos, end int64) (done int64, err error) {
	s, _, err := d.find(pos, end, false)
	if err != nil {
		return 0, err
	}
	n := s.length
	if s.place == zeroes || s.place == absent && (d.backing == nil || pos >= d.backing.Size()) {
		return n, nil
	}
	n = min(n, d.cluster)
	b := d.borrow()
	defer d.giveBack(b)
	b.addZeroes(d.zeroes, n)
	return n, d.write(b.vec, pos, n)
}

// zeroEntries makes zeroes of whole clusters from pos to end, which are in one L2
// table, or of whole subclusters of one cluster.
func (d *Image) zeroEntries(pos, end int64, unmap bool) (done int64, err error) {
	s, _, err := d.find(pos, end, false)
	if err != nil {
		return 0, err
	}
	switch {
	case s.place == zeroes && !unmap,
		s.place == absent && (d.backing == nil || pos >= d.backing.Size()):
		return s.length, nil
	case s.place == compressed && end-pos < d.cluster:
		return d.zeroData(pos, end)
	}
	first, last := pos>>d.bits, (end-1)>>d.bits
	d.flights.begin(first, last)
	defer d.flights.end(first, last)
	done = end - pos
	err = d.edit(pos, end, func(e entry, mask uint32) entry {
		if e.compressed && mask != d.full {
			done = 0 // compressed meanwhile: look again
			return e
		}
		return d.zeroed(e, mask, unmap)
	})
	return done, err
}

// zeroed is an entry of which the subclusters in the mask have been made zeroes.
func (d *Image) zeroed(e entry, mask uint32, unmap bool) entry {
	if e.compressed {
		e = entry{}
	}
	e.alloc &^= mask
	if d.backing != nil || e.host != 0 {
		e.zero |= mask
	}
	if e.alloc == 0 && (unmap || !e.owned) || d.version < 3 {
		e.host, e.owned = 0, false
		if d.backing == nil {
			e.zero = 0
		}
	}
	return e
}

// Discard implements [block.Layer]. It frees whole clusters. What is read there
// afterwards are zeroes, also where the backing file has something else.
func (d *Image) Discard(offset, length int64) error {
	if err := d.checkWrite(offset, length); err != nil {
		return err
	}
	return d.change(func() error { return d.discard(offset, offset+length) })
}

func (d *Image) discard(pos, end int64) error {
	if d.version < 3 && d.backing != nil {
		return nil // the backing file's data would come to light
	}
	if end >= d.size.Load() {
		end = d.up(end)
	}
	for pos, end = d.up(pos), d.down(end); pos < end; {
		s, _, err := d.find(pos, end, false)
		if err != nil {
			return err
		}
		if s.place == absent && s.length >= d.cluster {
			pos += d.down(s.length)
			continue
		}
		next := min(end, d.spanEnd(pos))
		if err := d.discardEntries(pos, next); err != nil {
			return err
		}
		pos = next
	}
	return nil
}

// discardEntries frees whole clusters, which are in one L2 table.
func (d *Image) discardEntries(pos, end int64) error {
	first, last := pos>>d.bits, (end-1)>>d.bits
	d.flights.begin(first, last)
	defer d.flights.end(first, last)
	return d.edit(pos, end, func(e entry, mask uint32) entry {
		switch {
		case e.host == 0:
			return e
		case d.backing == nil:
			return entry{}
		}
		return entry{zero: d.full}
	})
}
