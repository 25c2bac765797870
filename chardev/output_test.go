package chardev

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
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

// startOutput is newOutput for one that waits for ever when it has to.
func startOutput(s sink, full overflow, linked bool, onSpace func(), onError func(error)) *output {
	return newOutput(outputOptions{sink: s, overflow: full, linked: linked, onSpace: onSpace, onError: onError})
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
	o := startOutput(sink, blockWhenFull, true, func() {}, func(err error) { t.Error(err) })
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
	o := startOutput(sink, blockWhenFull, true, func() { space <- struct{}{} }, func(err error) { t.Error(err) })
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
	o := startOutput(sink, dropUnread, true, func() {}, func(err error) { t.Error(err) })
	want := pattern(3*BufferSize + 1)
	for i, b := range want {
		if n := o.write([]byte{b}); n != 1 {
			t.Fatalf("byte %d was refused", i)
		}
		if i == 0 {
			await.That(t, "first write", sink.waiting(1))
			o.setLink(false)
		}
	}
	// The first byte has been on its way to the host all the time.
	sink.allow(1<<30, nil)
	o.setLink(true)
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
	o := startOutput(sink, blockWhenFull, true, func() {}, func(err error) { reported = append(reported, err) })
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
	o := startOutput(sink, dropUnread, false, func() {}, func(err error) { t.Error(err) })
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

// TestOutputPatience has a sink that takes nothing, then little, then nothing
// again, on a clock of the test's own.
func TestOutputPatience(t *testing.T) {
	const patience = 3 * time.Second
	synctest.Test(t, func(t *testing.T) {
		sink := newGateSink(0)
		start := time.Now()
		var mu sync.Mutex
		var space, stalls []time.Duration // when the guest could go on, and gave up
		note := func(list *[]time.Duration) func() {
			return func() {
				mu.Lock()
				defer mu.Unlock()
				*list = append(*list, time.Since(start))
			}
		}
		expect := func(spaces int, stalled ...time.Duration) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if len(space) != spaces || !slices.Equal(stalls, stalled) {
				t.Errorf("room at %v, stalls at %v; want %d and %v", space, stalls, spaces, stalled)
			}
		}
		o := newOutput(outputOptions{
			sink: sink, overflow: dropUnread, linked: true, patience: patience,
			onSpace: note(&space), onStall: note(&stalls),
			onError: func(err error) { t.Error(err) },
		})
		pass := func(d time.Duration) {
			time.Sleep(d) // no time passes but on the test's clock
			synctest.Wait()
		}
		written := 0
		write := func(n, want int) {
			t.Helper()
			got := o.write(make([]byte, n))
			if written += got; got != want {
				t.Errorf("%v: accepted %d bytes of %d, want %d", time.Since(start), got, n, want)
			}
		}
		write(BufferSize+10, BufferSize)
		pass(2 * time.Second)
		write(100, 0)
		sink.allow(100, nil) // at 2 s: the client lives, and there is room
		pass(time.Millisecond)
		write(101, 100)
		pass(patience - 2*time.Millisecond)
		write(100, 0)
		expect(1)
		pass(time.Hour)
		expect(2, 2*time.Second+patience)
		write(3*BufferSize, 3*BufferSize)
		// It reads on, and has the whole time again.
		sink.allow(1, nil)
		pass(time.Second)
		write(BufferSize, BufferSize-o.pending())
		pass(patience - time.Millisecond)
		write(1, 0)
		// The timer of a write that need not wait any more is no stall.
		sink.allow(1<<30, nil)
		pass(time.Hour)
		expect(3, 2*time.Second+patience)
		o.finish()
		pass(time.Second)
		if s := o.counts(); s.Out != uint64(len(sink.bytes())) || s.Out+s.Dropped != uint64(written) || s.Dropped < 2*BufferSize {
			t.Errorf("stats %+v, %d bytes delivered of %d", s, len(sink.bytes()), written)
		}
	})
}

// TestOutputLinkLost: a write that waits for a client goes on when that leaves,
// whether the input or the sink finds out.
func TestOutputLinkLost(t *testing.T) {
	noLeaks(t)
	space := make(chan struct{}, 100)
	sink := newGateSink(0)
	o := startOutput(sink, dropUnread, true, func() { space <- struct{}{} }, func(err error) { t.Error(err) })
	o.write(pattern(BufferSize))
	if n := o.write([]byte("x")); n != 0 {
		t.Fatalf("accepted %d bytes with a full buffer", n)
	}
	if o.setLink(true) {
		t.Error("a link that stays is room")
	}
	if !o.setLink(false) || o.setLink(false) {
		t.Error("a lost link is not told once as room")
	}
	o.setLink(true)
	if n := o.write([]byte("x")); n != 0 {
		t.Fatalf("accepted %d bytes with a full buffer and a new link", n)
	}
	sink.allow(0, errNoLink)
	<-space
	if n := o.write([]byte("xyz")); n != 3 {
		t.Errorf("accepted %d bytes with nobody there", n)
	}
	sink.allow(1<<30, nil)
	finishAndWait(t, o)
	// Whether the oldest were on their way already is a matter of luck.
	if s := o.counts(); s.Out+s.Dropped != BufferSize+3 || s.Out < BufferSize {
		t.Errorf("stats %+v", s)
	}
}

// TestTeeOfDropping: the copy has each byte once, also of what a pty drops, and
// what the pty drops or waits with.
func TestTeeOfDropping(t *testing.T) {
	noLeaks(t)
	sink := newGateSink(1 << 30)
	var p port
	p.init(Options{Tee: &sinkWriter{sink}}, false)
	main := newGateSink(0)
	p.main = p.newOutput("output", main, dropUnread, false)
	want := pattern(6 * BufferSize)
	rest := want
	up := false
	await.That(t, "everything accepted", func() bool {
		n := p.Write(rest[:min(len(rest), 5000)])
		rest = rest[n:]
		up = !up
		p.main.setLink(up)
		return len(rest) == 0
	})
	main.allow(1<<30, nil)
	mustClose(t, &p)
	if !bytes.Equal(sink.bytes(), want) {
		t.Errorf("the copy of %d bytes has %d, or others", len(want), len(sink.bytes()))
	}
	if s := p.Stats(); s.Out+s.Dropped != uint64(len(want)) {
		t.Errorf("stats %+v of %d bytes", s, len(want))
	}
}

// sinkWriter is a sink as a tee.
type sinkWriter struct{ *gateSink }

func (w sinkWriter) SetWriteDeadline(time.Time) error { w.interrupt(); return nil }

func TestOutputAbort(t *testing.T) {
	noLeaks(t)
	sink := newGateSink(0)
	o := startOutput(sink, blockWhenFull, true, func() {}, func(err error) { t.Error(err) })
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
	o := startOutput(sink, blockWhenFull, true, func() {}, func(err error) { t.Error(err) })
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
	for _, full := range []overflow{blockWhenFull, dropUnread} {
		o := startOutput(newGateSink(1<<30), full, true, func() {}, func(error) {})
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
	f.Add([]byte{0, 252, 252, 1, 252, 6, 0, 252})
	f.Fuzz(func(t *testing.T, steps []byte) {
		src := pattern(BufferSize + 4096)
		for _, full := range []overflow{blockWhenFull, dropUnread} {
			sink := newGateSink(0)
			o := startOutput(sink, full, true, func() {}, func(error) {})
			written := uint64(0)
			for _, step := range steps {
				size := int(step>>2) * 1024
				if size == 0 {
					o.setLink(step > 0)
					continue
				}
				switch step & 3 {
				case 0, 1:
					written += uint64(o.write(src[:size]))
				case 2:
					sink.allow(size/2+1, nil)
				case 3:
					sink.allow(size, unix.EIO)
				}
			}
			o.setLink(true)
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
	}{{"block", blockWhenFull}, {"drop", dropUnread}} {
		b.Run(bench.name, func(b *testing.B) {
			o := startOutput(&writerSink{w: discard{}}, bench.full, true, func() {}, func(error) {})
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
	o := startOutput(&writerSink{w: notify{arrived}}, blockWhenFull, true, func() {}, func(error) {})
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
