package hostile

import (
	"math"
	"math/rand/v2"

	"github.com/govmm/govmm/devices/pci"
)

// vectorViolations abuse MSI-X (PCI 3.0, section 6.8.2; virtio, section
// 4.1.5.1.2).
func vectorViolations() []violation {
	var list []violation
	add := func(name string, attack func(c *card)) {
		list = append(list, violation{name: "MSI-X: " + name, victim: kind(len(list)) % kinds, want: works, attack: attack})
	}
	add("queue vector out of range", func(c *card) {
		c.selectQueue(c.kind.dataQueue())
		for _, v := range []uint64{uint64(len(c.queues)) + 1, 0x7FF, 0xFFFE} {
			c.setCommon(regQueueVector, 2, v)
			if got := c.common(regQueueVector, 2); got != pci.NoVector {
				c.Errorf("vector %#x reads %#x", v, got)
			}
		}
	})
	add("configuration vector out of range", func(c *card) {
		c.setCommon(regConfigVector, 2, 0xFFFE)
		if got := c.common(regConfigVector, 2); got != pci.NoVector {
			c.Errorf("it reads %#x", got)
		}
	})
	garbage := func(c *card) {
		for at := uint64(0); at < 0x1000; at += 8 {
			c.store(c.msix()+at, 8, 0xFFFFFFFE_FFFFFFFF-at)
		}
	}
	add("garbage in the table", func(c *card) {
		garbage(c)
		c.polls = true
		c.serve()
	})
	add("messages into RAM", func(c *card) {
		for n := range uint64(len(c.queues)) + 1 {
			c.store(c.msix()+16*n, 8, queuesBase)
		}
		c.polls = true
		c.serve()
	})
	add("accesses of odd sizes and places", func(c *card) {
		for at := range uint64(0x1000 - 8) {
			c.store(c.msix()+at, 1<<(at%4), math.MaxUint64)
			c.load(c.msix()+at, 1<<(at%4))
		}
	})
	add("pending bits written", func(c *card) {
		for at := uint64(0x800); at < 0x1000; at += 8 {
			c.store(c.msix()+at, 8, math.MaxUint64)
		}
		c.serve()
	})
	add("masking storm", func(c *card) {
		c.polls = true
		alongside(func() {
			for n := range uint64(len(c.lines)) + 1 {
				c.store(c.msix()+16*n+12, 4, 1)
				c.store(c.msix()+16*n+12, 4, 0)
			}
		}, func() {
			for range 20 {
				c.serve()
			}
		})
	})
	add("enabled and disabled under load", func(c *card) {
		c.polls = true
		control := c.msixControl()
		alongside(func() {
			// Past the configuration ports, which the other vCPU uses.
			for _, v := range []byte{0, 0xC0, 0x40, 0x80} {
				c.fn.WriteConfig(control+1, []byte{v})
			}
		}, func() {
			for range 20 {
				c.serve()
			}
		})
	})
	add("vectors changed under load", func(c *card) {
		c.polls = true
		alongside(func() {
			c.setCommon(regConfigVector, 2, 3)
			c.setCommon(regQueueVector, 2, 0xFFFF)
			c.setCommon(regQueueVector, 2, 1)
		}, func() {
			for range 20 {
				c.serve()
			}
		})
	})
	return list
}

// barViolations move BARs where they should not be (PCI 3.0, section 6.2.5).
func barViolations() []violation {
	var list []violation
	add := func(name string, attack func(c *card)) {
		list = append(list, violation{name: "BAR: " + name, victim: kind(len(list)) % kinds, want: works, attack: attack})
	}
	neighbour := func(c *card) *card { return c.cards[(c.kind+1)%kinds] }
	const modern = pci.RegBAR0 + 16
	at := func(address func(c *card) uint64) func(c *card) {
		return func(c *card) {
			addr := address(c)
			c.setConfig(modern, 4, uint32(addr))
			c.setConfig(modern+4, 4, uint32(addr>>32))
			for reg := range uint64(0x40) {
				c.load(addr+reg, 4)
			}
		}
	}
	add("over another device", at(func(c *card) uint64 { return neighbour(c).modern() }))
	add("over another device's MSI-X table", at(func(c *card) uint64 { return neighbour(c).msix() }))
	add("over its own MSI-X table", at(func(c *card) uint64 { return c.msix() }))
	add("onto RAM", at(func(*card) uint64 { return queuesBase }))
	add("onto high RAM", at(func(*card) uint64 { return 1 << 32 }))
	add("onto the interrupt controller", at(func(*card) uint64 { return messageAddress }))
	add("at 0", at(func(*card) uint64 { return 0 }))
	add("at the top of 32 bits", at(func(*card) uint64 { return 0xFFFFC000 }))
	add("at the top of 64 bits", at(func(*card) uint64 { return math.MaxUint64 &^ 0x3FFF }))
	add("at 2^63", at(func(*card) uint64 { return 1 << 63 }))
	add("ports over the PCI configuration ports", func(c *card) { c.setConfig(pci.RegBAR0, 4, pci.ConfigPort&^0x7F) })
	add("ports over another device", func(c *card) { c.setConfig(pci.RegBAR0, 4, uint32(neighbour(c).io())) })
	add("ports beyond 64 Ki", func(c *card) { c.setConfig(pci.RegBAR0, 4, 0xABCDC000) })
	add("sized while it runs", func(c *card) {
		for reg := uint8(pci.RegBAR0); reg < pci.RegBAR0+24; reg += 4 {
			old := c.config(reg, 4)
			c.setConfig(reg, 4, math.MaxUint32)
			c.config(reg, 4)
			c.setConfig(reg, 4, old)
		}
		c.serve()
	})
	add("swapped with another device's", func(c *card) {
		n := neighbour(c)
		c.setConfig(modern, 4, uint32(n.modern()))
		n.setConfig(modern, 4, uint32(c.modern()))
		if s := n.common(regStatus, 1); s&driverOK == 0 {
			c.Errorf("status %#x where the other one should be", s)
		}
		c.setConfig(modern, 4, 0)
		n.place()
		c.place()
	})
	storm := func(write func(c *card, n int)) func(c *card) {
		return func(c *card) {
			request := c.requests()
			for n := range 500 {
				request()
				write(c, n)
			}
			c.place()
		}
	}
	add("moved while requests are in flight", storm(func(c *card, n int) {
		c.setConfig(modern, 4, 0xFD000000+uint32(n%8)<<16)
	}))
	add("command register toggled while requests are in flight", storm(func(c *card, n int) {
		c.setConfig(pci.RegCommand, 2, uint32(n%8))
	}))
	add("bus mastering turned off", func(c *card) {
		c.setConfig(pci.RegCommand, 2, pci.CommandIO|pci.CommandMemory)
		c.serve()
	})
	return list
}

// configViolations write what they like to a function's registers.
func configViolations() []violation {
	var list []violation
	add := func(name string, want outcome, attack func(c *card)) {
		list = append(list, violation{name: "registers: " + name, victim: kind(len(list)) % kinds, want: want, attack: attack})
	}
	add("read-only configuration space", works, func(c *card) {
		for _, reg := range []uint8{pci.RegVendor, pci.RegRevision, 0x0C, pci.RegSubsystemVendor, pci.RegCapabilities} {
			before := c.config(reg, 4)
			c.setConfig(reg, 4, ^before)
			if got := c.config(reg, 4); reg != 0x0C && got != before {
				c.Errorf("register %#x was %#x and is %#x", reg, before, got)
			}
		}
		c.serve()
	})
	add("configuration window garbage", works, func(c *card) {
		window := c.window()
		for n, v := range []uint32{0, 4, math.MaxUint32, 3, 0x3FFF, 0x80000000, 8} {
			c.setConfig(window+4, 1, uint32(n))
			for _, length := range []uint32{0, 3, 8, math.MaxUint32} {
				c.setConfig(window+8, 4, v)
				c.setConfig(window+12, 4, length)
				c.setConfig(window+16, 4, math.MaxUint32)
				c.config(window+16, 4)
			}
		}
	})
	add("reset by the configuration window", idles, func(c *card) {
		window := c.window()
		c.setConfig(window+4, 1, 4)
		c.setConfig(window+8, 4, regStatus)
		c.setConfig(window+12, 4, 1)
		c.setConfig(window+16, 1, 0)
	})
	for k := range kinds {
		list = append(list,
			violation{name: "registers: random configuration writes: " + k.String(), victim: k, want: survives, attack: func(c *card) {
				random := rand.New(rand.NewPCG(1, uint64(k)))
				for range 5000 {
					reg, size := uint8(random.Uint32()), 1<<random.IntN(3)
					c.setConfig(reg&^uint8(size-1), size, random.Uint32())
					c.config(reg&^uint8(size-1), size)
				}
			}},
			violation{name: "registers: random BAR writes: " + k.String(), victim: k, want: survives, attack: func(c *card) {
				random := rand.New(rand.NewPCG(2, uint64(k)))
				for range 5000 {
					at, size := random.Uint64N(modernSize), 1<<random.IntN(4)
					c.store(c.modern()+at, size, random.Uint64())
					c.load(c.modern()+at, size)
					c.store(c.modern()+at%0x40, size, random.Uint64()>>random.IntN(64))
					c.out(c.io()+at%64, min(size, 4), random.Uint32())
					c.in(c.io()+at%64, min(size, 4))
				}
			}},
			violation{name: "registers: device configuration written: " + k.String(), victim: k, want: works, attack: func(c *card) {
				for at := range uint64(0x1000) {
					c.store(c.modern()+deviceRegion+at, 1<<(at%4), math.MaxUint64)
					c.load(c.modern()+deviceRegion+at, 1<<(at%4))
					c.store(c.modern()+isrRegion+at, 1<<(at%4), math.MaxUint64)
				}
			}},
		)
	}
	return list
}

// window finds the configuration access capability (section 4.1.4.9).
func (c *card) window() uint8 {
	for at := uint8(c.config(pci.RegCapabilities, 1)); at != 0; at = uint8(c.config(at+1, 1)) {
		if c.config(at, 1) == pci.CapVendor && c.config(at+3, 1) == 5 {
			return at
		}
	}
	c.Fatalf("%v: no configuration access capability", c.kind)
	return 0
}
