package balloon

import (
	"slices"
	"strings"
	"testing"

	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/tests/await"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

func TestOptions(t *testing.T) {
	const always = FeatureStats | virtio.FeaturePackedRing | virtio.FeatureInOrder
	mem := newMemory(t, ramSize)
	tests := []struct {
		name     string
		o        Options
		features virtio.Features
		queues   int
		want     string // of the error
	}{
		{"plain", Options{}, always, 3, ""},
		{"all", Options{DeflateOnOOM: true, MustTellHost: true, FreePageReporting: true},
			always | FeatureDeflateOnOOM | FeatureMustTellHost | FeatureReporting | FeaturePagePoison, 5, ""},
		{"target", Options{Target: page}, always, 3, ""},
		{"small target", Options{Target: page - 1}, 0, 0, "4095 bytes"},
		{"large target", Options{Target: ramSize + page}, 0, 0, "from 4096 to 67108864"},
		{"interval", Options{StatsInterval: -1}, 0, 0, "negative"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.o.Memory, test.o.Clock = mem, &clock.Fake{}
			d, err := New(test.o)
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("%v, want %q", err, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d.Type() != virtio.Balloon || d.Features() != test.features || len(d.QueueSizes()) != test.queues {
				t.Errorf("features %#x and %d queues", d.Features(), len(d.QueueSizes()))
			}
		})
	}
	if _, err := New(Options{Clock: &clock.Fake{}}); err == nil {
		t.Error("no memory is enough")
	}
}

// TestQueueNumbers has drivers of both readings of section 5.5.2.
func TestQueueNumbers(t *testing.T) {
	tests := []struct {
		name     string
		features virtio.Features
		queues   []int
		want     int // the reporting queue
	}{
		{"numbers kept", FeatureStats | FeatureReporting, []int{2, 4}, 4},
		{"counted out", FeatureStats | FeatureReporting, []int{2, 3}, 3},
		{"numbers kept, no statistics", FeatureReporting, []int{4}, 4},
		{"counted out, no statistics", FeatureReporting, []int{2}, 2},
		{"QEMU's, no statistics", FeatureReporting, []int{3}, 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := newGuest(t, queuetest.Options{}, Options{FreePageReporting: true})
			g.activate(test.features, test.queues...)
			g.fill(32<<20, page)
			g.q[test.want].Do(queuetest.Buffer{Addr: 32 << 20, Len: page, Write: true})
			if g.at(32<<20) != 0 {
				t.Error("the page was not discarded")
			}
		})
	}
	// Without the feature, none is.
	g := newGuest(t, queuetest.Options{}, Options{FreePageReporting: true})
	g.activate(FeatureStats, statsQueue, reportingQueue)
	if q := g.dev.run.reportingQueue(); q != nil {
		t.Errorf("queue %d reports, which was not negotiated", q.Index())
	}
}

func TestMissingQueues(t *testing.T) {
	g := newGuest(t, queuetest.Options{}, Options{})
	err := g.dev.Activate(virtio.Activation{Queues: make([]*queue.Queue, 3), Interrupts: g})
	if err == nil {
		t.Error("a driver without queues was taken")
	}
	g.dev.Reset()
}

func TestTarget(t *testing.T) {
	g := newGuest(t, queuetest.Options{}, Options{Target: ramSize - 5*page + 1})
	config := func(want string) {
		t.Helper()
		data := []byte(strings.Repeat("?", 20))
		if g.dev.ReadConfig(0, data); string(data) != want+"\x00\x00\x00\x00" {
			t.Errorf("configuration %q, want %q", data, want)
		}
		for i := range want {
			one := []byte{'?'}
			if g.dev.ReadConfig(uint64(i), one); one[0] != want[i] {
				t.Errorf("byte %d is %#x, want %#x", i, one[0], want[i])
			}
		}
	}
	config("\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	set := func(bytes uint64) {
		t.Helper()
		if err := g.dev.SetTarget(bytes); err != nil {
			t.Error(err)
		}
		if got := g.dev.Target(); got != bytes {
			t.Errorf("target %d, want %d", got, bytes)
		}
	}
	set(ramSize)
	config(strings.Repeat("\x00", 16))
	if g.configChanges() != 0 {
		t.Error("there is no driver to be told")
	}
	g.activate(0)
	set(32 << 20)
	set(32 << 20)
	config("\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	if n := g.configChanges(); n != 1 {
		t.Errorf("%d configuration changes, want 1", n)
	}
	for _, bad := range []uint64{0, page - 1, ramSize + 1, 1 << 63} {
		if g.dev.SetTarget(bad) == nil {
			t.Errorf("a target of %d bytes was taken", bad)
		}
	}
	far := []byte{1}
	if g.dev.ReadConfig(1<<63, far); far[0] != 0 {
		t.Error("the space beyond the end is not 0")
	}
}

func TestActual(t *testing.T) {
	g := newGuest(t, queuetest.Options{}, Options{})
	g.activate(0)
	write := func(offset uint64, data string, actual uint64, changes ...uint64) {
		t.Helper()
		g.dev.WriteConfig(offset, []byte(data))
		if got := g.dev.Actual(); got != actual {
			t.Errorf("actual %#x, want %#x", got, actual)
		}
		if got := g.changes(); !slices.Equal(got, changes) {
			t.Errorf("changes %#x, want %#x", got, changes)
		}
	}
	const one, all = ramSize - page, ramSize
	write(4, "\x01\x00\x00\x00", one, one)
	write(4, "\x01\x00\x00\x00", one, one) // no change
	// A legacy driver writes byte by byte.
	write(4, "\x00", one, one)
	write(5, "\x01", one, one)
	write(6, "\x00", one, one)
	write(7, "\x00", all-256*page, one, all-256*page)
	// Neither read-only fields nor what is beyond the end.
	write(0, "\xff\xff\xff\xff", all-256*page, one, all-256*page)
	write(8, "\xff\xff\xff\xff\xff\xff\xff\xff\xff", all-256*page, one, all-256*page)
	write(1<<64-2, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", all-256*page, one, all-256*page)
	data := make([]byte, 16)
	if g.dev.ReadConfig(0, data); string(data) != "\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" {
		t.Errorf("configuration %q", data)
	}
	// More than there is.
	write(4, "\xff\xff\xff\xff", 0, one, all-256*page, 0)
	g.dev.Reset()
	if want := []uint64{one, all - 256*page, 0, all}; !slices.Equal(g.changes(), want) || g.dev.Actual() != all {
		t.Errorf("changes %#x after a reset, want %#x", g.changes(), want)
	}
}

func TestRestart(t *testing.T) {
	await.NoGoroutines(t)
	g := newGuest(t, queuetest.Options{}, Options{FreePageReporting: true})
	for range 3 {
		g.activate(FeatureStats|FeatureReporting, statsQueue, reportingQueue)
		g.q[inflateQueue].Do(g.q[inflateQueue].Readable(list(9000)))
		g.dev.Reset()
		g.dev.Reset()
	}
}

// FuzzDevice gives the device requests, descriptors and configuration writes
// that may be anything.
func FuzzDevice(f *testing.F) {
	f.Add(list(1, 2, 3, 0xffffffff), []byte{}, byte(inflateQueue), []byte{4}, byte(0))
	f.Add(list(20), []byte{0, 0, 1, 0, 0, 0, 0, 0, 0, 16, 0, 0, 2, 0, 0, 0}, byte(reportingQueue), []byte{4, 12, 1}, byte(3))
	f.Add([]byte("\x00\x00abcdefgh\x01\x00"), []byte{0}, byte(statsQueue), []byte{}, byte(16))
	f.Fuzz(func(t *testing.T, data, descriptors []byte, hostile byte, config []byte, form byte) {
		const ram, each = 128 << 10, 16 << 10
		mem := newMemory(t, ram)
		d, err := New(Options{Memory: mem, Clock: &clock.Fake{}, FreePageReporting: true, StatsInterval: 1})
		if err != nil {
			t.Fatal(err)
		}
		bell, err := queue.NewDoorbell()
		if err != nil {
			t.Fatal(err)
		}
		bell.Close() // the goroutines handle what there is, and end
		queues := make([]*queue.Queue, queueCount)
		for i := range queues {
			q := queuetest.New(t, mem, queuetest.Options{
				Index: i, Size: 16, Base: uint64(i) * each, Room: each / 2,
				Packed: form&1 != 0, EventIndex: form&2 != 0, InOrder: form&4 != 0,
			})
			for rest := data[:min(len(data), 2048)]; i != reportingQueue && len(rest) > 0; {
				n := min(len(rest), 200)
				b := q.Readable(rest[:n])
				q.Alloc(-b.Len & 15)
				if _, ok := q.TryAdd(false, b); !ok {
					break
				}
				rest = rest[n:]
			}
			if i == reportingQueue {
				q.Add(queuetest.Buffer{Addr: ram - each, Len: each, Write: true})
			}
			q.Publish()
			c := q.Config()
			if i == int(hostile) {
				_ = mem.WriteAt(descriptors[:min(len(descriptors), 16*16)], c.Desc)
				c.Indirect = form&8 != 0
			}
			if form&16 != 0 && i == hintQueue {
				continue
			}
			if queues[i], err = c.Start(mem, bell, q.Line()); err != nil {
				t.Fatal(err)
			}
		}
		features := FeatureStats | FeatureReporting
		if form&32 != 0 {
			features |= FeaturePagePoison
		}
		if err := d.Activate(virtio.Activation{Features: features, Queues: queues, Interrupts: &guest{}}); err != nil {
			t.Fatal(err)
		}
		d.run.goroutines.Wait()
		for i := range config {
			d.WriteConfig(uint64(config[i]), config[i:])
			d.ReadConfig(uint64(config[i]), make([]byte, i%20))
		}
		if n := d.Actual(); n > ram {
			t.Errorf("the guest has %d bytes of %d", n, ram)
		}
		d.stats.due()
		d.LastStats()
		d.Reset()
	})
}
