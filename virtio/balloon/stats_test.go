package balloon

import (
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/govmm/govmm/tests/await"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// entries is a driver's list of statistics.
func entries(tagsAndValues ...uint64) []byte {
	var b []byte
	for i := 0; i < len(tagsAndValues); i += 2 {
		b = binary.LittleEndian.AppendUint16(b, uint16(tagsAndValues[i]))
		b = binary.LittleEndian.AppendUint64(b, tagsAndValues[i+1])
	}
	return b
}

// give makes a list available.
func (g *guest) give(l []byte) uint16 {
	g.t.Helper()
	q := g.q[statsQueue]
	id := q.Add(q.Readable(l))
	q.Kick()
	return id
}

// asked waits for the device's question: the buffer comes back.
func (g *guest) asked(id uint16) {
	g.t.Helper()
	if u := g.q[statsQueue].Wait(); u.ID != id || u.Len != 0 {
		g.t.Fatalf("used %+v, want request %d", u, id)
	}
}

// held waits until the device has a buffer to ask with.
func (g *guest) held() {
	g.t.Helper()
	s := &g.dev.stats
	await.That(g.t, "the device to have the buffer", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.held != nil
	})
}

type result struct {
	stats Stats
	err   error
}

// ask asks for statistics in the background.
func (g *guest) ask(ctx context.Context) chan result {
	c := make(chan result, 1)
	go func() {
		s, err := g.dev.Stats(ctx)
		c <- result{s, err}
	}()
	return c
}

func TestStats(t *testing.T) {
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			await.NoGoroutines(t)
			ctx := context.Background()
			g := newGuest(t, form, Options{})
			if _, err := g.dev.Stats(ctx); !errors.Is(err, ErrNoStats) {
				t.Errorf("without a driver: %v", err)
			}
			g.activate(FeatureStats, statsQueue)
			// What is in the first buffer is not an answer.
			id := g.give(entries(uint64(Free), 1))
			g.held()
			if _, ok := g.dev.LastStats(); ok {
				t.Error("the first buffer was taken for an answer")
			}
			g.clock.Advance(time.Minute)
			c := g.ask(ctx)
			g.asked(id)
			id = g.give(entries(uint64(Total), 64<<20, uint64(Free), 5, 99, 3, uint64(Free), 6, uint64(DirectReclaims), 1<<63))
			r := <-c
			if r.err != nil {
				t.Fatal(r.err)
			}
			want := map[Tag]uint64{Total: 64 << 20, Free: 6, DirectReclaims: 1 << 63}
			if got := maps.Collect(r.stats.All()); !maps.Equal(got, want) {
				t.Errorf("statistics %v, want %v", got, want)
			}
			if _, ok := r.stats.Get(SwappedIn); ok || r.stats.At != time.Minute {
				t.Errorf("statistics %+v", r.stats)
			}
			if last, ok := g.dev.LastStats(); !ok || last != r.stats {
				t.Error("LastStats differs")
			}
			// Again, and the guest goes away meanwhile.
			g.held()
			c = g.ask(ctx)
			g.asked(id)
			g.dev.Reset()
			if r := <-c; !errors.Is(r.err, ErrNoStats) {
				t.Errorf("after a reset: %v", r.err)
			}
			if _, ok := g.dev.LastStats(); ok {
				t.Error("statistics of a guest that is gone")
			}
		})
	}
}

// TestStatsBeforeBuffer asks before the driver has given its first buffer, and
// twice.
func TestStatsBeforeBuffer(t *testing.T) {
	g := newGuest(t, queuetest.Options{}, Options{})
	g.activate(FeatureStats, statsQueue)
	ctx, cancel := context.WithCancel(context.Background())
	a, b := g.ask(ctx), g.ask(context.Background())
	await.That(t, "a question", func() bool {
		g.dev.stats.mu.Lock()
		defer g.dev.stats.mu.Unlock()
		return g.dev.stats.open != nil
	})
	cancel()
	if r := <-a; !errors.Is(r.err, context.Canceled) {
		t.Errorf("after cancel: %v", r.err)
	}
	g.asked(g.give(entries(uint64(Free), 1)))
	g.give(entries(uint64(Free), 2))
	r := <-b
	if v, ok := r.stats.Get(Free); r.err != nil || !ok || v != 2 {
		t.Errorf("%d, %v", v, r.err)
	}
}

func TestStatsNotNegotiated(t *testing.T) {
	g := newGuest(t, queuetest.Options{}, Options{})
	g.activate(0, statsQueue)
	if _, err := g.dev.Stats(context.Background()); !errors.Is(err, ErrNoStats) {
		t.Error(err)
	}
}

func TestStatsInterval(t *testing.T) {
	g := newGuest(t, queuetest.Options{}, Options{StatsInterval: 10 * time.Second})
	if _, armed := g.clock.Next(); armed {
		t.Error("the timer is armed without a driver")
	}
	g.activate(FeatureStats, statsQueue)
	id := g.give(entries(uint64(Free), 0))
	g.held()
	for i := range uint64(3) {
		g.clock.Advance(10*time.Second - 1)
		if u, ok := g.q[statsQueue].Used(); ok {
			t.Fatalf("asked too early: %+v", u)
		}
		g.clock.Advance(1)
		g.asked(id)
		g.clock.Advance(30 * time.Second) // no more than one question is open
		id = g.give(entries(uint64(Free), i+1))
		await.That(t, "the answer", func() bool {
			s, _ := g.dev.LastStats()
			v, _ := s.Get(Free)
			return v == i+1
		})
	}
	if err := g.dev.SetStatsInterval(0); err != nil {
		t.Fatal(err)
	}
	if _, armed := g.clock.Next(); armed {
		t.Error("the timer is armed without an interval")
	}
	if err := g.dev.SetStatsInterval(time.Second); err != nil {
		t.Fatal(err)
	}
	g.clock.Advance(time.Second)
	g.asked(id)
	g.dev.Reset()
	if _, armed := g.clock.Next(); armed {
		t.Error("the timer is armed after a reset")
	}
	if err := g.dev.SetStatsInterval(-1); err == nil {
		t.Error("a negative interval was taken")
	}
}

func TestStatsOddBuffers(t *testing.T) {
	tests := []struct {
		name string
		list []byte
		want map[Tag]uint64
	}{
		{"short", []byte{1, 2, 3}, nil},
		{"part of an entry", entries(uint64(Free), 7, uint64(Total), 8)[:19], map[Tag]uint64{Free: 7}},
		{"unknown", entries(16, 1, 0xffff, 2), nil},
		{"long", append(make([]byte, 10*maxEntries), entries(uint64(Free), 1)...), map[Tag]uint64{SwappedIn: 0}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := newGuest(t, queuetest.Options{}, Options{})
			g.activate(FeatureStats, statsQueue)
			id := g.give(entries(uint64(Free), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
			g.held()
			c := g.ask(context.Background())
			g.asked(id)
			q := g.q[statsQueue]
			b := q.Readable(test.list)
			q.Alloc(-b.Len & 15)
			q.Add(b)
			q.Kick()
			r := <-c
			if got := maps.Collect(r.stats.All()); r.err != nil || !maps.Equal(got, test.want) {
				t.Errorf("%v, %v; want %v", got, r.err, test.want)
			}
		})
	}
}

// TestStatsFlood has a driver that gives more buffers than the one it may.
func TestStatsFlood(t *testing.T) {
	g := newGuest(t, queuetest.Options{}, Options{})
	g.activate(FeatureStats, statsQueue)
	id := g.give(entries(uint64(Free), 1))
	for range 1000 {
		next := g.give(entries(uint64(Free), 1))
		g.asked(id)
		id = next
	}
	if err := g.why(); err != nil {
		t.Error(err)
	}
}

func TestTagNames(t *testing.T) {
	seen := map[string]bool{}
	for tag := range tagCount + 2 {
		name := tag.String()
		if name == "" || seen[name] {
			t.Errorf("tag %d is named %q", tag, name)
		}
		seen[name] = true
	}
}
