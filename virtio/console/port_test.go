package console

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/govmm/govmm/chardev"
	"github.com/govmm/govmm/tests/await"
	"github.com/govmm/govmm/virtio/queue"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// newPort is a guest with port 1 open.
func newPort(t testing.TB, form queuetest.Options) (*guest, *host) {
	t.Helper()
	h := newHost(t, true)
	g := newGuest(t, form, Options{Ports: []Port{{ID: 1, Backend: h}}})
	g.activate(multiport, 1)
	g.open(1)
	return g, h
}

func TestOutputBackPressure(t *testing.T) {
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			await.NoGoroutines(t)
			g, h := newPort(t, form)
			h.room = 3
			q := g.q[5]
			first := q.Add(q.Readable([]byte("abc")))
			second := q.Add(q.Readable([]byte("0123")), q.Readable([]byte("4567")), q.Readable([]byte("89ab")))
			third := q.Add(q.Readable([]byte("end!")))
			q.Kick()
			if u := q.Wait(); u.ID != first || u.Len != 0 {
				t.Fatalf("used %+v, want request %d", u, first)
			}
			// Any number of kicks change nothing.
			for range 20 {
				q.Publish()
				g.queues[5].Doorbell().Ring()
			}
			for _, n := range []int{1, 4, 6} {
				h.allow(n)
				await.That(t, "the room to be used", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.room == 0 })
				if u, ok := q.Used(); ok {
					t.Fatalf("used %+v before all of it was taken", u)
				}
			}
			h.allow(1)
			if u := q.Wait(); u.ID != second {
				t.Fatalf("used %+v, want request %d", u, second)
			}
			h.allow(100)
			if u := q.Wait(); u.ID != third {
				t.Fatalf("used %+v, want request %d", u, third)
			}
			if want := "abc0123456789abend!"; h.output() != want {
				t.Errorf("output %q, want %q", h.output(), want)
			}
		})
	}
}

func TestOutputIndirect(t *testing.T) {
	g, h := newPort(t, queuetest.Options{Indirect: true})
	g.q[5].AddIndirect(g.q[5].Readable([]byte("hello wonderful ")), g.q[5].Readable([]byte("world of devices")))
	g.q[5].Kick()
	g.q[5].Wait()
	h.waitOutput(t, "hello wonderful world of devices")
	// A buffer that is no output is given back.
	g.q[5].Do(g.q[5].Writable(16))
}

func TestInputBackPressure(t *testing.T) {
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			await.NoGoroutines(t)
			g, h := newPort(t, form)
			h.send("0123456789")
			bufs := []queuetest.Buffer{g.post(1, 4)}
			g.expectInput(1, bufs, "0123")
			if n := h.left(); n != 6 {
				t.Fatalf("%d bytes left, want 6", n)
			}
			bufs = []queuetest.Buffer{g.post(1, 4), g.post(1, 4), g.post(1, 4)}
			g.expectInput(1, bufs, "4567", "89")
			h.send("ab")
			g.expectInput(1, bufs[2:], "ab")
			if err := g.why(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestInputViolation(t *testing.T) {
	tests := []struct {
		name  string
		bad   func(g *guest)
		wants error
	}{
		{"no room", func(g *guest) { g.q[4].Add(g.q[4].Readable([]byte("x"))) }, errNoRoom},
		{"outside", func(g *guest) {
			g.q[4].Add(queuetest.Buffer{Addr: 1 << 40, Len: 1, Write: true})
		}, queue.BufferOutside},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g, h := newPort(t, queuetest.Options{})
			test.bad(g)
			g.q[4].Kick()
			h.send("abcd")
			await.That(t, "the device to be broken", func() bool { return g.why() != nil })
			if err := g.why(); !errors.Is(err, test.wants) {
				t.Errorf("broken because of %v, want %v", err, test.wants)
			}
			if h.front.Receive([]byte("x")) != 0 {
				t.Error("a broken port takes input")
			}
		})
	}
}

func TestOutputViolation(t *testing.T) {
	g, _ := newPort(t, queuetest.Options{})
	g.q[5].Add(queuetest.Buffer{Addr: 1 << 40, Len: 1})
	g.q[5].Kick()
	await.That(t, "the device to be broken", func() bool { return g.why() != nil })
	if err := g.why(); !errors.Is(err, queue.BufferOutside) {
		t.Errorf("broken because of %v", err)
	}
}

// TestResetWhileWaiting resets a device with output and input that wait.
func TestResetWhileWaiting(t *testing.T) {
	await.NoGoroutines(t)
	g, h := newPort(t, queuetest.Options{})
	h.room = 1
	g.write(1, "output that nobody takes")
	h.waitOutput(t, "o")
	h.send("input that nobody takes")
	g.dev.Reset()
	before := h.left()
	h.front.Receive([]byte("x"))
	h.carrier(false)
	h.carrier(true)
	h.allow(100)
	if h.output() != "o" || h.left() != before {
		t.Error("data moves after a reset")
	}
	// The next driver gets the input, and its output comes through.
	g.activate(multiport, 1)
	g.posted = nil
	g.open(1)
	b := g.post(1, 64)
	g.expectInput(1, []queuetest.Buffer{b}, "input that nobody takes")
	g.write(1, "!")
	h.waitOutput(t, "o!")
}

// TestBulk moves 32 MiB each way, through buffers and a host that are often full.
func TestBulk(t *testing.T) {
	const size, bufSize = 32 << 20, 16 << 10
	g, h := newPort(t, queuetest.Options{EventIndex: true})
	pattern := func(n int) byte { return byte(n>>8) ^ byte(n) }
	want := make([]byte, size)
	for i := range want {
		want[i] = pattern(i)
	}

	rx := g.q[4]
	posted := map[uint16]queuetest.Buffer{}
	for range 16 {
		b := rx.Writable(bufSize)
		posted[rx.Add(b)] = b
	}
	rx.Kick()
	h.send(string(want))
	for at := 0; at < size; {
		u := rx.Wait()
		b := posted[u.ID]
		got := rx.Bytes(b)[:u.Len]
		if string(got) != string(want[at:at+len(got)]) {
			t.Fatalf("input is wrong after %d bytes", at)
		}
		at += len(got)
		posted[rx.Add(b)] = b
		rx.Kick()
	}

	tx := g.q[5]
	h.mu.Lock()
	h.room = 0
	h.out = make([]byte, 0, size)
	h.mu.Unlock()
	b := tx.Writable(bufSize)
	b.Write = false
	for at := 0; at < size; at += bufSize {
		copy(tx.Bytes(b), want[at:])
		tx.Add(b)
		tx.Kick()
		h.allow(bufSize / 2)
		h.allow(bufSize / 2)
		tx.Wait()
	}
	if h.output() != string(want) {
		t.Error("output is wrong")
	}
}

func TestNoAllocation(t *testing.T) {
	g, h := newPort(t, queuetest.Options{})
	h.discard = true
	p := g.dev.ports[1]

	// A queue that no goroutine serves: its part is done here.
	tx := queuetest.New(t, newMemory(t, 4<<20), queuetest.Options{Size: 128})
	s := &sender{port: p, run: g.dev.run, queue: tx.Start()}
	for range 101 {
		tx.Add(tx.Readable([]byte("0123456789abcdef")))
	}
	tx.Publish()
	allocs := testing.AllocsPerRun(100, func() {
		c, err := s.queue.Pop()
		if c == nil {
			t.Fatal("no output", err)
		}
		if err := s.send(c); err != nil {
			t.Fatal(err)
		}
		s.queue.Flush()
	})
	if allocs != 0 {
		t.Errorf("%v allocations a buffer of output", allocs)
	}

	for range 101 {
		g.q[4].Add(g.q[4].Writable(16))
	}
	g.q[4].Publish()
	data := []byte("0123456789")
	allocs = testing.AllocsPerRun(100, func() {
		if n := p.Receive(data); n != len(data) {
			t.Fatalf("%d bytes taken", n)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations a buffer of input", allocs)
	}
	char := []byte("x")
	if allocs := testing.AllocsPerRun(100, func() { g.dev.WriteConfig(emergency, char) }); allocs != 0 {
		t.Errorf("%v allocations an emergency write", allocs)
	}
}

// BenchmarkOutput is the port's part of the cost: the host takes all and does
// nothing with it.
func BenchmarkOutput(b *testing.B) {
	const size = 32 << 10 // what Linux sends at a time
	g, h := newPort(b, queuetest.Options{EventIndex: true})
	h.discard = true
	tx := g.q[5]
	buf := tx.Readable([]byte(strings.Repeat("x", size)))
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		for {
			if _, ok := tx.TryAdd(false, buf); ok {
				break
			}
			tx.Wait()
			for _, ok := tx.Used(); ok; _, ok = tx.Used() {
			}
		}
		tx.Kick()
	}
}

func BenchmarkInput(b *testing.B) {
	const size = 4 << 10 // Linux's buffers, and a back end's reads
	g, h := newPort(b, queuetest.Options{EventIndex: true})
	rx := g.q[4]
	buf := rx.Writable(size)
	data := make([]byte, size)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		rx.Add(buf)
		rx.Publish()
		if n := h.front.Receive(data); n != size {
			b.Fatalf("%d bytes taken", n)
		}
		rx.Used()
	}
}

// BenchmarkOutputToFile has a back end as in a machine: it copies, and is often
// full.
func BenchmarkOutputToFile(b *testing.B) {
	const size = 32 << 10
	file, err := chardev.OpenFile(chardev.FileOptions{Path: os.DevNull})
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	g := newGuest(b, queuetest.Options{EventIndex: true}, Options{Ports: []Port{{ID: 1, Backend: file}}})
	g.activate(multiport, 1)
	g.open(1)
	tx := g.q[5]
	buf := tx.Readable([]byte(strings.Repeat("x", size)))
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		for {
			if _, ok := tx.TryAdd(false, buf); ok {
				break
			}
			tx.Wait()
		}
		tx.Kick()
	}
}
