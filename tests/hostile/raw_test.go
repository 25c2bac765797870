package hostile

import (
	"github.com/govmm/govmm/virtio/queue"
)

// Descriptor flags (sections 2.7.5 and 2.8.1).
const (
	next     = 1 << 0
	writable = 1 << 1
	indirect = 1 << 2
	avail    = 1 << 7
	used     = 1 << 15
)

// descriptor is one of a split ring, written by hand. In a packed ring, next is
// the buffer id.
type descriptor struct {
	addr  uint64
	len   uint32
	flags uint16
	next  uint16
}

// good is a descriptor that nothing is wrong with.
var good = descriptor{addr: scratchBase, len: 16}

// table writes descriptors of a split ring, or of its indirect tables.
func (b *board) table(gpa uint64, list ...descriptor) {
	b.Helper()
	for i, d := range list {
		at := gpa + 16*uint64(i)
		b.must(b.mem.Store64(at, d.addr))
		b.must(b.mem.Store64(at+8, uint64(d.len)|uint64(d.flags)<<32|uint64(d.next)<<48))
	}
}

// offer makes heads available in a split ring that was not used before.
func (c *card) offer(q queue.Config, heads ...uint16) {
	c.Helper()
	for i, h := range heads {
		c.must(c.mem.AtomicStore16(q.Driver+4+2*uint64(i), h))
	}
	c.must(c.mem.AtomicStore16(q.Driver+2, uint16(len(heads))))
	c.notify(q.Index)
}

// offerChain makes a chain available that begins with the first of these
// descriptors, which are the first of the table.
func (c *card) offerChain(list ...descriptor) {
	c.Helper()
	q := c.data().Config()
	c.table(q.Desc, list...)
	c.offer(q, 0)
}

// offerIndirect makes a chain available that is in a table of these.
func (c *card) offerIndirect(list ...descriptor) {
	c.Helper()
	c.table(scratchBase, list...)
	c.offerChain(descriptor{scratchBase, 16 * uint32(len(list)), indirect, 0})
}

// offerPacked writes the first descriptors of a packed ring that was not used
// before, the first one last, and makes all available.
func (c *card) offerPacked(list ...descriptor) {
	c.Helper()
	q := c.data().Config()
	for i := len(list) - 1; i >= 0; i-- {
		d := list[i]
		at := q.Desc + 16*uint64(i)
		c.must(c.mem.Store64(at, d.addr))
		c.must(c.mem.AtomicStore64(at+8, uint64(d.len)|uint64(d.next)<<32|uint64(d.flags^avail)<<48))
	}
	c.notify(q.Index)
}
