package chardevs

import (
	"sync"
	"testing"
	"time"

	"github.com/govmm/govmm/chardev"
)

// frontEnd is a kind of device, with a driver.
type frontEnd struct {
	name   string
	oneWay bool // output only
	shows  bool // the guest sees whether somebody is at the back end
	// patience is that of the back end, as the machine has it for such a device,
	// but shorter.
	patience time.Duration
	// start attaches a device to a back end, and drives it until the test ends.
	start func(t *testing.T, b chardev.Backend) *guest
}

// shortPatience is that of back ends of consoles here, where a machine has 5 s. A
// busy host may well keep a visitor who reads from doing so for a part of it.
const shortPatience = time.Second

var frontEnds = []frontEnd{
	{name: "uart", shows: true, patience: shortPatience, start: startUART},
	{name: "virtio console", patience: shortPatience, start: startConsole},
	{name: "virtio channel", shows: true, patience: chardev.Endless, start: startChannel},
	{name: "guestfwd", patience: chardev.Endless, start: startForward},
	{name: "parallel", oneWay: true, patience: shortPatience, start: startParallel},
}

// guest is a driver of a front end, and the program that uses it.
type guest struct {
	mu      sync.Mutex
	changed *sync.Cond

	out     []byte // to be sent
	sending bool   // the device has not taken all that was sent
	in      []byte // received
	held    bool   // takes no input
	up      bool   // the driver sees a connection
	stopped bool

	wake func() // has a driver that sleeps look at the above; nil for those that wait for changed
}

func newGuest() *guest {
	g := new(guest)
	g.changed = sync.NewCond(&g.mu)
	return g
}

// change makes a change of which the driver is told.
func (g *guest) change(f func()) {
	g.mu.Lock()
	f()
	g.changed.Broadcast()
	wake := g.wake
	g.mu.Unlock()
	if wake != nil {
		wake()
	}
}

// The side of the program.

// write sends output, without waiting until that is gone.
func (g *guest) write(p []byte) {
	g.change(func() {
		g.out = append(g.out, p...)
		g.sending = true
	})
}

// sent reports whether the device has taken all output.
func (g *guest) sent() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.sending
}

// hold has the driver take no more input, or take it again.
func (g *guest) hold(held bool) { g.change(func() { g.held = held }) }

// received is all input until now, of which none may be changed.
func (g *guest) received() []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.in
}

// forget throws away the input until now.
func (g *guest) forget() { g.change(func() { g.in = nil }) }

// connected is what the driver sees of the connection.
func (g *guest) connected() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.up
}

func (g *guest) stop() { g.change(func() { g.stopped = true }) }

// The side of the driver.

// take returns at most n bytes of output. When there is none, all that was sent
// has been taken by the device: with wait, it waits for more then, and returns nil
// at the end of the test.
func (g *guest) take(n int, wait bool) []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	for len(g.out) == 0 && !g.stopped {
		g.sending = false
		if !wait {
			return nil
		}
		g.changed.Wait()
	}
	if g.stopped {
		return nil
	}
	p := g.out[:min(n, len(g.out))]
	g.out = g.out[len(p):]
	return p
}

// put takes input.
func (g *guest) put(p []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.in = append(g.in, p...)
}

// mayRead waits until the program takes input, and returns false at the end of
// the test.
func (g *guest) mayRead() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.held && !g.stopped {
		g.changed.Wait()
	}
	return !g.stopped
}

// carrier notes what the driver sees of the connection.
func (g *guest) carrier(up bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.up = up
}

// does tells the driver what to do: to send, to receive, or to end.
func (g *guest) does() (send, receive, end bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.sending, !g.held, g.stopped
}
