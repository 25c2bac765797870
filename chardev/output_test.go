package chardev

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/tests/await"
)

// gateSink takes as many bytes as the test has let through, and blocks.
type gateSink struct {
	mu      sync.Mutex
	cond    *sync.Cond
	got     bytes.Buffer
	allowed int
	stopped bool
	writes  int
	fail    error // returned by the next Write
}

func newGateSink(allowed int) *gateSink {
	s := &gateSink{allowed: allowed}
	s.cond = sync.NewCond(&s.mu)
	return s
}

func (s *gateSink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	for s.allowed == 0 && !s.stopped && s.fail == nil {
		s.cond.Wait()
	}
	if s.stopped {
		return 0, errors.New("interrupted")
	}
	n := min(len(p), s.allowed)
	s.allowed -= n
	s.got.Write(p[:n])
	err := s.fail
	s.fail = nil
	return n, err
}

func (s *gateSink) interrupt() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.cond.Broadcast()
	return true
}

func (s *gateSink) allow(n int, fail error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.allowed += n
	s.fail = fail
	s.cond.Broadcast()
}

func (s *gateSink) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.got.Bytes())
}

// waiting reports whether the output is inside its nth Write.
func (s *gateSink) waiting(n int) func() bool {
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.writes >= n && s.allowed == 0
	}
}

func finishAndWait(t *testing.T, o *output) {
	t.Helper()
	o.finish()
	if !waitFor(o.ended, time.Now().Add(await.Patience)) {
		t.Fatal("the output did not end")
	}
}

func TestOutputKeepsOrder(t *testing.T) {
	noLeaks(t)
	sink := newGateSink(1 << 30)
	o := newOutput(sink, blockWhenFull, true, func() {}, func(err error) { t.Error(err) })
	want := pattern(5*BufferSize + 123)
	rng := rand.New(rand.NewPCG(1, 2))
	rest := want
	await.That(t, "everything accepted", func() bool {
		for len(rest) > 0 {
			n := o.write(rest[:min(len(rest), 1+rng.IntN(3000))])
			if n == 0 {
				return false
			}
			rest = rest[n:]
		}
		return true
	})
	finishAndWait(t, o)
	if !bytes.Equal(sink.bytes(), want) {
		t.Error("output differs from what was written")
	}
	if s := o.counts(); s.Out != uint64(len(want)) || s.Dropped != 0 || s.Errors != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestOutputBackPressure(t *testing.T) {
	noLeaks(t)
	sink := newGateSink(0)
	space := make(chan struct{}, 100)
	o := newOutput(sink, blockWhenFull, true, func() { space <- struct{}{} }, func(err error) { t.Error(err) })
	want := pattern(BufferSize + 10)
	if n := o.write(want); n != BufferSize {
		t.Fatalf("accepted %d bytes, want %d", n, BufferSize)
	}
	if n := o.write(want[BufferSize:]); n != 0 {
		t.Fatalf("accepted %d bytes with a full buffer", n)
	}
	if len(space) != 0 {
		t.Fatal("room was announced with a full buffer")
	}
	sink.allow(4, nil)
	select {
	case <-space:
	case <-time.After(await.Patience):
		t.Fatal("room was not announced")
	}
	if n := o.write(want[BufferSize:]); n != 4 {
		t.Fatalf("accepted %d bytes with room for 4", n)
	}
	sink.allow(1<<30, nil)
	<-space
	if n := o.write(want[BufferSize+4:]); n != 6 {
		t.Fatalf("accepted %d of the last 6 bytes", n)
	}
	finishAndWait(t, o)
	if !bytes.Equal(sink.bytes(), want) {
		t.Error("output differs from what was written")
	}
}

func TestOutputDropsOldest(t *testing.T) {
	noLeaks(t)
	sink := newGateSink(0)
	o := newOutput(sink, dropOldest, true, func() {}, func(err error) { t.Error(err) })
	want := pattern(3*BufferSize + 1)
	for i, b := range want {
		if n := o.write([]byte{b}); n != 1 {
			t.Fatalf("byte %d was refused", i)
		}
		if i == 0 {
			await.That(t, "first write", sink.waiting(1))
		}
	}
	// The first byte has been on its way to the host all the time.
	sink.allow(1<<30, nil)
	finishAndWait(t, o)
	got := sink.bytes()
	if !bytes.Equal(got[:1], want[:1]) || !bytes.Equal(got[1:], want[len(want)-BufferSize:]) {
		t.Errorf("got %d bytes; want the first, and the last %d", len(got), BufferSize)
	}
	if s := o.counts(); s.Out != uint64(len(got)) || s.Out+s.Dropped != uint64(len(want)) {
		t.Errorf("stats %+v for %d bytes written and %d delivered", s, len(want), len(got))
	}
}

func TestOutputErrors(t *testing.T) {
	noLeaks(t)
	sink := newGateSink(0)
	var reported []error
	o := newOutput(sink, blockWhenFull, true, func() {}, func(err error) { reported = append(reported, err) })
	o.write([]byte("1"))
	await.That(t, "the write of 1", sink.waiting(1))
	o.write([]byte("23"))
	sink.allow(1, nil)
	await.That(t, "the write of 23", sink.waiting(2))
	sink.allow(1, unix.ENOSPC) // 2 is written, 3 is not
	await.That(t, "the error counted", func() bool { return o.counts().Errors == 1 })
	o.write([]byte("45"))
	sink.allow(100, nil)
	finishAndWait(t, o)
	if got := string(sink.bytes()); got != "1245" {
		t.Errorf("delivered %q, want 1245", got)
	}
	if s := o.counts(); s != (Stats{Out: 4, Dropped: 1, Errors: 1}) {
		t.Errorf("stats %+v", s)
	}
	if len(reported) != 1 || !errors.Is(reported[0], unix.ENOSPC) {
		t.Errorf("reported %v", reported)
	}
}

func TestOutputWithoutLink(t *testing.T) {
	noLeaks(t)
	sink := newGateSink(1 << 30)
	o := newOutput(sink, dropOldest, false, func() {}, func(err error) { t.Error(err) })
	o.write([]byte("held "))
	o.setLink(true)
	o.write([]byte("and sent"))
	await.That(t, "delivery", func() bool { return string(sink.bytes()) == "held and sent" })
	o.setLink(false)
	o.write([]byte("lost"))
	finishAndWait(t, o)
	if n := o.left(); n != 4 {
		t.Errorf("%d bytes left, want 4", n)
	}
	if s := o.counts(); s.Out != 13 || s.Dropped != 4 {
		t.Errorf("stats %+v", s)
	}
}

func TestOutputAbort(t *testing.T) {
	noLeaks(t)
	sink := newGateSink(0)
	o := newOutput(sink, blockWhenFull, true, func() {}, func(err error) { t.Error(err) })
	o.write([]byte("stuck"))
	await.That(t, "the write", sink.waiting(1))
	o.finish()
	o.abort()
	if !waitFor(o.ended, time.Now().Add(await.Patience)) {
		t.Fatal("abort did not end the output")
	}
	if n := o.left(); n != 5 {
		t.Errorf("%d bytes left, want 5", n)
	}
	if n := o.write([]byte("late")); n != 4 {
		t.Errorf("accepted %d bytes after the end, want all", n)
	}
	if s := o.counts(); s.Dropped != 9 || s.Errors != 0 {
		t.Errorf("stats %+v", s)
	}
}

// TestOutputGathers checks the promise about wake-ups: a stream of single bytes
// makes at most one write to the host in each gathering time.
func TestOutputGathers(t *testing.T) {
	noLeaks(t)
	sink := newGateSink(1 << 30)
	o := newOutput(sink, blockWhenFull, true, func() {}, func(err error) { t.Error(err) })
	const n = BufferSize / 4
	start := time.Now()
	for range n {
		o.write([]byte("a"))
	}
	finishAndWait(t, o)
	limit := int(time.Since(start)/gatherTime) + 2
	if sink.writes > limit {
		t.Errorf("%d writes for %d bytes, want at most %d", sink.writes, n, limit)
	}
	if len(sink.bytes()) != n {
		t.Errorf("delivered %d bytes, want %d", len(sink.bytes()), n)
	}
}

func TestWriteDoesNotAllocate(t *testing.T) {
	for _, full := range []overflow{blockWhenFull, dropOldest} {
		o := newOutput(newGateSink(1<<30), full, true, func() {}, func(error) {})
		p := []byte("a")
		if n := testing.AllocsPerRun(1000, func() { o.write(p) }); n >= 1 {
			t.Errorf("overflow policy %d: %v allocations a write", full, n)
		}
		finishAndWait(t, o)
	}
}

// FuzzOutput checks the accounting of the ring against a list, with a host that
// takes what the fuzzer says.
func FuzzOutput(f *testing.F) {
	f.Add([]byte{1, 200, 3, 0, 255, 255, 255, 9})
	f.Add(bytes.Repeat([]byte{254, 1}, 200))
	f.Fuzz(func(t *testing.T, steps []byte) {
		src := pattern(BufferSize + 4096)
		for _, full := range []overflow{blockWhenFull, dropOldest} {
			sink := newGateSink(0)
			o := newOutput(sink, full, true, func() {}, func(error) {})
			written := uint64(0)
			for _, step := range steps {
				switch size := int(step>>2) * 1024; step & 3 {
				case 0, 1:
					written += uint64(o.write(src[:size]))
				case 2:
					sink.allow(size/2+1, nil)
				case 3:
					sink.allow(size, unix.EIO)
				}
			}
			o.finish()
			sink.allow(1<<30, nil)
			if !waitFor(o.ended, time.Now().Add(await.Patience)) {
				t.Fatal("the output did not end")
			}
			s := o.counts()
			if s.Out+s.Dropped != written || s.Out != uint64(len(sink.bytes())) || o.pending() != 0 {
				t.Fatalf("policy %d: %d written, %d delivered, stats %+v, %d pending", full, written, len(sink.bytes()), s, o.pending())
			}
		}
	})
}

func BenchmarkOutputByte(b *testing.B) {
	for _, bench := range []struct {
		name string
		full overflow
	}{{"block", blockWhenFull}, {"drop", dropOldest}} {
		b.Run(bench.name, func(b *testing.B) {
			o := newOutput(&writerSink{w: discard{}}, bench.full, true, func() {}, func(error) {})
			defer o.finish()
			p := []byte("a")
			b.ReportAllocs()
			b.SetBytes(1)
			for b.Loop() {
				o.write(p)
			}
		})
	}
}

// BenchmarkOutputLatency measures how long a byte takes to the host after a
// silence.
func BenchmarkOutputLatency(b *testing.B) {
	arrived := make(chan struct{})
	o := newOutput(&writerSink{w: notify{arrived}}, blockWhenFull, true, func() {}, func(error) {})
	defer o.finish()
	idle := func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.wakeAt == 1
	}
	p := []byte("a")
	for b.Loop() {
		b.StopTimer()
		await.That(b, "idle", idle)
		b.StartTimer()
		o.write(p)
		<-arrived
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

type notify struct{ ch chan struct{} }

func (n notify) Write(p []byte) (int, error) {
	n.ch <- struct{}{}
	return len(p), nil
}
