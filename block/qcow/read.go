package qcow

import (
	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/internal/vec"
)

// kind is where a stretch of the disk is.
type kind uint8

const (
	absent  kind = iota // in the backing file, or zeroes
	plain               // data, which may be encrypted
	packing             // compressed data, of one cluster
)

// run is a stretch of the disk that is in one place.
type run struct {
	kind   kind
	offset int64  // in the store, of plain data
	at     int64  // of the entry in the store, if it is compressed
	entry  uint64 // likewise
	length int64
}

// find looks up the run that begins at pos of the disk and ends at end or before.
// With cached it is false if that takes reading.
func (d *Image) find(pos, end int64, cached bool) (r run, ok bool, err error) {
	number := pos >> d.shift
	at := d.l1 + number/d.entries*entrySize
	p, err := d.page(at, cached)
	if p == nil {
		return r, false, err
	}
	table := p.entries[at%pageSize/entrySize]
	if table == 0 {
		next := number - number%d.entries + d.entries
		return run{length: d.upTo(pos, end, next)}, true, nil
	}
	if table%entrySize != 0 || !d.inside(table, d.entries*entrySize) {
		return r, false, badEntry("L1", at, table)
	}
	index := number % d.entries
	at = int64(table) + index*entrySize
	if p, err = d.page(at, cached); p == nil {
		return r, false, err
	}
	slot := at % pageSize / entrySize
	entry := p.entries[slot]
	// Entries that follow in the same page and the same table.
	limit := min(pageEntries-slot, d.entries-index, (end-1)>>d.shift-number+1)
	n := int64(1)
	switch {
	case entry&compressed != 0:
		return run{kind: packing, at: at, entry: entry, length: d.upTo(pos, end, number+1)}, true, nil
	case entry == 0:
		for n < limit && p.entries[slot+n] == 0 {
			n++
		}
		return run{length: d.upTo(pos, end, number+n)}, true, nil
	case !d.inside(entry, d.cluster):
		return r, false, badEntry("L2", at, entry)
	}
	for n < limit && p.entries[slot+n] == entry+uint64(n<<d.shift) && d.inside(p.entries[slot+n], d.cluster) {
		n++
	}
	return run{kind: plain, offset: int64(entry) + pos&(d.cluster-1), length: d.upTo(pos, end, number+n)}, true, nil
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
		if err := d.readRun(&r, v, pos-offset, pos); err != nil {
			return err
		}
		pos += r.length
	}
	return nil
}

// readRun fills a run's part of v, from byte skip on.
func (d *Image) readRun(r *run, v [][]byte, skip, pos int64) error {
	switch {
	case r.kind == absent:
		return d.readBacking(v, skip, r.length, pos)
	case r.kind == packing:
		data, err := d.unpack(r.at, r.entry)
		if err != nil {
			return err
		}
		within := pos & (d.cluster - 1)
		block.Scatter(v, skip, data[within:within+r.length])
		return nil
	case d.cipher != nil:
		return d.decrypt(r, v, skip, pos)
	}
	s := d.borrow()
	defer d.giveBack(s)
	return d.below.ReadVec(s.part(v, skip, r.length), r.offset)
}

// decrypted is how much is decrypted at a time, in bytes.
const decrypted = 64 << 10

// decrypt fills an encrypted run's part of v, by whole sectors.
func (d *Image) decrypt(r *run, v [][]byte, skip, pos int64) error {
	s := d.borrow()
	defer d.giveBack(s)
	if s.buf == nil {
		s.buf = make([]byte, decrypted)
	}
	before := pos % block.SectorSize
	from, at, end := pos-before, r.offset-before, pos+r.length
	for from < end {
		p := s.buf[:min(decrypted, (end-from+block.SectorSize-1)&^(block.SectorSize-1))]
		s.one[0] = p
		if err := d.below.ReadVec(s.one[:], at); err != nil {
			return err
		}
		d.cipher.Decrypt(p, p, uint64(from)/block.SectorSize)
		part := p[before:min(int64(len(p)), end-from)]
		block.Scatter(v, skip, part)
		skip += int64(len(part))
		from, at, before = from+int64(len(p)), at+int64(len(p)), 0
	}
	return nil
}

// readBacking fills n bytes of v from byte skip on with what the disk has at pos
// without this image. A backing file that is shorter goes on with zeroes.
func (d *Image) readBacking(v [][]byte, skip, n, pos int64) error {
	have := int64(0)
	if d.backing != nil {
		have = max(0, min(n, d.backing.Size()-pos))
	}
	if have < n {
		vec.Zero(v, skip+have, n-have)
	}
	if have == 0 {
		return nil
	}
	s := d.borrow()
	defer d.giveBack(s)
	return d.backing.ReadVec(s.part(v, skip, have), pos)
}

// TryReadVec implements [block.TryReader]: it reads what is in one run whose
// entries are in memory, and neither compressed nor encrypted.
func (d *Image) TryReadVec(v [][]byte, offset int64) bool {
	n := vec.Total(v)
	if n == 0 || d.check(offset, n) != nil {
		return false
	}
	r, ok, err := d.find(offset, offset+n, true)
	if !ok || err != nil || r.length < n {
		return false
	}
	from, at := d.below, r.offset
	switch {
	case r.kind == packing, r.kind == plain && d.cipher != nil:
		return false
	case r.kind == absent && d.backing == nil:
		vec.Zero(v, 0, n)
		return true
	case r.kind == absent:
		from, at = d.backing, offset
		if at > from.Size() || n > from.Size()-at {
			return false
		}
	}
	try, ok := from.(block.TryReader)
	return ok && try.TryReadVec(v, at)
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
	e := block.Extent{Length: r.length, Allocated: r.kind != absent}
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
	if offset < 0 || n < 0 || offset > d.size || n > d.size-offset {
		return block.ErrOutOfRange
	}
	return nil
}

// scratch is room for a part of a vector, and for what is decrypted.
type scratch struct {
	vec [][]byte
	buf []byte
	one [1][]byte
}

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
