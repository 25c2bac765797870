package net

import (
	"errors"
	"fmt"
	"sync"

	"github.com/govmm/govmm/memory"
	"github.com/govmm/govmm/net/vhost"
	"github.com/govmm/govmm/virtio/queue"
)

// kernel has vhost serve the data queues. It cannot be told that the link is
// down, so that they are served here then, and go back and forth.
type kernel struct {
	run *run
	net *vhost.Net

	changed chan struct{} // the link; capacity 1
	quit    chan struct{} // closed by stop; nil when not started
	done    sync.WaitGroup
	where   place // of those who call settle and leave, never two at a time
}

// place is who serves the data queues.
type place uint8

const (
	nowhere place = iota
	here
	inKernel
)

func newKernel(r *run, n *vhost.Net) *kernel {
	return &kernel{run: r, net: n, changed: make(chan struct{}, 1)}
}

// start begins to serve the data queues, and follows the link from then on.
func (k *kernel) start() error {
	if err := k.settle(); err != nil {
		return err
	}
	quit := make(chan struct{})
	k.quit = quit
	k.done.Go(func() {
		for {
			select {
			case <-k.changed:
			case <-quit:
				return
			}
			if err := k.settle(); err != nil {
				k.run.fail(err)
				return
			}
		}
	})
	return nil
}

// stop ends what start has begun.
func (k *kernel) stop() {
	if k.quit == nil {
		return
	}
	close(k.quit)
	k.quit = nil
	k.done.Wait()
	if err := k.leave(); err != nil {
		k.run.fail(err)
	}
}

// follow tells of a change of the link. It does not block.
func (k *kernel) follow() {
	select {
	case k.changed <- struct{}{}:
	default:
	}
}

// settle has the data queues served where they should be.
func (k *kernel) settle() error {
	if k.run.broken.Load() {
		return nil
	}
	want := here
	if k.run.d.linkUp() && k.run.complete() > 0 {
		want = inKernel
	}
	if want == k.where {
		if want == here {
			k.run.wake()
		}
		return nil
	}
	if err := k.leave(); err != nil {
		return err
	}
	if want == inKernel {
		if err := k.enter(); err != nil {
			return err
		}
	} else {
		k.run.serveData()
	}
	k.where = want
	return nil
}

// enter gives the data queues to vhost.
func (k *kernel) enter() error {
	r := k.run
	c := vhost.Config{Features: uint64(r.features), Memory: r.d.regions, Failed: r.fail}
	for i := range r.complete() {
		rx, err := ring(r.rx[i].queue)
		if err != nil {
			return err
		}
		tx, err := ring(r.tx[i].queue)
		if err != nil {
			return err
		}
		c.Pairs = append(c.Pairs, vhost.Pair{Receive: rx, Transmit: tx, Backend: r.d.backend.Queue(i).FD()})
	}
	if err := k.net.Start(c); err != nil {
		return err
	}
	// What the driver has made available before is looked for, too.
	for i := range c.Pairs {
		r.rx[i].queue.Doorbell().Ring()
		r.tx[i].queue.Doorbell().Ring()
	}
	return nil
}

// leave takes the data queues from who serves them.
func (k *kernel) leave() error {
	was := k.where
	k.where = nowhere
	switch was {
	case here:
		k.run.stopData()
	case inKernel:
		bases, err := k.net.Stop()
		if err != nil {
			return err
		}
		for i, b := range bases {
			err = errors.Join(err,
				k.run.rx[i].queue.Restore(queue.State{NextAvail: b.Receive, NextUsed: b.Receive}),
				k.run.tx[i].queue.Restore(queue.State{NextAvail: b.Transmit, NextUsed: b.Transmit}))
		}
		return err
	}
	return nil
}

// ring describes a queue to vhost, which goes on where the queue stands.
func ring(q *queue.Queue) (vhost.Ring, error) {
	state, err := q.State()
	if err != nil {
		return vhost.Ring{}, err
	}
	caller, ok := q.Interrupter().(interface{ CallFD() (int, error) })
	if !ok {
		return vhost.Ring{}, fmt.Errorf("virtqueue %d: its interrupt cannot be raised by the kernel", q.Index())
	}
	call, err := caller.CallFD()
	if err != nil {
		return vhost.Ring{}, fmt.Errorf("virtqueue %d: interrupt: %w", q.Index(), err)
	}
	c := q.Config()
	return vhost.Ring{
		Size: c.Size, Desc: c.Desc, Driver: c.Driver, Device: c.Device,
		Base: state.NextAvail, Kick: q.Doorbell().FD(), Call: call,
	}, nil
}

// vhostRegions are the RAM that queues may use, as package queue has it.
func vhostRegions(mem *memory.Memory) ([]vhost.Region, error) {
	var regions []vhost.Region
	low, high := memory.Split(mem.Size())
	for _, part := range []struct{ gpa, size uint64 }{{0, low}, {memory.HighStart, high}} {
		if part.size == 0 {
			continue
		}
		host, err := mem.Slice(part.gpa, part.size)
		if err != nil {
			return nil, fmt.Errorf("vhost: RAM: %w", err)
		}
		regions = append(regions, vhost.Region{GPA: part.gpa, Host: host})
	}
	return regions, nil
}
