package nbd

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

var (
	errProtocol = errors.New("the server broke the protocol")
	errSilent   = errors.New("the server says nothing")
	errShutdown = errors.New("the server is shutting down")
	errClosing  = errors.New("closing")

	// errLost is what a call is given whose connection broke.
	errLost = errors.New("the connection was lost")
)

// conn is one connection in its transmission phase.
//
// A call belongs to the goroutine that makes it, which sends it; from register
// to the word in its done channel, its memory may also be written by the
// receiver. The receiver alone gives that word, so that nothing writes to the
// memory of a call that has returned.
type conn struct {
	wire   net.Conn
	export export
	in     receiver

	sendMu sync.Mutex
	out    net.Buffers
	packed *bufio.Writer // with TLS, which has no writev

	mu       sync.Mutex
	calls    [MaxInFlight]*call
	free     []int // places in calls
	sequence uint64
	failed   error // why it broke
}

func newConn(wire net.Conn, e export) *conn {
	c := &conn{wire: wire, export: e}
	c.in.init(wire)
	if c.in.raw == nil {
		c.packed = bufio.NewWriterSize(wire, 64<<10)
	}
	c.free = make([]int, MaxInFlight)
	for i := range c.free {
		c.free[i] = MaxInFlight - 1 - i
	}
	return c
}

// slotMask is the part of a cookie that says the place of its call. The rest is
// a number that no two calls of a connection share, so that a second reply to
// one of them is no reply to the next.
const slotMask = MaxInFlight - 1

// register gives a call its cookie. There is always a place, as a client has no
// more calls. It is false on a broken connection.
func (c *conn) register(k *call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil {
		return false
	}
	slot := c.free[len(c.free)-1]
	c.free = c.free[:len(c.free)-1]
	c.sequence++
	k.cookie = c.sequence*MaxInFlight | uint64(slot)
	k.sentAt = time.Now()
	k.got, k.chunks, k.extent, k.state, k.err = 0, 0, 0, 0, nil
	c.calls[slot] = k
	return true
}

// find returns the call with a cookie, nil for none.
func (c *conn) find(cookie uint64) *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.calls[cookie&slotMask]; k != nil && k.cookie == cookie {
		return k
	}
	return nil
}

// finish takes a call off the connection and wakes its goroutine.
func (c *conn) finish(k *call) {
	c.mu.Lock()
	slot := k.cookie & slotMask
	c.calls[slot] = nil
	c.free = append(c.free, int(slot))
	c.mu.Unlock()
	k.done <- nil
}

// send sends a registered call. When that fails, the receiver will notice.
func (c *conn) send(k *call) {
	c.sendMu.Lock()
	defer c.sendMu.Unlock()
	header := k.encode()
	if c.packed != nil {
		if err := c.sendPacked(header, k); err != nil {
			c.fail(err)
		}
		return
	}
	k.buffers = append(k.buffers[:0], header)
	if k.command == cmdWrite {
		k.buffers = append(k.buffers, k.vec...)
	}
	c.out = k.buffers
	_, err := c.out.WriteTo(c.wire)
	c.out = nil
	if err != nil {
		c.fail(err)
	}
}

func (c *conn) sendPacked(header []byte, k *call) error {
	if _, err := c.packed.Write(header); err != nil {
		return err
	}
	if k.command == cmdWrite {
		for _, b := range k.vec {
			if _, err := c.packed.Write(b); err != nil {
				return err
			}
		}
	}
	return c.packed.Flush()
}

// fail breaks the connection; the first reason counts.
func (c *conn) fail(err error) {
	c.mu.Lock()
	if c.failed == nil {
		c.failed = err
	}
	c.mu.Unlock()
	_ = c.wire.Close() // what was wrong with it is known
}

// serve receives replies until the connection breaks, and says why. All calls
// that are left are lost then.
func (c *conn) serve(silence time.Duration) error {
	stop, watching := make(chan struct{}), sync.WaitGroup{}
	watching.Go(func() { c.watch(silence, stop) })
	var err error
	for err == nil {
		err = c.receive()
	}
	c.fail(err)
	close(stop)
	watching.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, k := range c.calls {
		if k != nil {
			c.calls[i] = nil
			k.done <- errLost
		}
	}
	return c.failed
}

// watch breaks the connection when the server owes a reply and has said nothing
// for the time of silence, or a single reply is ten times that late.
func (c *conn) watch(silence time.Duration, stop <-chan struct{}) {
	const looks, patience = 8, 10
	tick := time.NewTicker(max(silence/looks, time.Millisecond))
	defer tick.Stop()
	seen, quiet := c.in.progress.Load(), 0
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		oldest := c.oldest()
		now := c.in.progress.Load()
		if now != seen || oldest.IsZero() || time.Since(oldest) < silence {
			seen, quiet = now, 0
		} else {
			quiet++
		}
		if quiet >= looks || !oldest.IsZero() && time.Since(oldest) > patience*silence {
			c.fail(errSilent)
			return
		}
	}
}

// oldest is when the call was sent that has waited longest, zero if none waits.
func (c *conn) oldest() (t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.calls {
		if k != nil && (t.IsZero() || k.sentAt.Before(t)) {
			t = k.sentAt
		}
	}
	return t
}

// disconnect takes leave of the server.
func (c *conn) disconnect() {
	var b [requestHeader]byte
	binary.BigEndian.PutUint32(b[:], magicRequest)
	binary.BigEndian.PutUint16(b[6:], cmdDisconnect)
	// What is being sent, to a server that takes nothing, must not hold this up.
	_ = c.wire.SetWriteDeadline(time.Now().Add(time.Second))
	c.sendMu.Lock()
	_, _ = c.wire.Write(b[:])
	c.sendMu.Unlock()
	c.fail(errClosing)
}

// serverError is a request that the server could not do.
func serverError(command uint16, number uint32, message string) error {
	errno := errorNumber(number)
	if message == "" {
		return fmt.Errorf("the server's %s: %w", commandNames[command], errno)
	}
	return fmt.Errorf("the server's %s: %s: %w", commandNames[command], message, errno)
}
