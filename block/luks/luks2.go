package luks

import (
	"bytes"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
)

// The header of LUKS2, section 2 of its specification, stands twice, each time
// before a JSON area. Numbers are big-endian.
//
//	0    6  magic, another one in the second header
//	6    2  version, 2
//	8    8  length of header and JSON area, 16 KiB to 4 MiB
//	16   8  sequence number: of two valid headers the higher one counts
//	24  48  label
//	72  32  hash function of the checksum
//	104 64  salt, different in both
//	168 40  UUID
//	208 48  subsystem
//	256  8  where this header stands, in bytes
//	448 64  checksum of header and JSON area, with zeroes in this place
//	512     zeroes up to 4096
const (
	headerSize2  = 4096
	sumOffset2   = 448
	sumSize2     = 64
	minTotal2    = 16 << 10
	maxTotal2    = 4 << 20
	labelSize2   = 48
	defaultTotal = minTotal2
)

var magicSecond = [6]byte{'S', 'K', 'U', 'L', 0xba, 0xbe}

var errDetached = fmt.Errorf("a LUKS header that is detached from its disk %w", ErrUnsupported)

// binary2 is one of the two headers.
type binary2 struct {
	total    int64 // length with the JSON area
	sequence uint64
	label    string
	sumHash  string
	uuid     string
	offset   int64
	json     []byte
}

// read2 reads whichever header is valid and newer.
func read2(s Store) (*Header, error) {
	first, firstErr := readBinary2(s, 0)
	var second *binary2
	if firstErr == nil {
		second, _ = readBinary2(s, first.total)
	} else {
		// It stands at one of the lengths that the first can have.
		for at := int64(minTotal2); at <= maxTotal2 && second == nil; at *= 2 {
			second, _ = readBinary2(s, at)
		}
	}
	switch {
	case first == nil && second == nil:
		return nil, firstErr
	case first == nil, second != nil && second.sequence > first.sequence:
		return parse2(second, s.Size())
	}
	h, err := parse2(first, s.Size())
	if err != nil && second != nil && errors.Is(err, ErrCorrupt) {
		return parse2(second, s.Size())
	}
	return h, err
}

// readBinary2 reads and checks the header at an offset.
func readBinary2(s Store, at int64) (*binary2, error) {
	size := s.Size()
	if at > size || size-at < headerSize2 {
		return nil, ErrNotLUKS
	}
	p := make([]byte, headerSize2)
	if err := s.ReadVec([][]byte{p}, at); err != nil {
		return nil, err
	}
	want := magic
	if at > 0 {
		want = magicSecond
	}
	if !bytes.Equal(p[:6], want[:]) {
		return nil, ErrNotLUKS
	}
	be := binary.BigEndian
	if v := be.Uint16(p[6:]); v != 2 {
		return nil, corrupt("version %d in a header of version 2", v)
	}
	total := be.Uint64(p[8:])
	if total < minTotal2 || total > maxTotal2 || total&(total-1) != 0 || at+int64(total) > size {
		return nil, corrupt("the header is %d bytes long, in a container of %d", total, size)
	}
	if o := be.Uint64(p[256:]); o != uint64(at) {
		return nil, corrupt("the header at %d says that it stands at %d", at, o)
	}
	b := &binary2{total: int64(total), sequence: be.Uint64(p[16:]), label: text(p[24:72]),
		sumHash: text(p[72:104]), uuid: text(p[168:208]), offset: at}
	area := make([]byte, int64(total)-headerSize2)
	if err := s.ReadVec([][]byte{area}, at+headerSize2); err != nil {
		return nil, err
	}
	written := bytes.Clone(p[sumOffset2:][:sumSize2])
	clear(p[sumOffset2:][:sumSize2])
	sum, err := checksum2(b.sumHash, p, area)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(sum, written[:len(sum)]) == 0 {
		return nil, corrupt("the checksum of the header at %d is wrong", at)
	}
	if i := bytes.IndexByte(area, 0); i >= 0 {
		area = area[:i]
	}
	b.json = area
	return b, nil
}

func checksum2(hashName string, header, area []byte) ([]byte, error) {
	newSum, err := newHash(hashName)
	if err != nil {
		return nil, err
	}
	h := newSum()
	h.Write(header)
	h.Write(area)
	return h.Sum(nil), nil
}

// put2 is the header with its JSON area, as it is written.
func (b *binary2) put2(salt []byte) ([]byte, error) {
	be := binary.BigEndian
	p := make([]byte, b.total)
	copy(p, magic[:])
	if b.offset > 0 {
		copy(p, magicSecond[:])
	}
	be.PutUint16(p[6:], 2)
	be.PutUint64(p[8:], uint64(b.total))
	be.PutUint64(p[16:], b.sequence)
	copy(p[24:24+labelSize2-1], b.label)
	copy(p[72:104], b.sumHash)
	copy(p[104:168], salt)
	copy(p[168:208], b.uuid)
	be.PutUint64(p[256:], uint64(b.offset))
	if len(b.json) >= int(b.total)-headerSize2 {
		return nil, fmt.Errorf("the LUKS header has %d bytes of JSON, more than fits", len(b.json))
	}
	copy(p[headerSize2:], b.json)
	sum, err := checksum2(b.sumHash, p[:headerSize2], p[headerSize2:])
	if err != nil {
		return nil, err
	}
	copy(p[sumOffset2:][:sumSize2], sum)
	return p, nil
}
