package rtl8139

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/govmm/govmm/devices/nic"
)

// Status of a receive descriptor in C+ mode. The address is in the second half.
//
//	first word, given      0 size(13)  30 EOR  31 OWN
//	first word, done       0 length(13)  13 TCPF  14 UDPF  15 IPF  16 PID(2)  24 BAR  25 PAM  26 MAR  28 LS  29 FS
//	second word, done      0 VLAN tag(16), as in the frame  16 TAVA
const (
	plusSize   = 0x1FFF
	plusTCPF   = 1 << 13
	plusUDPF   = 1 << 14
	plusIPF    = 1 << 15
	plusPIDTCP = 1 << 16
	plusPIDUDP = 2 << 16
	plusPIDIP  = 3 << 16
	plusBAR    = 24 // from here on, in the order of C mode
	plusTAVA   = 1 << 16
)

// In C+ mode no register tells that the driver has given descriptors. A frame
// without one is offered again, a while, before it is lost.
const (
	retryTime = time.Millisecond
	keepTime  = 10 * time.Millisecond
)

// place is a descriptor that the driver has given.
type place struct {
	at, address uint64
	size, end   uint32 // end is EOR, or zero
}

// placePlus puts a frame into as many descriptors of C+ mode as it needs. mu is
// held.
func (c *Card) placePlus(frame []byte, status uint32) bool {
	if len(frame)+fcsSize > maxPlusSize {
		c.s.Tally.RxErr++
		return true
	}
	b, first, second := c.prepare(frame)
	n, err := c.findPlaces(len(b))
	switch {
	case err != nil:
		c.miss()
		c.failed("a receive descriptor cannot be read", err)
		return true
	case n == 0:
		return c.lack()
	case c.rx.lacking:
		c.rx.forget()
	}
	first |= status / ringBAR << plusBAR
	length := uint32(len(b))
	for i, p := range c.rx.places[:n] {
		k := min(int(p.size), len(b))
		word := first | p.end | p.size
		if i == 0 {
			word |= plusFS
		}
		if i == n-1 {
			word = word&^plusSize | plusLS | length
		}
		if err := c.fill(p, b[:k], word, second); err != nil {
			c.failed("a frame cannot be given to the driver", err)
		}
		b = b[k:]
		if c.s.RxNext++; p.end != 0 || c.s.RxNext == ringLimit {
			c.s.RxNext = 0
		}
	}
	c.countReceived(status)
	c.raise(intROK)
	return true
}

// fill writes a part of a frame, and then its descriptor: the driver polls its
// first word.
func (c *Card) fill(p place, part []byte, first, second uint32) error {
	if err := c.ram.WriteAt(part, p.address); err != nil {
		return err
	}
	if err := c.ram.Store32(p.at+4, second); err != nil {
		return err
	}
	return c.ram.AtomicStore32(p.at, first)
}

// prepare makes what the driver is given of a frame, and what its descriptors say:
// without its VLAN tag if that is to be taken away, padded, and with an FCS.
func (c *Card) prepare(frame []byte) (b []byte, first, second uint32) {
	cpcr := c.get16(regCPCR)
	b = append(c.rx.buf[:0], frame...)
	if cpcr&cpRxVLAN != 0 && len(frame) >= 18 && binary.BigEndian.Uint16(frame[12:]) == vlanType {
		second = plusTAVA | uint32(binary.LittleEndian.Uint16(frame[14:]))
		b = append(b[:12], frame[16:]...)
	}
	if cpcr&cpRxSum != 0 {
		first = protocolStatus(nic.Check(b))
	}
	for len(b) < minSize-fcsSize {
		b = append(b, 0)
	}
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b)), first, second
}

// protocolStatus tells a frame's protocol and which of its checksums are wrong.
func protocolStatus(s nic.Checksums) (v uint32) {
	if !s.IPv4 {
		return 0
	}
	if s.IPBad {
		v |= plusIPF
	}
	switch s.Protocol {
	case nic.ProtocolTCP:
		v |= plusPIDTCP
		if s.TransportBad {
			v |= plusTCPF
		}
	case nic.ProtocolUDP:
		v |= plusPIDUDP
		if s.TransportBad {
			v |= plusUDPF
		}
	default:
		v |= plusPIDIP
	}
	return v
}

// findPlaces finds the descriptors for n bytes. There are none until the driver
// has given enough. mu is held.
func (c *Card) findPlaces(n int) (count int, err error) {
	base, next := c.get64(regRDSAR)&^0xFF, c.s.RxNext
	for i := range c.rx.places {
		at := base + uint64(next)*descriptorSize
		first, err := c.ram.AtomicLoad32(at)
		if err != nil {
			return 0, err
		}
		if first&plusOWN == 0 {
			return 0, nil
		}
		address, err := c.ram.Load64(at + 8)
		if err != nil {
			return 0, err
		}
		c.rx.places[i] = place{at: at, address: address, size: first & plusSize, end: first & plusEOR}
		if n -= int(first & plusSize); n <= 0 {
			return i + 1, nil
		}
		if next++; first&plusEOR != 0 || next == ringLimit {
			next = 0
		}
		if next == c.s.RxNext {
			break // once around
		}
	}
	return 0, nil
}

// lack is a frame without descriptors. It has to wait, but not forever. mu is
// held.
func (c *Card) lack() bool {
	r, now := &c.rx, c.clock.Now()
	if !r.lacking {
		r.lacking, r.since = true, now
		c.raise(intRDU)
	}
	if now-r.since >= keepTime {
		c.raise(intRDU)
		c.miss()
		return true
	}
	r.retry.Set(now + retryTime)
	return false
}

// retry offers the frame again that has waited.
func (c *Card) retry() { c.wire.Kick() }
