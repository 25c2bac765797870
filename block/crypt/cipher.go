package crypt

import (
	"errors"
	"fmt"
	"sync"
)

// SectorSize is the unit in which sectors are numbered, in bytes, whatever is
// encrypted at once.
const SectorSize = 512

// MaxSectorSize is the greatest number of bytes that are encrypted at once.
const MaxSectorSize = 4096

// ErrCipher is a cipher, or a size of its key, that this package has not.
var ErrCipher = errors.New("is not a cipher that govmm has")

// mode encrypts what goes under one initialisation vector. The number is that of
// its first 512 bytes. dst and src are as long as each other, a multiple of 16
// bytes, and the same or apart. A guest may write src meanwhile: what becomes of
// the sector is its own concern then. iv is memory to make the initialisation
// vector in, which would be allocated for each sector otherwise.
type mode interface {
	encrypt(dst, src []byte, sector uint64, iv *vector)
	decrypt(dst, src []byte, sector uint64, iv *vector)
}

// Cipher encrypts sectors under one key. It may be used by any number of
// goroutines at once, and allocates nothing.
type Cipher struct {
	name string
	mode mode
	size int
	ivs  sync.Pool // of *vector
}

// New makes a cipher of its name in dm-crypt's form, for sectors of sectorSize
// bytes: 512, 1024, 2048 or 4096. The error wraps ErrCipher for what there is
// not:
//
//	aes-xts-plain64         32 or 64 bytes of key
//	aes-xts-plain           likewise
//	aes-cbc-essiv:sha256    16, 24 or 32 bytes
//	aes-cbc-plain64         likewise
//	aes-cbc-plain           likewise
func New(name string, key []byte, sectorSize int) (*Cipher, error) {
	switch sectorSize {
	case 512, 1024, 2048, 4096:
	default:
		return nil, fmt.Errorf("sectors of %d bytes cannot be encrypted, only of 512, 1024, 2048 and 4096", sectorSize)
	}
	c := &Cipher{name: name, size: sectorSize, ivs: sync.Pool{New: func() any { return new(vector) }}}
	var err error
	switch name {
	case "aes-xts-plain64":
		c.mode, err = newXTS(key, plain64)
	case "aes-xts-plain":
		c.mode, err = newXTS(key, plain)
	case "aes-cbc-essiv:sha256":
		c.mode, err = newESSIV(key)
	case "aes-cbc-plain64":
		c.mode, err = newCBC(key, plain64)
	case "aes-cbc-plain":
		c.mode, err = newCBC(key, plain)
	default:
		return nil, fmt.Errorf("%q %w; aes-xts-plain64, aes-cbc-essiv:sha256 and aes-cbc-plain64 are", clip(name), ErrCipher)
	}
	if err != nil {
		return nil, fmt.Errorf("%s with a key of %d bits %w", name, len(key)*8, ErrCipher)
	}
	return c, nil
}

// Known reports whether New takes this name with a key of keySize bytes.
func Known(name string, keySize int) error {
	if keySize < 0 || keySize > MaxKeySize {
		return fmt.Errorf("%s with a key of %d bytes %w", clip(name), keySize, ErrCipher)
	}
	_, err := New(name, make([]byte, keySize), SectorSize)
	return err
}

// MaxKeySize is the length of the longest key, in bytes.
const MaxKeySize = 64

// String is the name the cipher was made by.
func (c *Cipher) String() string { return c.name }

// SectorSize is how many bytes are encrypted at once.
func (c *Cipher) SectorSize() int { return c.size }

// Encrypt encrypts src into dst. Both are as long as each other, a multiple of
// the cipher's sector size, and the same memory or memory that does not overlap.
// The number is that of the first 512-byte sector.
func (c *Cipher) Encrypt(dst, src []byte, sector uint64) {
	iv := c.ivs.Get().(*vector)
	defer c.ivs.Put(iv)
	for len(src) >= c.size {
		c.mode.encrypt(dst[:c.size], src[:c.size], sector, iv)
		dst, src = dst[c.size:], src[c.size:]
		sector += uint64(c.size / SectorSize)
	}
}

// Decrypt is Encrypt the other way round.
func (c *Cipher) Decrypt(dst, src []byte, sector uint64) {
	iv := c.ivs.Get().(*vector)
	defer c.ivs.Put(iv)
	for len(src) >= c.size {
		c.mode.decrypt(dst[:c.size], src[:c.size], sector, iv)
		dst, src = dst[c.size:], src[c.size:]
		sector += uint64(c.size / SectorSize)
	}
}

// clip bounds a name that comes from an image, for a message.
func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "..."
	}
	return s
}
