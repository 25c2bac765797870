package luks

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"

	//lint:ignore SA1019 containers of old have it
	"golang.org/x/crypto/ripemd160"
)

// hashes are the hash functions that key derivation, digests and the spreading of
// keys may use, by the names in headers.
func newHash(name string) (func() hash.Hash, error) {
	switch name {
	case "sha1":
		return sha1.New, nil
	case "sha224":
		return sha256.New224, nil
	case "sha256":
		return sha256.New, nil
	case "sha384":
		return sha512.New384, nil
	case "sha512":
		return sha512.New, nil
	case "ripemd160":
		return ripemd160.New, nil
	}
	return nil, fmt.Errorf("hash function %s %w; sha1, sha256, sha512 and ripemd160 are", clip(name), ErrUnsupported)
}
