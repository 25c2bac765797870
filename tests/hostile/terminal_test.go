package hostile

import (
	"bytes"
	"sync"

	"github.com/govmm/govmm/chardev"
)

// terminal is the host end of a console port.
type terminal struct {
	mu    sync.Mutex
	front chardev.Receiver
	out   []byte // the latest output
	in    []byte // input that the port has not taken yet
	stuck bool   // takes no output
	ready chan struct{}
}

// keep is how much output is kept: an attacker sends gigabytes.
const keep = 4096

func newTerminal(b *board) *terminal {
	t := &terminal{ready: make(chan struct{}, 1)}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-t.ready:
				t.offer()
			case <-stop:
				return
			}
		}
	}()
	b.Cleanup(func() { close(stop); <-done })
	return t
}

// offer gives the port what waits for it.
func (t *terminal) offer() {
	t.mu.Lock()
	in, front := t.in, t.front
	t.mu.Unlock()
	if len(in) == 0 {
		return
	}
	n := front.Receive(in)
	t.mu.Lock()
	t.in = t.in[n:]
	t.mu.Unlock()
}

// send is input for the guest.
func (t *terminal) send(data []byte) {
	t.mu.Lock()
	t.in = append(t.in, data...)
	t.mu.Unlock()
	t.Ready()
}

// setStuck makes the terminal take no output, or take it again.
func (t *terminal) setStuck(stuck bool) {
	t.mu.Lock()
	t.stuck = stuck
	front := t.front
	t.mu.Unlock()
	if !stuck {
		front.(chardev.OutputReceiver).OutputReady()
	}
}

// shows reports whether the data is in the latest output.
func (t *terminal) shows(data []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Contains(t.out, data)
}

// Attach implements chardev.Backend.
func (t *terminal) Attach(r chardev.Receiver) {
	t.mu.Lock()
	t.front = r
	t.mu.Unlock()
	r.(chardev.CarrierReceiver).Carrier(true)
}

// Write implements chardev.Backend.
func (t *terminal) Write(p []byte) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stuck {
		return 0
	}
	t.out = append(t.out, p[max(0, len(p)-keep):]...)
	t.out = t.out[max(0, len(t.out)-keep):]
	return len(p)
}

// Ready implements chardev.Backend.
func (t *terminal) Ready() {
	select {
	case t.ready <- struct{}{}:
	default:
	}
}

// Stats implements chardev.Backend.
func (t *terminal) Stats() chardev.Stats { return chardev.Stats{} }

// Close implements chardev.Backend.
func (t *terminal) Close() error { return nil }
