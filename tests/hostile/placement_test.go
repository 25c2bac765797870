package hostile

import (
	"fmt"
	"math"

	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
)

// areas are the three parts of a queue, and how to move each.
var areas = []struct {
	name string
	set  func(q *queue.Config, addr uint64)
}{
	{"descriptor area", func(q *queue.Config, addr uint64) { q.Desc = addr }},
	{"driver area", func(q *queue.Config, addr uint64) { q.Driver = addr }},
	{"device area", func(q *queue.Config, addr uint64) { q.Device = addr }},
}

// placementViolations are queues that lie where they cannot (sections 2.7, 2.8
// and 4.1.5.1.3). The victims take turns: it is the transport that checks.
func placementViolations() []violation {
	var list []violation
	add := func(name string, packed bool, want outcome, change func(q *queue.Config)) {
		list = append(list, violation{
			name: name, victim: kind(len(list)) % kinds, packed: packed, fresh: true, want: want,
			attack: func(c *card) { c.startMisplaced(change) },
		})
	}
	for _, a := range areas {
		for _, place := range []struct {
			name string
			addr uint64
		}{
			{"misaligned", scratchBase + 1},
			{"beyond all memory", beyond},
			{"in a hole", holeBase},
			{"in a ROM", romBase},
			{"in the memory of a device", videoBase},
			{"on the registers of a device", 0xFE000000},
			{"passes 2^64", math.MaxUint64 &^ 15},
			{"passes the end of low RAM", lowEnd - 16},
			{"passes the end of high RAM", highEnd - 16},
		} {
			add(a.name+": "+place.name, false, breaks, func(q *queue.Config) { a.set(q, place.addr) })
		}
		for _, place := range []struct {
			name string
			addr uint64
		}{
			{"misaligned", scratchBase + 2},
			{"beyond all memory", beyond},
			{"in a ROM", romBase},
		} {
			add(fmt.Sprintf("packed %s: %s", a.name, place.name), true, breaks, func(q *queue.Config) { a.set(q, place.addr) })
		}
	}
	add("areas: all three at one place", false, survives, func(q *queue.Config) {
		q.Desc, q.Driver, q.Device = scratchBase, scratchBase, scratchBase
	})
	add("areas: the device area over the driver area", false, survives, func(q *queue.Config) { q.Device = q.Driver })
	add("areas: at 0", false, survives, func(q *queue.Config) { q.Desc, q.Driver, q.Device = 0, 8, 12 })
	add("areas: driver and device area swapped", false, survives, func(q *queue.Config) {
		q.Driver, q.Device = q.Device, q.Driver
	})
	add("packed areas: all three at one place", true, survives, func(q *queue.Config) {
		q.Desc, q.Driver, q.Device = scratchBase, scratchBase, scratchBase
	})
	add("queue size: 3, not a power of 2", false, breaks, func(q *queue.Config) { q.Size = 3 })
	add("queue size: 0", false, works, func(q *queue.Config) { q.Size = 0 })
	add("queue size: twice the greatest", false, works, func(q *queue.Config) { q.Size *= 2 })
	add("queue size: 32768", false, works, func(q *queue.Config) { q.Size = 1 << 15 })
	add("queue size: 65535", false, works, func(q *queue.Config) { q.Size = math.MaxUint16 })
	return list
}

// startMisplaced starts a device with one of its queues changed, and offers it
// something.
func (c *card) startMisplaced(change func(q *queue.Config)) {
	c.negotiate()
	c.enableMSIX()
	for i := 0; c.queueSize(i) != 0; i++ {
		c.layOut(i)
		q := c.queues[i].Config()
		if i == c.kind.dataQueue() {
			change(&q)
		}
		c.enable(q)
	}
	c.addStatus(driverOK)
	for i := range c.queues {
		c.notify(i)
	}
}

// reconfigurations change a queue that is in use (sections 4.1.4.3.2 and 2.6.1).
func reconfigurations() []violation {
	var list []violation
	add := func(name string, without virtio.Features, want outcome, attack func(c *card)) {
		list = append(list, violation{
			name: "running queue: " + name, victim: kind(len(list)) % kinds, without: without, want: want, attack: attack,
		})
	}
	write := func(reg uint64, size int, v uint64) func(c *card) {
		return func(c *card) {
			c.selectQueue(c.kind.dataQueue())
			c.setCommon(reg, size, v)
			c.serve()
		}
	}
	add("descriptor area moved", 0, works, write(regQueueDesc, 4, scratchBase))
	add("descriptor area moved beyond memory", 0, works, write(regQueueDesc+4, 4, 0xFFFF))
	add("driver area moved", 0, works, write(regQueueDriver, 4, scratchBase))
	add("device area moved", 0, works, write(regQueueDevice, 4, scratchBase))
	add("all addresses by an access of 8 bytes", 0, works, write(regQueueDesc, 8, math.MaxUint64))
	add("size changed", 0, works, write(regQueueSize, 2, 2))
	add("size 0", 0, works, write(regQueueSize, 2, 0))
	add("queue_enable 0", 0, works, write(regQueueEnable, 2, 0))
	add("queue_enable 0xFFFF", 0, works, write(regQueueEnable, 2, 0xFFFF))
	add("enabled twice", 0, works, write(regQueueEnable, 2, 1))
	add("queue_reset without the feature", virtio.FeatureRingReset, works, write(regQueueReset, 2, 1))
	add("queue_reset 0xFFFF", 0, works, write(regQueueReset, 2, 0xFFFF))
	add("registers of a queue that does not exist", 0, works, func(c *card) {
		c.selectQueue(0xFFFF)
		for reg := uint64(regQueueSize); reg < 0x40; reg += 2 {
			c.setCommon(reg, 2, 0xFFFF)
			if v := c.common(reg, 2); v != 0 && reg != regQueueVector {
				c.Errorf("register %#x of no queue reads %#x", reg, v)
			}
		}
	})
	list = append(list,
		violation{name: "running queue: another one enabled after DRIVER_OK", victim: nic, fresh: true, want: breaks, attack: func(c *card) {
			c.negotiate()
			c.layOut(0)
			c.layOut(1)
			c.enable(c.queues[0].Config())
			c.addStatus(driverOK)
			c.enable(c.queues[1].Config())
		}},
		violation{name: "running queue: reset, and enabled at a bad place", victim: disk, want: breaks, attack: func(c *card) {
			c.serve()
			c.selectQueue(0)
			c.setCommon(regQueueReset, 2, 1)
			q := c.queues[0].Config()
			q.Device = beyond
			c.enable(q)
		}},
		violation{name: "running queue: notified after its reset", victim: disk, want: survives, attack: func(c *card) {
			c.selectQueue(0)
			c.setCommon(regQueueReset, 2, 1)
			for range 1000 {
				c.notify(0)
			}
		}},
	)
	return list
}
