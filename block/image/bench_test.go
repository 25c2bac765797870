package image

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkConvert copies a disk of 512 MiB, of which a third is holes, by this
// package and by qemu-img beside it, with the defaults of both.
func BenchmarkConvert(b *testing.B) {
	const size = 512 << 20
	dir := b.TempDir()
	raw := filepath.Join(dir, "source.raw")
	f, err := os.Create(raw)
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	p := make([]byte, 1<<20)
	for at := int64(0); at < size; at += 3 << 20 {
		for range 2 {
			for i := 0; i < len(p); i += 8 {
				// What can be compressed to a half.
				binary.LittleEndian.PutUint64(p[i:], rng.Uint64()>>32)
			}
			if _, err := f.WriteAt(p, at+rng.Int64N(2)<<20); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := f.Truncate(size); err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		b.Fatal(err)
	}
	for _, test := range []benchmark{
		{from: "raw", to: "qed"}, {from: "raw", to: "raw"}, {from: "raw", to: "qcow2"}, {from: "qcow2", to: "raw"}, {from: "qcow2", to: "qcow2"},
		{from: "raw", to: "qcow2", compress: true},
	} {
		from, to := Source{Name: filepath.Join(dir, "from"), Format: test.from}, Source{Name: filepath.Join(dir, "to"), Format: test.to}
		qemu(b, "convert", "-t", "writeback", "-f", "raw", "-O", test.from, raw, from.Name)
		b.Run(test.from+" to "+test.name()+"/govmm", func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				_ = os.Remove(to.Name) // it need not be there
				if err := Convert(b.Context(), ConvertOptions{From: from, To: to, Compress: test.compress, FromCache: CacheWriteback}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(test.from+" to "+test.name()+"/qemu-img", func(b *testing.B) {
			b.SetBytes(size)
			args := []string{"convert", "-f", test.from, "-O", test.to}
			if test.compress {
				args = append(args, "-c")
			}
			for b.Loop() {
				_ = os.Remove(to.Name) // it need not be there
				qemu(b, append(args, from.Name, to.Name)...)
			}
		})
	}
}

// benchmark is a copy from one format to another.
type benchmark struct {
	from, to string
	compress bool
}

func (t *benchmark) name() string {
	if t.compress {
		return t.to + " compressed"
	}
	return t.to
}
