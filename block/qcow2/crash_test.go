package qcow2

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestCrash has a host fail at random moments, with some of what it had not been
// told to flush written. What was flushed is there, and at worst clusters leak.
func TestCrash(t *testing.T) {
	for i, shape := range shapes {
		if shape.ClusterSize > 64<<10 || shape.ClusterSize == 0 {
			continue // which are no different, and take long
		}
		for seed := range uint64(6) {
			t.Run(fmt.Sprintf("%s/%d", shape.name(), seed), func(t *testing.T) {
				t.Parallel()
				crash(t, rand.New(rand.NewPCG(seed, uint64(i))), shape, seed%2 == 1)
			})
		}
	}
}

func crash(t *testing.T, rng *rand.Rand, o CreateOptions, withBack bool) {
	const size = 2 << 20
	o.Size = size
	options := Options{Cache: 4 << 10}
	flushed := make([]byte, size)
	if withBack && o.Preallocation == PreallocationOff {
		backing := noise(rng, 3<<19)
		o.Backing, o.BackingFormat, options.Backing = "backing", "raw", withBacking(backing)
		copy(flushed, backing)
	}
	s := newImage(t, o)
	s.durable = slices.Clone(s.data)
	d := open(t, s, options)
	// A byte at an offset may be any that was written since the last flush.
	may := make(map[int64][]byte)
	now := slices.Clone(flushed)
	for range 1 + rng.IntN(100) {
		offset := rng.Int64N(size/512) * 512
		n := min(size-offset, 512*int64(1+rng.IntN(60)))
		p := noise(rng, n)
		var err error
		switch rng.IntN(8) {
		case 0, 1:
			err = d.Flush()
			copy(flushed, now)
			clear(may)
			n = 0
		case 2:
			clear(p)
			err = d.WriteZeroes(offset, n, rng.IntN(2) == 0)
		case 3:
			err = d.Discard(offset, n)
			copy(p, read(t, d, offset, n))
		case 4:
			offset -= offset % d.ClusterSize()
			n = min(d.ClusterSize(), size-offset)
			p = bytes.Repeat([]byte{byte(rng.IntN(256))}, int(n))
			err = d.WriteCompressed(offset, p)
		default:
			err = d.WriteVec([][]byte{p}, offset)
		}
		if err != nil {
			t.Fatal(err)
		}
		copy(now[offset:], p[:n])
		for i := int64(0); i < n; i += 512 {
			may[offset+i] = append(may[offset+i], p[i])
		}
	}
	after := s.crash(rng)
	if d.features&incompatDirty == 0 {
		if r, err := Check(t.Context(), after, RepairNothing); err != nil || !r.Sound() || r.Wrong != 0 {
			t.Fatalf("after the crash: %v, %v", r, err)
		}
	}
	d = open(t, after, options)
	got := read(t, d, 0, size)
	for at := int64(0); at < size; at += 512 {
		if got[at] != flushed[at] && !bytes.Contains(may[at], got[at:at+1]) {
			t.Fatalf("at %d is %#x, flushed was %#x, later %#x", at, got[at], flushed[at], may[at])
		}
	}
	if err := d.WriteVec([][]byte{got[:4096]}, 8192); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := Check(t.Context(), after, RepairAll); err != nil || !r.Sound() || r.Wrong != 0 {
		t.Fatalf("%v, %v", r, err)
	}
	if r, err := Check(t.Context(), after, RepairNothing); err != nil || r.Leaked != 0 {
		t.Fatalf("after the repair: %v, %v", r, err)
	}
}
