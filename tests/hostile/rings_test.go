package hostile

import (
	"math"
	"slices"

	"github.com/govmm/govmm/virtio"
)

// splitViolations are those of the rules for split rings and descriptor chains
// (section 2.7). Every device has to notice them.
func splitViolations() []violation {
	chain := func(name string, list ...descriptor) violation {
		return violation{name: name, every: true, want: breaks, attack: func(c *card) { c.offerChain(list...) }}
	}
	ring := func(name string, attack func(c *card)) violation {
		return violation{name: name, every: true, want: breaks, attack: attack}
	}
	index := func(v uint16) func(c *card) {
		return func(c *card) {
			q := c.data().Config()
			c.table(q.Desc, good)
			c.must(c.mem.AtomicStore16(q.Driver+2, v))
			c.notify(q.Index)
		}
	}
	self, second := good, good
	self.flags, second.flags, second.next = next, next, 1
	beyondTable, far := self, self
	beyondTable.next, far.next = 1024, math.MaxUint16
	answer := descriptor{scratchBase, 64, writable | next, 1}
	half := descriptor{addr: 0, len: 3 << 30, flags: next, next: 1}
	return []violation{
		chain("chain: loop of one descriptor", self),
		chain("chain: loop of two descriptors", second, self),
		chain("chain: next is beyond the table", beyondTable),
		chain("chain: next is 65535", far),
		chain("chain: empty buffer", descriptor{addr: scratchBase}),
		chain("chain: empty buffer at the end", second, descriptor{addr: scratchBase, flags: writable}),
		chain("chain: readable after writable", answer, good),
		chain("chain: more than 4 GiB", half, descriptor{addr: 0, len: 3 << 30}),
		ring("chain: loop through the whole table", func(c *card) {
			q := c.data().Config()
			list := make([]descriptor, q.Size)
			for i := range list {
				list[i] = descriptor{scratchBase, 1, next, uint16(i+1) % q.Size}
			}
			c.offerChain(list...)
		}),
		ring("available ring: head is the queue size", func(c *card) {
			c.offer(c.data().Config(), c.data().Config().Size)
		}),
		ring("available ring: head is 65535", func(c *card) { c.offer(c.data().Config(), math.MaxUint16) }),
		ring("available index: one more than the queue is long", func(c *card) {
			index(c.data().Config().Size + 1)(c)
		}),
		ring("available index: jumps by 32768", index(1<<15)),
		ring("available index: goes backwards", index(math.MaxUint16)),
		{name: "available ring: a head that the device still has", victim: disk, want: breaks, attack: headTwice},
		{name: "event index: garbage", every: true, want: works, attack: func(c *card) {
			q := c.data().Config()
			c.must(c.mem.Store16(q.Driver+4+2*uint64(q.Size), 0x7777))
			c.must(c.mem.Store16(q.Driver, 0xFFFE)) // and reserved flags
			c.notify(q.Index)
		}},
		{name: "rings: the driver writes the device's area", every: true, want: survives, attack: func(c *card) {
			q := c.data().Config()
			c.must(c.mem.WriteAt(slices.Repeat([]byte{0xFF}, 4+8*int(q.Size)), q.Device))
			c.table(q.Desc, descriptor{scratchBase, 64, writable, 0})
			c.offer(q, 0)
		}},
	}
}

// addressViolations are buffers that are not in RAM (section 2.7.4, and plain
// sense).
func addressViolations() []violation {
	var list []violation
	for _, a := range []struct {
		name string
		addr uint64
		len  uint32
	}{
		{"beyond all memory", beyond, 512},
		{"in the hole below 4 GiB", holeBase, 512},
		{"in a ROM", romBase, 16},
		{"in the memory of a device", videoBase, 512},
		{"on the registers of a device", 0xFE000000, 16},
		{"on the interrupt controller", messageAddress, 4},
		{"across 2^64", math.MaxUint64 - 15, 64},
		{"the last byte of the address space", math.MaxUint64, 1},
		{"at 2^63", 1 << 63, 512},
		{"from low RAM into the ROM", lowEnd - 8, 64},
		{"from high RAM to beyond", highEnd - 8, 64},
		{"from the hole into high RAM", 1<<32 - 8, 64},
		{"one byte beyond high RAM", highEnd, 1},
		{"4 GiB from 0", 0, math.MaxUint32},
		{"4 GiB of high RAM", 1 << 32, math.MaxUint32},
	} {
		for _, way := range []struct {
			name  string
			flags uint16
		}{{"read", 0}, {"written", writable}} {
			list = append(list, violation{
				name: "buffer, " + way.name + ": " + a.name, every: true, want: breaks,
				attack: func(c *card) { c.offerChain(descriptor{a.addr, a.len, way.flags, 0}) },
			})
		}
	}
	return list
}

// indirectViolations are those of the rules for indirect tables (section
// 2.7.5.3).
func indirectViolations() []violation {
	table := func(name string, addr uint64, n uint32) violation {
		return violation{name: "indirect: " + name, every: true, want: breaks, attack: func(c *card) {
			c.offerChain(descriptor{addr, n, indirect, 0})
		}}
	}
	inside := func(name string, list ...descriptor) violation {
		return violation{name: "indirect: " + name, every: true, want: breaks, attack: func(c *card) {
			c.offerIndirect(list...)
		}}
	}
	self := descriptor{scratchBase, 16, next, 0}
	return []violation{
		table("no table", scratchBase, 0),
		table("a table of 17 bytes", scratchBase, 17),
		table("a table of 1 byte", scratchBase, 1),
		table("the table is beyond all memory", beyond, 16),
		table("the table is in a ROM", romBase, 16),
		table("the table passes 2^64", math.MaxUint64-15, 32),
		table("the table passes the end of RAM", highEnd-16, 32),
		table("the table is in a hole", holeBase, 4096),
		table("a table of nearly 4 GiB", 0, math.MaxUint32&^15),
		inside("loop", self),
		inside("next is beyond the table", descriptor{scratchBase, 16, next, 1}),
		inside("nested", descriptor{scratchBase, 16, indirect, 0}),
		inside("the table is its own buffer, empty", descriptor{scratchBase, 0, writable, 0}),
		{name: "indirect: with a next descriptor", every: true, want: breaks, attack: func(c *card) {
			c.offerChain(descriptor{scratchBase, 16, indirect | next, 1}, good)
		}},
		{name: "indirect: not negotiated", every: true, want: breaks, without: virtio.FeatureIndirect, attack: func(c *card) {
			c.offerIndirect(good)
		}},
		{name: "indirect: 4096 buffers", every: true, want: breaks, attack: func(c *card) {
			list := make([]descriptor, 4096)
			for i := range list {
				list[i] = descriptor{scratchBase, 1, next, uint16(i + 1)}
			}
			c.offerIndirect(list...)
		}},
	}
}

// packedViolations are those of the rules for packed rings (section 2.8).
func packedViolations() []violation {
	list := func(name string, want outcome, descriptors ...descriptor) violation {
		return violation{name: "packed: " + name, every: true, packed: true, want: want, attack: func(c *card) {
			c.offerPacked(descriptors...)
		}}
	}
	follow := descriptor{scratchBase, 16, next, 0}
	return []violation{
		list("empty buffer", breaks, descriptor{addr: scratchBase}),
		list("buffer beyond all memory", breaks, descriptor{addr: beyond, len: 16}),
		list("buffer in a ROM", breaks, descriptor{romBase, 16, writable, 0}),
		list("readable after writable", breaks, descriptor{scratchBase, 16, writable | next, 0}, good),
		list("indirect with a next descriptor", breaks, descriptor{scratchBase, 16, indirect | next, 0}, good),
		list("indirect in a list", breaks, follow, descriptor{scratchBase, 16, indirect, 0}),
		list("indirect table of 15 bytes", breaks, descriptor{scratchBase, 15, indirect, 0}),
		list("indirect table beyond all memory", breaks, descriptor{beyond, 16, indirect, 0}),
		list("indirect table of zeros", breaks, descriptor{scratchBase + 1<<20, 64, indirect, 0}),
		list("flags of another pass", works, descriptor{scratchBase, 16, used | avail, 0}),
		list("a buffer id that there is not", survives, descriptor{scratchBase, 16, writable, 0xFFFF}),
		{name: "packed: list around the whole ring", every: true, packed: true, want: breaks, attack: func(c *card) {
			c.offerPacked(slices.Repeat([]descriptor{{scratchBase, 1, next, 0}}, int(c.data().Config().Size))...)
		}},
		{name: "packed: event suppression garbage", every: true, packed: true, want: works, attack: func(c *card) {
			c.must(c.mem.Store32(c.data().Config().Driver, 0xFFFFFFFF))
			c.notify(c.kind.dataQueue())
		}},
		{name: "packed: the driver writes the device's area", every: true, packed: true, want: works, attack: func(c *card) {
			c.must(c.mem.Store32(c.data().Config().Device, 0xFFFFFFFF))
			c.notify(c.kind.dataQueue())
			c.ringAll()
		}},
	}
}

// ringAll rings every doorbell, whether the device wants that or not.
func (c *card) ringAll() {
	for i := range c.queues {
		c.notify(i)
	}
}

// headTwice offers a chain again while the disk has it.
func headTwice(c *card) {
	hold := make(chan struct{})
	defer close(hold)
	defer c.faulty.Clear()
	c.faulty.Add(holdAll(hold))
	q := c.data().Config()
	c.must(c.mem.WriteAt(diskHeader(diskIn, 0), scratchBase))
	c.table(q.Desc, descriptor{scratchBase, 16, next, 1}, descriptor{scratchBase + 4096, 513, writable, 0})
	c.offer(q, 0)
	c.faulty.WaitHeld(1)
	c.offer(q, 0, 0)
	c.eventually("DEVICE_NEEDS_RESET", func() bool { return c.status()&needsReset != 0 })
}
