package hostile

import (
	"math"

	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
)

// negotiations are bad features and a bad order of status bits (sections 2.1,
// 2.2 and 3.1).
func negotiations() []violation {
	var list []violation
	add := func(name string, want outcome, attack func(c *card)) {
		list = append(list, violation{
			name: "start: " + name, victim: kind(len(list)) % kinds, fresh: true, want: want, attack: attack,
		})
	}
	// refused goes for FEATURES_OK, in vain.
	refused := func(features func(c *card)) func(c *card) {
		return func(c *card) {
			c.writeStatus(acknowledge | driver)
			features(c)
			c.addStatus(featuresOK)
			if s := c.status(); s&featuresOK != 0 {
				c.Errorf("status %#x: the device takes the features", s)
			}
		}
	}
	add("a feature that was not offered", idles, refused(func(c *card) { c.setFeatures(virtio.FeatureVersion1 | 1<<50) }))
	add("all features", idles, refused(func(c *card) { c.setFeatures(math.MaxUint64) }))
	add("no VIRTIO_F_VERSION_1", idles, refused(func(c *card) { c.setFeatures(virtio.FeatureIndirect) }))
	add("legacy features by the modern interface", idles, refused(func(c *card) {
		c.setFeatures(virtio.FeatureVersion1 | virtio.FeatureNotifyOnEmpty | virtio.FeatureAnyLayout)
	}))
	add("a feature beyond bit 63", idles, refused(func(c *card) {
		c.setFeatures(virtio.FeatureVersion1)
		c.setCommon(regDriverSelect, 4, 2)
		c.setCommon(regDriverFeature, 4, 1)
	}))
	add("a feature in word 2^32-1", idles, refused(func(c *card) {
		c.setFeatures(virtio.FeatureVersion1)
		c.setCommon(regDriverSelect, 4, math.MaxUint32)
		c.setCommon(regDriverFeature, 4, math.MaxUint32)
	}))
	add("DRIVER_OK without FEATURES_OK", breaks, func(c *card) {
		c.writeStatus(acknowledge | driver)
		c.setFeatures(virtio.FeatureVersion1)
		c.addStatus(driverOK)
	})
	add("DRIVER_OK after features that were refused", breaks, func(c *card) {
		refused(func(c *card) { c.setFeatures(math.MaxUint64) })(c)
		c.setUpQueues()
		c.addStatus(driverOK)
	})
	add("DRIVER_OK at once", breaks, func(c *card) { c.writeStatus(driverOK) })
	add("all status bits at once", idles, func(c *card) { c.writeStatus(math.MaxUint8) })
	add("status bits that do not exist", idles, func(c *card) { c.writeStatus(0x30) })
	add("the driver sets DEVICE_NEEDS_RESET", idles, func(c *card) {
		c.writeStatus(needsReset)
		if s := c.status(); s&needsReset != 0 {
			c.Errorf("status %#x", s)
		}
	})
	add("a queue enabled before FEATURES_OK", breaks, func(c *card) {
		c.writeStatus(acknowledge | driver)
		c.layOut(0)
		c.enable(c.queues[0].Config())
	})
	add("FAILED, then DRIVER_OK", survives, func(c *card) {
		c.negotiate()
		c.addStatus(failed)
		c.addStatus(driverOK)
	})
	add("DRIVER_OK twice", works, func(c *card) {
		c.start()
		c.addStatus(driverOK)
		c.writeStatus(math.MaxUint8)
	})
	add("status bits cleared while it runs", works, func(c *card) {
		c.start()
		c.writeStatus(acknowledge)
		c.writeStatus(driverOK)
	})
	add("FAILED while it runs", works, func(c *card) {
		c.start()
		c.addStatus(failed)
	})
	add("features changed after FEATURES_OK", works, func(c *card) {
		c.start()
		c.setFeatures(0)
		c.setFeatures(math.MaxUint64)
	})
	for k, want := range map[kind]outcome{disk: survives, nic: survives, serial: breaks, balloonDevice: breaks, entropy: survives} {
		list = append(list, violation{
			name: "start: no queues: " + k.String(), victim: k, fresh: true, want: want,
			attack: func(c *card) {
				c.negotiate()
				c.addStatus(driverOK)
				for i := range 16 {
					c.notify(i)
				}
			},
		})
	}
	return list
}

// legacyViolations are those of a driver that uses the legacy interface.
func legacyViolations() []violation {
	var list []violation
	add := func(name string, fresh bool, want outcome, attack func(c *card)) {
		list = append(list, violation{
			name: "legacy: " + name, victim: kind(len(list)) % kinds, legacy: true, fresh: fresh, want: want, attack: attack,
		})
	}
	// placed starts the device with a queue at a page frame number.
	placed := func(pfn uint32) func(c *card) {
		return func(c *card) {
			c.negotiate()
			c.setUpQueues()
			c.selectQueue(c.kind.dataQueue())
			c.setLegacy(legacyPFN, 4, pfn)
			c.addStatus(driverOK)
			c.notify(c.kind.dataQueue())
		}
	}
	add("queue at page 0xFFFFFFFF", true, breaks, placed(math.MaxUint32))
	add("queue beyond all memory", true, breaks, placed(beyond/queue.LegacyAlign))
	add("queue in a hole", true, breaks, placed(holeBase/queue.LegacyAlign))
	add("queue in a ROM", true, breaks, placed(romBase/queue.LegacyAlign))
	add("queue in the memory of a device", true, breaks, placed(videoBase/queue.LegacyAlign))
	add("queue in the last page of low RAM", true, survives, func(c *card) {
		placed((lowEnd - 1) / queue.LegacyAlign)(c)
		if s := c.status(); s&needsReset == 0 && c.queueSize(c.kind.dataQueue()) > 8 {
			c.Errorf("status %#x: a ring that does not fit is taken", s)
		}
	})
	add("all features", true, works, func(c *card) {
		c.negotiate()
		c.setFeatures(math.MaxUint32 &^ (1 << 29)) // the driver has no event indexes, then
		c.features = c.offered() &^ (1 << 29)
		c.setUpQueues()
		c.addStatus(driverOK)
	})
	add("high features by the modern interface", true, works, func(c *card) {
		c.legacy = false
		c.writeStatus(acknowledge | driver)
		c.setFeatures(virtio.FeaturePackedRing | virtio.FeatureVersion1 | virtio.FeatureInOrder)
		c.legacy = true
		c.features = 0
		c.setFeatures(0)
		c.setUpQueues()
		c.addStatus(driverOK)
	})
	add("queue moved while it runs", false, works, func(c *card) {
		c.selectQueue(c.kind.dataQueue())
		c.setLegacy(legacyPFN, 4, scratchBase/queue.LegacyAlign)
	})
	add("queue moved to 0 while it runs", false, idles, func(c *card) {
		c.selectQueue(0)
		c.setLegacy(legacyPFN, 4, 0)
	})
	add("queue size and features written while it runs", false, works, func(c *card) {
		c.setLegacy(legacySize, 2, 3)
		c.setLegacy(0, 4, math.MaxUint32)
		c.setLegacy(legacyFeatures, 4, math.MaxUint32)
	})
	add("a queue that does not exist", false, works, func(c *card) {
		c.selectQueue(0xFFFF)
		c.setLegacy(legacyPFN, 4, math.MaxUint32)
		c.setLegacy(22, 2, 0)
		for i := range 1000 {
			c.notify(0xFFFF - i)
		}
	})
	add("notified before its queue is placed", true, idles, func(c *card) {
		c.negotiate()
		for i := range 16 {
			c.notify(i)
		}
	})
	add("notified before DRIVER_OK, with a queue that is nowhere", true, breaks, func(c *card) {
		c.negotiate()
		c.selectQueue(c.kind.dataQueue())
		c.setLegacy(legacyPFN, 4, math.MaxUint32)
		c.notify(c.kind.dataQueue())
	})
	add("FEATURES_OK and the modern interface while it runs", false, works, func(c *card) {
		c.addStatus(featuresOK)
		c.setCommon(regStatus, 1, acknowledge|driver|featuresOK|driverOK)
		c.setCommon(regQueueSelect, 2, 0)
		c.setQueueAddress(regQueueDesc, beyond)
		c.setCommon(regQueueEnable, 2, 1)
	})
	return list
}

// notifications are writes to doorbells that nobody should make.
func notifications() []violation {
	var list []violation
	add := func(name string, fresh bool, want outcome, attack func(c *card)) {
		list = append(list, violation{
			name: "notify: " + name, victim: kind(len(list)) % kinds, fresh: fresh, want: want, attack: attack,
		})
	}
	all := func(c *card) {
		for at := uint64(0); at < modernSize-notifyRegion; at++ {
			c.store(c.modern()+notifyRegion+at, 1<<(at%4), at)
		}
	}
	add("every place of the region", false, works, all)
	add("a device that was not started", true, idles, func(c *card) {
		c.negotiate()
		c.setUpQueues()
		all(c)
	})
	add("a device after reset", true, idles, all)
	add("storm", false, works, func(c *card) {
		together(3, func(int) {
			for range 20000 {
				c.store(c.modern()+notifyRegion+4*uint64(c.kind.dataQueue()), 2, 0)
			}
		})
	})
	add("storm on a dead queue", false, breaks, func(c *card) {
		c.offer(c.data().Config(), math.MaxUint16)
		together(2, func(int) {
			for range 5000 {
				c.store(c.modern()+notifyRegion+4*uint64(c.kind.dataQueue()), 2, 0)
			}
		})
	})
	add("storm beside requests", false, works, func(c *card) {
		alongside(func() { all(c) }, func() {
			for range 20 {
				c.serve()
			}
		})
	})
	return list
}
