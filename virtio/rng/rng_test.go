package rng

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/tests/await"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// counter is a source of bytes that tell where they were in it.
type counter struct{ n byte }

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		c.n++
		p[i] = c.n
	}
	return len(p), nil
}

func TestFillsBuffers(t *testing.T) {
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			m := start(t, Options{Source: &counter{}}, form)
			a, b := m.Writable(16), m.Writable(64)
			a.Len, b.Len = 5, 60
			if form.Indirect {
				id := m.AddIndirect(a, b)
				m.Kick()
				if u := m.Wait(); u.ID != id || u.Len != 65 {
					t.Fatalf("used %+v, want 65 bytes of request %d", u, id)
				}
			} else if n := m.Do(a, b); n != 65 {
				t.Fatalf("%d bytes, want 65", n)
			}
			got := append(bytes.Clone(m.Bytes(a)), m.Bytes(b)...)
			for i, v := range got {
				if v != byte(i+1) {
					t.Fatalf("byte %d is %d", i, v)
				}
			}
			for range 50 {
				if n := m.Do(a); n != 5 {
					t.Fatalf("%d bytes, want 5", n)
				}
			}
		})
	}
}

func TestHostSource(t *testing.T) {
	m := start(t, Options{}, queuetest.Options{})
	b := m.Writable(4096)
	if n := m.Do(b); n != 4096 {
		t.Fatalf("%d bytes, want 4096", n)
	}
	// All of these zero, by chance: once in 2^512.
	for p := m.Bytes(b); len(p) > 0; p = p[64:] {
		if bytes.Equal(p[:64], make([]byte, 64)) {
			t.Fatal("a part of the buffer was not filled")
		}
	}
}

func TestRequestSizes(t *testing.T) {
	tests := []struct {
		name string
		bufs func(m *machine) []queuetest.Buffer
		want uint32
	}{
		{"one byte", func(m *machine) []queuetest.Buffer { return []queuetest.Buffer{m.Writable(1)} }, 1},
		{"the most", func(m *machine) []queuetest.Buffer { return []queuetest.Buffer{m.Writable(MaxRequest)} }, MaxRequest},
		{"more", func(m *machine) []queuetest.Buffer { return []queuetest.Buffer{m.Writable(MaxRequest + 1)} }, MaxRequest},
		{"no room", func(m *machine) []queuetest.Buffer { return []queuetest.Buffer{m.Readable([]byte{1})} }, 0},
		{"after readable", func(m *machine) []queuetest.Buffer {
			return []queuetest.Buffer{m.Readable([]byte{1}), m.Writable(3)}
		}, 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := start(t, Options{}, queuetest.Options{})
			if n := m.Do(test.bufs(m)...); n != test.want {
				t.Errorf("%d bytes, want %d", n, test.want)
			}
			if err := m.why(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFailingSource(t *testing.T) {
	broken := errors.New("no more noise")
	tests := []struct {
		name   string
		source io.Reader
		first  uint32 // bytes of the first answer; 0: none
		reason string
	}{
		{"at once", iotest(broken), 0, "no more noise"},
		{"ended", strings.NewReader(""), 0, "has ended"},
		{"in between", io.MultiReader(strings.NewReader("abc"), iotest(broken)), 3, "no more noise"},
		{"end in between", strings.NewReader("abcd"), 4, "has ended"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := start(t, Options{Source: test.source}, queuetest.Options{})
			b := m.Writable(64)
			if test.first > 0 {
				if n := m.Do(b); n != test.first {
					t.Fatalf("%d bytes, want %d", n, test.first)
				}
				if err := m.why(); err != nil {
					t.Fatalf("broken already: %v", err)
				}
			}
			m.Add(b)
			m.Kick()
			await.That(t, "the device to be broken", func() bool { return m.why() != nil })
			if err := m.why(); !strings.Contains(err.Error(), test.reason) {
				t.Errorf("broken because %q, want %q", err, test.reason)
			}
		})
	}
}

// iotest is a source that only fails.
func iotest(err error) io.Reader { return failing{err} }

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestLimit(t *testing.T) {
	c := &clock.Fake{}
	m := start(t, Options{Limit: Limit{Bytes: 100, Period: time.Second}, Clock: c}, queuetest.Options{})
	b := m.Writable(80)
	for i, want := range []uint32{80, 20} {
		if n := m.Do(b); n != want {
			t.Fatalf("request %d: %d bytes, want %d", i, n, want)
		}
	}
	id := m.Add(b)
	m.Kick()
	waitArmed(t, c)
	if u, ok := m.Used(); ok {
		t.Fatalf("%d bytes beyond the limit", u.Len)
	}
	c.Advance(999 * time.Millisecond)
	if u, ok := m.Used(); ok {
		t.Fatalf("%d bytes before the period has ended", u.Len)
	}
	c.Advance(time.Millisecond)
	if u := m.Wait(); u.ID != id || u.Len != 80 {
		t.Fatalf("used %+v, want 80 bytes of request %d", u, id)
	}

	// A reset ends the wait, and gives no new bytes.
	m.Do(b)
	m.Add(b)
	m.Kick()
	waitArmed(t, c)
	m.dev.Reset()
	if err := m.why(); err != nil {
		t.Error(err)
	}
	if n := m.dev.quota.take(1); n != 0 {
		t.Error("a reset renews the limit")
	}
}

func waitArmed(t *testing.T, c *clock.Fake) {
	t.Helper()
	await.That(t, "the device to wait for the clock", func() bool { _, ok := c.Next(); return ok })
}

func TestLimitOptions(t *testing.T) {
	for _, o := range []Options{
		{Limit: Limit{Bytes: 1, Period: time.Second}},
		{Limit: Limit{Bytes: 1}, Clock: &clock.Fake{}},
		{Limit: Limit{Bytes: 1, Period: -1}, Clock: &clock.Fake{}},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v was taken", o.Limit)
		}
	}
}

// TestResetInterruptsSource has a source that never answers.
func TestResetInterruptsSource(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	m := start(t, Options{Source: ours}, queuetest.Options{})
	m.Add(m.Writable(8))
	m.Kick()
	m.dev.Reset()
	m.dev.Reset()
	if err := m.why(); err != nil {
		t.Errorf("broken by a reset: %v", err)
	}
	// It can be read again.
	go theirs.Write([]byte("x"))
	if _, err := ours.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

func TestRestart(t *testing.T) {
	m := start(t, Options{}, queuetest.Options{})
	m.Do(m.Writable(8))
	m.dev.Reset()
	again := queuetest.New(t, newMemory(t, 4<<20), queuetest.Options{Size: 8, Packed: true})
	q := again.Start()
	if err := m.dev.Activate(virtio.Activation{Queues: []*queue.Queue{q}, Interrupts: m}); err != nil {
		t.Fatal(err)
	}
	if n := again.Do(again.Writable(8)); n != 8 {
		t.Errorf("%d bytes after a reset, want 8", n)
	}
	m.dev.Reset()
}

func TestNoQueue(t *testing.T) {
	dev, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := dev.Activate(virtio.Activation{Queues: make([]*queue.Queue, 1), Interrupts: &transport{}}); err != nil {
		t.Error(err)
	}
	dev.Reset()
	data := []byte{1, 2}
	dev.WriteConfig(0, data)
	if dev.ReadConfig(0, data); data[0] != 0 || data[1] != 0 {
		t.Errorf("configuration space reads %v", data)
	}
}

func TestNoAllocation(t *testing.T) {
	dev, err := New(Options{Limit: Limit{Bytes: 1 << 20, Period: time.Second}, Clock: &clock.Fake{}})
	if err != nil {
		t.Fatal(err)
	}
	d := queuetest.New(t, newMemory(t, 4<<20), queuetest.Options{Size: 8})
	r := &run{d: dev, q: d.Start(), stop: make(chan struct{})}
	for range 8 {
		d.Add(d.Writable(256))
	}
	d.Publish()
	allocs := testing.AllocsPerRun(7, func() {
		c, err := r.q.Pop()
		if c == nil {
			t.Fatal("nothing to answer", err)
		}
		if err := r.answer(c); err != nil {
			t.Fatal(err)
		}
		r.q.Flush()
	})
	if allocs != 0 {
		t.Errorf("%v allocations a request", allocs)
	}
}

func FuzzQueue(f *testing.F) {
	f.Add([]byte{0, 16, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 2, 0, 0, 0}, byte(0))
	f.Add([]byte{0, 16, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 3, 0, 0, 0}, byte(1))
	f.Fuzz(func(t *testing.T, table []byte, form byte) {
		mem := newMemory(t, 64<<10)
		d := queuetest.New(t, mem, queuetest.Options{
			Size: 8, Room: 4096, Packed: form&1 != 0, EventIndex: form&2 != 0, InOrder: form&4 != 0,
		})
		for range 8 {
			d.Add(d.Writable(64))
		}
		d.Publish()
		// The hostile part: what the descriptors say.
		_ = mem.WriteAt(table[:min(len(table), 8*16)], d.Config().Desc)

		bell, err := queue.NewDoorbell()
		if err != nil {
			t.Fatal(err)
		}
		bell.Close() // the device handles what there is, and ends
		c := d.Config()
		c.Indirect = form&8 != 0
		q, err := c.Start(mem, bell, d.Line())
		if err != nil {
			t.Fatal(err)
		}
		dev, err := New(Options{Source: &counter{}})
		if err != nil {
			t.Fatal(err)
		}
		if err := dev.Activate(virtio.Activation{Queues: []*queue.Queue{q}, Interrupts: &transport{}}); err != nil {
			t.Fatal(err)
		}
		<-dev.run.done
		dev.Reset()
	})
}

func BenchmarkRequest(b *testing.B) {
	m := start(b, Options{}, queuetest.Options{EventIndex: true})
	buf := m.Writable(4096)
	b.SetBytes(4096)
	b.ReportAllocs()
	for b.Loop() {
		m.Do(buf)
	}
}
