package console

import (
	"slices"
	"strings"
	"testing"

	"github.com/govmm/govmm/chardev"
	"github.com/govmm/govmm/tests/await"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

func TestOptions(t *testing.T) {
	tests := []struct {
		name string
		o    Options
		want string // of the error
	}{
		{"none", Options{}, ""},
		{"last port", Options{Ports: []Port{{ID: 30}}}, ""},
		{"beyond", Options{Ports: []Port{{ID: 31}}}, "ports 0 to 30"},
		{"beyond two", Options{MaxPorts: 2, Ports: []Port{{ID: 2}}}, "ports 0 to 1"},
		{"too many", Options{MaxPorts: 33}, "33 ports are more than 32"},
		{"number twice", Options{Ports: []Port{{ID: 1}, {ID: 1}}}, "number is taken"},
		{"name twice", Options{Ports: []Port{{ID: 1, Name: "a"}, {ID: 2, Name: "a"}}}, `port 1 has the name "a"`},
		{"no names", Options{Ports: []Port{{ID: 1}, {ID: 2}}}, ""},
		{"long name", Options{Ports: []Port{{Name: strings.Repeat("x", 256)}}}, "256 bytes long"},
		{"longest name", Options{Ports: []Port{{Name: strings.Repeat("x", 255)}}}, ""},
		{"slash", Options{Ports: []Port{{Name: "a/b"}}}, "slash"},
		{"zero", Options{Ports: []Port{{Name: "a\x00"}}}, "zero byte"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := New(test.o)
			switch {
			case err == nil && test.want != "":
				t.Errorf("taken, want an error with %q", test.want)
			case err != nil && (test.want == "" || !strings.Contains(err.Error(), test.want)):
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	const always = FeatureSize | FeatureEmergencyWrite | virtio.FeaturePackedRing | virtio.FeatureInOrder
	tests := []struct {
		max      uint32
		features virtio.Features
		queues   int
	}{
		{0, always | FeatureMultiport, 64},
		{1, always, 2},
		{2, always | FeatureMultiport, 6},
		{32, always | FeatureMultiport, 66},
	}
	for _, test := range tests {
		d, err := New(Options{MaxPorts: test.max})
		if err != nil {
			t.Fatal(err)
		}
		if d.Type() != virtio.Console || d.Features() != test.features || len(d.QueueSizes()) != test.queues {
			t.Errorf("%d ports: features %#x and %d queues", test.max, d.Features(), len(d.QueueSizes()))
		}
	}
	for id, want := range map[uint32][2]int{0: {0, 1}, 1: {4, 5}, 2: {6, 7}, 30: {62, 63}} {
		if rx, tx := queues(id); rx != want[0] || tx != want[1] {
			t.Errorf("port %d has queues %d and %d", id, rx, tx)
		}
	}
}

func TestLegacyDriver(t *testing.T) {
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			await.NoGoroutines(t)
			h, other := newHost(t, true), newHost(t, true)
			g := newGuest(t, form, Options{Ports: []Port{{ID: 0, Console: true, Backend: h}, {ID: 1, Backend: other}}})
			h.send("early ")
			other.send("nobody takes this")
			g.activate(0, 0)
			g.write(0, "hello")
			h.waitOutput(t, "hello")
			b := g.post(0, 64)
			g.expectInput(0, []queuetest.Buffer{b}, "early ")
			b = g.post(0, 64)
			h.send("input")
			g.expectInput(0, []queuetest.Buffer{b}, "input")
			if other.left() == 0 {
				t.Error("a port that the driver does not know has taken input")
			}
			g.dev.Reset()
			if want := []string{"open0", "close0"}; !slices.Equal(g.opened, want) {
				t.Errorf("GuestOpen was told %v, want %v", g.opened, want)
			}
		})
	}
}

// TestLegacyDriverWithoutConsole has no port 0, of which the driver knows
// nothing: its output must not wait for ever.
func TestLegacyDriverWithoutConsole(t *testing.T) {
	await.NoGoroutines(t)
	g := newGuest(t, queuetest.Options{}, Options{Ports: []Port{{ID: 1, Backend: newHost(t, true)}}})
	g.activate(0, 0)
	g.write(0, "hello")
	g.q[1].Wait()
	g.dev.Reset()
	if len(g.opened) != 0 {
		t.Errorf("GuestOpen was told %v", g.opened)
	}
}

func TestNoControlQueues(t *testing.T) {
	g := newGuest(t, queuetest.Options{}, Options{})
	queues := make([]*queue.Queue, len(g.dev.QueueSizes()))
	err := g.dev.Activate(virtio.Activation{Features: multiport, Queues: queues, Interrupts: g})
	if err == nil {
		t.Error("taken")
	}
	// No queue at all is no reason to fail.
	if err := g.dev.Activate(virtio.Activation{Queues: queues, Interrupts: g}); err != nil {
		t.Error(err)
	}
	g.dev.Reset()
}

func TestConfig(t *testing.T) {
	g := newGuest(t, queuetest.Options{}, Options{MaxPorts: 7, Ports: []Port{{ID: 0, Console: true}, {ID: 1}}})
	check := func(want string) {
		t.Helper()
		data := []byte(strings.Repeat("?", 14))
		g.dev.ReadConfig(0, data)
		if string(data) != want {
			t.Errorf("%q, want %q", data, want)
		}
		// A legacy driver reads byte by byte.
		for i := range data {
			one := []byte{'?'}
			if g.dev.ReadConfig(uint64(i), one); one[0] != want[i] {
				t.Errorf("byte %d is %#x", i, one[0])
			}
		}
	}
	check("\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	resize := func(port uint32, cols, rows uint16) {
		t.Helper()
		if err := g.dev.Resize(port, cols, rows); err != nil {
			t.Error(err)
		}
	}
	resize(0, 132, 43)
	check("\x84\x00\x2b\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	far := []byte{1}
	if g.dev.ReadConfig(1<<63, far); far[0] != 0 {
		t.Error("the space beyond the end is not 0")
	}

	g.activate(FeatureSize, 0)
	resize(0, 80, 25)
	resize(0, 80, 25) // no change
	resize(1, 80, 25) // not port 0
	check("\x50\x00\x19\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	if n := g.configChanges(); n != 1 {
		t.Errorf("%d configuration changes, want 1", n)
	}
	g.dev.Reset()
	g.activate(0, 0)
	resize(0, 81, 25)
	if n := g.configChanges(); n != 1 {
		t.Error("a driver without VIRTIO_CONSOLE_F_SIZE is told of one")
	}
	if err := g.dev.Resize(7, 1, 1); err == nil {
		t.Error("a port that does not exist has a size")
	}
}

func TestEmergencyWrite(t *testing.T) {
	h := newHost(t, true)
	g := newGuest(t, queuetest.Options{}, Options{Ports: []Port{{ID: 0, Console: true, Backend: h}}})
	w := func(offset uint64, data string) { g.dev.WriteConfig(offset, []byte(data)) }
	w(8, "a\x01\x02\x03") // before there is a driver
	for i, b := range []string{"b", "\x00", "\x00", "\x00"} {
		w(8+uint64(i), b) // legacy
	}
	w(4, "\xff\xff\xff\xffc\x00\x00\x00")
	w(0, "\xff\xff\xff\xff")
	w(4, "\xff\xff\xff\xff")
	w(9, "x")
	w(1<<63, "xxxxxxxxxxxx")
	w(8, "")
	g.activate(multiport, 0)
	w(8, "d")
	if got := h.output(); got != "abcd" {
		t.Errorf("output %q, want %q", got, "abcd")
	}
	h.room = 0
	w(8, "e")
	none := newGuest(t, queuetest.Options{}, Options{})
	none.dev.WriteConfig(8, []byte("f"))
}

func TestRemoveUnknownPort(t *testing.T) {
	g := newGuest(t, queuetest.Options{}, Options{Ports: []Port{{ID: 3, Backend: chardev.NewNull(chardev.Options{})}}})
	for _, id := range []uint32{0, 31, 1 << 31} {
		if g.dev.RemovePort(id) == nil || g.dev.GuestOpen(id) {
			t.Errorf("port %d", id)
		}
	}
	if err := g.dev.RemovePort(3); err != nil {
		t.Error(err)
	}
	if err := g.dev.RemovePort(3); err == nil {
		t.Error("removed twice")
	}
	// It was not in use: its number is free at once.
	if err := g.dev.AddPort(Port{ID: 3}); err != nil {
		t.Error(err)
	}
}
