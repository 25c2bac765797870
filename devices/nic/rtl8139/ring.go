package rtl8139

import (
	"encoding/binary"
	"hash/crc32"
)

// Status of a packet in the ring buffer of C mode, of which the header is status
// and length, 16 bits each.
const (
	ringROK    = 1 << 0
	ringBAR    = 1 << 13 // broadcast
	ringPAM    = 1 << 14 // our address
	ringMAR    = 1 << 15 // multicast
	ringHeader = 4
	ringAlign  = 4
)

// ringLength is the size of the ring buffer in bytes. mu is held.
func (c *Card) ringLength() uint32 { return 8192 << (c.get32(regRCR) >> rcrRBLEN & 3) }

// resetRing empties the ring buffer. CAPR is 16 bytes behind what it stands for.
func (c *Card) resetRing() {
	c.put16(regCAPR, 0xFFF0)
	c.put16(regCBR, 0)
}

// ringUsed is how many bytes of the ring buffer the driver has not read. mu is
// held.
func (c *Card) ringUsed() uint32 {
	return uint32(c.get16(regCBR)-c.get16(regCAPR)-16) & (c.ringLength() - 1)
}

// placeRing puts a packet into the ring buffer of C mode:
//
//	status(16)  length(16)  frame  FCS  to a multiple of 4
//
// With RCR.WRAP the end of a packet is behind the end of the buffer, else at its
// beginning; a buffer of 64 KiB always wraps.
func (c *Card) placeRing(frame []byte, status uint32) bool {
	if len(frame)+fcsSize > maxRingSize {
		c.s.Tally.RxErr++
		return true
	}
	b := append(c.rx.buf[:0], 0, 0, 0, 0)
	b = append(b, frame...)
	for len(b) < ringHeader+minSize-fcsSize {
		b = append(b, 0)
	}
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b[ringHeader:]))
	binary.LittleEndian.PutUint32(b, status|uint32(len(b)-ringHeader)<<16)

	size := c.ringLength()
	need := (uint32(len(b)) + ringAlign - 1) &^ (ringAlign - 1)
	if need >= size-c.ringUsed() { // full would look like empty
		return false
	}
	at, start := uint32(c.get16(regCBR))&(size-1), uint64(c.get32(regRBSTART))
	here := b
	if over := int(size - at); len(b) > over && (c.get32(regRCR)&rcrWRAP == 0 || size == 64<<10) {
		here = b[:over]
	}
	err := c.ram.WriteAt(here, start+uint64(at))
	if err == nil && len(here) < len(b) {
		err = c.ram.WriteAt(b[len(here):], start)
	}
	if err != nil {
		c.failed("a frame cannot be given to the driver", err)
		return true
	}
	c.put16(regCBR, uint16((at+need)&(size-1)))
	c.countReceived(status)
	c.raise(intROK)
	return true
}
