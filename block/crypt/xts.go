package crypt

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
)

var errKeySize = errors.New("invalid key size")

// xts is AES in the mode of IEEE 1619 for whole blocks: block j of a sector is
// encrypted between two additions of a tweak, which is the encrypted
// initialisation vector times x to the j in GF(2^128).
type xts struct {
	data, tweak cipher.Block
	numbering   numbering
}

func newXTS(key []byte, n numbering) (*xts, error) {
	half := len(key) / 2
	if half != 16 && half != 32 || len(key)%2 != 0 {
		return nil, errKeySize
	}
	data, err := aes.NewCipher(key[:half])
	if err != nil {
		return nil, err
	}
	tweak, err := aes.NewCipher(key[half:])
	if err != nil {
		return nil, err
	}
	return &xts{data: data, tweak: tweak, numbering: n}, nil
}

func (x *xts) encrypt(dst, src []byte, sector uint64, iv *vector) {
	lo, hi := x.start(sector, iv)
	for ; len(src) >= blockSize; src, dst = src[blockSize:], dst[blockSize:] {
		d := dst[:blockSize:blockSize]
		add(d, src[:blockSize:blockSize], lo, hi)
		x.data.Encrypt(d, d)
		add(d, d, lo, hi)
		lo, hi = double(lo, hi)
	}
}

func (x *xts) decrypt(dst, src []byte, sector uint64, iv *vector) {
	lo, hi := x.start(sector, iv)
	for ; len(src) >= blockSize; src, dst = src[blockSize:], dst[blockSize:] {
		d := dst[:blockSize:blockSize]
		add(d, src[:blockSize:blockSize], lo, hi)
		x.data.Decrypt(d, d)
		add(d, d, lo, hi)
		lo, hi = double(lo, hi)
	}
}

// start is the tweak of a sector's first block.
func (x *xts) start(sector uint64, iv *vector) (lo, hi uint64) {
	x.numbering(iv, sector)
	x.tweak.Encrypt(iv[:], iv[:])
	return iv.words()
}

// double multiplies by x, modulo x^128 + x^7 + x^2 + x + 1.
func double(lo, hi uint64) (uint64, uint64) {
	carry := uint64(int64(hi)>>63) & 0x87
	return lo<<1 ^ carry, hi<<1 | lo>>63
}

// add is d = s + the tweak, in GF(2^128).
func add(d, s []byte, lo, hi uint64) {
	binary.LittleEndian.PutUint64(d[:8], binary.LittleEndian.Uint64(s[:8])^lo)
	binary.LittleEndian.PutUint64(d[8:16], binary.LittleEndian.Uint64(s[8:16])^hi)
}
