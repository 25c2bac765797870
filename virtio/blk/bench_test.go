package blk

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/blocktest"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// null is a disk that does nothing, at once.
type null struct {
	*blocktest.Memory
	size int64
}

func (n null) Size() int64 { return n.size }

func (n null) NewQueue(o block.QueueOptions) (block.Queue, error) {
	return &nullQueue{completed: o.Completed}, nil
}

type nullQueue struct {
	completed func([]*block.Request)
	pending   []*block.Request
}

func (q *nullQueue) Submit(r *block.Request) { r.Err = nil; q.pending = append(q.pending, r) }

func (q *nullQueue) Kick() {
	if len(q.pending) > 0 {
		q.completed(q.pending)
		q.pending = q.pending[:0]
	}
}

func (q *nullQueue) Drain()       {}
func (q *nullQueue) Close() error { return nil }

// load is a driver that keeps a number of requests in the device.
type load struct {
	*rig
	kind       uint32
	size       int64 // of the disk's part that is used
	bytes      int
	sequential bool
	bufs       map[uint16][]queuetest.Buffer
	free       [][]queuetest.Buffer
	at         int64
}

func newLoad(r *rig, kind uint32, bytes, depth int, sequential bool) *load {
	l := &load{rig: r, kind: kind, bytes: bytes, sequential: sequential, bufs: map[uint16][]queuetest.Buffer{}}
	// Data first: it is page-aligned, as a guest's is.
	r.Alloc(uint32(-r.Alloc(0) & 4095))
	for range depth {
		data := r.Writable(uint32(bytes))
		data.Write = kind == typeIn
		l.free = append(l.free, []queuetest.Buffer{{Len: headerSize}, data, {Len: 1, Write: true}})
	}
	for _, b := range l.free {
		b[0].Addr, b[2].Addr = r.Alloc(headerSize), r.Alloc(headerSize)
	}
	l.size = r.device.capacity.Load()
	return l
}

// add makes as many requests available as there is room for, at most n.
func (l *load) add(n int) int {
	added := 0
	for ; added < n && len(l.free) > 0; added++ {
		b := l.free[len(l.free)-1]
		l.free = l.free[:len(l.free)-1]
		blocks := l.size / int64(l.bytes)
		if l.sequential {
			l.at++
		} else {
			l.at = l.at*6364136223846793005 + 1442695040888963407
		}
		block := int64(uint64(l.at)>>16) % blocks
		if l.sequential {
			block = l.at % blocks
		}
		h := l.Bytes(b[0])
		h[0] = byte(l.kind)
		sector := uint64(block) * uint64(l.bytes) / 512
		for i := range 8 {
			h[8+i] = byte(sector >> (8 * i))
		}
		l.bufs[l.Add(b...)] = b
	}
	l.Kick()
	return added
}

// take takes what has come back, waiting for the first.
func (l *load) take() int {
	taken := 0
	for u, ok := l.Wait(), true; ok; u, ok = l.Used() {
		b := l.bufs[u.ID]
		if s := l.Bytes(b[2])[0]; s != statusOK {
			l.tb.Fatalf("status %d", s)
		}
		l.free = append(l.free, b)
		taken++
	}
	return taken
}

func (l *load) run(n int) {
	for sent, done := 0, 0; done < n; {
		sent += l.add(n - sent)
		done += l.take()
	}
}

// image makes a file whose every block is written.
func image(tb testing.TB, dir string, size int64) string {
	tb.Helper()
	path := filepath.Join(dir, "disk.img")
	f, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	for chunk := pattern(1 << 20); size > 0; size -= int64(len(chunk)) {
		if _, err := f.Write(chunk); err != nil {
			tb.Fatal(err)
		}
	}
	return path
}

// BenchmarkDisk measures the device from the driver's kick to its taking of the
// used buffer; the driver shares the host's processors. The file is in the page
// cache.
func BenchmarkDisk(b *testing.B) {
	backends := map[string]func(b *testing.B) block.Backend{
		"null": func(*testing.B) block.Backend { return null{blocktest.NewMemory(nil, false), 1 << 40} },
	}
	for name, dir := range map[string]string{"tmpfs": "/dev/shm", "file": os.TempDir()} {
		backends[name] = func(b *testing.B) block.Backend {
			dir, err := os.MkdirTemp(dir, "blk")
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { os.RemoveAll(dir) })
			d, err := block.Open(b.Context(), block.Options{Path: image(b, dir, 128<<20)})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { d.Close() })
			return d
		}
	}
	for _, name := range []string{"null", "tmpfs", "file"} {
		for _, w := range []struct {
			kind       uint32
			bytes      int
			depth      int
			sequential bool
		}{
			{typeIn, 4096, 1, false}, {typeIn, 4096, 32, false}, {typeIn, 4096, 32, true},
			{typeOut, 4096, 1, false}, {typeOut, 4096, 32, false}, {typeOut, 4096, 32, true},
			{typeIn, 1 << 20, 4, true}, {typeOut, 1 << 20, 4, true},
		} {
			op := map[uint32]string{typeIn: "read", typeOut: "write"}[w.kind]
			order := map[bool]string{true: "sequential", false: "random"}[w.sequential]
			b.Run(fmt.Sprintf("%s/%s/%s/%dKiB/QD%d", name, op, order, w.bytes>>10, w.depth), func(b *testing.B) {
				r := newRig(b, setup{
					Options: Options{Backend: backends[name](b)},
					ring:    queuetest.Options{Size: 256, EventIndex: true, Room: 8 << 20},
				})
				l := newLoad(r, w.kind, w.bytes, w.depth, w.sequential)
				l.run(w.depth)
				b.SetBytes(int64(w.bytes))
				b.ReportAllocs()
				b.ResetTimer()
				l.run(b.N)
			})
		}
	}
}
