package queuetest

type split struct {
	d      *Driver
	free   []uint16 // descriptors, the one to be used first in front
	chains map[uint16][]uint16
	next   uint16 // available index after all that was added
	shown  uint16 // as published
	last   uint16 // used index up to which we have looked
}

func newSplit(d *Driver) *split {
	s := &split{d: d, chains: map[uint16][]uint16{}}
	for i := range d.o.Size {
		s.free = append(s.free, i)
	}
	return s
}

func (s *split) add(bufs []Buffer, indirect bool) (uint16, bool) {
	need := len(bufs)
	if indirect {
		need = 1
	}
	if need > len(s.free) {
		return 0, false
	}
	slots := s.free[:need:need]
	s.free = s.free[need:]
	id, table := slots[0], s.d.config.Desc
	index := func(i int) uint16 { return slots[i] }
	if indirect {
		table = s.d.table(id)
		whole := Buffer{Addr: table, Len: 16 * uint32(len(bufs))}
		s.d.Descriptor(s.d.config.Desc+16*uint64(id), whole, flagIndirect, 0)
		index = func(i int) uint16 { return uint16(i) }
	}
	for i, b := range bufs {
		flags, next := uint16(0), uint16(0)
		if i < len(bufs)-1 {
			flags, next = flagNext, index(i+1)
		}
		s.d.Descriptor(table+16*uint64(index(i)), b, flags, next)
	}
	s.chains[id] = slots
	s.d.store16(s.d.config.Driver+4+2*uint64(s.next%s.d.o.Size), id)
	s.next++
	return id, true
}

func (s *split) publish() bool {
	c, old := &s.d.config, s.shown
	s.d.store16(c.Driver+2, s.next)
	s.shown = s.next
	if s.d.o.EventIndex {
		event := s.d.load16(c.Device + 4 + 8*uint64(s.d.o.Size))
		return s.next-event-1 < s.next-old
	}
	return old != s.next && s.d.load16(c.Device)&1 == 0
}

func (s *split) used() (Used, bool) {
	c := &s.d.config
	if s.d.load16(c.Device+2) == s.last {
		return Used{}, false
	}
	entry := c.Device + 4 + 8*uint64(s.last%s.d.o.Size)
	id, err := s.d.mem.Load32(entry)
	s.d.must(err)
	n, err := s.d.mem.Load32(entry + 4)
	s.d.must(err)
	slots, ok := s.chains[uint16(id)]
	if !ok || id > 0xffff {
		s.d.tb.Fatalf("queuetest: the device used request %d, which it does not have", id)
	}
	delete(s.chains, uint16(id))
	s.free = append(s.free, slots...)
	s.last++
	return Used{ID: uint16(id), Len: n}, true
}

func (s *split) interrupts(on bool) {
	c := &s.d.config
	switch {
	case s.d.o.EventIndex && on:
		s.d.store16(c.Driver+4+2*uint64(s.d.o.Size), s.last)
	case s.d.o.EventIndex:
		s.d.store16(c.Driver+4+2*uint64(s.d.o.Size), s.last-1) // just passed
	case on:
		s.d.store16(c.Driver, 0)
	default:
		s.d.store16(c.Driver, 1)
	}
}
