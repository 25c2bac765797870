package queue

import (
	"encoding/binary"
	"sync/atomic"
)

// splitRing is the split form (section 2.7). Offsets in bytes, numbers
// little-endian:
//
//	driver area (available ring)      device area (used ring)
//	0        flags (16 bits)          0        flags (16 bits)
//	2        idx (16)                 2        idx (16)
//	4 + 2*i  ring[i] (16): head       4 + 8*i  ring[i]: id (32), len (32)
//	4 + 2*n  used_event (16)          4 + 8*n  avail_event (16)
//
// Bit 0 of the flags: no interrupt, or no notification, wanted. With event
// indexes the two event fields take their place.
type splitRing struct {
	queue *Queue
	table []byte
	avail []byte
	used  []byte
	mask  uint16

	availFlags, availIndex cell16
	usedEvent, availEvent  cell16  // with event indexes
	usedHead               *uint32 // flags and idx, both ours

	// Of the goroutine that pops.
	next uint16 // available index to be popped
	seen uint16 // the driver's, when last looked at

	// Under the queue's mutex.
	usedIndex uint16 // next entry to write
	published uint16
	signalled uint16 // published when last asked about an interrupt
	unsure    bool   // signalled is not known
	usedFlags uint16
}

const (
	splitEntries  = 4 // offset of ring in both areas
	usedEntrySize = 8
	noInterrupt   = 1 // flags of the available ring
	noNotify      = 1 // flags of the used ring
)

func newSplitRing(q *Queue, a ringAreas) *splitRing {
	r := &splitRing{
		queue: q, table: a.desc, avail: a.driver, used: a.device,
		mask:       q.config.Size - 1,
		availFlags: newCell16(a.driver, 0),
		availIndex: newCell16(a.driver, 2),
		usedHead:   word32(a.device, 0),
	}
	if q.config.EventIndex {
		r.usedEvent = newCell16(a.driver, len(a.driver)-2)
		r.availEvent = newCell16(a.device, len(a.device)-2)
	}
	return r
}

func (r *splitRing) pop(c *Chain) (bool, *Violation) {
	if r.next == r.seen {
		r.seen = r.availIndex.load()
		if r.seen == r.next {
			return false, nil
		}
		if r.seen-r.next > r.queue.config.Size {
			return false, r.queue.violation(r.seen, AvailIndexJump)
		}
	}
	head := load16(r.avail, splitEntries+2*int(r.next&r.mask))
	if head > r.mask {
		return false, r.queue.violation(head, HeadOutOfRange)
	}
	if index, rule := r.collect(c, head); rule != 0 {
		return false, r.queue.violation(index, rule)
	}
	c.first, c.id, c.entries = head, head, 1
	r.next++
	return true, nil
}

// collect adds the buffers of a chain. With a rule it returns the index of the
// descriptor that breaks it.
func (r *splitRing) collect(c *Chain, index uint16) (uint16, Rule) {
	for range r.queue.config.Size {
		d := splitDescriptor(r.table, index)
		if d.flags&flagIndirect != 0 {
			if d.flags&flagNext != 0 {
				return index, IndirectWithNext
			}
			table, rule := r.queue.indirectTable(d)
			if rule != 0 {
				return index, rule
			}
			return c.collectIndirect(table)
		}
		if rule := c.add(d); rule != 0 {
			return index, rule
		}
		if d.flags&flagNext == 0 {
			return index, 0
		}
		if d.tag > r.mask {
			return index, NextOutOfRange
		}
		index = d.tag
	}
	return index, DescriptorLoop
}

// collectIndirect adds the buffers of a chain in an indirect table, which is
// not empty.
func (c *Chain) collectIndirect(table []byte) (uint16, Rule) {
	index, entries := uint16(0), len(table)/descSize
	for range entries {
		d := splitDescriptor(table, index)
		if d.flags&flagIndirect != 0 {
			return index, IndirectNested
		}
		if rule := c.add(d); rule != 0 {
			return index, rule
		}
		if d.flags&flagNext == 0 {
			return index, 0
		}
		if int(d.tag) >= entries {
			return index, IndirectNextOutOfRange
		}
		index = d.tag
	}
	return index, IndirectLoop
}

func (r *splitRing) unpop(*Chain) { r.next-- }

func (r *splitRing) use(c *Chain, written uint32) {
	entry := r.used[splitEntries+usedEntrySize*int(r.usedIndex&r.mask):][:usedEntrySize]
	binary.LittleEndian.PutUint32(entry, uint32(c.id))
	binary.LittleEndian.PutUint32(entry[4:], written)
	r.queue.ram.markDirty(entry)
	r.usedIndex++
}

func (r *splitRing) publish() {
	if r.usedIndex == r.published {
		return
	}
	r.published = r.usedIndex
	r.storeHead()
}

func (r *splitRing) storeHead() {
	atomic.StoreUint32(r.usedHead, uint32(r.usedFlags)|uint32(r.published)<<16)
	r.queue.ram.markDirty(r.used[:4])
}

func (r *splitRing) wantsInterrupt() bool {
	old, now, unsure := r.signalled, r.published, r.unsure
	r.signalled, r.unsure = now, false
	switch {
	case unsure:
		return true
	case old == now:
		return false
	case r.queue.config.EventIndex:
		// The driver wants to know when the entry at used_event is used: is it
		// one of [old, now)?
		return r.usedEvent.load()-old < now-old
	}
	return r.availFlags.load()&noInterrupt == 0
}

func (r *splitRing) enableNotify() bool {
	if r.queue.config.EventIndex {
		r.availEvent.store(r.next)
		r.queue.ram.markDirty(r.used[len(r.used)-2:])
	} else if r.usedFlags != 0 {
		r.usedFlags = 0
		r.storeHead()
	}
	// The driver makes a buffer available and then looks whether to notify; we
	// have asked to be notified and now look for a buffer. One of both sees
	// the other: the stores above are full barriers.
	return r.availIndex.load() != r.next
}

func (r *splitRing) disableNotify() {
	// An avail_event that has been passed disables by itself.
	if !r.queue.config.EventIndex && r.usedFlags == 0 {
		r.usedFlags = noNotify
		r.storeHead()
	}
}

func (r *splitRing) save() State {
	return State{NextAvail: r.next, NextUsed: r.published}
}

func (r *splitRing) restore(s State) bool {
	if s.NextAvail != s.NextUsed || s.AvailWrap || s.UsedWrap {
		return false
	}
	r.next, r.seen = s.NextAvail, s.NextAvail
	r.usedIndex, r.published, r.unsure = s.NextUsed, s.NextUsed, true
	return true
}
