package hostile

import "math"

// races change what the device reads, while it reads it, from another vCPU.
func races() []violation {
	// beside has a nuisance beside a flood of requests.
	beside := func(name string, nuisance func(c *card)) violation {
		return violation{name: "race: " + name, every: true, want: survives, attack: func(c *card) {
			request := c.requests()
			alongside(func() { nuisance(c) }, func() {
				for range 300 {
					request()
				}
			})
		}}
	}
	descriptors := func(d descriptor) func(c *card) {
		return func(c *card) {
			q := c.data().Config()
			before, err := c.mem.AtomicLoad64(q.Desc)
			c.must(err)
			second, err := c.mem.AtomicLoad64(q.Desc + 8)
			c.must(err)
			c.table(q.Desc, d)
			c.must(c.mem.AtomicStore64(q.Desc, before))
			c.must(c.mem.AtomicStore64(q.Desc+8, second))
		}
	}
	return []violation{
		{name: "race: the available index jumps", every: true, want: survives, attack: jumpIndex},
		beside("a descriptor points beyond memory for a moment", descriptors(descriptor{beyond, math.MaxUint32, writable, 0})),
		beside("a descriptor is a loop for a moment", descriptors(descriptor{scratchBase, 1, next, 0})),
		beside("a descriptor is indirect for a moment", descriptors(descriptor{scratchBase, 4096, indirect, 0})),
		beside("what the requests say changes", func(c *card) {
			q := c.data()
			first := (q.Config().Device + 16 + 8*uint64(q.Config().Size)) &^ 7
			for at := first; at < q.Alloc(0); at += 512 {
				c.must(c.mem.AtomicStore64(at, 0xFFFFFFFF_00000004))
				c.must(c.mem.AtomicStore64(at, 0))
			}
		}),
		beside("the queues' registers are written", func(c *card) {
			c.selectQueue(c.kind.dataQueue())
			for reg := uint64(regQueueSize); reg < 0x40; reg += 2 {
				c.setCommon(reg, 2, 1)
			}
		}),
	}
}

// jumpIndex offers requests, while another vCPU changes the available index.
func jumpIndex(c *card) {
	q := c.data().Config()
	at := q.Driver + 2
	c.table(q.Desc, good)
	alongside(func() {
		c.must(c.mem.AtomicStore16(at, math.MaxUint16))
		c.must(c.mem.AtomicStore16(at, 0))
	}, func() {
		for n := range uint16(300) {
			c.must(c.mem.AtomicStore16(at, n))
			c.notify(q.Index)
		}
	})
}
