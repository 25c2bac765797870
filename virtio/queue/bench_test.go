package queue_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/govmm/govmm/memory"
	"github.com/govmm/govmm/virtio/queue"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// replay is a driver that costs next to nothing: it makes the same requests
// available again and again, requestsPerRound at a time.
type replay struct {
	q      *queue.Queue
	mem    *memory.Memory
	config queue.Config
	index  uint16    // split: available index
	passes [2][]byte // packed: the ring in odd and even passes
	ring   []byte
	pass   int
}

const requestsPerRound = 64

func newReplay(t testing.TB, o queuetest.Options, buffers int, indirect bool) *replay {
	mem := newMemory(t)
	// A round is a pass over a packed ring.
	o.Size = requestsPerRound
	if !indirect {
		o.Size *= uint16(buffers)
	}
	if !o.Packed && o.Size&(o.Size-1) != 0 {
		o.Size = 256
	}
	o.Base, o.Indirect = 0x10000, true
	d := queuetest.New(t, mem, o)
	r := &replay{q: d.Start(), mem: mem, config: d.Config()}
	var err error
	if r.ring, err = mem.Slice(o.Base, 16*uint64(o.Size)); err != nil {
		t.Fatal(err)
	}
	var heads []uint16
	bufs := []queuetest.Buffer{d.Readable(make([]byte, 16))}
	for len(bufs) < buffers {
		bufs = append(bufs, d.Writable(512))
	}
	for range requestsPerRound {
		id, ok := d.TryAdd(indirect, bufs...)
		if !ok {
			t.Fatal("the ring is full")
		}
		heads = append(heads, id)
	}
	d.DisableInterrupts()
	if o.Packed {
		d.Publish()
		r.passes[0] = bytes.Clone(r.ring)
		r.passes[1] = bytes.Clone(r.ring)
		for i := 0; i < len(r.ring); i += 16 {
			r.passes[1][i+14] &^= 1 << 7
			r.passes[1][i+15] |= 1 << 7
		}
		return r
	}
	for i := range uint64(o.Size) {
		if err := mem.Store16(r.config.Driver+4+2*i, heads[i%requestsPerRound]); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// round makes the requests available, and pops and pushes all of them.
func (r *replay) round(t testing.TB) {
	if r.config.Packed {
		copy(r.ring, r.passes[r.pass&1])
		r.pass++
	} else {
		r.index += requestsPerRound
		if err := r.mem.AtomicStore16(r.config.Driver+2, r.index); err != nil {
			t.Fatal(err)
		}
	}
	for range requestsPerRound {
		c, err := r.q.Pop()
		if c == nil {
			t.Fatalf("Pop: %v, %v", c, err)
		}
		r.q.Push(c, 512)
	}
	r.q.Flush()
}

func forEachReplay(run func(name string, o queuetest.Options, buffers int, indirect bool)) {
	for _, o := range []queuetest.Options{{}, {Packed: true}, {InOrder: true}} {
		o.EventIndex = true
		for _, buffers := range []int{1, 3} {
			for _, indirect := range []bool{false, true} {
				kind := "direct"
				if indirect {
					kind = "indirect"
				}
				run(fmt.Sprintf("%s,%s,%d", name(o), kind, buffers), o, buffers, indirect)
			}
		}
	}
}

// BenchmarkPopPush is the time for one chain, popped and pushed, without the
// device's work on it.
func BenchmarkPopPush(b *testing.B) {
	forEachReplay(func(name string, o queuetest.Options, buffers int, indirect bool) {
		b.Run(name, func(b *testing.B) {
			r := newReplay(b, o, buffers, indirect)
			b.ReportAllocs()
			for n := 0; n < b.N; n += requestsPerRound {
				r.round(b)
			}
		})
	})
}

func TestPopPushAllocatesNothing(t *testing.T) {
	forEachReplay(func(name string, o queuetest.Options, buffers int, indirect bool) {
		t.Run(name, func(t *testing.T) {
			r := newReplay(t, o, buffers, indirect)
			if n := testing.AllocsPerRun(20, func() { r.round(t) }); n != 0 {
				t.Errorf("%v allocations, want 0", n)
			}
		})
	})
}

// TestChainAllocatesNothing is a block device's way with a chain.
func TestChainAllocatesNothing(t *testing.T) {
	d := queuetest.New(t, newMemory(t), queuetest.Options{Size: 8, Base: 0x10000})
	q := d.Start()
	d.Add(d.Readable(make([]byte, 16)), d.Writable(512), d.Writable(100))
	d.Publish()
	if n := testing.AllocsPerRun(100, func() {
		c := pop(t, q)
		r, w := c.Reader(), c.Writer()
		if _, err := r.Uint32(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Uint64(); err != nil {
			t.Fatal(err)
		}
		data, err := w.Split(w.Len() - 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range data.Iovecs() {
			clear(b)
		}
		if err := w.PutUint8(0); err != nil {
			t.Fatal(err)
		}
		q.Unpop(c)
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// BenchmarkIovecs cuts a status byte off the end, as a block device does.
func BenchmarkIovecs(b *testing.B) {
	d := queuetest.New(b, newMemory(b), queuetest.Options{Size: 8, Base: 0x10000})
	q := d.Start()
	d.Add(d.Writable(4096), d.Writable(4096), d.Writable(1))
	d.Publish()
	c := pop(b, q)
	b.ReportAllocs()
	for b.Loop() {
		w := *c.Writer()
		data, err := w.Split(w.Len() - 1)
		if err != nil || len(data.Iovecs()) != 2 {
			b.Fatal(err)
		}
	}
}
