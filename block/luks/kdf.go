package luks

import (
	"context"
	"crypto/hmac"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"hash"
	"runtime/debug"

	"golang.org/x/crypto/argon2"
)

// Limits bound what opening a container may cost, whatever its header asks for.
// A zero field is its default.
type Limits struct {
	// Memory is how much Argon2 may use, in KiB; DefaultMemory if 0.
	Memory uint32
	// Iterations is how often PBKDF2 may take its hash, over all key slots and
	// digests that are tried; DefaultIterations if 0.
	Iterations uint64
	// Passes is how much memory Argon2 may fill, in KiB, over all passes and all
	// key slots that are tried; DefaultPasses if 0.
	Passes uint64
}

// The defaults of Limits.
const (
	// DefaultMemory is the most that cryptsetup uses when it makes a container,
	// 1 GiB.
	DefaultMemory = 1 << 20
	// DefaultIterations takes about a minute.
	DefaultIterations = 1 << 28
	// DefaultPasses is 64 GiB, which takes about a minute.
	DefaultPasses = 64 << 20
)

func (l Limits) withDefaults() Limits {
	if l.Memory == 0 {
		l.Memory = DefaultMemory
	}
	if l.Iterations == 0 {
		l.Iterations = DefaultIterations
	}
	if l.Passes == 0 {
		l.Passes = DefaultPasses
	}
	return l
}

// take takes what deriving n bytes costs out of the limits, which it leaves as
// they are if it is too much.
func (l *Limits) take(k *KDF, n int) error {
	if k.Type == PBKDF2 {
		h, err := newHash(k.Hash)
		if err != nil {
			return err
		}
		size := h().Size()
		cost := uint64(k.Iterations) * uint64((n+size-1)/size)
		if cost > l.Iterations {
			return fmt.Errorf("key derivation by PBKDF2 in %d iterations %w: %d are left", cost, ErrCost, l.Iterations)
		}
		l.Iterations -= cost
		return nil
	}
	if k.Memory > l.Memory {
		return fmt.Errorf("key derivation by %s with %d KiB of memory %w: %d KiB", k.Type, k.Memory, ErrCost, l.Memory)
	}
	cost := uint64(k.Memory) * uint64(k.Time)
	if cost > l.Passes {
		return fmt.Errorf("key derivation by %s in %d passes over %d KiB %w: %d KiB are left", k.Type, k.Time, k.Memory, ErrCost, l.Passes)
	}
	l.Passes -= cost
	return nil
}

// The types of key derivation.
const (
	PBKDF2   = "pbkdf2"
	Argon2i  = "argon2i"
	Argon2id = "argon2id"
)

// KDF is how a key slot's key is derived of a passphrase.
type KDF struct {
	Type string // PBKDF2; in LUKS2 also Argon2i and Argon2id

	Hash       string // for PBKDF2
	Iterations uint32 // for PBKDF2

	Time    uint32 // for Argon2: passes over its memory
	Memory  uint32 // for Argon2, in KiB
	Threads uint8  // for Argon2: how many parts of the memory can be filled at once
}

// derive makes n bytes of key. Its cost has been taken out of the limits. PBKDF2
// ends early with the context, Argon2 not.
func (k *KDF) derive(ctx context.Context, passphrase, salt []byte, n int) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	switch k.Type {
	case PBKDF2:
		h, err := newHash(k.Hash)
		if err != nil {
			return nil, err
		}
		return pbkdf2(ctx, h, passphrase, salt, k.Iterations, n)
	case Argon2i, Argon2id:
		// Up to a gigabyte that a machine which is about to start should not
		// find taken.
		defer debug.FreeOSMemory()
		if k.Type == Argon2i {
			return argon2.Key(passphrase, salt, k.Time, k.Memory, k.Threads, uint32(n)), nil
		}
		return argon2.IDKey(passphrase, salt, k.Time, k.Memory, k.Threads, uint32(n)), nil
	}
	return nil, fmt.Errorf("key derivation by %s %w; pbkdf2, argon2i and argon2id are", clip(k.Type), ErrUnsupported)
}

// check refuses what the functions below cannot take.
func (k *KDF) check() error {
	switch k.Type {
	case PBKDF2:
		if k.Iterations == 0 {
			return corrupt("key derivation in 0 iterations")
		}
		_, err := newHash(k.Hash)
		return err
	case Argon2i, Argon2id:
		if k.Time == 0 || k.Threads == 0 || k.Memory < 8*uint32(k.Threads) {
			return corrupt("key derivation by %s in %d passes over %d KiB by %d threads", k.Type, k.Time, k.Memory, k.Threads)
		}
		return nil
	}
	return fmt.Errorf("key derivation by %s %w; pbkdf2, argon2i and argon2id are", clip(k.Type), ErrUnsupported)
}

// pbkdf2 is RFC 8018, section 5.2. The standard library's cannot be interrupted,
// and a header may ask for a minute of it.
func pbkdf2(ctx context.Context, h func() hash.Hash, passphrase, salt []byte, iterations uint32, n int) ([]byte, error) {
	const checkEvery = 1 << 16 // iterations, some 20 ms
	prf := hmac.New(h, passphrase)
	size := prf.Size()
	key := make([]byte, 0, n+size)
	var number [4]byte
	for i := uint32(1); len(key) < n; i++ {
		prf.Reset()
		prf.Write(salt)
		binary.BigEndian.PutUint32(number[:], i)
		prf.Write(number[:])
		key = prf.Sum(key)
		sum := key[len(key)-size:]
		u := append([]byte(nil), sum...)
		for j := uint32(1); j < iterations; j++ {
			if j%checkEvery == 0 && ctx.Err() != nil {
				return nil, ctx.Err()
			}
			prf.Reset()
			prf.Write(u)
			u = prf.Sum(u[:0])
			subtle.XORBytes(sum, sum, u)
		}
	}
	return key[:n], nil
}
