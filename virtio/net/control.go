package net

import (
	"errors"

	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
)

// A control command (section 5.1.6.5) is read as
//
//	0 class(8)  1 command(8)  2 data
//
// and answered with a byte, ack.
const (
	ackOK  = 0
	ackErr = 1
)

// Commands: the class in bits 15 to 8, the command in it below.
const (
	ctrlPromiscuous   = 0x0000
	ctrlAllMulticast  = 0x0001
	ctrlAllUnicast    = 0x0002
	ctrlNoMulticast   = 0x0003
	ctrlNoUnicast     = 0x0004
	ctrlNoBroadcast   = 0x0005
	ctrlMACTableSet   = 0x0100
	ctrlMACAddrSet    = 0x0101
	ctrlVLANAdd       = 0x0200
	ctrlVLANDel       = 0x0201
	ctrlAnnounceAck   = 0x0300
	ctrlPairsSet      = 0x0400
	ctrlGuestOffloads = 0x0500
)

// controller serves the control queue.
type controller struct {
	run   *run
	queue *queue.Queue
}

// What a command is answered with VIRTIO_NET_ERR for. The driver sees only
// that; the log says why.
var (
	errUnknown   = errors.New("there is no such command, or it was not negotiated")
	errMalformed = errors.New("its data has another length, or a value that makes no sense")
)

// handle answers a command.
func (c *controller) handle(chain *queue.Chain) error {
	if chain.Writer().Len() < 1 {
		return errors.New("control queue: a command without room for the answer")
	}
	ack := uint8(ackOK)
	if command, err := c.execute(chain.Reader()); err != nil {
		ack = ackErr
		if d := c.run.d; d.log.Allow() {
			d.log.Warn("a command of the driver has failed", "class", command>>8, "command", command&0xFF, "error", err)
		}
	}
	_ = chain.Writer().PutUint8(ack) // there is room
	c.queue.Push(chain, 1)
	return nil
}

// execute does a command. It changes nothing when it fails.
func (c *controller) execute(r *queue.Reader) (command uint16, err error) {
	var b [2]byte
	if r.ReadFull(b[:]) != nil {
		return 0, errMalformed
	}
	command = uint16(b[0])<<8 | uint16(b[1])
	needs, do := c.lookup(command)
	if do == nil || !c.run.features.Has(needs) {
		return command, errUnknown
	}
	return command, do(r)
}

// lookup returns what a command does, and the feature that it needs.
func (c *controller) lookup(command uint16) (virtio.Features, func(*queue.Reader) error) {
	mode := func(change func(f *filter, on bool)) func(*queue.Reader) error {
		return func(r *queue.Reader) error { return c.setMode(r, change) }
	}
	switch command {
	case ctrlPromiscuous:
		return FeatureCtrlRX, mode(func(f *filter, on bool) { f.promiscuous = on })
	case ctrlAllMulticast:
		return FeatureCtrlRX, mode(func(f *filter, on bool) { f.allMulticast = on })
	case ctrlAllUnicast:
		return FeatureCtrlRXExtra, mode(func(f *filter, on bool) { f.allUnicast = on })
	case ctrlNoMulticast:
		return FeatureCtrlRXExtra, mode(func(f *filter, on bool) { f.noMulticast = on })
	case ctrlNoUnicast:
		return FeatureCtrlRXExtra, mode(func(f *filter, on bool) { f.noUnicast = on })
	case ctrlNoBroadcast:
		return FeatureCtrlRXExtra, mode(func(f *filter, on bool) { f.noBroadcast = on })
	case ctrlMACTableSet:
		return FeatureCtrlRX, c.setTable
	case ctrlMACAddrSet:
		return FeatureCtrlMACAddr, c.setAddress
	case ctrlVLANAdd:
		return FeatureCtrlVLAN, func(r *queue.Reader) error { return c.setVLAN(r, true) }
	case ctrlVLANDel:
		return FeatureCtrlVLAN, func(r *queue.Reader) error { return c.setVLAN(r, false) }
	case ctrlAnnounceAck:
		return FeatureGuestAnnounce, c.announced
	case ctrlPairsSet:
		return FeatureMQ, c.setPairs
	case ctrlGuestOffloads:
		return FeatureCtrlGuestOffloads, c.setOffloads
	}
	return 0, nil
}

// setMode turns a receive mode on or off.
func (c *controller) setMode(r *queue.Reader, change func(*filter, bool)) error {
	on, err := r.Uint8()
	if err != nil || r.Len() > 0 || on > 1 {
		return errMalformed
	}
	c.run.changeFilter(func(f *filter) { change(f, on == 1) })
	return nil
}

// setTable takes the tables of unicast and of multicast addresses.
func (c *controller) setTable(r *queue.Reader) error {
	unicast, moreUnicast, err := table(r)
	if err != nil {
		return err
	}
	multicast, moreMulticast, err := table(r)
	if err != nil {
		return err
	}
	if r.Len() > 0 {
		return errMalformed
	}
	c.run.changeFilter(func(f *filter) {
		f.unicast, f.moreUnicast = unicast, moreUnicast
		f.multicast, f.moreMulticast = multicast, moreMulticast
	})
	return nil
}

// table reads a number of addresses and these. Those that are too many for the
// filter are only skipped.
func table(r *queue.Reader) (list []address, more bool, err error) {
	n, err := r.Uint32()
	if err != nil || uint64(n)*6 > uint64(r.Len()) {
		return nil, false, errMalformed
	}
	if n > maxTable {
		return nil, true, r.Skip(int(n) * 6)
	}
	list = make([]address, n)
	var b [6]byte
	for i := range list {
		if err := r.ReadFull(b[:]); err != nil {
			return nil, false, err
		}
		list[i] = addressOf(b[:])
	}
	return list, false, nil
}

// setAddress changes the device's own address.
func (c *controller) setAddress(r *queue.Reader) error {
	var b [6]byte
	if r.Len() != len(b) || r.ReadFull(b[:]) != nil || b[0]&1 != 0 {
		return errMalformed
	}
	c.run.d.setMAC(addressOf(b[:]))
	return nil
}

// setVLAN lets the frames of a VLAN pass, or not any more.
func (c *controller) setVLAN(r *queue.Reader, pass bool) error {
	vlan, err := r.Uint16()
	if err != nil || r.Len() > 0 || vlan > 0xFFF {
		return errMalformed
	}
	c.run.changeFilter(func(f *filter) {
		bit := uint64(1) << (vlan % 64)
		if pass {
			f.vlans[vlan/64] |= bit
		} else {
			f.vlans[vlan/64] &^= bit
		}
	})
	return nil
}

// announced is the driver's answer to Announce.
func (c *controller) announced(r *queue.Reader) error {
	if r.Len() > 0 || !c.run.d.announcing.CompareAndSwap(true, false) {
		return errMalformed
	}
	return nil
}

// setPairs enables the first pairs and disables the others.
func (c *controller) setPairs(r *queue.Reader) error {
	v, err := r.Uint16()
	n := int(v)
	if err != nil || r.Len() > 0 || n < 1 || n > c.run.complete() {
		return errMalformed
	}
	return c.run.setPairs(n)
}

// setOffloads takes which of the negotiated offloads the driver still takes.
func (c *controller) setOffloads(r *queue.Reader) error {
	v, err := r.Uint64()
	f := virtio.Features(v)
	if err != nil || r.Len() > 0 || f&^(allGuestOffloads&c.run.features) != 0 {
		return errMalformed
	}
	o := guestOffloads(f)
	if err := c.run.d.backend.SetOffloads(o); err != nil {
		return err
	}
	c.run.offloads.Store(uint32(o))
	return nil
}

// setPairs has the host use the first n pairs. What the driver still sends by
// the others is dropped.
func (r *run) setPairs(n int) error {
	before := r.pairs.Load()
	r.pairs.Store(min(before, int32(n)))
	if err := r.d.backend.SetQueues(n); err != nil {
		r.pairs.Store(before)
		return err
	}
	r.pairs.Store(int32(n))
	r.wake()
	return nil
}
