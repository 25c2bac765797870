package net

import (
	"encoding/binary"
	"slices"
	"sync/atomic"

	hostnet "github.com/govmm/govmm/net"
)

// address is a MAC address, the first octet in bits 47 to 40.
type address uint64

const (
	broadcast address = 1<<48 - 1
	group     address = 1 << 40 // bit 0 of the first octet
)

// addressOf is the address that b begins with.
func addressOf(b []byte) address {
	return address(binary.BigEndian.Uint32(b))<<16 | address(binary.BigEndian.Uint16(b[4:]))
}

func (a address) bytes() (b [6]byte) {
	binary.BigEndian.PutUint16(b[:], uint16(a>>32))
	binary.BigEndian.PutUint32(b[2:], uint32(a))
	return b
}

// station is the device's own address, which may be read while it is changed.
type station struct{ v atomic.Uint64 }

func (s *station) Load() address   { return address(s.v.Load()) }
func (s *station) Store(a address) { s.v.Store(uint64(a)) }

// maxTable is how many addresses of a kind the filter keeps. When the driver
// has more, all addresses of the kind pass (section 5.1.6.5.2 lets it).
const maxTable = 64

// filter says which frames the driver wants to receive (sections 5.1.6.5.1 to
// 5.1.6.5.3). It is never changed, only replaced. The zero value, with the
// station's address, wants its own frames, broadcasts, and no VLAN.
type filter struct {
	station address

	promiscuous                bool
	allMulticast, allUnicast   bool
	noMulticast, noUnicast     bool
	noBroadcast                bool
	anyVLAN                    bool // the driver has no VLAN filter
	unicast, multicast         []address
	moreUnicast, moreMulticast bool // than fit in the table
	vlans                      [4096 / 64]uint64
}

// filterHead is how much of a frame the filter looks at: both addresses, and a
// VLAN tag.
const filterHead = 18

// accept reports whether the driver wants a frame that begins so. What is
// missing of filterHead bytes is missing from the frame, which has 14 at least.
func (f *filter) accept(head []byte) bool {
	if f.promiscuous {
		return true
	}
	if !f.anyVLAN && len(head) >= 16 && head[12] == 0x81 && head[13] == 0 {
		if vlan := binary.BigEndian.Uint16(head[14:]) & 0xFFF; f.vlans[vlan/64]>>(vlan%64)&1 == 0 {
			return false
		}
	}
	to := addressOf(head)
	switch {
	case to == broadcast:
		return !f.noBroadcast
	case to&group != 0:
		return !f.noMulticast && (f.allMulticast || f.moreMulticast || slices.Contains(f.multicast, to))
	}
	return !f.noUnicast && (f.allUnicast || f.moreUnicast || to == f.station || slices.Contains(f.unicast, to))
}

// tellFilter has the host end follow what the driver wants, if it can.
func (d *Device) tellFilter(f *filter) {
	host, ok := d.backend.(hostnet.Filterer)
	if !ok {
		return
	}
	wanted := hostnet.Filter{
		MAC:          f.station.bytes(),
		AllMulticast: f.promiscuous || !f.noMulticast && (f.allMulticast || f.moreMulticast),
	}
	if !f.noMulticast {
		for _, a := range f.multicast {
			wanted.Multicast = append(wanted.Multicast, a.bytes())
		}
	}
	host.SetFilter(wanted)
}
