package net

import "sync/atomic"

// Stats are the traffic of the device since its host end was opened, named as
// in the net group of libvirt's domain statistics. Rx is what the guest
// receives. Bytes are those of Ethernet frames.
type Stats struct {
	RxBytes   uint64
	RxPackets uint64 // taken from the host
	RxErrs    uint64 // too long, or of a kind the driver does not take
	RxDrop    uint64 // for want of room, in the host's queue or the guest's buffers
	TxBytes   uint64
	TxPackets uint64 // taken by the host
	TxErrs    uint64 // that make no sense
	TxDrop    uint64 // while the link was down, or by the host

	// RxFiltered is how many of RxPackets the driver had no wish to see.
	RxFiltered uint64
}

// counters are what the host end cannot know.
type counters struct {
	rxErrors, rxDropped, rxFiltered, txErrors, txDropped atomic.Uint64
}

// Stats returns the statistics. Frames that vhost moves are counted where the
// host end can tell.
func (d *Device) Stats() Stats {
	host, own := d.backend.Stats(), &d.counters
	return Stats{
		RxBytes:    host.RxBytes,
		RxPackets:  host.RxFrames,
		RxErrs:     host.RxErrors + own.rxErrors.Load(),
		RxDrop:     host.RxDropped + own.rxDropped.Load(),
		TxBytes:    host.TxBytes,
		TxPackets:  host.TxFrames,
		TxErrs:     host.TxErrors + own.txErrors.Load(),
		TxDrop:     host.TxDropped + own.txDropped.Load(),
		RxFiltered: own.rxFiltered.Load(),
	}
}
