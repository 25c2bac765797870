package net

import (
	"fmt"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Tap is a tap interface: the host sees a network interface, and what it sends
// there the guest receives. A tap made by NewTap is gone after Close.
type Tap struct {
	*endpoint
	ifname   string // as first seen; an administrator may rename it
	index    int
	offloads Offload
	handle   *netlink.Handle // in the network namespace NewTap was called in
	watch    *linkWatch
	undo     undo
	mtu      atomic.Int32             // as last seen
	before   netlink.LinkStatistics64 // counted before us, in an interface that existed
}

var _ Backend = (*Tap)(nil)

// Name is the name of the interface when it was opened.
func (t *Tap) Name() string { return t.ifname }

// Index is the interface's index in its network namespace.
func (t *Tap) Index() int { return t.index }

// SetQueues implements Backend.
func (t *Tap) SetQueues(n int) error {
	return t.enable(n, func(q *fileQueue, on bool) error {
		flags := uint16(unix.IFF_DETACH_QUEUE)
		if on {
			flags = unix.IFF_ATTACH_QUEUE
		}
		return q.ioctl(func(fd int) error { return tunIfreq(fd, unix.TUNSETQUEUE, flags) })
	})
}

// SetHeaderSize implements Backend.
func (t *Tap) SetHeaderSize(n int) error {
	return t.setHeader(n, func() error {
		return t.queues[0].ioctl(func(fd int) error { return tunSetHeaderSize(fd, n) })
	})
}

// Offloads implements Backend.
func (t *Tap) Offloads() Offload { return t.offloads }

// SetOffloads implements Backend.
func (t *Tap) SetOffloads(o Offload) error {
	if err := t.checkOffloads(o, t.offloads); err != nil {
		return err
	}
	if err := t.queues[0].ioctl(func(fd int) error { return tunSetOffloads(fd, o) }); err != nil {
		return fmt.Errorf("net: %s: offloads %v: %w", t.name, o, err)
	}
	return nil
}

// MTU implements Backend.
func (t *Tap) MTU() int {
	if attrs := t.attrs(); attrs != nil {
		t.mtu.Store(int32(attrs.MTU))
	}
	return int(t.mtu.Load())
}

// SetLink implements Backend. The host sees the interface lose its carrier.
func (t *Tap) SetLink(up bool) error {
	if err := t.state(); err != nil {
		return err
	}
	if err := t.queues[0].ioctl(func(fd int) error { return tunSetCarrier(fd, up) }); err != nil {
		return fmt.Errorf("net: %s: set carrier: %w (needs Linux 4.20)", t.name, err)
	}
	return nil
}

// Stats implements Backend. Frames, bytes and drops are the kernel's figures for
// the interface since it was opened, which count what vhost-net moves too. The
// kernel counts a frame as received once it has been read.
func (t *Tap) Stats() Stats {
	s := t.stats()
	attrs := t.attrs()
	if attrs == nil || attrs.Statistics == nil {
		return s
	}
	// What the interface transmits is what the guest receives.
	now := netlink.LinkStatistics64(*attrs.Statistics)
	s.RxFrames = now.TxPackets - t.before.TxPackets
	s.RxBytes = now.TxBytes - t.before.TxBytes
	s.RxDropped = now.TxDropped - t.before.TxDropped
	s.TxFrames = now.RxPackets - t.before.RxPackets
	s.TxBytes = now.RxBytes - t.before.RxBytes
	s.TxDropped = now.RxDropped - t.before.RxDropped
	return s
}

// Close implements Backend. An interface that existed before is left as it was.
func (t *Tap) Close() error {
	return t.close(func() error {
		t.watch.stop()
		err := t.undo.run()
		t.handle.Close()
		return err
	})
}

// attrs is what the kernel knows of the interface, nil if it cannot be seen
// (any more).
func (t *Tap) attrs() *netlink.LinkAttrs {
	if t.state() != nil {
		return nil
	}
	l, err := t.handle.LinkByIndex(t.index)
	if err != nil {
		return nil
	}
	return l.Attrs()
}

// ioctl calls f with the descriptor, which stays open meanwhile.
func (q *fileQueue) ioctl(f func(fd int) error) error {
	if !q.file.acquire() {
		return ErrClosed
	}
	defer q.file.release()
	return f(q.file.fd)
}

// undo is a list of changes to take back.
type undo struct{ steps []func() error }

func (u *undo) add(step func() error) { u.steps = append(u.steps, step) }

// run takes the changes back, the last one first, and returns the first error.
func (u *undo) run() error {
	var first error
	for i := len(u.steps) - 1; i >= 0; i-- {
		if err := u.steps[i](); err != nil && first == nil {
			first = err
		}
	}
	u.steps = nil
	return first
}
