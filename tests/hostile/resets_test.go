package hostile

import (
	"errors"

	"github.com/govmm/govmm/block/blocktest"
	"github.com/govmm/govmm/memory"
	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// requests returns a function that gives the device another request without
// waiting for the answer. When the ring is full it does nothing but notify.
func (c *card) requests() func() {
	index := c.kind.dataQueue()
	q := c.queues[index]
	var bufs []queuetest.Buffer
	switch c.kind {
	case disk:
		bufs = []queuetest.Buffer{q.Readable(diskHeader(diskIn, 0)), q.Writable(16<<10 + 1)}
	case nic:
		bufs = []queuetest.Buffer{q.Readable(frame([]byte("flood")))}
	case serial:
		bufs = []queuetest.Buffer{q.Readable(make([]byte, 16<<10))}
	case balloonDevice:
		bufs = []queuetest.Buffer{q.Readable(pages(givenBase, 256))}
	case entropy:
		bufs = []queuetest.Buffer{q.Writable(4096)}
	}
	return func() {
		for _, ok := q.Used(); ok; _, ok = q.Used() {
		}
		q.TryAdd(false, bufs...)
		q.Publish()
		c.notify(index)
	}
}

// pages is a list of n page frame numbers.
func pages(gpa uint64, n int) (list []byte) {
	for i := range uint32(n) {
		list = le.AppendUint32(list, uint32(gpa/memory.PageSize)+i)
	}
	return list
}

func holdAll(until <-chan struct{}) blocktest.Rule {
	return blocktest.Rule{Op: blocktest.Any, Hold: until}
}

// resets are resets at bad times (sections 2.4 and 2.6.1).
func resets() []violation {
	list := []violation{
		{name: "reset: requests are in flight", every: true, want: idles, attack: func(c *card) {
			for range 5 {
				request := c.requests()
				for range 40 {
					request()
				}
				c.reset()
				if s := c.status(); s != 0 {
					c.Fatalf("status %#x after a reset", s)
				}
				c.start()
			}
			c.reset()
		}},
		{name: "reset: by three vCPUs while requests are in flight", every: true, want: idles, attack: func(c *card) {
			request := c.requests()
			for range 40 {
				request()
			}
			together(3, func(int) {
				for range 20 {
					c.reset()
				}
			})
		}},
		{name: "reset: beside notifications", every: true, want: idles, attack: func(c *card) {
			alongside(func() { c.ringAll() }, func() {
				for range 20 {
					c.reset()
					c.addStatus(driverOK)
				}
				c.reset()
			})
		}},
		{name: "reset: two vCPUs start the device", every: true, fresh: true, want: survives, attack: func(c *card) {
			c.negotiate()
			c.setUpQueues()
			together(2, func(vcpu int) {
				for n := range 50 {
					c.writeStatus(acknowledge | driver)
					c.setCommon(regDriverSelect, 4, uint64(n&1))
					c.setCommon(regDriverFeature, 4, uint64(n&1))
					c.writeStatus(acknowledge | driver | featuresOK)
					for i := range c.queues {
						c.selectQueue(i)
						c.setCommon(regQueueEnable, 2, 1)
					}
					c.writeStatus(acknowledge | driver | featuresOK | driverOK)
					if vcpu == 0 {
						c.reset()
					}
				}
			})
		}},
		{name: "reset: of the machine while requests are in flight", every: true, want: idles, attack: func(c *card) {
			request := c.requests()
			for range 40 {
				request()
			}
			c.fn.Reset()
		}},
	}
	return append(list, resetsOfHosts()...)
}

// resetsOfHosts are resets while the host does not do its part.
func resetsOfHosts() []violation {
	return []violation{
		{name: "reset: the disk has not answered", victim: disk, want: idles, attack: func(c *card) {
			hold := make(chan struct{})
			c.faulty.Add(holdAll(hold))
			request := c.requests()
			for range 40 {
				request()
			}
			c.faulty.WaitHeld(1)
			// The disk answers while the vCPU waits for it, or before.
			together(2, func(vcpu int) {
				if vcpu == 0 {
					c.reset()
					return
				}
				c.faulty.Clear()
				close(hold)
			})
		}},
		{name: "reset: of one queue while requests are in flight", victim: disk, want: works, attack: func(c *card) {
			for range 10 {
				request := c.requests()
				for range 40 {
					request()
				}
				c.selectQueue(0)
				c.setCommon(regQueueReset, 2, 1)
				if on := c.common(regQueueEnable, 2); on != 0 {
					c.Fatalf("queue_enable %d after a queue's reset", on)
				}
				lines, drivers := c.lines, c.queues
				c.layOut(0)
				c.queues, c.lines = append(c.queues, drivers[1:]...), append(c.lines, lines[1:]...)
				c.enable(c.queues[0].Config())
			}
		}},
		{name: "reset: the terminal takes no output", victim: serial, want: idles, attack: func(c *card) {
			c.terminal.setStuck(true)
			request := c.requests()
			for range 40 {
				request()
			}
			c.reset()
			c.terminal.setStuck(false)
		}},
		{name: "reset: the wire is full in both directions", victim: nic, want: idles, attack: func(c *card) {
			request, err := c.requests(), error(nil)
			for err == nil {
				err = c.peer.Queue(0).Send([][]byte{frame([]byte("flood"))})
				request()
			}
			if !errors.Is(err, hostnet.ErrAgain) {
				c.Fatal(err)
			}
			c.reset()
			c.drainNIC()
		}},
	}
}

// drainNIC has the host take back what waits on the wire.
func (c *card) drainNIC() {
	buf := make([]byte, hostnet.HeaderSize+hostnet.MaxFrame)
	for {
		if _, _, err := c.peer.Queue(0).Receive([][]byte{buf}); err != nil {
			return
		}
	}
}
