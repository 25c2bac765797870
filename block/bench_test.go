package block

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// load drives a queue as a virtio disk does: a goroutine sleeps on a doorbell,
// submits what is there as one batch, and sleeps again; completions ring the
// doorbell anew.
type load struct {
	queue Queue
	bell  chan struct{}
	mu    sync.Mutex
	idle  []*Request
	spare []*Request
	err   error
}

func newLoad(tb testing.TB, d Backend, depth int, inline bool) *load {
	tb.Helper()
	l := &load{bell: make(chan struct{}, 1)}
	q, err := d.NewQueue(QueueOptions{Completed: l.completed, Inline: inline})
	if err != nil {
		tb.Fatal(err)
	}
	l.queue = q
	l.idle = make([]*Request, 0, depth)
	l.spare = make([]*Request, 0, depth)
	return l
}

func (l *load) completed(done []*Request) {
	l.mu.Lock()
	for _, r := range done {
		if r.Err != nil && l.err == nil {
			l.err = r.Err
		}
	}
	l.idle = append(l.idle, done...)
	l.mu.Unlock()
	select {
	case l.bell <- struct{}{}:
	default:
	}
}

// run does n requests, each prepared by next.
func (l *load) run(n int, next func(r *Request)) error {
	for submitted := 0; submitted < n; {
		l.mu.Lock()
		for len(l.idle) == 0 {
			l.mu.Unlock()
			<-l.bell
			l.mu.Lock()
		}
		batch := l.idle
		l.idle, l.spare = l.spare[:0], batch
		l.mu.Unlock()
		for i, r := range batch {
			if submitted == n {
				l.completed(batch[i:])
				break
			}
			next(r)
			l.queue.Submit(r)
			submitted++
		}
		l.queue.Kick()
	}
	l.queue.Drain()
	return l.err
}

// pages is page-aligned memory, as a guest's is.
func pages(tb testing.TB, n int) []byte {
	tb.Helper()
	mem, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = unix.Munmap(mem) })
	return mem
}

// benchImage makes an image whose every block is written.
func benchImage(tb testing.TB, size int64) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "disk.img")
	f, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	chunk := make([]byte, 1<<20)
	for i := range chunk {
		chunk[i] = byte(i >> 8)
	}
	for off := int64(0); off < size; off += int64(len(chunk)) {
		if _, err := f.Write(chunk); err != nil {
			tb.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		tb.Fatal(err)
	}
	if err := f.Close(); err != nil {
		tb.Fatal(err)
	}
	return path
}

// BenchmarkQueue measures a queue as a virtio disk uses it.
func BenchmarkQueue(b *testing.B) {
	const size = 256 << 20
	path := benchImage(b, size)
	for _, cache := range []Cache{CacheWriteback, CacheNone, CacheWritethrough} {
		for _, engine := range []Engine{EngineThreads, EngineNative} {
			for _, w := range []struct {
				op         Op
				bytes      int
				depth      int
				sequential bool
			}{
				{Read, 4096, 1, false}, {Read, 4096, 2, false}, {Read, 4096, 32, false},
				{Write, 4096, 1, false}, {Write, 4096, 32, false},
				{Read, 1 << 20, 4, true}, {Write, 1 << 20, 4, true},
			} {
				b.Run(fmt.Sprintf("%v/%v/%v/%dKiB/QD%d", cache, engine, w.op, w.bytes>>10, w.depth), func(b *testing.B) {
					d, err := Open(b.Context(), Options{Path: path, Cache: cache, Engine: engine})
					if err != nil {
						b.Fatal(err)
					}
					defer d.Close()
					l := newLoad(b, d, w.depth, true)
					for range w.depth {
						l.idle = append(l.idle, &Request{Op: w.op, Vec: [][]byte{pages(b, w.bytes)}})
					}
					blocks := int64(size / w.bytes)
					rnd := rand.New(rand.NewPCG(1, 2))
					at := int64(0)
					b.SetBytes(int64(w.bytes))
					b.ReportAllocs()
					b.ResetTimer()
					err = l.run(b.N, func(r *Request) {
						if w.sequential {
							at++
						} else {
							at = rnd.Int64N(blocks)
						}
						r.Offset = at % blocks * int64(w.bytes)
					})
					if err != nil {
						b.Fatal(err)
					}
				})
			}
		}
	}
}
