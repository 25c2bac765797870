package console

import (
	"errors"
	"slices"
	"testing"

	"github.com/govmm/govmm/tests/await"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

func TestMultiport(t *testing.T) {
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			await.NoGoroutines(t)
			console, agent, away := newHost(t, false), newHost(t, true), newHost(t, false)
			g := newGuest(t, form, Options{Ports: []Port{
				{ID: 0, Console: true, Backend: console},
				{ID: 1, Name: "org.qemu.guest_agent.0", Backend: agent},
				{ID: 5, Name: "away", Backend: away},
			}})
			if err := g.dev.Resize(0, 80, 25); err != nil {
				t.Fatal(err)
			}
			agent.send("sync")
			g.activate(multiport, 0, 1, 5)
			g.postControl(2)
			g.control(0, eventDeviceReady, 1)
			g.expect(message(0, eventPortAdd, 1), message(1, eventPortAdd, 1), message(5, eventPortAdd, 1))
			g.control(0, eventPortReady, 1)
			g.expect(message(0, eventConsolePort, 1), message(0, eventResize, 1, 80, 0, 25, 0), message(0, eventPortOpen, 1))
			g.control(1, eventPortReady, 1)
			g.expect(message(1, eventPortName, 1, []byte("org.qemu.guest_agent.0")...), message(1, eventPortOpen, 1))
			g.control(5, eventPortReady, 1)
			g.expect(message(5, eventPortName, 1, []byte("away")...))

			// Input is held back until the guest opens the port.
			b := g.post(1, 64)
			g.write(1, "from the guest")
			agent.waitOutput(t, "from the guest")
			if agent.left() != 4 || g.dev.GuestOpen(1) {
				t.Fatal("input was taken before the port was opened")
			}
			g.control(1, eventPortOpen, 1)
			g.expectInput(1, []queuetest.Buffer{b}, "sync")
			if !g.dev.GuestOpen(1) {
				t.Error("the port is not open")
			}
			// And again when it is closed.
			g.control(1, eventPortOpen, 0)
			b = g.post(1, 64)
			if n := agent.front.Receive([]byte("x")); n != 0 {
				t.Error("input was taken after the port was closed")
			}
			g.control(1, eventPortOpen, 1)
			agent.send("more")
			g.expectInput(1, []queuetest.Buffer{b}, "more")

			away.carrier(true)
			g.expect(message(5, eventPortOpen, 1))
			away.carrier(false)
			g.expect(message(5, eventPortOpen, 0))
			console.carrier(true) // means nothing for a console
			console.carrier(false)
			if err := g.dev.Resize(0, 132, 25); err != nil {
				t.Fatal(err)
			}
			g.expect(message(0, eventResize, 1, 132, 0, 25, 0))

			g.dev.Reset()
			if want := []string{"open1", "close1", "open1", "close1"}; !slices.Equal(g.opened, want) {
				t.Errorf("GuestOpen was told %v, want %v", g.opened, want)
			}
			if err := g.why(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestCarrierWithoutBuffers changes the connection while the driver takes no
// messages: none must be lost that matters, and none pile up.
func TestCarrierWithoutBuffers(t *testing.T) {
	open, closed := message(1, eventPortOpen, 1), message(1, eventPortOpen, 0)
	tests := []struct {
		name    string
		before  bool // connected when the driver gets ready
		changes []bool
		want    [][]byte
	}{
		{"nothing", true, nil, nil},
		{"lost", true, []bool{false}, [][]byte{closed}},
		{"lost and made", true, []bool{false, true}, [][]byte{closed, open}},
		{"lost, made, lost", true, []bool{false, true, false}, [][]byte{closed}},
		{"often", true, []bool{false, true, false, true, false, true}, [][]byte{closed, open}},
		{"no change", true, []bool{true, true}, nil},
		{"made", false, []bool{true}, [][]byte{open}},
		{"made and lost", false, []bool{true, false}, nil},
		{"made, lost, made", false, []bool{true, false, true}, [][]byte{open}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHost(t, test.before)
			g := newGuest(t, queuetest.Options{}, Options{Ports: []Port{{ID: 1, Backend: h}}})
			g.activate(multiport, 1)
			g.control(0, eventDeviceReady, 1)
			g.postControl(1)
			g.q[controlReceive].Wait() // the buffer is not given back
			g.control(1, eventPortReady, 1)
			if test.before {
				g.postControl(1)
				g.q[controlReceive].Wait()
			}
			for _, up := range test.changes {
				h.carrier(up)
			}
			g.postControl(4)
			g.expect(test.want...)
			g.control(0, eventDeviceReady, 1)
			g.expectNoMessage()
		})
	}
}

func TestBadControlMessages(t *testing.T) {
	tests := []struct {
		name string
		m    []byte
	}{
		{"empty", []byte{0}},
		{"short", message(1, eventPortOpen, 1)[:7]},
		{"unknown port", message(2, eventPortReady, 1)},
		{"port beyond", message(31, eventPortReady, 1)},
		{"port far beyond", message(1<<31, eventPortOpen, 1)},
		{"device is not ready", message(0, eventDeviceReady, 0)},
		{"ready again", message(0, eventDeviceReady, 1)},
		{"port is not ready", message(1, eventPortReady, 0)},
		{"device's event", message(1, eventPortAdd, 1)},
		{"unknown event", message(1, 99, 1)},
		{"close what is closed", message(1, eventPortOpen, 0)},
		{"long", message(1, eventPortOpen, 0, make([]byte, 5000)...)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			g := newGuest(t, queuetest.Options{}, Options{Ports: []Port{{ID: 1, Backend: newHost(t, true)}}})
			g.activate(multiport, 1)
			q := g.q[controlTransmit]
			bad := q.Readable(test.m)
			q.Alloc(-bad.Len & 7)
			q.Do(bad) // before the port is announced
			g.dev.Reset()
			g.activate(multiport, 1)
			g.posted = nil
			g.open(1)
			q = g.q[controlTransmit]
			bad = q.Readable(test.m)
			q.Alloc(-bad.Len & 7)
			q.Do(bad)
			g.expectNoMessage()
			if err := g.why(); err != nil {
				t.Fatal(err)
			}
			// It still works.
			g.control(1, eventPortReady, 1)
			g.expect(message(1, eventPortOpen, 1))
			g.control(1, eventPortOpen, 1)
			if !g.dev.GuestOpen(1) {
				t.Error("the port cannot be opened any more")
			}
		})
	}
}

// TestOutOfOrder sends what depends on an announcement before it.
func TestOutOfOrder(t *testing.T) {
	g := newGuest(t, queuetest.Options{}, Options{Ports: []Port{{ID: 1, Backend: newHost(t, true)}}})
	g.activate(multiport, 1)
	g.postControl(4)
	g.control(1, eventPortReady, 1)
	g.control(1, eventPortOpen, 1)
	g.expectNoMessage()
	if g.dev.GuestOpen(1) {
		t.Error("a port was opened before it was announced")
	}
	g.control(0, eventDeviceReady, 1)
	g.expect(message(1, eventPortAdd, 1))
}

func TestControlFlood(t *testing.T) {
	g := newGuest(t, queuetest.Options{}, Options{Ports: []Port{{ID: 1, Backend: newHost(t, true)}}})
	g.activate(multiport, 1)
	g.open(1)
	q := g.q[controlTransmit]
	b := q.Readable(message(1, eventPortReady, 1))
	for range 10000 {
		q.Do(b)
	}
	// What the driver did not read has become one message, after those for
	// which there were buffers.
	for range 5 {
		g.expect(message(1, eventPortOpen, 1))
	}
	g.expectNoMessage()
}

func TestControlViolation(t *testing.T) {
	g := newGuest(t, queuetest.Options{}, Options{Ports: []Port{{ID: 1, Backend: newHost(t, true)}}})
	g.activate(multiport, 1)
	g.q[controlReceive].Add(g.q[controlReceive].Writable(7))
	g.q[controlReceive].Kick()
	g.control(0, eventDeviceReady, 1)
	if err := g.why(); !errors.Is(err, errMessageTooLong) {
		t.Errorf("broken because of %v", err)
	}
	g.control(0, eventDeviceReady, 1) // it is still answered
}

func TestHotPlug(t *testing.T) {
	await.NoGoroutines(t)
	first, second := newHost(t, true), newHost(t, true)
	g := newGuest(t, queuetest.Options{}, Options{Ports: []Port{{ID: 1, Backend: first}}})
	g.activate(multiport, 1, 2)
	g.open(1)
	if err := g.dev.AddPort(Port{ID: 2, Name: "new", Backend: second}); err != nil {
		t.Fatal(err)
	}
	if err := g.dev.AddPort(Port{ID: 2, Name: "newer"}); err == nil {
		t.Error("a number is used twice")
	}
	g.expect(message(2, eventPortAdd, 1))
	g.control(2, eventPortReady, 1)
	g.expect(message(2, eventPortName, 1, 'n', 'e', 'w'), message(2, eventPortOpen, 1))
	g.control(2, eventPortOpen, 1)
	g.write(2, "x")
	second.waitOutput(t, "x")
	b := g.post(2, 16)
	second.send("y")
	g.expectInput(2, []queuetest.Buffer{b}, "y")

	// A port with output that the host does not take.
	first.room = 0
	id := g.write(1, "stuck")
	if err := g.dev.RemovePort(1); err != nil {
		t.Fatal(err)
	}
	g.expect(message(1, eventPortRemove, 1))
	if u := g.q[5].Wait(); u.ID != id {
		t.Errorf("used %d, want %d", u.ID, id)
	}
	if g.dev.GuestOpen(1) || first.front.Receive([]byte("x")) != 0 {
		t.Error("a port that was removed is open")
	}
	g.control(1, eventPortOpen, 0) // has crossed our message
	first.carrier(false)
	if err := g.dev.Resize(1, 2, 3); err == nil {
		t.Error("a port that was removed has a size")
	}
	g.expectNoMessage()
	if err := g.dev.AddPort(Port{ID: 1}); err == nil {
		t.Error("the number is free before a reset")
	}
	g.dev.Reset()
	if err := g.dev.AddPort(Port{ID: 1}); err != nil {
		t.Error(err)
	}
	if want := []string{"open1", "open2", "close1", "close2"}; !slices.Equal(g.opened, want) {
		t.Errorf("GuestOpen was told %v, want %v", g.opened, want)
	}
}

func TestRestart(t *testing.T) {
	await.NoGoroutines(t)
	g := newGuest(t, queuetest.Options{}, Options{Ports: []Port{{ID: 1, Backend: newHost(t, true)}}})
	for range 3 {
		g.activate(multiport, 1)
		g.posted = nil
		g.open(1)
		g.dev.Reset()
		g.dev.Reset()
		if g.dev.GuestOpen(1) {
			t.Error("open after a reset")
		}
	}
	g.activate(virtio.FeatureVersion1, 0)
}
