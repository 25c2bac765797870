package luks

import (
	"bytes"
	"encoding/binary"

	"github.com/govmm/govmm/block/crypt"
)

// The header of LUKS1, section 2.1 of its specification. Numbers are big-endian.
//
//	0    6  magic
//	6    2  version, 1
//	8   32  name of the block cipher, aes
//	40  32  its mode, xts-plain64
//	72  32  hash function
//	104  4  where the encrypted disk begins, in sectors of 512 bytes
//	108  4  length of the volume key in bytes
//	112 20  digest of the volume key
//	132 32  salt of that
//	164  4  iterations of that
//	168 40  UUID
//	208     8 key slots of 48 bytes:
//
//	        0   4  whether it is in use
//	        4   4  iterations of PBKDF2
//	        8  32  salt of that
//	        40  4  where the spread key is, in sectors of 512 bytes
//	        44  4  stripes, 4000
const (
	headerSize1 = 592
	slots1      = 8
	slotSize1   = 48
	saltSize    = 32
	digestSize1 = 20

	slotInUse   = 0x00ac71f3
	slotNotUsed = 0x0000dead
)

var magic = [6]byte{'L', 'U', 'K', 'S', 0xba, 0xbe}

// versionOf is the version of a header of which p is the beginning, 0 if it is
// none.
func versionOf(p []byte) int {
	if !bytes.Equal(p[:6], magic[:]) {
		return 0
	}
	return int(binary.BigEndian.Uint16(p[6:]))
}

// parse1 reads the header of a container of size bytes.
func parse1(p []byte, size int64) (*Header, error) {
	be := binary.BigEndian
	hashName := text(p[72:104])
	h := &Header{
		Version:    1,
		UUID:       text(p[168:208]),
		Cipher:     text(p[8:40]) + "-" + text(p[40:72]),
		KeySize:    int(min(be.Uint32(p[108:]), 1<<20)),
		SectorSize: crypt.SectorSize,
		Offset:     int64(be.Uint32(p[104:])) * crypt.SectorSize,
		digests: []digest{{
			kdf:  KDF{Type: PBKDF2, Hash: hashName, Iterations: be.Uint32(p[164:])},
			salt: bytes.Clone(p[132:164]),
			sum:  bytes.Clone(p[112:132]),
		}},
	}
	if err := knownCipher(h.Cipher, h.KeySize); err != nil {
		return nil, err
	}
	if h.Offset == 0 {
		return nil, errDetached
	}
	if h.Offset < headerSize1 || h.Offset > size {
		return nil, corrupt("the encrypted disk begins at %d, in a container of %d bytes", h.Offset, size)
	}
	for i := range slots1 {
		f := p[208+i*slotSize1:][:slotSize1]
		switch state := be.Uint32(f); state {
		case slotInUse:
		case slotNotUsed:
			continue
		default:
			return nil, corrupt("the state of key slot %d is %#x", i, state)
		}
		s := Slot{
			Number:      i,
			KDF:         KDF{Type: PBKDF2, Hash: hashName, Iterations: be.Uint32(f[4:])},
			Split:       hashName,
			Offset:      int64(be.Uint32(f[40:])) * crypt.SectorSize,
			Size:        materialSize(h.KeySize),
			Cipher:      h.Cipher,
			AreaKeySize: h.KeySize,
			salt:        bytes.Clone(f[8:40]),
		}
		if n := be.Uint32(f[44:]); n != stripes {
			return nil, corrupt("the key in slot %d is spread over %d stripes, not %d", i, n, stripes)
		}
		if s.Offset < headerSize1 {
			return nil, corrupt("the area of key slot %d, at %d, is in the header", i, s.Offset)
		}
		h.Slots = append(h.Slots, s)
	}
	return h, nil
}

// put1 is the header as it is written.
func (h *Header) put1() []byte {
	be := binary.BigEndian
	p := make([]byte, headerSize1)
	copy(p, magic[:])
	be.PutUint16(p[6:], 1)
	name, mode, _ := bytes.Cut([]byte(h.Cipher), []byte("-"))
	copy(p[8:40], name)
	copy(p[40:72], mode)
	d := h.digests[0]
	copy(p[72:104], d.kdf.Hash)
	be.PutUint32(p[104:], uint32(h.Offset/crypt.SectorSize))
	be.PutUint32(p[108:], uint32(h.KeySize))
	copy(p[112:132], d.sum)
	copy(p[132:164], d.salt)
	be.PutUint32(p[164:], d.kdf.Iterations)
	copy(p[168:208], h.UUID)
	for i := range slots1 {
		f := p[208+i*slotSize1:][:slotSize1]
		be.PutUint32(f, slotNotUsed)
		be.PutUint32(f[40:], uint32(slotOffset1(i, h.KeySize)/crypt.SectorSize))
		be.PutUint32(f[44:], stripes)
	}
	for _, s := range h.Slots {
		f := p[208+s.Number*slotSize1:][:slotSize1]
		be.PutUint32(f, slotInUse)
		be.PutUint32(f[4:], s.KDF.Iterations)
		copy(f[8:40], s.salt)
	}
	return p
}

// slotOffset1 is where cryptsetup puts the area of a key slot: they follow each
// other from the second 4 KiB on, each a multiple of that.
func slotOffset1(i, keySize int) int64 {
	const align = 4096
	return align + int64(i)*((materialSize(keySize)+align-1)&^(align-1))
}
