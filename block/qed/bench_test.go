package qed

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
)

// BenchmarkImage is the cost of requests to an image in the page cache: reads of
// 4 KiB at random and of 1 MiB in order, and writes of 4 KiB to new clusters.
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
	if err := d.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("allocate4k", func(b *testing.B) {
		const huge = 1 << 40
		path := filepath.Join(b.TempDir(), "image")
		createFile(b, path, CreateOptions{Size: huge})
		d := openFile(b, path, Options{})
		b.ReportAllocs()
		b.SetBytes(4096)
		vec := [][]byte{make([]byte, 4096)}
		for at := int64(0); b.Loop(); at += DefaultClusterSize {
			if err := d.WriteVec(vec, at%huge); err != nil {
				b.Fatal(err)
			}
		}
		if err := d.Close(); err != nil {
			b.Fatal(err)
		}
	})
}
