package qcow2

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
)

// BenchmarkImage is the cost of requests to an image in the page cache: reads of
// 4 KiB at random and of 1 MiB in order, and writes to new clusters of 4 KiB each
// and of 1 MiB in order.
func BenchmarkImage(b *testing.B) {
	const size = 256 << 20
	path := filepath.Join(b.TempDir(), "image")
	createFile(b, path, CreateOptions{Size: size})
	d := openFile(b, path, Options{})
	mega := [][]byte{make([]byte, 1<<20)}
	for at := int64(0); at < size; at += 1 << 20 {
		if err := d.WriteVec(mega, at); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("read4k", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(4096)
		vec := [][]byte{make([]byte, 4096)}
		rng := rand.New(rand.NewPCG(1, 1))
		for b.Loop() {
			if err := d.ReadVec(vec, rng.Int64N(size/4096)*4096); err != nil {
				b.Error(err)
			}
		}
	})
	b.Run("parallel4k", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(4096)
		b.RunParallel(func(pb *testing.PB) {
			vec := [][]byte{make([]byte, 4096)}
			for pb.Next() {
				if err := d.ReadVec(vec, rand.Int64N(size/4096)*4096); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("read1m", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(1 << 20)
		for at := int64(0); b.Loop(); at = (at + 1<<20) % size {
			if err := d.ReadVec(mega, at); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("write4k", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(4096)
		vec := [][]byte{make([]byte, 4096)}
		rng := rand.New(rand.NewPCG(1, 1))
		for b.Loop() {
			if err := d.WriteVec(vec, rng.Int64N(size/4096)*4096); err != nil {
				b.Error(err)
			}
		}
	})
	if err := d.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("allocate4k", func(b *testing.B) { allocate(b, 4096, DefaultClusterSize) })
	b.Run("allocate1m", func(b *testing.B) { allocate(b, 1<<20, 1<<20) })
}

// allocate writes n bytes each step to what is new.
func allocate(b *testing.B, n, step int64) {
	const huge = 1 << 40
	path := filepath.Join(b.TempDir(), "image")
	createFile(b, path, CreateOptions{Size: huge})
	d := openFile(b, path, Options{})
	b.ReportAllocs()
	b.SetBytes(n)
	vec := [][]byte{make([]byte, n)}
	for at := int64(0); b.Loop(); at += step {
		if err := d.WriteVec(vec, at%huge); err != nil {
			b.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		b.Fatal(err)
	}
}
