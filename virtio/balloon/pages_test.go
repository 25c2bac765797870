package balloon

import (
	"errors"
	"slices"
	"testing"

	"github.com/govmm/govmm/memory"
	"github.com/govmm/govmm/tests/await"
	"github.com/govmm/govmm/virtio/queue"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

const page = bytesPerPage

func TestInflateGivesMemoryBack(t *testing.T) {
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			await.NoGoroutines(t)
			g := newGuest(t, form, Options{})
			g.activate(0)
			const first, n = 32 << 20, 16 << 20
			g.fill(first-page, n+2*page)
			before := g.resident()
			q := g.q[inflateQueue]
			for at := 0; at < n/page; at += 256 {
				q.Do(q.Readable(list(count(uint32(first/page+at), 256)...)))
			}
			if after := g.resident(); before-after != n {
				t.Errorf("resident memory went from %d to %d, want %d less", before, after, n)
			}
			if g.at(first) != 0 || g.at(first+n-1) != 0 {
				t.Error("pages in the balloon are not zero")
			}
			if g.at(first-1) != 0xaa || g.at(first+n) != 0xaa {
				t.Error("a page beside those in the balloon was discarded")
			}
			g.q[deflateQueue].Do(g.q[deflateQueue].Readable(list(count(first/page, 256)...)))
			g.fill(first, 256*page)
			if err := g.why(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestInflateRuns(t *testing.T) {
	descending := count(9000, 256)
	slices.Reverse(descending)
	tests := []struct {
		name  string
		pages []uint32
		want  [][2]uint64 // page frame number and pages
	}{
		{"one", []uint32{9000}, [][2]uint64{{9000, 1}}},
		{"up", count(9000, 256), [][2]uint64{{9000, 256}}},
		{"down", descending, [][2]uint64{{9000, 256}}},
		{"mixed", []uint32{9003, 9001, 9007, 9000, 9002, 9009, 9008}, [][2]uint64{{9000, 4}, {9007, 3}}},
		{"twice", []uint32{9001, 9000, 9001, 9000, 9002}, [][2]uint64{{9000, 3}}},
		{"long", count(8192, 3000), [][2]uint64{{8192, 1024}, {9216, 1024}, {10240, 952}}},
		{"end of RAM", []uint32{16382, 16383, 16384, 16385}, [][2]uint64{{16382, 2}}},
		{"outside", []uint32{16384, 0x000fffff, 0x00100000, 0xffffffff}, nil},
		{"outside and inside", []uint32{0xffffffff, 9000, 0xfffffffe}, [][2]uint64{{9000, 1}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := newGuest(t, queuetest.Options{}, Options{})
			d := g.watchDiscards()
			g.activate(0)
			q := g.q[inflateQueue]
			if n := q.Do(q.Readable(list(test.pages...))); n != 0 {
				t.Errorf("%d bytes written", n)
			}
			var got [][2]uint64
			for _, r := range d.take() {
				got = append(got, [2]uint64{r[0] / page, r[1] / page})
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("discarded %v, want %v", got, test.want)
			}
			if err := g.why(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestInflateAcrossHole has RAM below and above 4 GiB, and the memory of a
// device in between.
func TestInflateAcrossHole(t *testing.T) {
	const size, low = 4 << 30, 3 << 30
	mem := newMemory(t, size)
	if _, err := mem.Add("device", memory.RAM, low, 16*page); err != nil {
		t.Fatal(err)
	}
	g := newGuest(t, queuetest.Options{}, Options{Memory: mem})
	g.fill(low, page)
	d := g.watchDiscards()
	g.activate(0)
	q := g.q[inflateQueue]
	q.Do(q.Readable(list(count(low/page-1, 3)...)))
	q.Do(q.Readable(list(count(memory.HighStart/page-1, 3)...)))
	q.Do(q.Readable(list(count((memory.HighStart+size-low)/page-1, 3)...)))
	want := [][2]uint64{{low - page, page}, {memory.HighStart, 2 * page}, {memory.HighStart + size - low - page, page}}
	if got := d.take(); !slices.Equal(got, want) {
		t.Errorf("discarded %#x, want %#x", got, want)
	}
	if g.at(low) != 0xaa {
		t.Error("the memory of a device was discarded")
	}
}

func TestInflateOddRequests(t *testing.T) {
	g := newGuest(t, queuetest.Options{Indirect: true}, Options{})
	d := g.watchDiscards()
	g.activate(0)
	q := g.q[inflateQueue]
	l := list(9000, 9001)
	check := func(what string, want ...[2]uint64) {
		t.Helper()
		if got := d.take(); !slices.Equal(got, want) {
			t.Errorf("%s: discarded %v, want %v", what, got, want)
		}
	}
	// A page frame number that is in two buffers.
	a, b := q.Readable(l), q.Readable(l)
	copy(q.Bytes(b), l[2:])
	a.Len, b.Len = 2, 6
	q.Do(a, b)
	check("divided", [2]uint64{9000 * page, 2 * page})
	a = q.Readable(l)
	a.Len = 7
	q.Do(a)
	check("part", [2]uint64{9000 * page, page})
	q.Do(q.Writable(64))
	check("writable")
	g.q[deflateQueue].Do(q.Writable(64))
	id := q.AddIndirect(q.Readable(l))
	q.Kick()
	if u := q.Wait(); u.ID != id {
		t.Errorf("used %d, want %d", u.ID, id)
	}
	check("indirect", [2]uint64{9000 * page, 2 * page})
}

func TestReleaseFails(t *testing.T) {
	g := newGuest(t, queuetest.Options{}, Options{})
	broken := errors.New("the host takes nothing")
	g.dev.ram.discard = func(uint64, uint64) error { return broken }
	g.activate(0)
	g.q[inflateQueue].Add(g.q[inflateQueue].Readable(list(9000)))
	g.q[inflateQueue].Kick()
	await.That(t, "the device to be broken", func() bool { return g.why() != nil })
	if err := g.why(); !errors.Is(err, broken) {
		t.Error(err)
	}
}

func TestInflateTooMuch(t *testing.T) {
	g := newGuest(t, queuetest.Options{}, Options{})
	d := g.watchDiscards()
	g.activate(0)
	q := g.q[inflateQueue]
	b := q.Readable(list(slices.Repeat([]uint32{9000}, ramSize/page)...))
	q.Do(b)
	if got, want := len(d.take()), ramSize/page/listSize; got != want {
		t.Errorf("%d discards, want %d", got, want)
	}
	q.Add(b, q.Readable(list(0)))
	q.Kick()
	await.That(t, "the device to be broken", func() bool { return g.why() != nil })
	if err := g.why(); !errors.Is(err, errListTooLong) {
		t.Error(err)
	}
	if got := d.take(); len(got) != 0 {
		t.Errorf("discarded %v", got)
	}
}

func TestReporting(t *testing.T) {
	const first, n = 32 << 20, 8 << 20
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			await.NoGoroutines(t)
			g := newGuest(t, form, Options{FreePageReporting: true})
			g.activate(FeatureReporting|FeatureStats, statsQueue, reportingQueue)
			g.fill(first-page, n+2*page)
			before := g.resident()
			q := g.q[reportingQueue]
			q.Do(queuetest.Buffer{Addr: first, Len: n / 2, Write: true},
				queuetest.Buffer{Addr: first + n/2, Len: n / 2, Write: true})
			if after := g.resident(); before-after != n {
				t.Errorf("resident memory went from %d to %d, want %d less", before, after, n)
			}
			if g.at(first-1) != 0xaa || g.at(first+n) != 0xaa {
				t.Error("a page beside those that are free was discarded")
			}
		})
	}
}

func TestReportingInPieces(t *testing.T) {
	const size = 4 << 30
	g := newGuest(t, queuetest.Options{}, Options{Memory: newMemory(t, size), FreePageReporting: true})
	d := g.watchDiscards()
	g.activate(FeatureReporting, reportingQueue)
	q := g.q[reportingQueue]
	q.Do(queuetest.Buffer{Addr: memory.HighStart + page, Len: 300 << 20, Write: true})
	q.Do(queuetest.Buffer{Addr: 1<<30 + 100, Len: 2 * page, Write: true})
	want := [][2]uint64{
		{memory.HighStart + page, releaseStep - page},
		{memory.HighStart + releaseStep, 300<<20 - releaseStep + page},
		{1<<30 + 100, 2 * page}, // of which memory discards the whole page
	}
	if got := d.take(); !slices.Equal(got, want) {
		t.Errorf("discarded %#x, want %#x", got, want)
	}
}

// TestPoison has a guest whose free pages hold a pattern.
func TestPoison(t *testing.T) {
	tests := []struct {
		name   string
		poison string
		agreed bool
		gone   bool
	}{
		{"zero", "\x00\x00\x00\x00", true, true},
		{"pattern", "\xaa\xaa\xaa\xaa", true, false},
		{"one byte", "\x00\x00\x00\x01", true, false},
		{"not negotiated", "\xaa\xaa\xaa\xaa", false, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := newGuest(t, queuetest.Options{}, Options{FreePageReporting: true})
			g.dev.WriteConfig(poisonAt, []byte(test.poison))
			f := FeatureReporting
			if test.agreed {
				f |= FeaturePagePoison
			}
			g.activate(f, reportingQueue)
			g.fill(32<<20, page)
			g.q[reportingQueue].Do(queuetest.Buffer{Addr: 32 << 20, Len: page, Write: true})
			if gone := g.at(32<<20) == 0; gone != test.gone {
				t.Errorf("the page was discarded: %v, want %v", gone, test.gone)
			}
			// Inflation may change pages at any rate.
			q := g.q[inflateQueue]
			q.Do(q.Readable(list((32 << 20) / page)))
			if g.at(32<<20) != 0 {
				t.Error("a page in the balloon was not discarded")
			}
		})
	}
}

// TestNoAllocation serves queues without a goroutine of the device.
func TestNoAllocation(t *testing.T) {
	g := newGuest(t, queuetest.Options{}, Options{FreePageReporting: true})
	g.activate(FeatureReporting, reportingQueue)
	r := g.dev.run
	tests := []struct {
		name  string
		chain func(d *queuetest.Driver) queuetest.Buffer
		serve func(q *queue.Queue, c *queue.Chain) error
	}{
		{"inflate", func(d *queuetest.Driver) queuetest.Buffer { return d.Readable(list(9000, 9002, 9001, 9004)) }, r.inflate},
		{"deflate", func(d *queuetest.Driver) queuetest.Buffer { return d.Readable(list(9000, 9002)) }, r.deflate},
		{"report", func(*queuetest.Driver) queuetest.Buffer {
			return queuetest.Buffer{Addr: 32 << 20, Len: 2 << 20, Write: true}
		}, r.report},
	}
	for i, test := range tests {
		d := queuetest.New(t, g.mem, queuetest.Options{Size: 64, Base: uint64(48+i) << 20, Room: 512 << 10})
		q := d.Start()
		for range 51 {
			d.Add(test.chain(d))
		}
		d.Publish()
		allocs := testing.AllocsPerRun(50, func() {
			c, err := q.Pop()
			if c == nil {
				t.Fatal("no request", err)
			}
			if err := test.serve(q, c); err != nil {
				t.Fatal(err)
			}
			q.Flush()
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations a request", test.name, allocs)
		}
	}
}

func BenchmarkInflate(b *testing.B) {
	g := newGuest(b, queuetest.Options{EventIndex: true}, Options{})
	g.activate(0)
	q := g.q[inflateQueue]
	buf := q.Readable(list(count((32<<20)/page, 256)...))
	b.SetBytes(256 * page)
	b.ReportAllocs()
	for b.Loop() {
		q.Do(buf)
	}
}
