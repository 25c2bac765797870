package crypt

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"testing"

	ieee1619 "golang.org/x/crypto/xts"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func noise(seed uint64, n int) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	p := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(p) // it cannot fail
	return p
}

// IEEE 1619-2018, annex B, vectors 1 and 2.
func TestXTSVectors(t *testing.T) {
	for _, v := range []struct {
		key, plain, secret string
		sector             uint64
	}{
		{
			key:    "0000000000000000000000000000000000000000000000000000000000000000",
			plain:  "0000000000000000000000000000000000000000000000000000000000000000",
			secret: "917cf69ebd68b2ec9b9fe9a3eadda692cd43d2f59598ed858c02c2652fbf922e",
		},
		{
			key:    "1111111111111111111111111111111122222222222222222222222222222222",
			plain:  "4444444444444444444444444444444444444444444444444444444444444444",
			secret: "c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0",
			sector: 0x3333333333,
		},
	} {
		x, err := newXTS(unhex(t, v.key), plain64)
		if err != nil {
			t.Fatal(err)
		}
		p, iv := unhex(t, v.plain), new(vector)
		x.encrypt(p, p, v.sector, iv)
		if got := hex.EncodeToString(p); got != v.secret {
			t.Errorf("encrypted: %s, want %s", got, v.secret)
		}
		x.decrypt(p, p, v.sector, iv)
		if got := hex.EncodeToString(p); got != v.plain {
			t.Errorf("decrypted: %s, want %s", got, v.plain)
		}
	}
}

// reference encrypts one sector in another way than this package does.
func reference(t *testing.T, name string, key, p []byte, sector uint64) []byte {
	t.Helper()
	out := make([]byte, len(p))
	iv := make([]byte, 16)
	binary.LittleEndian.PutUint64(iv, sector)
	switch name {
	case "aes-xts-plain":
		sector &= 1<<32 - 1
		fallthrough
	case "aes-xts-plain64":
		c, err := ieee1619.NewCipher(aes.NewCipher, key)
		if err != nil {
			t.Fatal(err)
		}
		c.Encrypt(out, p, sector)
		return out
	case "aes-cbc-plain":
		clear(iv[4:])
	case "aes-cbc-essiv:sha256":
		sum := sha256.Sum256(key)
		salt, err := aes.NewCipher(sum[:])
		if err != nil {
			t.Fatal(err)
		}
		salt.Encrypt(iv, iv)
	}
	c, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	cipher.NewCBCEncrypter(c, iv).CryptBlocks(out, p)
	return out
}

func TestCiphers(t *testing.T) {
	sizes := map[string][]int{
		"aes-xts-plain64": {32, 64}, "aes-xts-plain": {32, 64},
		"aes-cbc-essiv:sha256": {16, 24, 32}, "aes-cbc-plain64": {16, 24, 32}, "aes-cbc-plain": {16, 32},
	}
	for name, keys := range sizes {
		for _, keySize := range keys {
			for _, sectorSize := range []int{512, 1024, 2048, 4096} {
				key := noise(uint64(keySize), keySize)
				c, err := New(name, key, sectorSize)
				if err != nil {
					t.Fatal(err)
				}
				for _, first := range []uint64{0, 7, 1<<32 + 5, 1<<64 - 16} {
					p := noise(first, 3*sectorSize)
					got := make([]byte, len(p))
					c.Encrypt(got, p, first)
					var want []byte
					for i := range 3 {
						want = append(want, reference(t, name, key, p[i*sectorSize:(i+1)*sectorSize], first+uint64(i*sectorSize/512))...)
					}
					if !bytes.Equal(got, want) {
						t.Fatalf("%s, key of %d, sectors of %d from %d: encrypted otherwise than the reference", name, keySize, sectorSize, first)
					}
					c.Decrypt(got, got, first)
					if !bytes.Equal(got, p) {
						t.Fatalf("%s, key of %d, sectors of %d from %d: not decrypted in place", name, keySize, sectorSize, first)
					}
				}
			}
		}
	}
}

func TestUnknownCiphers(t *testing.T) {
	for _, c := range []struct {
		name string
		key  int
	}{
		{"serpent-xts-plain64", 64}, {"aes-xts-plain64", 16}, {"aes-xts-plain64", 48}, {"aes-xts-plain64", 33},
		{"aes-cbc-plain64", 64}, {"aes-cbc-essiv:sha256", 0}, {"", 32}, {"aes-xts-plain64", -1}, {"aes-xts-plain64", 1 << 30},
	} {
		if err := Known(c.name, c.key); !errors.Is(err, ErrCipher) {
			t.Errorf("%q with %d bytes of key: %v", c.name, c.key, err)
		}
	}
	for _, size := range []int{0, 256, 513, 8192} {
		if _, err := New("aes-xts-plain64", make([]byte, 64), size); err == nil {
			t.Errorf("sectors of %d bytes are taken", size)
		}
	}
}

func BenchmarkCipher(b *testing.B) {
	for _, name := range []string{"aes-xts-plain64", "aes-cbc-essiv:sha256"} {
		c, err := New(name, noise(1, map[bool]int{true: 64, false: 32}[name == "aes-xts-plain64"]), 512)
		if err != nil {
			b.Fatal(err)
		}
		p := make([]byte, 64<<10)
		b.Run(name+"/encrypt", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				c.Encrypt(p, p, 0)
			}
		})
		b.Run(name+"/decrypt", func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				c.Decrypt(p, p, 0)
			}
		})
	}
}
