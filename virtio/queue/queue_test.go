package queue_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/govmm/govmm/memory"
	"github.com/govmm/govmm/virtio/queue"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

func newMemory(t testing.TB) *memory.Memory {
	t.Helper()
	mem, err := memory.New(memory.Config{Size: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := mem.Close(); err != nil {
			t.Error(err)
		}
	})
	return mem
}

// forms are all the kinds of queue that can be negotiated.
func forms() []queuetest.Options {
	var list []queuetest.Options
	for bits := range 8 {
		list = append(list, queuetest.Options{
			Size: 8, Base: 0x10000, Indirect: true,
			Packed: bits&1 != 0, EventIndex: bits&2 != 0, InOrder: bits&4 != 0,
		})
	}
	return list
}

func name(o queuetest.Options) string {
	s := "split"
	if o.Packed {
		s = "packed"
	}
	if o.EventIndex {
		s += ",event-index"
	}
	if o.InOrder {
		s += ",in-order"
	}
	return s
}

func forEachForm(t *testing.T, test func(t *testing.T, o queuetest.Options)) {
	for _, o := range forms() {
		t.Run(name(o), func(t *testing.T) { test(t, o) })
	}
}

func pop(t testing.TB, q *queue.Queue) *queue.Chain {
	t.Helper()
	c, err := q.Pop()
	if err != nil {
		t.Fatal(err)
	}
	if c == nil {
		t.Fatal("Pop: nothing available")
	}
	return c
}

func popNone(t testing.TB, q *queue.Queue) {
	t.Helper()
	if c, err := q.Pop(); c != nil || err != nil {
		t.Fatalf("Pop: %v, %v; want nothing", c, err)
	}
}

// request is one that a test has sent.
type request struct {
	sent []byte
	out  []queuetest.Buffer
}

// randomRequest has one to four buffers with different contents.
func randomRequest(d *queuetest.Driver, r *rand.Rand, arena []queuetest.Buffer) ([]queuetest.Buffer, request) {
	var bufs []queuetest.Buffer
	var req request
	readable := r.IntN(4)
	for i := range max(readable+r.IntN(4-readable), 1) {
		b := arena[i]
		b.Len = 1 + r.Uint32N(b.Len)
		b.Write = i >= readable
		p := d.Bytes(b)
		fill(p, r)
		if b.Write {
			req.out = append(req.out, b)
		} else {
			req.sent = append(req.sent, p...)
		}
		bufs = append(bufs, b)
	}
	return bufs, req
}

// fill makes a pattern of data, with one random number.
func fill(p []byte, r *rand.Rand) {
	seed := r.Uint32()
	for i := range p {
		p[i] = byte(seed>>(i%4*8)) + byte(i)
	}
}

// TestRequests sends many random requests, several at a time, through queues of
// all forms. The device answers in any order.
func TestRequests(t *testing.T) {
	for _, size := range []uint16{4, 8, 7} {
		forEachForm(t, func(t *testing.T, o queuetest.Options) {
			if o.Size = size; size == 7 && !o.Packed {
				o.Size = 16 // not a power of 2
			}
			testRequests(t, newMemory(t), o, rand.New(rand.NewPCG(1, uint64(size))), 2000)
		})
	}
}

func testRequests(t *testing.T, mem *memory.Memory, o queuetest.Options, r *rand.Rand, rounds int) {
	d := queuetest.New(t, mem, o)
	q := d.Start()
	// Each request in flight has buffers of its own.
	arenas := make([][]queuetest.Buffer, o.Size)
	for i := range arenas {
		for range 4 {
			arenas[i] = append(arenas[i], d.Writable(300))
		}
	}
	for round := range rounds {
		var sent []request
		ids := map[uint16]int{}
		for range 1 + r.IntN(int(o.Size)) {
			bufs, req := randomRequest(d, r, arenas[len(sent)])
			id, ok := d.TryAdd(r.IntN(2) == 0, bufs...)
			if !ok {
				break
			}
			ids[id] = len(sent)
			sent = append(sent, req)
		}
		d.Publish()

		var chains []*queue.Chain
		for i := range sent {
			c := pop(t, q)
			got, err := io.ReadAll(c.Reader())
			if err != nil || !bytes.Equal(got, sent[i].sent) {
				t.Fatalf("round %d, request %d: read %x (%v), want %x", round, i, got, err, sent[i].sent)
			}
			chains = append(chains, c)
		}
		popNone(t, q)
		if n := q.InFlight(); n != len(sent) {
			t.Fatalf("InFlight: %d, want %d", n, len(sent))
		}

		answers := make([][]byte, len(sent))
		for _, i := range r.Perm(len(sent)) {
			w := chains[i].Writer()
			answers[i] = make([]byte, r.IntN(w.Len()+1))
			fill(answers[i], r)
			if _, err := w.Write(answers[i]); err != nil {
				t.Fatal(err)
			}
			q.Push(chains[i], uint32(len(answers[i])))
			if r.IntN(3) == 0 {
				q.Flush()
			}
		}
		q.Flush()

		for n := range sent {
			u, ok := d.Used()
			if !ok {
				t.Fatalf("round %d: %d of %d requests were used", round, n, len(sent))
			}
			i, ok := ids[u.ID]
			if !ok {
				t.Fatalf("round %d: request %d was used twice", round, u.ID)
			}
			delete(ids, u.ID)
			if o.InOrder && i != n {
				t.Fatalf("round %d: request %d was used as number %d", round, i, n)
			}
			var got []byte
			for _, b := range sent[i].out {
				got = append(got, d.Bytes(b)...)
			}
			if int(u.Len) != len(answers[i]) || !bytes.Equal(got[:u.Len], answers[i]) {
				t.Fatalf("round %d, request %d: answer of %d bytes %x, want %x", round, i, u.Len, got, answers[i])
			}
		}
	}
}

// TestLongIndirect has a chain that is longer than the ring, in a table.
func TestLongIndirect(t *testing.T) {
	forEachForm(t, func(t *testing.T, o queuetest.Options) {
		o.MaxSize = 64
		d := queuetest.New(t, newMemory(t), o)
		q := d.Start()
		var bufs []queuetest.Buffer
		for range o.MaxSize {
			bufs = append(bufs, d.Readable([]byte("abc")))
		}
		d.AddIndirect(bufs...)
		d.Publish()
		if got, want := pop(t, q).Reader().Len(), 3*int(o.MaxSize); got != want {
			t.Errorf("reader has %d bytes, want %d", got, want)
		}
	})
}

// TestMixedChain has direct descriptors before an indirect one, which a split
// queue must handle (section 2.7.5.3.2).
func TestMixedChain(t *testing.T) {
	mem := newMemory(t)
	d := queuetest.New(t, mem, queuetest.Options{Size: 8, Base: 0x10000, Indirect: true})
	q := d.Start()
	table := d.Alloc(16)
	d.Descriptor(table, d.Readable([]byte("world")), 0, 0)
	d.Add(d.Readable([]byte("hello ")), queuetest.Buffer{Addr: table, Len: 16})
	// WRITE has no meaning in an indirect descriptor.
	d.Descriptor(d.Config().Desc+16, queuetest.Buffer{Addr: table, Len: 16, Write: true}, 1<<2, 0)
	d.Publish()
	got, err := io.ReadAll(pop(t, q).Reader())
	if err != nil || string(got) != "hello world" {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestUnpop(t *testing.T) {
	forEachForm(t, func(t *testing.T, o queuetest.Options) {
		d := queuetest.New(t, newMemory(t), o)
		q := d.Start()
		for range 5 { // passes the end of the ring
			for _, s := range []string{"one", "two"} {
				d.Add(d.Readable([]byte(s)), d.Writable(1))
			}
			d.Publish()
			one, two := pop(t, q), pop(t, q)
			q.Unpop(two)
			q.Unpop(one)
			if n := q.InFlight(); n != 0 {
				t.Fatalf("InFlight after Unpop: %d", n)
			}
			for _, want := range []string{"one", "two"} {
				c := pop(t, q)
				if got, _ := io.ReadAll(c.Reader()); string(got) != want {
					t.Fatalf("read %q, want %q", got, want)
				}
				q.Push(c, 0)
			}
			q.Flush()
			for range 2 {
				if _, ok := d.Used(); !ok {
					t.Fatal("request not used")
				}
			}
		}
	})
}

func TestUnpopOutOfOrderPanics(t *testing.T) {
	d := queuetest.New(t, newMemory(t), queuetest.Options{Size: 8, Base: 0x10000})
	q := d.Start()
	d.Add(d.Writable(1))
	d.Add(d.Writable(1))
	d.Publish()
	first := pop(t, q)
	pop(t, q)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	q.Unpop(first)
}

func TestPushTwicePanics(t *testing.T) {
	d := queuetest.New(t, newMemory(t), queuetest.Options{Size: 8, Base: 0x10000})
	q := d.Start()
	d.Add(d.Writable(1))
	d.Publish()
	c := pop(t, q)
	q.Push(c, 1)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	q.Push(c, 1)
}

func TestPause(t *testing.T) {
	forEachForm(t, func(t *testing.T, o queuetest.Options) {
		d := queuetest.New(t, newMemory(t), o)
		q := d.Start()
		d.Add(d.Writable(4))
		d.Add(d.Writable(4))
		d.Publish()
		c := pop(t, q)
		q.Pause()
		popNone(t, q)
		if q.Wait() {
			t.Error("Wait on a paused queue: true")
		}
		q.Push(c, 4)
		q.Flush()
		if _, ok := d.Used(); !ok {
			t.Error("Push on a paused queue did not reach the driver")
		}
		q.Resume()
		pop(t, q)
	})
}

func TestStop(t *testing.T) {
	forEachForm(t, func(t *testing.T, o queuetest.Options) {
		mem := newMemory(t)
		d := queuetest.New(t, mem, o)
		q := d.Start()
		d.Add(d.Writable(4))
		d.Add(d.Writable(4))
		d.Publish()
		c := pop(t, q)
		done := make(chan bool)
		go func() { done <- q.Wait() }()
		q.Stop()
		if <-done {
			t.Error("Wait on a stopped queue: true")
		}

		// From here on the memory is the guest's alone.
		ring, err := mem.Slice(o.Base, 64<<10)
		if err != nil {
			t.Fatal(err)
		}
		before := bytes.Clone(ring)
		q.Push(c, 4)
		q.Flush()
		q.DisableNotify()
		if q.EnableNotify() {
			t.Error("EnableNotify on a stopped queue: true")
		}
		q.Resume()
		popNone(t, q)
		if !bytes.Equal(ring, before) {
			t.Error("a stopped queue wrote to guest memory")
		}
		if d.Line().Raised() {
			t.Error("a stopped queue raised an interrupt")
		}
	})
}

// TestSaveRestore moves a queue to another Queue in the middle of its work.
func TestSaveRestore(t *testing.T) {
	forEachForm(t, func(t *testing.T, o queuetest.Options) {
		mem := newMemory(t)
		d := queuetest.New(t, mem, o)
		q := d.Start()
		for round := range 30 {
			d.Add(d.Readable([]byte{byte(round)}), d.Writable(1), d.Writable(1))
			d.Publish()
			c := pop(t, q)
			q.Pause()
			if _, err := q.State(); err == nil {
				t.Fatal("State with a chain in flight: no error")
			}
			q.Push(c, 1)
			s, err := q.State()
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := d.Used(); !ok {
				t.Fatal("State left a chain unseen by the driver")
			}
			q.Stop()
			if q, err = d.Config().Start(mem, q.Doorbell(), d.Line()); err != nil {
				t.Fatal(err)
			}
			if err := q.Restore(s); err != nil {
				t.Fatal(err)
			}
			popNone(t, q)
		}
	})
}

func TestRestoreRefuses(t *testing.T) {
	for _, test := range []struct {
		packed bool
		state  queue.State
	}{
		{false, queue.State{NextAvail: 1}},
		{false, queue.State{AvailWrap: true}},
		{true, queue.State{NextAvail: 1, AvailWrap: true, UsedWrap: true}},
		{true, queue.State{AvailWrap: true}},
		{true, queue.State{NextAvail: 8, NextUsed: 8}},
	} {
		d := queuetest.New(t, newMemory(t), queuetest.Options{Size: 8, Base: 0x10000, Packed: test.packed})
		if err := d.Start().Restore(test.state); !errors.Is(err, queue.StateInvalid) {
			t.Errorf("packed %v, %+v: %v", test.packed, test.state, err)
		}
	}
}

// TestInterruptAfterRestore: a restored queue does not know what it has
// told the driver, so it interrupts once.
func TestInterruptAfterRestore(t *testing.T) {
	forEachForm(t, func(t *testing.T, o queuetest.Options) {
		d := queuetest.New(t, newMemory(t), o)
		q := d.Start()
		if err := q.Restore(queue.State{AvailWrap: o.Packed, UsedWrap: o.Packed}); err != nil {
			t.Fatal(err)
		}
		q.Flush()
		if !d.Line().Raised() {
			t.Error("no interrupt")
		}
	})
}

func TestDirtyPages(t *testing.T) {
	forEachForm(t, func(t *testing.T, o queuetest.Options) {
		mem := newMemory(t)
		o.Base = 0x40000
		d := queuetest.New(t, mem, o)
		q := d.Start()
		in, out := d.Readable(make([]byte, 5000)), d.Writable(9000)
		d.Add(in, out)
		d.Publish()
		mem.StartDirtyTracking()
		c := pop(t, q)
		log := make([]uint64, memory.DirtyWords(mem.Size()))
		taken := func() []uint64 {
			if err := mem.TakeDirty(0, log); err != nil {
				t.Fatal(err)
			}
			var pages []uint64
			for i := range uint64(len(log) * 64) {
				if log[i/64]>>(i%64)&1 != 0 {
					pages = append(pages, i)
				}
			}
			return pages
		}
		if pages := taken(); pages != nil {
			t.Errorf("Pop marked pages %v", pages)
		}
		q.Push(c, 9000)
		q.Flush()
		want := []uint64{o.Base / 4096} // the packed ring, or
		if !o.Packed {
			want = []uint64{d.Config().Device / 4096}
		}
		for p := out.Addr / 4096; p <= (out.Addr+uint64(out.Len)-1)/4096; p++ {
			if p != want[len(want)-1] {
				want = append(want, p)
			}
		}
		if pages := taken(); fmt.Sprint(pages) != fmt.Sprint(want) {
			t.Errorf("Push and Flush marked pages %v, want %v", pages, want)
		}
	})
}
