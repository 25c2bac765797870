package net

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// hostInterface is an interface of the host that a back end made or opened: what a
// Tap and a Macvtap have in common.
type hostInterface struct {
	*endpoint
	ifname string // as first seen; an administrator may rename it
	index  int
	handle *netlink.Handle // in the network namespace it was made in
	watch  *linkWatch
	undo   undo
	mtu    atomic.Int32             // as last seen
	before netlink.LinkStatistics64 // counted before us, in an interface that existed
}

// newHostInterface is an interface that is yet to be made, in the network
// namespace of the calling thread.
func newHostInterface(name string, log *slog.Logger) (*hostInterface, error) {
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("net: %s: netlink socket: %w", name, err)
	}
	return &hostInterface{endpoint: newEndpoint(name, log), handle: handle, watch: &linkWatch{}}, nil
}

// Name is the name of the interface when it was opened.
func (h *hostInterface) Name() string { return h.ifname }

// Index is the interface's index in its network namespace.
func (h *hostInterface) Index() int { return h.index }

// MTU implements Backend.
func (h *hostInterface) MTU() int {
	if attrs := h.attrs(); attrs != nil {
		h.mtu.Store(int32(attrs.MTU))
	}
	return int(h.mtu.Load())
}

// Close implements Backend. An interface that existed before is left as it was.
func (h *hostInterface) Close() error {
	return h.close(func() error {
		h.watch.stop()
		err := h.undo.run()
		h.handle.Close()
		return err
	})
}

// note takes what is known of the interface when it is opened.
func (h *hostInterface) note(attrs *netlink.LinkAttrs) {
	h.index = attrs.Index
	h.mtu.Store(int32(attrs.MTU))
	if attrs.Statistics != nil {
		h.before = netlink.LinkStatistics64(*attrs.Statistics)
	}
}

// connect enables the first queue and follows the interface from now on.
func (h *hostInterface) connect() error {
	h.link.Set(true)
	h.queues[0].enabled.Store(true)
	if err := h.watch.start(h.index, h.refresh, h.linkChanged); err != nil {
		return fmt.Errorf("watch the interface: %w", err)
	}
	return nil
}

// attrs is what the kernel knows of the interface, nil if it cannot be seen
// (any more).
func (h *hostInterface) attrs() *netlink.LinkAttrs {
	if h.state() != nil {
		return nil
	}
	l, err := h.handle.LinkByIndex(h.index)
	if err != nil {
		return nil
	}
	return l.Attrs()
}

// statistics are the kernel's figures for the interface since it was opened. It is
// false when they cannot be had.
func (h *hostInterface) statistics() (now netlink.LinkStatistics64, ok bool) {
	attrs := h.attrs()
	if attrs == nil || attrs.Statistics == nil {
		return now, false
	}
	now = netlink.LinkStatistics64(*attrs.Statistics)
	now.RxPackets -= h.before.RxPackets
	now.RxBytes -= h.before.RxBytes
	now.RxDropped -= h.before.RxDropped
	now.TxPackets -= h.before.TxPackets
	now.TxBytes -= h.before.TxBytes
	now.TxDropped -= h.before.TxDropped
	return now, true
}

// adopt makes a queue of the descriptor.
func (h *hostInterface) adopt(fd int) error {
	q, err := newFileQueue(h.endpoint, fd, false)
	if err == nil {
		h.queues = append(h.queues, q)
	}
	return err
}

// setQueues attaches and detaches descriptors.
func (h *hostInterface) setQueues(n int) error {
	return h.enable(n, func(q *fileQueue, on bool) error {
		flags := uint16(unix.IFF_DETACH_QUEUE)
		if on {
			flags = unix.IFF_ATTACH_QUEUE
		}
		return q.ioctl(func(fd int) error { return tunIfreq(fd, unix.TUNSETQUEUE, flags) })
	})
}

// setOffloads tells the kernel which frames the guest takes.
func (h *hostInterface) setOffloads(o, possible Offload) error {
	if err := h.checkOffloads(o, possible); err != nil {
		return err
	}
	if err := h.queues[0].ioctl(func(fd int) error { return tunSetOffloads(fd, o) }); err != nil {
		return fmt.Errorf("net: %s: offloads %v: %w", h.name, o, err)
	}
	return nil
}

// linkChanged is called by the watch.
func (h *hostInterface) linkChanged(e linkEvent) {
	switch {
	case !e.gone:
		h.link.Set(e.up && h.state() == nil)
	case h.queues[0].ioctl(func(fd int) error {
		if tunAttached(fd) {
			return nil // moved to another network namespace
		}
		return errGone
	}) == errGone:
		h.fail(errGone)
	}
}

// refresh is what the watch calls after it may have missed something.
func (h *hostInterface) refresh() linkEvent {
	l, err := h.handle.LinkByIndex(h.index)
	if err != nil {
		return linkEvent{up: h.link.Get(), gone: isNotFound(err)}
	}
	return linkEvent{up: l.Attrs().RawFlags&unix.IFF_UP != 0}
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

func isNotFound(err error) bool {
	return errors.As(err, new(netlink.LinkNotFoundError)) || errors.Is(err, unix.ENODEV)
}
