package e1000

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/govmm/govmm/devices/nic"
)

// Status and errors of a receive descriptor's second half (section 3.2.3):
//
//	0 length(16)  16 checksum(16)  32 status(8)  40 errors(8)  48 special(16)
const (
	rxDD    = 1 << 32
	rxEOP   = 1 << 33
	rxIXSM  = 1 << 34 // the checksums say nothing
	rxVP    = 1 << 35 // the VLAN tag is in special
	rxTCPCS = 1 << 37 // TCP's or UDP's checksum was looked at
	rxIPCS  = 1 << 38 // and IP's
	rxTCPE  = 1 << 45 // TCP's or UDP's is wrong
	rxIPE   = 1 << 46
)

// Sizes in bytes: of a frame, FCS included.
const (
	minSize    = 64
	normalSize = 1522
	maxSize    = 16384
	fcsSize    = 4
)

// receiver is a frame that is being received.
type receiver struct{ buf []byte }

func (r *receiver) init() { r.buf = make([]byte, 0, maxSize+vlanTag) }

// bufferSize is that of the driver's receive buffers (section 13.4.22).
func bufferSize(rctl uint32) int {
	n := 2048 >> (rctl >> rctlBSIZE & 3)
	if rctl&rctlBSEX != 0 && n < 2048 {
		n *= 16
	}
	return n
}

// Ready implements nic.Card.
func (c *Card) Ready() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.starved = !c.masters() || *c.reg(regRCTL)&rctlEN == 0 || c.free() == 0
	return !c.starved
}

// free is how many receive descriptors the card has. mu is held.
func (c *Card) free() int {
	size, head, tail := int(*c.reg(regRDLEN)/descriptorSize), int(*c.reg(regRDH)), int(*c.reg(regRDT))
	switch {
	case head >= size || tail >= size:
		return 0
	case tail >= head:
		return tail - head
	}
	return size - head + tail
}

// Receive implements nic.Card.
func (c *Card) Receive(frame []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	rctl := *c.reg(regRCTL)
	if rctl&rctlEN == 0 || !c.masters() {
		return true // lost
	}
	limit := normalSize
	if rctl&rctlLPE != 0 {
		limit = maxSize
	}
	if len(frame)+fcsSize > limit || !c.wants(frame) {
		return true
	}
	b, status := c.prepare(frame, rctl)
	size, n := bufferSize(rctl), int(*c.reg(regRDLEN)/descriptorSize)
	need := (len(b) + size - 1) / size
	if need >= n {
		return true // there is never room
	}
	if c.free() < need {
		c.starved = true
		return false
	}
	c.count(statGPRC, statTPR, statGORCL, statTORL, statMPRC, statBPRC, frame)
	for len(b) > 0 {
		k := min(size, len(b))
		part := status | rxDD
		if k == len(b) {
			part |= rxEOP
		}
		c.fill(b[:k], part, uint32(n))
		b = b[k:]
	}
	causes := uint32(intRXT0)
	if c.free() <= n>>(1+rctl>>rctlRDMTS&3) {
		causes |= intRXDMT0
	}
	c.raise(causes)
	return true
}

// fill puts a part of a frame into the next descriptor's buffer. mu is held.
func (c *Card) fill(b []byte, status uint64, n uint32) {
	head := *c.reg(regRDH)
	at := uint64(*c.reg(regRDBAH))<<32 | uint64(*c.reg(regRDBAL)) + uint64(head)*descriptorSize
	if head++; head == n {
		head = 0
	}
	*c.reg(regRDH) = head
	address, err := c.ram.Load64(at)
	if err == nil {
		if err = c.ram.WriteAt(b, address); err == nil {
			// The status after the data: the driver polls it.
			err = c.ram.AtomicStore64(at+8, status|uint64(len(b)))
		}
	}
	if err != nil {
		c.complain("a frame cannot be given to the driver", err)
	}
}

// prepare makes what the driver is given of a frame, and its status: padded,
// without its VLAN tag if that is to be taken away, and with an FCS unless not.
func (c *Card) prepare(frame []byte, rctl uint32) (b []byte, status uint64) {
	b = append(c.rx.buf[:0], frame...)
	if tagged := c.tagOf(frame); tagged >= 0 && *c.reg(regCTRL)&ctrlVME != 0 {
		b = append(append(b[:0], frame[:12]...), frame[16:]...)
		status |= rxVP | uint64(tagged)<<48
	}
	status |= c.checkSums(b)
	for len(b) < minSize-fcsSize {
		b = append(b, 0)
	}
	if rctl&rctlSECRC == 0 {
		b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	}
	return b, status
}

// tagOf is the VLAN tag of a frame, -1 without.
func (c *Card) tagOf(frame []byte) int {
	if len(frame) < 18 || uint32(binary.BigEndian.Uint16(frame[12:])) != *c.reg(regVET) {
		return -1
	}
	return int(binary.BigEndian.Uint16(frame[14:]))
}

// wants applies the filters (section 3.2.1). mu is held.
func (c *Card) wants(frame []byte) bool {
	rctl := *c.reg(regRCTL)
	if rctl&rctlVFE != 0 {
		if tag := c.tagOf(frame); tag >= 0 {
			if vlan := uint32(tag) & 0xFFF; *c.reg(regVFTA + vlan/32*4)>>(vlan%32)&1 == 0 {
				return false
			}
		}
	}
	low, high := binary.LittleEndian.Uint32(frame), uint32(binary.LittleEndian.Uint16(frame[4:]))
	switch {
	case low == 0xFFFFFFFF && high == 0xFFFF:
		if rctl&rctlBAM != 0 {
			return true
		}
	case frame[0]&1 != 0:
		if rctl&rctlMPE != 0 {
			return true
		}
	case rctl&rctlUPE != 0:
		return true
	}
	for i := range uint32(raPairs) {
		if h := *c.reg(regRA + 8*i + 4); h&rahAV != 0 && h&0xFFFF == high && *c.reg(regRA + 8*i) == low {
			return true
		}
	}
	if frame[0]&1 == 0 {
		return false
	}
	// Twelve bits of the address pick a bit of MTA, which of them RCTL.MO says.
	shift := [4]uint32{4, 3, 2, 0}[rctl>>rctlMO&3]
	hash := high >> shift & 0xFFF
	return *c.reg(regMTA + hash/32*4)>>(hash%32)&1 != 0
}

// checkSums looks at the checksums of IPv4, TCP and UDP, as RXCSUM says.
func (c *Card) checkSums(frame []byte) uint64 {
	control := *c.reg(regRXCSUM)
	if control&(rxcsumIPOFLD|rxcsumTUOFLD) == 0 {
		return rxIXSM
	}
	sums := nic.Check(frame)
	if !sums.IPv4 {
		return rxIXSM
	}
	var status uint64
	if control&rxcsumIPOFLD != 0 {
		status |= rxIPCS
		if sums.IPBad {
			return status | rxIPE
		}
	}
	if control&rxcsumTUOFLD != 0 && sums.Protocol != 0 {
		status |= rxTCPCS
		if sums.TransportBad {
			status |= rxTCPE
		}
	}
	return status
}

// count adds a frame to the statistics. mu is held.
func (c *Card) count(good, total, goodBytes, totalBytes, multicast, broadcast uint32, frame []byte) {
	n := uint64(len(frame) + fcsSize)
	for _, reg := range [...]uint32{good, total} {
		if r := c.reg(reg); *r != ^uint32(0) {
			*r++ // it stays at its end
		}
	}
	for _, reg := range [...]uint32{goodBytes, totalBytes} {
		low, high := c.reg(reg), c.reg(reg+4)
		v := uint64(*high)<<32 | uint64(*low) + n
		*low, *high = uint32(v), uint32(v>>32)
	}
	if frame[0]&1 != 0 {
		which := multicast
		if string(frame[:6]) == "\xff\xff\xff\xff\xff\xff" {
			which = broadcast
		}
		*c.reg(which)++
	}
}

// tellMAC has the host end follow the first address. mu is held, or nobody else
// knows the card.
func (c *Card) tellMAC() {
	low, high := *c.reg(regRA), *c.reg(regRA + 4)
	if high&rahAV == 0 {
		return // it is being written
	}
	c.wire.SetMAC([6]byte{byte(low), byte(low >> 8), byte(low >> 16), byte(low >> 24), byte(high), byte(high >> 8)})
}
