package crypt

import "encoding/binary"

// blockSize is AES's, in bytes.
const blockSize = 16

// vector is an initialisation vector.
type vector [blockSize]byte

// words are its two halves, as the modes add them.
func (v *vector) words() (lo, hi uint64) {
	return binary.LittleEndian.Uint64(v[:8]), binary.LittleEndian.Uint64(v[8:])
}

// numbering sets a vector by a sector's number, before the mode does with it what
// it does.
type numbering func(v *vector, sector uint64)

// plain64 is the number in 64 bits, little-endian.
func plain64(v *vector, sector uint64) {
	binary.LittleEndian.PutUint64(v[:8], sector)
	clear(v[8:])
}

// plain is the number in 32 bits, so that it repeats after 2 TiB.
func plain(v *vector, sector uint64) { plain64(v, sector&(1<<32-1)) }
