package crypt

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
)

// cbc is AES with each block's plaintext added to the ciphertext before it, the
// first one's to the sector's initialisation vector.
type cbc struct {
	data      cipher.Block
	salt      cipher.Block // encrypts the initialisation vector, nil if that is plain
	numbering numbering
}

func newCBC(key []byte, n numbering) (*cbc, error) {
	data, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return &cbc{data: data, numbering: n}, nil
}

// newESSIV makes initialisation vectors that who lacks the key cannot tell: the
// sector's number, encrypted under the hash of the key.
func newESSIV(key []byte) (*cbc, error) {
	c, err := newCBC(key, plain64)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(key)
	c.salt, err = aes.NewCipher(sum[:])
	clear(sum[:])
	return c, err
}

func (c *cbc) start(sector uint64, iv *vector) {
	c.numbering(iv, sector)
	if c.salt != nil {
		c.salt.Encrypt(iv[:], iv[:])
	}
}

func (c *cbc) encrypt(dst, src []byte, sector uint64, iv *vector) {
	c.start(sector, iv)
	before := iv[:]
	for ; len(src) >= blockSize; src, dst = src[blockSize:], dst[blockSize:] {
		d := dst[:blockSize:blockSize]
		subtle.XORBytes(d, src[:blockSize], before)
		c.data.Encrypt(d, d)
		before = d
	}
}

func (c *cbc) decrypt(dst, src []byte, sector uint64, iv *vector) {
	c.start(sector, iv)
	lo, hi := iv.words()
	for ; len(src) >= blockSize; src, dst = src[blockSize:], dst[blockSize:] {
		// The ciphertext is kept before it is overwritten: dst may be src.
		d, s := dst[:blockSize:blockSize], src[:blockSize:blockSize]
		nextLo, nextHi := binary.LittleEndian.Uint64(s[:8]), binary.LittleEndian.Uint64(s[8:])
		c.data.Decrypt(d, s)
		add(d, d, lo, hi)
		lo, hi = nextLo, nextHi
	}
}
