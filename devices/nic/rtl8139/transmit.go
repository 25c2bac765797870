package rtl8139

import (
	"encoding/binary"

	"github.com/govmm/govmm/devices/nic"
	hostnet "github.com/govmm/govmm/net"
)

// descriptors is how many of them transmit in C mode.
const descriptors = 4

// Bits of a transmit descriptor in C+ mode. The address is in the second half.
//
//	first word   0 size(16)  16 TCPCS  17 UDPCS  18 IPCS  27 LGSEN  28 LS  29 FS  30 EOR  31 OWN
//	  with LGSEN 16 MSS(11)
//	second word  0 VLAN tag(16), as in the frame  17 TAGC
const (
	plusTCPCS = 1 << 16
	plusUDPCS = 1 << 17
	plusIPCS  = 1 << 18
	plusLGSEN = 1 << 27
	plusLS    = 1 << 28
	plusFS    = 1 << 29
	plusEOR   = 1 << 30
	plusOWN   = 1 << 31
	plusMSS   = 0x7FF
	plusTAGC  = 1 << 17

	plusDone = plusEOR | plusLS | plusFS | 0xFFFF // what stays when the card is done
)

// descriptorSize is that of a descriptor in C+ mode, in bytes; a ring has 64 of
// them at most.
const (
	descriptorSize = 16
	ringLimit      = 64
)

// burst is how many descriptors are looked at in a call of Transmit, at most.
const burst = 128

const (
	vlanTag  = 4
	vlanType = 0x8100
	fcsSize  = 4
	// Room for a frame, and a VLAN tag.
	txRoom = hostnet.MaxFrame + vlanTag
)

// transmitter is a frame that is being put together in C+ mode.
type transmitter struct {
	buf         []byte
	n           int
	overflow    bool
	first, tags uint32 // the words of its first descriptor
	started     bool
	high        bool // the ring it is from

	segments nic.Segments
	tag      int    // of the segments
	segment  []byte // the one that was made last
	out      []byte // the frame that goes out
}

func (t *transmitter) init() {
	t.buf, t.segment, t.out = make([]byte, txRoom), make([]byte, txRoom), make([]byte, 0, txRoom+vlanTag)
}

// forget drops what has not gone out.
func (t *transmitter) forget() {
	t.n, t.overflow, t.started = 0, false, false
	t.segments = nic.Segments{}
}

// writeTSD starts a descriptor of C mode, or dumps the tally counters in C+ mode.
// mu is held.
func (c *Card) writeTSD(r register, v uint32) (kick bool) {
	if c.plus(cpTx | cpRx) {
		if r.at == regTSD && v&dtccrCmd != 0 {
			v &^= dtccrCmd
			c.dump(uint64(c.get32(regTSD+4))<<32 | uint64(v&^63))
		}
		c.store(r, v)
		return false
	}
	c.store(r, v&tsdWrites)
	return v&tsdOWN == 0
}

// allTSD is the status of all descriptors (TSAD):
//
//	0 OWN0 to OWN3  4 TABT0 to TABT3  8 TUN0 to TUN3  12 TOK0 to TOK3
func (c *Card) allTSD() (v uint32) {
	for i := range descriptors {
		tsd := c.get32(regTSD + 4*i)
		for at, bit := range [...]uint32{tsdOWN, tsdTABT, tsdTUN, tsdTOK} {
			if tsd&bit != 0 {
				v |= 1 << (4*at + i)
			}
		}
	}
	return v
}

// writeTPPoll has the rings looked at. mu is held.
func (c *Card) writeTPPoll(v uint8) (kick bool) {
	if v&pollSW != 0 {
		c.raise(intSW)
	}
	c.s.Polls |= v & (pollNormal | pollHigh)
	return c.s.Polls != 0
}

// Transmit implements nic.Card.
func (c *Card) Transmit() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range burst {
		frame, more := c.nextFrame()
		if frame != nil && c.get32(regTCR)&tcrLBK == tcrLBK {
			c.loopBack(frame)
			frame = nil
		}
		if frame != nil || !more {
			return frame
		}
	}
	c.wire.Kick() // for the rest
	return nil
}

// nextFrame takes a step: a segment or a descriptor. There may be no frame yet,
// but more to look at. mu is held.
func (c *Card) nextFrame() (frame []byte, more bool) {
	t, ring := &c.tx, uint8(pollNormal)
	switch {
	case t.segments.Rest():
		return c.nextSegment(), true
	case !c.masters() || c.get8(regCR)&crTE == 0:
		return nil, false
	case !c.plus(cpTx):
		return c.nextTSD()
	case t.started && t.high, !t.started && c.s.Polls&pollHigh != 0:
		ring = pollHigh
	}
	if c.s.Polls&ring == 0 {
		return nil, false
	}
	return c.nextPlus(ring)
}

// nextTSD takes the next descriptor of C mode. mu is held.
func (c *Card) nextTSD() (frame []byte, more bool) {
	reg := regTSD + 4*int(c.s.TxNext)
	tsd := c.get32(reg)
	if tsd&tsdOWN != 0 {
		return nil, false
	}
	address := uint64(c.get32(regTSAD + 4*int(c.s.TxNext)))
	frame = c.tx.buf[:tsd&tsdSize]
	c.s.TxNext = (c.s.TxNext + 1) % descriptors
	if err := c.ram.ReadAt(frame, address); err != nil {
		c.put32(reg, tsd|tsdOWN|tsdTABT)
		c.s.Tally.TxErr++
		c.failed("a frame to send cannot be read", err)
		return nil, true
	}
	c.put32(reg, tsd|tsdOWN|tsdTOK)
	frame = c.send(frame, -1)
	c.raise(intTOK)
	return frame, true
}

// nextPlus takes the next descriptor of a ring of C+ mode. mu is held.
func (c *Card) nextPlus(ring uint8) (frame []byte, more bool) {
	next, base := &c.s.Plus[0], c.get64(regTSAD)
	if ring == pollHigh {
		next, base = &c.s.Plus[1], c.get64(regTSAD+8)
	}
	at := base&^0xFF + uint64(*next)*descriptorSize
	var d [descriptorSize]byte
	if err := c.ram.ReadAt(d[:], at); err != nil {
		c.s.Polls &^= ring
		c.failed("a transmit descriptor cannot be read", err)
		return nil, true
	}
	first, second := binary.LittleEndian.Uint32(d[:]), binary.LittleEndian.Uint32(d[4:])
	if first&plusOWN == 0 {
		c.s.Polls &^= ring
		c.raise(intTDU)
		return nil, true
	}
	c.gather(first, second, binary.LittleEndian.Uint64(d[8:]))
	c.tx.high = ring == pollHigh
	if err := c.ram.AtomicStore32(at, first&plusDone); err != nil {
		c.s.Polls &^= ring // it would come again
		c.tx.forget()
		c.failed("a transmit descriptor cannot be written", err)
		return nil, true
	}
	if *next++; first&plusEOR != 0 || *next == ringLimit {
		*next = 0
	}
	if first&plusLS == 0 {
		return nil, true
	}
	frame = c.finish()
	c.raise(intTOK)
	return frame, true
}

// gather adds a descriptor's part to the frame. mu is held.
func (c *Card) gather(first, second uint32, address uint64) {
	t, n := &c.tx, int(first&0xFFFF)
	if first&plusFS != 0 || !t.started {
		t.forget()
		t.started, t.first, t.tags = true, first, second
	}
	if t.n+n > len(t.buf) {
		t.overflow = true
	} else if err := c.ram.ReadAt(t.buf[t.n:t.n+n], address); err != nil {
		t.overflow = true
		c.failed("a frame to send cannot be read", err)
	} else {
		t.n += n
	}
}

// finish does with the frame that was gathered what its first descriptor says. mu
// is held.
func (c *Card) finish() []byte {
	t := &c.tx
	frame, first, tag, overflow := t.buf[:t.n], t.first, -1, t.overflow
	t.forget()
	if overflow {
		c.s.Tally.TxErr++
		return nil
	}
	if t.tags&plusTAGC != 0 {
		// The bytes are in the frame's order.
		tag = int(t.tags&0xFF)<<8 | int(t.tags>>8&0xFF)
	}
	if first&plusLGSEN != 0 {
		if cut, ok := nic.TCPSegments(frame, int(first>>16&plusMSS)); ok {
			t.segments, t.tag = cut, tag
			return c.nextSegment()
		}
		return c.send(frame, tag)
	}
	if first&plusTCPCS != 0 {
		nic.FillTransport(frame, nic.ProtocolTCP)
	}
	if first&plusUDPCS != 0 {
		nic.FillTransport(frame, nic.ProtocolUDP)
	}
	if first&plusIPCS != 0 {
		nic.FillIPv4(frame)
	}
	return c.send(frame, tag)
}

// nextSegment is the next frame of what is being segmented. mu is held.
func (c *Card) nextSegment() []byte {
	segment := c.tx.segments.Next(c.tx.segment)
	nic.FillTransport(segment, nic.ProtocolTCP)
	nic.FillIPv4(segment)
	return c.send(segment, c.tx.tag)
}

// send makes the frame that goes out, with its tag and without an FCS, and counts
// it. One that is too short is none. mu is held.
func (c *Card) send(frame []byte, tag int) []byte {
	t := &c.tx
	if c.get32(regTCR)&tcrCRC != 0 {
		frame = frame[:max(len(frame)-fcsSize, 0)]
	}
	if len(frame) < hostnet.MinFrame {
		c.s.Tally.TxErr++
		return nil
	}
	c.s.Tally.TxOK++
	if tag < 0 {
		return frame
	}
	t.out = append(t.out[:0], frame[:12]...)
	t.out = append(t.out, byte(vlanType>>8), byte(vlanType&0xFF), byte(tag>>8), byte(tag))
	t.out = append(t.out, frame[12:]...)
	return t.out
}
