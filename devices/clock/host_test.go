package clock

import (
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

func newHost(t testing.TB) *Host {
	t.Helper()
	h, err := NewHost()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func await(t *testing.T, c <-chan time.Duration) time.Duration {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("the timer did not fire")
		return 0
	}
}

func TestHostTimers(t *testing.T) {
	h := newHost(t)
	h.Resume()
	fired := make(chan time.Duration, 8)
	second := h.NewTimer(func() { fired <- h.Now() })
	first := h.NewTimer(func() { fired <- -h.Now() })
	second.Set(8 * time.Millisecond)
	first.Set(4 * time.Millisecond)
	if at := await(t, fired); at > -4*time.Millisecond {
		t.Errorf("first fired at %v", at)
	}
	if at := await(t, fired); at < 8*time.Millisecond {
		t.Errorf("second fired at %v", at)
	}
	first.Set(0) // in the past
	await(t, fired)
}

func TestHostStop(t *testing.T) {
	h := newHost(t)
	h.Resume()
	var stopped atomic.Bool
	s := h.NewTimer(func() { stopped.Store(true) })
	fired := make(chan time.Duration, 1)
	f := h.NewTimer(func() { fired <- h.Now() })
	s.Set(h.Now() + 5*time.Millisecond)
	f.Set(h.Now() + 10*time.Millisecond)
	s.Stop()
	await(t, fired) // later than s would have been
	if stopped.Load() {
		t.Error("a stopped timer fired")
	}
}

// TestHostPause has two clocks with the same deadline: the one that does not
// pause says when the paused one would have fired.
func TestHostPause(t *testing.T) {
	h, reference := newHost(t), newHost(t)
	fired, passed := make(chan time.Duration, 1), make(chan time.Duration, 1)
	tm := h.NewTimer(func() { fired <- h.Now() })
	tm.Set(3 * time.Millisecond)
	if h.Now() != 0 {
		t.Errorf("a new clock reads %v", h.Now())
	}
	wait := reference.NewTimer(func() { passed <- reference.Now() })
	reference.Resume()
	wait.Set(reference.Now() + 6*time.Millisecond)
	await(t, passed)
	h.Resume()
	h.Resume()
	await(t, fired)

	tm.Set(h.Now() + 3*time.Millisecond)
	h.Pause()
	h.Pause()
	stood := h.Now()
	armed := len(fired) == 0
	wait.Set(reference.Now() + 6*time.Millisecond)
	await(t, passed)
	if now := h.Now(); now != stood {
		t.Errorf("a paused clock went from %v to %v", stood, now)
	}
	if armed && len(fired) != 0 {
		t.Error("a timer of a paused clock fired")
	}
	h.Resume()
	if at := await(t, fired); at < 3*time.Millisecond {
		t.Errorf("fired at %v", at)
	}
}

func TestHostIsDriftFree(t *testing.T) {
	h := newHost(t)
	const period, ticks = 500 * time.Microsecond, 40
	done := make(chan time.Duration, 1)
	n := 0
	var tm Timer
	tm = h.NewTimer(func() {
		if n++; n == ticks {
			done <- h.Now()
			return
		}
		tm.Set(time.Duration(n+1) * period)
	})
	tm.Set(period)
	h.Resume()
	if at := await(t, done); at < ticks*period {
		t.Errorf("tick %d at %v", ticks, at)
	}
}

func TestHostCloseWaits(t *testing.T) {
	h := newHost(t)
	h.Resume()
	running, release := make(chan time.Duration, 1), make(chan struct{})
	var returned, again atomic.Bool
	tm := h.NewTimer(func() {
		running <- h.Now()
		<-release
		returned.Store(true)
	})
	other := h.NewTimer(func() { again.Store(true) })
	tm.Set(0)
	other.Set(time.Millisecond)
	await(t, running)
	closed := make(chan error, 1)
	go func() { closed <- h.Close() }()
	for !h.isClosed() {
		select {
		case err := <-closed:
			t.Fatalf("Close returned (%v) before the callback", err)
		default:
		}
	}
	close(release)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if !returned.Load() {
		t.Error("Close did not wait")
	}
	tm.Set(0)
	if again.Load() {
		t.Error("a timer fired after Close")
	}
	now := h.Now()
	h.Resume()
	if h.Now() != now {
		t.Error("a closed clock runs")
	}
}

func (h *Host) isClosed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed
}

func TestHostLeavesNothing(t *testing.T) {
	fds := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	newHost(t) // the runtime opens its poller with the first one
	before := fds()
	for range 20 {
		h, err := NewHost()
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if after := fds(); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestHostConcurrently(t *testing.T) {
	h := newHost(t)
	h.Resume()
	var wg sync.WaitGroup
	var fired atomic.Int64
	for range 4 {
		wg.Go(func() {
			tm := h.NewTimer(func() { fired.Add(1) })
			for i := range 500 {
				tm.Set(h.Now() + time.Duration(i)*time.Microsecond)
				if i%3 == 0 {
					tm.Stop()
				}
			}
		})
	}
	wg.Go(func() {
		last := time.Duration(0)
		for range 200 {
			h.Pause()
			h.Resume()
			now := h.Now()
			if now < last {
				t.Errorf("went back from %v to %v", last, now)
			}
			last = now
		}
	})
	wg.Wait()
	done := make(chan time.Duration, 1)
	h.NewTimer(func() { done <- 0 }).Set(h.Now())
	await(t, done)
}

func TestHostAllocatesNothing(t *testing.T) {
	h := newHost(t)
	h.Resume()
	tm := h.NewTimer(func() {})
	if n := testing.AllocsPerRun(100, func() {
		tm.Set(h.Now() + time.Hour)
		tm.Stop()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkHost(b *testing.B) {
	h := newHost(b)
	h.Resume()
	tm := h.NewTimer(func() {})
	b.Run("Now", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h.Now()
		}
	})
	b.Run("Set", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			tm.Set(h.Now() + time.Hour)
		}
	})
}
