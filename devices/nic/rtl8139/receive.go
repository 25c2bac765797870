package rtl8139

import (
	"hash/crc32"
	"math/bits"
	"time"

	"github.com/govmm/govmm/devices/clock"
)

// Sizes in bytes of frames, FCS included.
const (
	minSize     = 64
	maxRingSize = 1792 // in C mode, as for transmitting
	maxPlusSize = 4096
)

// receiver is a frame that is being received.
type receiver struct {
	buf     []byte
	places  [ringLimit]place // of descriptors
	retry   clock.Timer
	lacking bool          // descriptors,
	since   time.Duration // since when
}

func (r *receiver) init() { r.buf = make([]byte, 0, maxPlusSize+vlanTag) }

func (r *receiver) forget() {
	r.lacking = false
	r.retry.Stop()
}

// Ready implements nic.Card. What is received while the receiver is off is lost.
func (c *Card) Ready() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.starved = !c.masters() || c.get8(regCR)&crRE == 0
	return !c.starved
}

// Receive implements nic.Card.
func (c *Card) Receive(frame []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.get8(regCR)&crRE == 0 || !c.masters() {
		return true // lost
	}
	status := c.filter(frame)
	if status == 0 {
		return true
	}
	done := c.place(frame, status)
	c.starved = !done
	return done
}

// loopBack receives what was sent. It is lost when there is no room. mu is held.
func (c *Card) loopBack(frame []byte) {
	if status := c.filter(frame); c.get8(regCR)&crRE != 0 && status != 0 && !c.place(frame, status) {
		c.raise(intRDU)
		c.miss()
	}
}

// place gives a frame to the driver. It returns false if that has to wait. mu is
// held.
func (c *Card) place(frame []byte, status uint32) bool {
	if c.plus(cpRx) {
		return c.placePlus(frame, status)
	}
	return c.placeRing(frame, status)
}

// filter applies RCR to a frame. It is the status in C mode, zero for a frame
// that is not wanted. mu is held.
func (c *Card) filter(frame []byte) uint32 {
	rcr := c.get32(regRCR)
	own := string(frame[:6]) == string(c.s.Regs[regIDR:regIDR+6])
	switch {
	case string(frame[:6]) == "\xff\xff\xff\xff\xff\xff":
		if rcr&rcrAB != 0 {
			return ringROK | ringBAR
		}
	case frame[0]&1 != 0:
		// The upper six bits of the address' CRC, as it is on the line, choose a
		// bit of MAR.
		hash := bits.Reverse32(^crc32.ChecksumIEEE(frame[:6])) >> 26
		if rcr&rcrAM != 0 && c.s.Regs[regMAR+hash/8]>>(hash%8)&1 != 0 {
			return ringROK | ringMAR
		}
	case own && rcr&(rcrAPM|rcrAAP) != 0:
		return ringROK | ringPAM
	case rcr&rcrAAP != 0:
		return ringROK
	}
	return 0
}

// count adds a received frame to the tally counters. mu is held.
func (c *Card) countReceived(status uint32) {
	t := &c.s.Tally
	t.RxOK++
	switch {
	case status&ringPAM != 0:
		t.Physical++
	case status&ringBAR != 0:
		t.Broadcast++
	case status&ringMAR != 0:
		t.Multicast++
	}
}

// tellMAC has the host end follow the address. mu is held, or nobody else knows the
// card.
func (c *Card) tellMAC() { c.wire.SetMAC([6]byte(c.s.Regs[regIDR:])) }
