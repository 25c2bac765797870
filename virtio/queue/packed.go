package queue

import (
	"encoding/binary"
	"sync/atomic"
)

// packedRing is the packed form (section 2.8). Driver and device write into the
// same ring of descriptors: the device writes a used descriptor over the first
// of a list that it has done with. Each keeps a wrap counter, which starts as 1
// and changes at each pass over the ring's end. A descriptor is available when
// its AVAIL flag equals, and its USED flag differs from, the driver's counter;
// it is used when both equal the device's.
//
// The driver and device areas say what each wants to be told of:
//
//	31       18 17  16   15   14                         0
//	[reserved ][ flags ][wrap][ offset into the ring      ]
//
// flags: 0 tell of all, 1 of nothing, 2 (with event indexes) of the descriptor
// at offset in the pass with that wrap counter.
type packedRing struct {
	queue *Queue
	ring  []byte
	size  uint16

	driverEvent *uint32
	deviceEvent *uint32
	deviceArea  []byte

	// Of the goroutine that pops.
	avail position

	// Under the queue's mutex.
	used    position
	first   position // of the batch that is not published yet
	batch   uint64   // its first descriptor's len, id and flags
	pending bool     // there is a batch
	since   uint64   // entries published since last asked about an interrupt
	unsure  bool     // since is not known
}

// position is a place in a packed ring and the wrap counter there.
type position struct {
	slot uint16
	wrap bool
}

func (p position) add(n, size uint16) position {
	slot := int(p.slot) + int(n)
	if slot >= int(size) {
		return position{uint16(slot - int(size)), !p.wrap}
	}
	return position{uint16(slot), p.wrap}
}

func (p position) sub(n, size uint16) position {
	if n > p.slot {
		return position{uint16(int(p.slot) + int(size) - int(n)), !p.wrap}
	}
	return position{p.slot - n, p.wrap}
}

// event is the position as an event suppression structure holds it.
func (p position) event() uint32 {
	if p.wrap {
		return uint32(p.slot) | eventWrap
	}
	return uint32(p.slot)
}

const (
	eventEnable  = 0 << 16
	eventDisable = 1 << 16
	eventDesc    = 2 << 16
	eventFlags   = 3 << 16
	eventWrap    = 1 << 15
	eventOffset  = 1<<15 - 1
)

func newPackedRing(q *Queue, a ringAreas) *packedRing {
	start := position{wrap: true}
	return &packedRing{
		queue: q, ring: a.desc, size: q.config.Size,
		driverEvent: word32(a.driver, 0),
		deviceEvent: word32(a.device, 0),
		deviceArea:  a.device,
		avail:       start,
		used:        start,
		first:       start,
	}
}

// available reports whether the descriptor at the next position is.
func (r *packedRing) available() bool {
	flags := atomic.LoadUint32(word32(r.ring, int(r.avail.slot)*descSize+12)) >> 16
	return (flags&flagAvail != 0) == r.avail.wrap && (flags&flagUsed != 0) != r.avail.wrap
}

func (r *packedRing) pop(c *Chain) (bool, *Violation) {
	if !r.available() {
		return false, nil
	}
	at := r.avail.slot
	d := packedDescriptor(r.ring, at)
	c.first, c.entries = at, 1
	if d.flags&flagIndirect != 0 {
		if d.flags&flagNext != 0 {
			return false, r.queue.violation(at, IndirectWithNext)
		}
		table, rule := r.queue.indirectTable(d)
		if rule != 0 {
			return false, r.queue.violation(at, rule)
		}
		if index, rule := c.collectPackedIndirect(table); rule != 0 {
			return false, r.queue.violation(index, rule)
		}
	} else {
		for {
			if rule := c.add(d); rule != 0 {
				return false, r.queue.violation(at, rule)
			}
			if d.flags&flagNext == 0 {
				break
			}
			if c.entries == r.size {
				return false, r.queue.violation(at, DescriptorLoop)
			}
			if at++; at == r.size {
				at = 0
			}
			d = packedDescriptor(r.ring, at)
			if d.flags&flagIndirect != 0 {
				return false, r.queue.violation(at, IndirectInList)
			}
			c.entries++
		}
	}
	c.id = d.tag // the last descriptor's
	r.avail = r.avail.add(c.entries, r.size)
	return true, nil
}

// collectPackedIndirect adds the buffers of an indirect table. Flags other than
// WRITE, and buffer ids, have no meaning in it (section 2.8.7).
func (c *Chain) collectPackedIndirect(table []byte) (uint16, Rule) {
	for i := range len(table) / descSize {
		d := packedDescriptor(table[i*descSize:], 0)
		if rule := c.add(d); rule != 0 {
			return uint16(i), rule
		}
	}
	return 0, 0
}

func (r *packedRing) unpop(c *Chain) { r.avail = r.avail.sub(c.entries, r.size) }

func (r *packedRing) use(c *Chain, written uint32) {
	flags := uint64(0)
	if r.used.wrap {
		flags = flagAvail | flagUsed
	}
	if written > 0 {
		flags |= flagWrite
	}
	rest := uint64(written) | uint64(c.id)<<32 | flags<<48
	if r.pending {
		entry := r.ring[int(r.used.slot)*descSize:][:descSize]
		binary.LittleEndian.PutUint64(entry[8:], rest)
		r.queue.ram.markDirty(entry)
	} else {
		// The driver goes by the order of the ring: it sees nothing of a batch
		// before its first descriptor.
		r.first, r.batch, r.pending = r.used, rest, true
	}
	r.used = r.used.add(c.entries, r.size)
	r.since += uint64(c.entries)
}

func (r *packedRing) publish() {
	if !r.pending {
		return
	}
	offset := int(r.first.slot) * descSize
	atomic.StoreUint64(word64(r.ring, offset+8), r.batch)
	r.queue.ram.markDirty(r.ring[offset : offset+descSize])
	r.pending = false
}

func (r *packedRing) wantsInterrupt() bool {
	since, unsure := r.since, r.unsure
	r.since, r.unsure = 0, false
	if unsure {
		return true
	}
	if since == 0 {
		return false
	}
	event := atomic.LoadUint32(r.driverEvent)
	switch flags := event & eventFlags; {
	case flags == eventDisable:
		return false
	case flags != eventDesc || !r.queue.config.EventIndex:
		return true
	}
	// How far before our position is the descriptor that the driver wants to
	// know about? Positions repeat after two passes.
	cycle := 2 * int(r.size)
	at := int(event & eventOffset)
	if (event&eventWrap != 0) != r.used.wrap {
		at += int(r.size)
	}
	behind := ((int(r.used.slot)-at)%cycle + cycle) % cycle
	return behind != 0 && uint64(behind) <= since
}

func (r *packedRing) enableNotify() bool {
	event := uint32(eventEnable)
	if r.queue.config.EventIndex {
		event = eventDesc | r.avail.event()
	}
	r.storeEvent(event)
	// As in splitRing.enableNotify: the store is a full barrier.
	return r.available()
}

func (r *packedRing) disableNotify() { r.storeEvent(eventDisable) }

func (r *packedRing) storeEvent(event uint32) {
	atomic.StoreUint32(r.deviceEvent, event)
	r.queue.ram.markDirty(r.deviceArea)
}

func (r *packedRing) save() State {
	return State{
		NextAvail: r.avail.slot, AvailWrap: r.avail.wrap,
		NextUsed: r.used.slot, UsedWrap: r.used.wrap,
	}
}

func (r *packedRing) restore(s State) bool {
	avail, used := position{s.NextAvail, s.AvailWrap}, position{s.NextUsed, s.UsedWrap}
	if avail != used || avail.slot >= r.size {
		return false
	}
	r.avail, r.used, r.unsure = avail, used, true
	return true
}
