package luks

import (
	"context"
	"math"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// minIterations is the least that the formats recommend.
	minIterations = 1000
	// minTime and minMemory are cryptsetup's least for Argon2: passes and KiB.
	minTime   = 4
	minMemory = 64 << 10
	// maxThreads is what cryptsetup uses at most.
	maxThreads = 4
)

// measure sets what is 0 in k so that deriving n bytes takes about as long as
// wanted on this machine.
func (k *KDF) measure(ctx context.Context, wanted time.Duration, n int) error {
	switch {
	case k.Type == PBKDF2:
		if k.Iterations == 0 {
			return k.measurePBKDF2(ctx, wanted, n)
		}
	default:
		if k.Threads == 0 {
			k.Threads = uint8(min(runtime.NumCPU(), maxThreads))
		}
		if k.Time == 0 || k.Memory == 0 {
			if err := k.measureArgon2(ctx, wanted, n); err != nil {
				return err
			}
		}
	}
	return k.check()
}

// trial is how long k takes.
func (k KDF) trial(ctx context.Context, n int) (time.Duration, error) {
	begin := time.Now()
	_, err := k.derive(ctx, []byte("passphrase"), make([]byte, saltSize), n)
	return max(time.Since(begin), 1), err
}

func (k *KDF) measurePBKDF2(ctx context.Context, wanted time.Duration, n int) error {
	const enough = 50 * time.Millisecond
	for tried := *k; ; {
		tried.Iterations = max(2*tried.Iterations, 10*minIterations)
		took, err := tried.trial(ctx, n)
		if err != nil {
			return err
		}
		if took >= enough {
			iterations := float64(tried.Iterations) * float64(wanted) / float64(took)
			k.Iterations = uint32(min(max(iterations, minIterations), math.MaxUint32/64))
			return nil
		}
	}
}

// measureArgon2 takes as much memory as may be before it takes more passes.
func (k *KDF) measureArgon2(ctx context.Context, wanted time.Duration, n int) error {
	tried := *k
	tried.Time, tried.Memory = 1, minMemory
	took, err := tried.trial(ctx, n)
	if err != nil {
		return err
	}
	fill := uint64(minMemory * (float64(wanted) / float64(took))) // KiB, over all passes
	if k.Memory == 0 {
		passes := uint64(max(k.Time, minTime))
		k.Memory = uint32(min(max(fill/passes, minMemory), memoryLimit()))
	}
	if k.Time == 0 {
		k.Time = uint32(min(max(fill/uint64(k.Memory), minTime), math.MaxUint16))
	}
	return nil
}

// memoryLimit is how many KiB Argon2 may be made to take: half of what the host
// has, and no more than can be opened.
func memoryLimit() uint64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return minMemory
	}
	half := info.Totalram * uint64(info.Unit) / 2 / 1024
	return max(min(half, DefaultMemory), minMemory)
}
