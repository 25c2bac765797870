package hostile

import (
	"bytes"
	"math"

	"github.com/govmm/govmm/memory"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// consoleViolations are control messages and buffers that make no sense
// (section 5.3.6).
func consoleViolations() []violation {
	told := func(name string, messages int, message func(n int) []byte) violation {
		return violation{name: "console: " + name, victim: serial, want: works, attack: func(c *card) {
			c.serve()
			q := c.queues[toDevice]
			b := q.Readable(message(0))
			for n := range messages {
				copy(q.Bytes(b), message(n))
				c.do(toDevice, b)
			}
		}}
	}
	one := func(name string, message []byte) violation {
		return told(name, 1, func(int) []byte { return message })
	}
	broken := func(name string, attack func(c *card)) violation {
		return violation{name: "console: " + name, victim: serial, want: breaks, attack: attack}
	}
	return []violation{
		one("message for port 3, which is not there", controlMessage(3, portOpen, 1)),
		one("message for port 4, which cannot be", controlMessage(4, portOpen, 1)),
		one("message for port 2^32-1", controlMessage(math.MaxUint32, portReady, 1)),
		one("message of 3 bytes", []byte{1, 2, 3}),
		one("message of 200 KiB", bytes.Repeat([]byte{0xFF}, 200<<10)),
		one("unknown event", controlMessage(0, 0xFFFF, 0xFFFF)),
		one("an event that is the device's", controlMessage(0, portAdd, 1)),
		one("the device could not be started", controlMessage(0, deviceReady, 0)),
		one("port 0 could not be added", controlMessage(0, portReady, 0)),
		told("flood of DEVICE_READY", 2000, func(int) []byte { return controlMessage(0, deviceReady, 1) }),
		told("flood of PORT_READY", 2000, func(n int) []byte { return controlMessage(uint32(n%2), portReady, 1) }),
		told("flood of PORT_OPEN", 2000, func(n int) []byte { return controlMessage(uint32(n%2), portOpen, uint16(n/2%2)) }),
		told("flood of garbage", 2000, func(n int) []byte { return controlMessage(uint32(n*7919), uint16(n), uint16(n)) }),
		broken("a buffer for messages that is too short", func(c *card) {
			c.send(fromDevice, c.queues[fromDevice].Writable(3))
			c.tell(0, deviceReady, 1)
		}),
		broken("a buffer for messages that is readable", func(c *card) {
			c.send(fromDevice, c.queues[fromDevice].Readable(make([]byte, 64)))
			c.tell(0, deviceReady, 1)
		}),
		broken("a buffer for input that is readable", func(c *card) {
			c.greet()
			c.tell(0, portOpen, 1)
			c.send(0, c.queues[0].Readable(make([]byte, 64)))
			c.terminal.send([]byte("input"))
			c.eventually("DEVICE_NEEDS_RESET", func() bool { return c.status()&needsReset != 0 })
			c.terminal.drop()
		}),
		{name: "console: output that is writable", victim: serial, want: works, attack: func(c *card) {
			c.do(1, c.queues[1].Writable(64))
		}},
		{name: "console: output of 2 GiB", victim: serial, want: works, attack: func(c *card) {
			c.do(1, queuetest.Buffer{Addr: givenBase, Len: 2 << 30})
		}},
		{name: "console: output on a port that is not there", victim: serial, want: works, attack: func(c *card) {
			for i := 6; i < len(c.queues); i++ {
				c.send(i, c.queues[i].Readable([]byte("nobody")))
			}
		}},
		{name: "console: emergency writes", victim: serial, want: works, attack: func(c *card) {
			for n := range uint64(5000) {
				c.store(c.modern()+deviceRegion+8, 4, n)
			}
		}},
	}
}

// drop forgets input that was not taken.
func (t *terminal) drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.in = nil
}

// balloonViolations give pages that are not there, and statistics that are none
// (section 5.5.6).
func balloonViolations() []violation {
	const inflate, deflate, stats = 0, 1, 2
	given := func(name string, list []byte) violation {
		return violation{name: "balloon: " + name, victim: balloonDevice, want: works, attack: func(c *card) {
			c.must(c.mem.WriteAt(list, scratchBase))
			c.do(inflate, queuetest.Buffer{Addr: scratchBase, Len: uint32(len(list))})
		}}
	}
	numbers := func(list ...uint64) (b []byte) {
		for _, gpa := range list {
			b = append(b, pages(gpa, 1)...)
		}
		return b
	}
	return []violation{
		given("pages beyond all memory", numbers(beyond, highEnd, (1<<32-1)*memory.PageSize)),
		given("pages in the hole", numbers(holeBase, 1<<32-memory.PageSize)),
		given("pages of a ROM", numbers(romBase)),
		given("pages of a device's memory and registers", numbers(videoBase, 0xFE000000, messageAddress&^0xFFF)),
		given("7 bytes", bytes.Repeat([]byte{0xFF}, 7)),
		given("the same page a thousand times", bytes.Repeat(numbers(givenBase), 1000)),
		{name: "balloon: more pages than there are", victim: balloonDevice, want: breaks, attack: func(c *card) {
			c.send(inflate, queuetest.Buffer{Addr: givenBase, Len: 4 * (ramSize/memory.PageSize + 1)})
		}},
		{name: "balloon: 2 GiB of page numbers", victim: balloonDevice, want: breaks, attack: func(c *card) {
			c.send(inflate, queuetest.Buffer{Addr: givenBase, Len: 2 << 30})
		}},
		{name: "balloon: all RAM twice", victim: balloonDevice, want: survives, ruins: true, attack: func(c *card) {
			for range 2 {
				c.giveAllRAM()
				c.start()
			}
		}},
		{name: "balloon: its own rings", victim: balloonDevice, want: survives, attack: func(c *card) {
			c.must(c.mem.WriteAt(pages(c.base(0), 8), scratchBase))
			c.send(inflate, queuetest.Buffer{Addr: scratchBase, Len: 32})
		}},
		{name: "balloon: pages taken out that were never in", victim: balloonDevice, want: works, attack: func(c *card) {
			c.do(deflate, c.queues[deflate].Readable(numbers(beyond, 0, holeBase)))
		}},
		{name: "balloon: writable lists", victim: balloonDevice, want: works, attack: func(c *card) {
			c.do(inflate, c.queues[inflate].Writable(64))
			c.do(deflate, c.queues[deflate].Writable(64))
		}},
		{name: "balloon: actual is 2^32-1 pages", victim: balloonDevice, want: works, attack: func(c *card) {
			for _, v := range []uint64{math.MaxUint32, 0, 1 << 31, math.MaxUint32} {
				c.store(c.modern()+deviceRegion+4, 4, v)
			}
		}},
		{name: "balloon: statistics that are garbage", victim: balloonDevice, want: works, attack: func(c *card) {
			for range 100 {
				c.send(stats, c.queues[stats].Readable(bytes.Repeat([]byte{0xFF}, 1001)))
			}
		}},
		{name: "balloon: statistics of 2 GiB", victim: balloonDevice, want: works, attack: func(c *card) {
			c.send(stats, queuetest.Buffer{Addr: givenBase, Len: 2 << 30})
			c.send(stats, queuetest.Buffer{Addr: givenBase, Len: 2 << 30, Write: true})
		}},
		{name: "balloon: free pages that are parts of pages", victim: balloonDevice, want: works, attack: func(c *card) {
			q := c.queues[4]
			c.must(c.mem.WriteAt(canary, givenBase))
			c.do(4, queuetest.Buffer{Addr: givenBase + 1, Len: 4094, Write: true}, q.Writable(1))
			if !bytes.Equal(c.page(givenBase), canary) {
				c.Error("a page is gone of which only a part was free")
			}
		}},
		{name: "balloon: free pages that are readable", victim: balloonDevice, want: works, attack: func(c *card) {
			c.must(c.mem.WriteAt(canary, givenBase))
			c.do(4, queuetest.Buffer{Addr: givenBase, Len: memory.PageSize})
			if !bytes.Equal(c.page(givenBase), canary) {
				c.Error("a page is gone that the device may only read")
			}
		}},
	}
}

// giveAllRAM puts all of the RAM into the balloon, but for the list of it.
func (c *card) giveAllRAM() {
	const listRoom = 8 << 20
	list := pages(0, scratchBase/memory.PageSize)
	list = append(list, pages(scratchBase+listRoom, (lowEnd-scratchBase-listRoom)/memory.PageSize)...)
	list = append(list, pages(memory.HighStart, (highEnd-memory.HighStart)/memory.PageSize)...)
	c.must(c.mem.WriteAt(list, scratchBase))
	last := c.page(highEnd - memory.PageSize)
	copy(last, canary)
	c.send(0, queuetest.Buffer{Addr: scratchBase, Len: uint32(len(list))})
	c.eventually("the last page to be taken", func() bool { return last[0] == 0 })
}

// entropyViolations ask for more random bytes than anybody needs (section
// 5.4.6).
func entropyViolations() []violation {
	return []violation{
		{name: "rng: a buffer of 1 GiB", victim: entropy, want: works, attack: func(c *card) {
			if n := c.do(0, queuetest.Buffer{Addr: givenBase, Len: 1 << 30, Write: true}); n == 0 || n > 64<<10 {
				c.Errorf("%d bytes", n)
			}
		}},
		{name: "rng: a readable buffer", victim: entropy, want: works, attack: func(c *card) {
			c.must(c.mem.WriteAt(canary, givenBase))
			if n := c.do(0, queuetest.Buffer{Addr: givenBase, Len: memory.PageSize}); n != 0 {
				c.Errorf("%d bytes", n)
			}
			if !bytes.Equal(c.page(givenBase), canary) {
				c.Error("it was written to")
			}
		}},
		{name: "rng: thousands of requests", victim: entropy, want: works, attack: func(c *card) {
			b := c.queues[0].Writable(1)
			for range 5000 {
				c.do(0, b)
			}
		}},
		{name: "rng: buffers over each other", victim: entropy, want: works, attack: func(c *card) {
			b := c.queues[0].Writable(512)
			c.do(0, b, b, b, b, b, b)
		}},
		{name: "rng: random bytes over its own rings", victim: entropy, want: survives, attack: func(c *card) {
			c.send(0, queuetest.Buffer{Addr: c.base(0), Len: 4096, Write: true})
			for range 100 {
				c.notify(0)
			}
		}},
	}
}
