package e1000

import (
	"encoding/binary"

	hostnet "github.com/govmm/govmm/net"
)

// descriptorSize is that of all descriptors, in bytes.
const descriptorSize = 16

// Bits of a transmit descriptor's second half (section 3.3):
//
//	legacy   0 length(16)  16 CSO(8)  24 CMD(8)  32 STA(4)  40 CSS(8)  48 special(16)
//	data     0 length(20)  20 type(4)  24 DCMD(8)  32 STA(4)  40 POPTS(8)  48 special(16)
//	context  0 PAYLEN(20)  20 type(4)  24 TUCMD(8)  32 STA(4)  40 HDRLEN(8)  48 MSS(16)
const (
	cmdEOP  = 1 << 0 // the frame ends here
	cmdIC   = 1 << 2 // legacy: insert a checksum
	cmdTSE  = 1 << 2 // else: segment
	cmdRS   = 1 << 3 // write the status back
	cmdDEXT = 1 << 5 // not a legacy descriptor
	cmdVLE  = 1 << 6 // insert a VLAN tag

	typeData = 1

	tucmdTCP = 1 << 0
	tucmdIP  = 1 << 1 // IPv4

	poptsIXSM = 1 << 0 // insert the IP checksum
	poptsTXSM = 1 << 1 // and TCP's or UDP's

	staDD = 1 << 0 // done
)

// burst is how many descriptors are looked at in a call of Transmit, at most.
const burst = 256

// Room for a frame, and a VLAN tag.
const txRoom = hostnet.MaxFrame + vlanTag

const vlanTag = 4

// transmitter is a frame that is being put together.
type transmitter struct {
	buf      []byte
	n        int
	overflow bool

	// Of its first descriptor.
	command, options uint8
	started          bool

	segments segments
	segment  []byte // the one that was made last
	out      []byte // the frame that goes out
}

func (t *transmitter) init() {
	t.buf, t.segment, t.out = make([]byte, txRoom), make([]byte, txRoom), make([]byte, 0, txRoom+vlanTag)
}

// forget drops what has not gone out.
func (t *transmitter) forget() {
	t.n, t.overflow, t.started = 0, false, false
	t.segments = segments{}
}

// Transmit implements nic.Card.
func (c *Card) Transmit() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f := c.nextSegment(); f != nil {
		return f
	}
	if !c.masters() {
		return nil
	}
	for range burst {
		size := *c.reg(regTDLEN) / descriptorSize
		head, tail := *c.reg(regTDH), *c.reg(regTDT)
		if *c.reg(regTCTL)&tctlEN == 0 || head == tail || head >= size || tail >= size {
			return nil
		}
		frame := c.transmitDescriptor(uint64(*c.reg(regTDBAH))<<32 | uint64(*c.reg(regTDBAL)) + uint64(head)*descriptorSize)
		if head++; head == size {
			head = 0
		}
		*c.reg(regTDH) = head
		if head == tail {
			c.raise(intTXQE)
		}
		if frame != nil {
			return frame
		}
	}
	c.wire.Kick() // for the rest
	return nil
}

// transmitDescriptor does what a descriptor says. It returns a frame when there
// is one to send. mu is held.
func (c *Card) transmitDescriptor(at uint64) (frame []byte) {
	var d [descriptorSize]byte
	if err := c.ram.ReadAt(d[:], at); err != nil {
		c.complain("a transmit descriptor cannot be read", err)
		return nil
	}
	address, v := binary.LittleEndian.Uint64(d[:]), binary.LittleEndian.Uint64(d[8:])
	command := uint8(v >> 24)
	switch {
	case command&cmdDEXT == 0:
		frame = c.gather(address, int(v&0xFFFF), command&^cmdTSE, v)
	case v>>20&0xF == typeData:
		frame = c.gather(address, int(v&0xFFFFF), command, v)
	default:
		c.setContext(address, v)
	}
	if command&cmdRS != 0 {
		if err := c.ram.Store8(at+12, d[12]|staDD); err != nil {
			c.complain("a transmit descriptor cannot be written", err)
		}
		c.raise(intTXDW)
	}
	return frame
}

// gather adds a part to the frame, and ends it. mu is held.
func (c *Card) gather(address uint64, n int, command uint8, v uint64) []byte {
	t := &c.tx
	legacy := command&cmdDEXT == 0
	if !t.started {
		t.started, t.command, t.options = true, command, 0
		if !legacy {
			t.options = uint8(v >> 40)
		}
	}
	if t.n+n > len(t.buf) {
		t.overflow = true
	} else if err := c.ram.ReadAt(t.buf[t.n:t.n+n], address); err != nil {
		c.complain("a frame to send cannot be read", err)
		t.overflow = true
	} else {
		t.n += n
	}
	if command&cmdEOP == 0 {
		return nil
	}
	frame, overflow := t.buf[:t.n], t.overflow
	options, first := t.options, t.command
	t.forget()
	if overflow || len(frame) < hostnet.MinFrame {
		return nil
	}
	tag := -1
	if command&cmdVLE != 0 && *c.reg(regCTRL)&ctrlVME != 0 {
		tag = int(v >> 48)
	}
	if legacy {
		if v>>24&cmdIC != 0 {
			insertSum(frame, int(v>>40&0xFF), int(v>>16&0xFF), 0)
		}
		return c.send(frame, tag)
	}
	if first&cmdTSE != 0 {
		x := c.s.Contexts[segmentation]
		if cut := x.cut(frame); cut.Sensible() {
			t.segments = segments{Segments: cut, context: x, options: options, tag: tag}
			return c.nextSegment()
		}
	}
	c.s.Contexts[plainSums].insert(frame, options)
	return c.send(frame, tag)
}

// send makes the frame that goes out, with its tag, and counts it. mu is held.
func (c *Card) send(frame []byte, tag int) []byte {
	t := &c.tx
	t.out = append(t.out[:0], frame...)
	if tag >= 0 {
		t.out = append(t.out[:12], byte(*c.reg(regVET)>>8), byte(*c.reg(regVET)), byte(tag>>8), byte(tag))
		t.out = append(t.out, frame[12:]...)
	}
	c.count(statGPTC, statTPT, statGOTCL, statTOTL, statMPTC, statBPTC, t.out)
	return t.out
}

// nextSegment is the next frame of what is being segmented. mu is held.
func (c *Card) nextSegment() []byte {
	s := &c.tx.segments
	if !s.Rest() {
		return nil
	}
	return c.send(s.next(c.tx.segment), s.tag)
}

// complain logs what a driver does wrong.
func (c *Card) complain(what string, err error) {
	if c.log.Allow() {
		c.log.Warn(what, "error", err)
	}
}
