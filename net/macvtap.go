package net

import (
	"fmt"

	"github.com/govmm/govmm/net/internal/claim"
)

// MacvtapMode says whom a macvtap can reach of those that share its interface: by
// itself, and not by way of a switch outside that sends frames back where they came from.
type MacvtapMode string

// The modes. The host's own address on the interface cannot be reached in any of
// them, but by such a switch.
const (
	// VEPA sends every frame out (IEEE 802.1Qbg). The others are reached by a switch
	// that sends frames back ("hairpin", "reflective relay").
	VEPA MacvtapMode = "vepa"
	// BridgeMode delivers to the others that are in this mode.
	BridgeMode MacvtapMode = "bridge"
	// Private keeps away what the others broadcast, whatever the switch does, so that
	// none finds another.
	Private MacvtapMode = "private"
	// Passthrough has the interface for itself, which takes the guest's address.
	Passthrough MacvtapMode = "passthrough"
)

// Macvtap is a macvtap interface: the guest shares an interface of the host, with
// an address of its own on that network. It is gone after Close.
type Macvtap struct {
	*hostInterface
	offloads Offload
	filter   *filterFollower
	claim    *claim.Claim
}

var (
	_ Backend  = (*Macvtap)(nil)
	_ Filterer = (*Macvtap)(nil)
)

// SetQueues implements Backend.
func (m *Macvtap) SetQueues(n int) error { return m.setQueues(n) }

// SetHeaderSize implements Backend.
func (m *Macvtap) SetHeaderSize(n int) error {
	return m.setHeader(n, func() error {
		for _, q := range m.queues {
			if err := q.ioctl(func(fd int) error { return tunSetHeaderSize(fd, n) }); err != nil {
				return err
			}
		}
		return nil
	})
}

// Offloads implements Backend.
func (m *Macvtap) Offloads() Offload { return m.offloads }

// SetOffloads implements Backend.
func (m *Macvtap) SetOffloads(o Offload) error { return m.setOffloads(o, m.offloads) }

// SetLink implements Backend. The interface is taken down, and up again.
func (m *Macvtap) SetLink(up bool) error {
	if err := m.state(); err != nil {
		return err
	}
	l, err := m.handle.LinkByIndex(m.index)
	if err == nil {
		set := m.handle.LinkSetDown
		if up {
			set = m.handle.LinkSetUp
		}
		err = set(l)
	}
	if err != nil {
		return fmt.Errorf("net: %s: set link: %w", m.name, err)
	}
	return nil
}

// Stats implements Backend. Frames, bytes and drops are the kernel's figures for
// the interface, which count what vhost-net moves too.
func (m *Macvtap) Stats() Stats {
	s := m.stats()
	if now, ok := m.statistics(); ok {
		s.RxFrames, s.RxBytes, s.RxDropped = now.RxPackets, now.RxBytes, now.RxDropped
		s.TxFrames, s.TxBytes, s.TxDropped = now.TxPackets, now.TxBytes, now.TxDropped
	}
	return s
}

// SetFilter implements Filterer. The kernel has no way to give a macvtap the frames
// for other unicast addresses than its own; in mode Passthrough it gets all there are.
func (m *Macvtap) SetFilter(f Filter) {
	if m.filter != nil {
		m.filter.set(f)
	}
}

// Close implements Backend.
func (m *Macvtap) Close() error {
	if m.filter != nil {
		m.filter.stop()
	}
	return m.hostInterface.Close()
}
