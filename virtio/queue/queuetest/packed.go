package queuetest

type packed struct {
	d      *Driver
	ids    []uint16          // free buffer ids
	counts map[uint16]uint16 // ring entries of each request
	room   uint16            // free ring entries
	next   place             // for the next descriptor
	last   place             // of the next used descriptor
	heads  []head            // added, not published
}

// place is a ring entry and the wrap counter there.
type place struct {
	slot uint16
	wrap bool
}

// head is the first descriptor of a request.
type head struct{ slot, flags uint16 }

func newPacked(d *Driver) *packed {
	p := &packed{
		d: d, counts: map[uint16]uint16{}, room: d.o.Size,
		next: place{wrap: true}, last: place{wrap: true},
	}
	for i := range d.o.Size {
		p.ids = append(p.ids, i)
	}
	return p
}

func (p *packed) step(at place, n uint16) place {
	at.slot += n
	if at.slot >= p.d.o.Size {
		at.slot, at.wrap = at.slot-p.d.o.Size, !at.wrap
	}
	return at
}

func (p *packed) entry(slot uint16) uint64 { return p.d.config.Desc + 16*uint64(slot) }

func (p *packed) add(bufs []Buffer, indirect bool) (uint16, bool) {
	if indirect {
		if p.room == 0 {
			return 0, false
		}
		table := p.d.table(p.ids[0])
		for i, b := range bufs {
			p.d.Descriptor(table+16*uint64(i), b, 0, 0)
		}
		bufs = []Buffer{{Addr: table, Len: 16 * uint32(len(bufs))}}
	}
	if len(bufs) > int(p.room) {
		return 0, false
	}
	id := p.ids[0]
	p.ids = p.ids[1:]
	for i, b := range bufs {
		flags := uint16(0)
		if p.next.wrap {
			flags |= flagAvail
		} else {
			flags |= flagUsed
		}
		if indirect {
			flags |= flagIndirect
		}
		if i < len(bufs)-1 {
			flags |= flagNext
		}
		if i > 0 {
			p.d.Descriptor(p.entry(p.next.slot), b, flags, id)
		} else {
			// Its flags wait for publish.
			if b.Write {
				flags |= flagWrite
			}
			p.heads = append(p.heads, head{p.next.slot, flags})
			at := p.entry(p.next.slot)
			p.d.must(p.d.mem.Store64(at, b.Addr))
			p.d.must(p.d.mem.Store32(at+8, b.Len))
			p.d.must(p.d.mem.Store16(at+12, id))
		}
		p.next = p.step(p.next, 1)
	}
	p.counts[id] = uint16(len(bufs))
	p.room -= uint16(len(bufs))
	return id, true
}

func (p *packed) publish() bool {
	if len(p.heads) == 0 {
		return false
	}
	// The device goes by the order of the ring: the first is the last to be
	// made available.
	for i := len(p.heads) - 1; i >= 0; i-- {
		p.d.store16(p.entry(p.heads[i].slot)+14, p.heads[i].flags)
	}
	first := p.heads[0].slot
	p.heads = p.heads[:0]
	flags, event := p.d.load16(p.d.config.Device+2)&3, p.d.load16(p.d.config.Device)
	switch flags {
	case 1:
		return false
	case 2:
		// Is it one of the entries from first to before next?
		added := int(p.next.slot) - int(first)
		if added <= 0 {
			added += int(p.d.o.Size)
		}
		at := int(event & 0x7fff)
		if (event>>15 != 0) != p.next.wrap {
			at -= int(p.d.o.Size)
		}
		return at < int(p.next.slot) && at >= int(p.next.slot)-added
	}
	return true
}

func (p *packed) used() (Used, bool) {
	at := p.entry(p.last.slot)
	flags := p.d.load16(at + 14)
	if (flags&flagAvail != 0) != p.last.wrap || (flags&flagUsed != 0) != p.last.wrap {
		return Used{}, false
	}
	id := p.d.load16(at + 12)
	n, err := p.d.mem.Load32(at + 8)
	p.d.must(err)
	count, ok := p.counts[id]
	if !ok {
		p.d.tb.Fatalf("queuetest: the device used request %d, which it does not have", id)
	}
	if flags&flagWrite == 0 {
		n = 0 // the length has no meaning
	}
	delete(p.counts, id)
	p.ids = append(p.ids, id)
	p.room += count
	p.last = p.step(p.last, count)
	return Used{ID: id, Len: n}, true
}

func (p *packed) interrupts(on bool) {
	c := &p.d.config
	switch {
	case !on:
		p.d.store16(c.Driver+2, 1)
	case p.d.o.EventIndex:
		event := p.last.slot
		if p.last.wrap {
			event |= 1 << 15
		}
		p.d.store16(c.Driver, event)
		p.d.store16(c.Driver+2, 2)
	default:
		p.d.store16(c.Driver+2, 0)
	}
}
