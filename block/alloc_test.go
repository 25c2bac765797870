package block

import (
	"fmt"
	"testing"
)

// TestNoAllocations does reads, writes and flushes through every engine, each
// way a queue has: inline, by the ring, by the workers, through a buffer.
func TestNoAllocations(t *testing.T) {
	path := makeImage(t, t.TempDir(), 1<<20)
	for _, cache := range []Cache{CacheNone, CacheWriteback, CacheWritethrough} {
		for _, engine := range []Engine{EngineThreads, EngineNative} {
			for _, inline := range []bool{true, false} {
				for _, shift := range []int{0, 100} {
					t.Run(fmt.Sprintf("%v/%v/inline %v/shift %d", cache, engine, inline, shift), func(t *testing.T) {
						d := openDisk(t, Options{Path: path, Cache: cache, Engine: engine})
						w := newWaiter(t, d, inline)
						mem := pages(t, 64<<10)[shift:]
						var batch []*Request
						for i := range 6 {
							batch = append(batch, &Request{
								Op: Op(i % 3), Offset: int64(i) * 8192,
								Vec: [][]byte{mem[i*8192:][:4096], mem[i*8192+4096:][:512]},
							})
						}
						all := func() {
							w.do(batch)
							for _, r := range batch {
								if r.Err != nil {
									t.Fatal(r.Err)
								}
							}
						}
						// Workers and buffers are made when they are first needed.
						for range 50 {
							all()
						}
						if n := testing.AllocsPerRun(50, all); n != 0 {
							t.Errorf("%v allocations for %d requests", n, len(batch))
						}
						one := batch[:1]
						if n := testing.AllocsPerRun(50, func() { w.do(one) }); n != 0 {
							t.Errorf("%v allocations for one request", n)
						}
						if n := testing.AllocsPerRun(50, func() { _ = d.Do(one[0]) }); n != 0 {
							t.Errorf("%v allocations in Do", n)
						}
					})
				}
			}
		}
	}
}
