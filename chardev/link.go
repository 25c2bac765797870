package chardev

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// lingerTime is how long the guest may take nothing of what a client sent
	// that has left, before the rest of it is given up for the next client.
	lingerTime = 5 * time.Second

	// lingerPoll is how often it is looked whether the client has left while the
	// guest takes nothing.
	lingerPoll = 100 * time.Millisecond
)

// errBreak is returned by a link's Read, after the bytes that came before, for a
// break condition.
var errBreak = errors.New("break condition")

// link is one connection of a back end that can lose it and get another. Unlike
// an io.Writer, it may write fewer bytes than it is given without an error.
type link interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error

	// peerGone reports whether the peer will send no more.
	peerGone() bool
}

// linked is a back end with one connection at a time, which comes and goes.
type linked struct {
	port

	// next waits for a connection; it returns nil when ctx is done, or when
	// there will be no more.
	next func(ctx context.Context) link

	// Where somebody is always there to take output, sink takes it; nil is for
	// whoever is connected.
	sink sink

	ctx    context.Context // done when no more connections are wanted
	cancel context.CancelFunc

	mu      sync.Mutex
	current link // nil while nobody is connected
}

// start prepares l. name is the other end in messages; release frees, after the
// last connection, what they came from.
func (l *linked) start(opts Options, patience time.Duration, name string, release func() error) {
	always := l.sink != nil
	if !always {
		l.sink = linkSink{l}
	}
	l.init(opts, always)
	l.ctx, l.cancel = context.WithCancel(context.Background())
	out := l.outputOptions("writing to "+name, l.sink, dropUnread, always)
	l.losing(&out, patience, name)
	l.main = newOutput(out)
	l.input, l.run = l, l.serve
	l.close = func() error {
		l.cancel() // also if there never was a front end
		if c := l.swap(nil); c != nil {
			_ = c.Close() // whatever is wrong with it, it is over
		}
		return release()
	}
}

// serve follows the connections as they come and go. When the back end is being
// closed it leaves the last one to the output.
func (l *linked) serve() {
	for {
		c := l.next(l.ctx)
		if c == nil {
			return
		}
		if l.swap(c); l.stopped() {
			return
		}
		// The output is for a client that can still be there to take it.
		follow := !l.always() && !c.peerGone()
		if follow {
			l.setCarrier(true)
		}
		err := l.receive(c)
		if l.stopped() {
			return
		}
		if err != nil {
			l.errs.report("the connection failed", err)
		}
		if follow {
			l.setCarrier(false)
		}
		l.swap(nil)
		_ = c.Close()
	}
}

// always reports whether output and carrier do not follow the connection.
func (l *linked) always() bool {
	_, follows := l.sink.(linkSink)
	return !follows
}

// swap makes c the connection, and returns the one there was.
func (l *linked) swap(c link) (was link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was, l.current = l.current, c
	return was
}

func (l *linked) connection() link {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.current
}

// interrupt ends the input and the waiting for connections. Whoever sets a
// deadline for reading afterwards looks at l.stopped then.
func (l *linked) interrupt() bool {
	l.cancel()
	if c := l.connection(); c != nil {
		return c.SetReadDeadline(past()) == nil
	}
	return true
}

// receive passes on what the peer sends until that ends.
func (l *linked) receive(c link) error {
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if n > 0 {
			if err := l.deliverFrom(c, buf[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, errBreak):
			if !l.deliverBreak() {
				return nil
			}
		case errors.Is(err, io.EOF), l.stopped():
			return nil
		case err != nil:
			return err
		}
	}
}

// deliverFrom is deliver, but waits for the guest only so long when the peer has
// left meanwhile: a guest that does not read shall not lock out the next client.
func (l *linked) deliverFrom(c link, b []byte) error {
	var gone time.Time // when it was first seen
	tick := time.NewTicker(lingerPoll)
	defer tick.Stop()
	for {
		n, ok := l.offer(b)
		l.in.Add(uint64(n))
		if b = b[n:]; len(b) == 0 || !ok {
			return nil
		}
		if n > 0 {
			gone = time.Time{}
		}
		select {
		case <-l.ready:
		case <-l.done:
			return nil
		case <-tick.C:
			switch {
			case gone.IsZero() && c.peerGone():
				gone = time.Now()
			case !gone.IsZero() && time.Since(gone) > lingerTime:
				return fmt.Errorf("the guest has taken nothing for %v of what a client sent that left; the rest is lost", lingerTime)
			}
		}
	}
}

// linkSink is the output of a linked.
type linkSink struct{ l *linked }

// Write writes to whoever is connected. An error is the end of the connection,
// which its reader finds as well, after all that it can still read.
func (s linkSink) Write(p []byte) (int, error) {
	c := s.l.connection()
	if c == nil {
		return 0, errNoLink
	}
	n, err := c.Write(p)
	if err != nil {
		return n, fmt.Errorf("%w: %w", errNoLink, err)
	}
	return n, nil
}

func (s linkSink) interrupt() bool {
	c := s.l.connection()
	return c == nil || c.SetWriteDeadline(past()) == nil
}

// backOff is the pause between attempts to connect: longer each time, until a
// connection has lasted.
type backOff struct {
	pause time.Duration
	since time.Time // when the last connection was made
}

// The pauses between attempts to connect.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// wait lets the pause pass. It returns false when ctx is done.
func (b *backOff) wait(ctx context.Context) bool {
	switch {
	case !b.since.IsZero() && time.Since(b.since) > lastRetry, b.pause == 0:
		b.pause = firstRetry
	default:
		b.pause = min(2*b.pause, lastRetry)
	}
	b.since = time.Time{}
	timer := time.NewTimer(b.pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// connected notes a success.
func (b *backOff) connected() { b.since = time.Now() }
