package block

import (
	"math/rand/v2"
	"testing"
)

func BenchmarkDo(b *testing.B) {
	const size = 256 << 20
	path := benchImage(b, size)
	for _, cache := range []Cache{CacheWriteback, CacheNone} {
		for _, op := range []Op{Read, Write} {
			b.Run(cache.String()+"/"+op.String(), func(b *testing.B) {
				d, err := Open(b.Context(), Options{Path: path, Cache: cache})
				if err != nil {
					b.Fatal(err)
				}
				defer d.Close()
				rnd := rand.New(rand.NewPCG(1, 2))
				r := &Request{Op: op, Vec: [][]byte{pages(b, 4096)}}
				b.ReportAllocs()
				for b.Loop() {
					r.Offset = rnd.Int64N(size/4096) * 4096
					if err := d.Do(r); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
