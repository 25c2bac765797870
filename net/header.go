package net

import "encoding/binary"

// Sizes in bytes of the virtio_net_hdr: without NumBuffers, for legacy drivers
// that did not negotiate VIRTIO_NET_F_MRG_RXBUF, and with it.
const (
	ShortHeaderSize = 10
	HeaderSize      = 12
)

// Bits of Header.Flags.
const (
	HeaderNeedsCsum = 1 << 0 // VIRTIO_NET_HDR_F_NEEDS_CSUM: CsumStart and CsumOffset are valid
	HeaderDataValid = 1 << 1 // VIRTIO_NET_HDR_F_DATA_VALID: the checksum has been verified
)

// Values of Header.GSOType. GSOECN may be added to the TCP ones.
const (
	GSONone  = 0
	GSOTCPv4 = 1
	GSOUDP   = 3 // fragmentation
	GSOTCPv6 = 4
	GSOUDPL4 = 5 // segmentation
	GSOECN   = 0x80
)

// Header is the virtio_net_hdr (virtio 1.2, section 5.1.6), little-endian:
//
//	0 flags  1 gso_type  2 hdr_len  4 gso_size
//	6 csum_start  8 csum_offset  10 num_buffers
type Header struct {
	Flags      uint8
	GSOType    uint8
	HdrLen     uint16 // length of the headers that precede the payload to segment
	GSOSize    uint16 // payload of each segment
	CsumStart  uint16 // where the checksummed part begins, from the Ethernet header on
	CsumOffset uint16 // where to store the checksum, from CsumStart on
	NumBuffers uint16 // receive only: number of buffers the frame is in
}

// ParseHeader decodes the header at the start of b. It returns false when b is
// shorter than ShortHeaderSize. NumBuffers is 0 if b does not reach it.
func ParseHeader(b []byte) (Header, bool) {
	if len(b) < ShortHeaderSize {
		return Header{}, false
	}
	h := Header{
		Flags:      b[0],
		GSOType:    b[1],
		HdrLen:     binary.LittleEndian.Uint16(b[2:]),
		GSOSize:    binary.LittleEndian.Uint16(b[4:]),
		CsumStart:  binary.LittleEndian.Uint16(b[6:]),
		CsumOffset: binary.LittleEndian.Uint16(b[8:]),
	}
	if len(b) >= HeaderSize {
		h.NumBuffers = binary.LittleEndian.Uint16(b[10:])
	}
	return h, true
}

// Put encodes the header into b, which is at least ShortHeaderSize long;
// NumBuffers is left out when b is shorter than HeaderSize.
func (h Header) Put(b []byte) {
	b[0] = h.Flags
	b[1] = h.GSOType
	binary.LittleEndian.PutUint16(b[2:], h.HdrLen)
	binary.LittleEndian.PutUint16(b[4:], h.GSOSize)
	binary.LittleEndian.PutUint16(b[6:], h.CsumStart)
	binary.LittleEndian.PutUint16(b[8:], h.CsumOffset)
	if len(b) >= HeaderSize {
		binary.LittleEndian.PutUint16(b[10:], h.NumBuffers)
	}
}
