package net

import "fmt"

// Tap is a tap interface: the host sees a network interface, and what it sends
// there the guest receives. A tap made by NewTap is gone after Close.
type Tap struct {
	*hostInterface
	offloads Offload
}

var _ Backend = (*Tap)(nil)

// SetQueues implements Backend.
func (t *Tap) SetQueues(n int) error { return t.setQueues(n) }

// SetHeaderSize implements Backend.
func (t *Tap) SetHeaderSize(n int) error {
	return t.setHeader(n, func() error {
		return t.queues[0].ioctl(func(fd int) error { return tunSetHeaderSize(fd, n) })
	})
}

// Offloads implements Backend.
func (t *Tap) Offloads() Offload { return t.offloads }

// SetOffloads implements Backend.
func (t *Tap) SetOffloads(o Offload) error { return t.setOffloads(o, t.offloads) }

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
	// What the interface transmits is what the guest receives.
	if now, ok := t.statistics(); ok {
		s.RxFrames, s.RxBytes, s.RxDropped = now.TxPackets, now.TxBytes, now.TxDropped
		s.TxFrames, s.TxBytes, s.TxDropped = now.RxPackets, now.RxBytes, now.RxDropped
	}
	return s
}
