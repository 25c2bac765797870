// Package guestfwd is the front end of a channel of target type guestfwd: a TCP
// address in the guest's user network behind which there is a character device's
// host end. A connection of the guest's to that address is the device.
//
// There is one connection at a time. Another waits a second and is refused then,
// unless the guest has ended its side of the first: then it takes its place, since
// a guest that has closed a connection and one that only sends no more look the same.
//
// What the host sends waits for a connection. When the host's peer leaves, the
// connection's stream ends after what that had sent; the guest connects again for
// the next one. What the guest has not read of a connection that it closes is lost.
package guestfwd

import (
	"context"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/govmm/govmm/chardev"
)

// bufferSize is how many bytes of input wait in a connection.
const bufferSize = 64 << 10

// turnTime is how long a connection waits for the end of the one before it, of
// which the guest may know already.
const turnTime = time.Second

// Channel is the device.
type Channel struct {
	backend chardev.Backend

	mu      sync.Mutex
	changed *sync.Cond // anything below, or the room for output
	current *conn      // nil without
	up      bool       // somebody is at the host end
	refused bool       // of Receive: Ready is due
	input   []byte     // for the current connection
}

// New attaches a channel to its host end.
func New(b chardev.Backend) *Channel {
	c := &Channel{backend: b}
	c.changed = sync.NewCond(&c.mu)
	b.Attach(c)
	return c
}

// Open makes the other end of a connection of the guest's. It has a method
// CloseWrite. The error is ECONNREFUSED when there is another connection for a
// second, or until ctx is done.
func (c *Channel) Open(ctx context.Context) (io.ReadWriteCloser, error) {
	ctx, cancel := context.WithTimeout(ctx, turnTime)
	defer cancel()
	defer context.AfterFunc(ctx, c.wake)()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.busy() && ctx.Err() == nil {
		c.changed.Wait()
	}
	if c.busy() {
		return nil, syscall.ECONNREFUSED
	}
	c.drop()
	c.current = &conn{channel: c}
	c.ready()
	return c.current, nil
}

// busy reports whether there is a connection that the guest may use; the lock is
// held.
func (c *Channel) busy() bool { return c.current != nil && !c.current.sent }

// Reset ends the connection: a guest that starts anew knows nothing of it.
func (c *Channel) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop()
}

// drop forgets the connection; the lock is held.
func (c *Channel) drop() {
	c.current, c.input = nil, nil
	c.changed.Broadcast()
}

// ready asks the host end for what Receive had no room for; the lock is held.
func (c *Channel) ready() {
	if c.refused {
		c.refused = false
		c.backend.Ready()
	}
}

// Receive implements chardev.Receiver.
func (c *Channel) Receive(p []byte) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	if c.current != nil && !c.current.ended {
		n = min(len(p), bufferSize-len(c.input))
	}
	if n > 0 {
		c.input = append(c.input, p[:n]...)
		c.changed.Broadcast()
	}
	c.refused = n < len(p)
	return n
}

// OutputReady implements chardev.OutputReceiver.
func (c *Channel) OutputReady() { c.wake() }

// wake has all who wait look again.
func (c *Channel) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed.Broadcast()
}

// Carrier implements chardev.CarrierReceiver.
func (c *Channel) Carrier(up bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.up && !up && c.current != nil {
		c.current.ended = true
		c.changed.Broadcast()
	}
	c.up = up
}

// conn is a connection. Its fields are guarded by its channel's lock, and it is
// closed when it is not the channel's current one.
type conn struct {
	channel *Channel
	sent    bool // the guest has ended its side
	ended   bool // no more input comes after what there is
}

// Read waits for what the host sends.
func (c *conn) Read(p []byte) (int, error) {
	d := c.channel
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.current == c {
		if len(d.input) > 0 {
			n := copy(p, d.input)
			d.input = d.input[:copy(d.input, d.input[n:])]
			d.ready()
			return n, nil
		}
		if c.ended {
			return 0, io.EOF
		}
		d.changed.Wait()
	}
	return 0, net.ErrClosed
}

// Write waits until the host end has taken all.
func (c *conn) Write(p []byte) (n int, err error) {
	d := c.channel
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.current == c {
		n += d.backend.Write(p[n:])
		if n == len(p) {
			return n, nil
		}
		d.changed.Wait()
	}
	return n, net.ErrClosed
}

// CloseWrite says that the guest sends no more. The host end is not told: it
// outlives connections.
func (c *conn) CloseWrite() error {
	c.channel.mu.Lock()
	defer c.channel.mu.Unlock()
	c.sent = true
	c.channel.changed.Broadcast()
	return nil
}

// Close makes room for the next connection.
func (c *conn) Close() error {
	c.channel.mu.Lock()
	defer c.channel.mu.Unlock()
	if c.channel.current == c {
		c.channel.drop()
	}
	return nil
}
