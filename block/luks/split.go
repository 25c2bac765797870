package luks

import (
	"crypto/subtle"
	"encoding/binary"
	"hash"
	"io"
)

// stripes is over how many blocks of its own length a key is spread. The formats
// have a field for it, in which nothing else is valid.
const stripes = 4000

// diffuse replaces p by its hash, taken digest by digest, each with its number
// before it; the last one is cut.
func diffuse(p []byte, h hash.Hash) {
	size := h.Size()
	sum := make([]byte, 0, size)
	var number [4]byte
	for i := uint32(0); len(p) > 0; i++ {
		n := min(size, len(p))
		binary.BigEndian.PutUint32(number[:], i)
		h.Reset()
		h.Write(number[:])
		h.Write(p[:n])
		sum = h.Sum(sum[:0])
		copy(p[:n], sum)
		p = p[n:]
	}
}

// split spreads a key over stripes, all but the last of which are random.
func split(key []byte, h hash.Hash, random io.Reader) ([]byte, error) {
	n := len(key)
	material := make([]byte, n*stripes)
	last := (stripes - 1) * n
	if _, err := io.ReadFull(random, material[:last]); err != nil {
		return nil, err
	}
	sum := make([]byte, n)
	defer clear(sum)
	for i := 0; i < last; i += n {
		subtle.XORBytes(sum, sum, material[i:i+n])
		diffuse(sum, h)
	}
	subtle.XORBytes(material[last:], sum, key)
	return material, nil
}

// merge is the key of n bytes that was spread over material.
func merge(material []byte, n int, h hash.Hash) []byte {
	key := make([]byte, n)
	last := (stripes - 1) * n
	for i := 0; i < last; i += n {
		subtle.XORBytes(key, key, material[i:i+n])
		diffuse(key, h)
	}
	subtle.XORBytes(key, key, material[last:last+n])
	return key
}
