package block

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
)

// TestAgainstModel does random requests of any alignment on every kind of disk,
// in every cache mode, by every way, and compares with a copy in memory.
func TestAgainstModel(t *testing.T) {
	for _, kind := range disks() {
		for _, cache := range []Cache{CacheNone, CacheWritethrough, CacheWriteback} {
			for _, engine := range []Engine{EngineThreads, EngineNative} {
				t.Run(fmt.Sprintf("%s/%v/%v", kind.name, cache, engine), func(t *testing.T) {
					path := kind.make(t)
					d := openDisk(t, Options{Path: path, Cache: cache, Engine: engine})
					if d.Size() != kind.size {
						t.Fatalf("size is %d, want %d", d.Size(), kind.size)
					}
					if d.Engine() != engine {
						t.Fatalf("engine is %v, want %v", d.Engine(), engine)
					}
					m := newModel(t, d, readFile(t, path, kind.size))
					m.randomly(t, 300)
					if err := FlushAll(d); err != nil {
						t.Fatal(err)
					}
					firstDifference(t, readFile(t, path, kind.size), m.want)
				})
			}
		}
	}
}

// model holds what a disk should contain.
type model struct {
	d      Backend
	want   []byte
	unsure []bool // discarded: either the old content or zeroes
	rnd    *rand.Rand
	memory []byte // page-aligned
	inline *waiter
	async  *waiter
}

func newModel(t *testing.T, d Backend, content []byte) *model {
	return &model{
		d: d, want: content, unsure: make([]bool, len(content)),
		rnd: rand.New(rand.NewPCG(7, 11)), memory: pages(t, 1<<20),
		inline: newWaiter(t, d, true), async: newWaiter(t, d, false),
	}
}

// randomly does n batches of up to four requests to different parts of the
// disk, so that parts of one block are written at the same time.
func (m *model) randomly(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		var batch []*Request
		free := m.memory
		at := m.offset(0)
		for range 1 + m.rnd.IntN(4) {
			r := m.request(at, &free)
			if r == nil {
				break
			}
			batch = append(batch, r)
			at = r.Offset + r.Bytes()
			if m.rnd.IntN(2) == 0 {
				at = m.offset(at)
			}
		}
		m.do(t, batch)
		for _, r := range batch {
			if r.Err != nil {
				t.Fatalf("batch %d: %v", i, r.Err)
			}
			m.settle(t, r)
		}
	}
}

// offset picks a place from min on, near the end of the disk now and then.
func (m *model) offset(min int64) int64 {
	size := int64(len(m.want))
	switch m.rnd.IntN(4) {
	case 0:
		return max(min, size-m.rnd.Int64N(9000))
	case 1:
		return max(min, m.rnd.Int64N(size)&^4095)
	}
	return max(min, m.rnd.Int64N(size))
}

// request makes one at offset at, with memory of its own.
func (m *model) request(at int64, free *[]byte) *Request {
	n := []int64{1, 511, 512, 1024, 4096, 5000, 65536, 300000}[m.rnd.IntN(8)]
	n = min(n, int64(len(m.want))-at, int64(len(*free)-4096))
	if n <= 0 {
		return nil
	}
	r := &Request{Op: Op(m.rnd.IntN(5)), Offset: at, Length: n, Unmap: m.rnd.IntN(2) == 0}
	if r.Op == Read || r.Op == Write {
		r.Vec = m.vec(n, free)
	}
	if r.Op == Write {
		for _, b := range r.Vec {
			for i := range b {
				b[i] = byte(m.rnd.Uint32())
			}
		}
	}
	return r
}

// vec takes n bytes of memory in one piece or several, aligned or not.
func (m *model) vec(n int64, free *[]byte) [][]byte {
	mem := *free
	if m.rnd.IntN(3) == 0 {
		mem = mem[1+m.rnd.IntN(1000):]
	}
	p := mem[:n]
	*free = mem[min((n+4095)&^4095, int64(len(mem))):]
	var vec [][]byte
	for len(p) > 0 {
		k := len(p)
		switch m.rnd.IntN(3) {
		case 0:
			k = min(k, 4096)
		case 1:
			k = min(k, 1+m.rnd.IntN(len(p)))
		}
		vec = append(vec, p[:k], nil)
		p = p[k:]
	}
	return vec
}

// do carries out a batch in one of three ways.
func (m *model) do(t *testing.T, batch []*Request) {
	t.Helper()
	switch m.rnd.IntN(3) {
	case 0:
		for _, r := range batch {
			if err := m.d.Do(r); err != nil {
				t.Fatal(err)
			}
		}
	case 1:
		m.inline.do(batch)
	case 2:
		m.async.do(batch)
	}
}

// settle compares what was read, or changes the model as the disk was.
func (m *model) settle(t *testing.T, r *Request) {
	t.Helper()
	at := r.Offset
	switch r.Op {
	case Read:
		for _, p := range r.Vec {
			for i, b := range p {
				if m.unsure[at] && b == 0 {
					m.want[at] = 0
				}
				if b != m.want[at] {
					t.Fatalf("read at %d: byte %d (%d of its segment) is %#x, want %#x", r.Offset, at, i, b, m.want[at])
				}
				at++
			}
		}
	case Write:
		for _, p := range r.Vec {
			at += int64(copy(m.want[at:], p))
		}
		clear(m.unsure[r.Offset:at])
	case WriteZeroes:
		clear(m.want[at : at+r.Length])
		clear(m.unsure[at : at+r.Length])
	case Discard:
		// Find out at once which it is.
		p := make([]byte, r.Length)
		if err := ReadAt(m.d, p, at); err != nil {
			t.Fatal(err)
		}
		for i, b := range p {
			if b != 0 && b != m.want[at+int64(i)] {
				t.Fatalf("discard at %d: byte %d reads %#x, want 0 or %#x", at, i, b, m.want[at+int64(i)])
			}
		}
		copy(m.want[at:], p)
	}
}

// waiter does batches of requests on a queue and waits for them.
type waiter struct {
	queue Queue
	back  chan int
}

func newWaiter(tb testing.TB, d Backend, inline bool) *waiter {
	tb.Helper()
	w := &waiter{back: make(chan int, MaxDepth)}
	q, err := d.NewQueue(QueueOptions{Inline: inline, Depth: 8, Completed: func(done []*Request) { w.back <- len(done) }})
	if err != nil {
		tb.Fatal(err)
	}
	w.queue = q
	return w
}

func (w *waiter) do(batch []*Request) {
	for _, r := range batch {
		w.queue.Submit(r)
	}
	w.queue.Kick()
	for n := 0; n < len(batch); {
		n += <-w.back
	}
}

// FuzzRequest does one request with any offset and length: it is done wholly
// and only there, or refused by name.
func FuzzRequest(f *testing.F) {
	const size = 64<<10 - 512
	path := makeImage(f, f.TempDir(), size)
	memory := pages(f, 256<<10)
	for _, s := range []struct {
		op         uint8
		off, n     int64
		shift, cut uint16
	}{
		{0, 0, 512, 0, 0}, {1, size - 512, 512, 1, 7}, {1, size, 1, 0, 0}, {2, -1, -1, 0, 0},
		{3, 1 << 62, 1 << 62, 0, 0}, {4, 0, size, 0, 0}, {4, -512, 1024, 0, 0}, {9, 0, 0, 0, 0},
	} {
		f.Add(s.op, s.off, s.n, s.shift, s.cut)
	}
	var disks []*Raw
	for _, cache := range []Cache{CacheNone, CacheWriteback} {
		d, err := Open(f.Context(), Options{Path: path, Cache: cache, Shareable: true})
		if err != nil {
			f.Fatal(err)
		}
		f.Cleanup(func() { d.Close() })
		disks = append(disks, d)
	}
	f.Fuzz(func(t *testing.T, op uint8, off, n int64, shift, cut uint16) {
		for _, d := range disks {
			before := readFile(t, path, size)
			r := &Request{Op: Op(op), Offset: off, Length: n}
			if r.Op == Read || r.Op == Write {
				p := memory[int(shift)%4096:][:uint64(n)%(128<<10)]
				k := min(int(cut), len(p))
				r.Vec = [][]byte{p[:k], p[k:]}
				for i := range p {
					p[i] = byte(i * 3)
				}
			}
			total := r.Bytes()
			w := newWaiter(t, d, true)
			w.do([]*Request{r})
			if err := w.queue.Close(); err != nil {
				t.Fatal(err)
			}
			after := readFile(t, path, size)
			ok := r.Op <= WriteZeroes && (r.Op == Flush || off >= 0 && total >= 0 && off <= size && total <= size-off)
			if (r.Err == nil) != ok {
				t.Fatalf("%v at %d for %d: error %v", r.Op, off, total, r.Err)
			}
			if ok && r.Op != Flush && r.Op != Read {
				clear(before[off : off+total])
				clear(after[off : off+total])
			}
			firstDifference(t, after, before)
		}
	})
	if _, err := os.Stat(path); err != nil {
		f.Fatal(err)
	}
}
