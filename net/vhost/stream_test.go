package vhost

import (
	"testing"
	"time"
)

// TestKernelStream sends many frames of 1514 bytes without loss, a ring full of
// them at a time, and logs how long that takes.
func TestKernelStream(t *testing.T) {
	b := newBench(t)
	must(t, b.dev.Start(b.config))
	const rounds = 2000
	f := frame(1514, 1)
	for i := range ringSize {
		copy(b.tx.buffer(i), f)
		b.tx.describe(i, b.tx.ring.Desc+offBuffer+uint64(i)*bufSize, len(f), 0)
	}
	began := time.Now()
	for range rounds {
		for i := range ringSize {
			b.tx.offer(i)
		}
		for range ringSize {
			b.tx.wait()
		}
	}
	each := time.Since(began) / (rounds * ringSize)
	if s := b.near.Stats(); s.TxFrames != rounds*ringSize {
		t.Errorf("%d frames were sent, %d arrived", rounds*ringSize, s.TxFrames)
	}
	t.Logf("%v a frame", each)
}
