package pci

import (
	"errors"
	"sync"

	"github.com/govmm/govmm/devices/irq"
	"github.com/govmm/govmm/devices/pci"
)

// calls are the queues' interrupts as eventfds, for devices in the kernel. They
// are made when the device asks for them, and live until it is reset.
//
// While the message of the queue's MSI-X vector can be sent, the kernel sends
// it. At all other times (INTx, no vector, masked) a goroutine takes the signal
// and raises the interrupt as for any other device.
type calls struct {
	f       *Function
	vectors irq.Vectors

	mu    sync.Mutex
	calls []*call // by queue, nil where nobody has asked
}

type call struct {
	vector irq.Vector
	route  *pci.MSIXRoute // nil without MSI-X
	done   chan struct{}  // closed when the goroutine has ended
}

// open returns the eventfd of a queue.
func (c *calls) open(queue int) (int, error) {
	if c.vectors == nil {
		return 0, errors.New("the machine has no interrupts for devices in the kernel")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.calls[queue]; old != nil {
		return old.vector.FD(), nil
	}
	v, err := c.vectors.NewVector()
	if err != nil {
		return 0, err
	}
	n := &call{vector: v, done: make(chan struct{})}
	if c.f.msix != nil {
		n.route = c.f.msix.Connect(v, c.f.signals.queueVector(uint16(queue)))
	}
	go func() {
		defer close(n.done)
		for v.Wait() == nil {
			c.f.signals.interrupt(isrQueue, queue)
		}
	}()
	c.calls[queue] = n
	return v.FD(), nil
}

// follow leads the eventfd of a queue to the vector that the queue has now.
func (c *calls) follow(queue int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.calls[queue]; n != nil && n.route != nil {
		n.route.SetVector(c.f.signals.queueVector(uint16(queue)))
	}
}

// close ends all of them.
func (c *calls) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, n := range c.calls {
		if n == nil {
			continue
		}
		c.calls[i] = nil
		if n.route != nil {
			n.route.Disconnect()
		}
		if err := n.vector.Close(); err != nil {
			c.f.log.Error("cannot release an interrupt", "queue", i, "error", err)
		}
		<-n.done
	}
}
