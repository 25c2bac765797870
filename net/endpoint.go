package net

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/net/internal/linkstate"
)

var (
	errGone     = errors.New("the interface has been deleted")
	errPeerGone = errors.New("the other end has been closed")
)

// endpoint is what back ends made of fileQueues have in common.
type endpoint struct {
	name   string // for messages, such as "tap vnet0"
	log    *slog.Logger
	header atomic.Int32
	queues []*fileQueue
	link   linkstate.Link
	err    atomic.Pointer[error] // why it has ended

	config    sync.Mutex // held while queues are enabled and disabled
	closeOnce sync.Once
	closeErr  error
}

func newEndpoint(name string, log *slog.Logger) *endpoint {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	e := &endpoint{name: name, log: log}
	e.header.Store(HeaderSize)
	return e
}

// state is why the endpoint has ended, or nil.
func (e *endpoint) state() error {
	if err := e.err.Load(); err != nil {
		return *err
	}
	return nil
}

// failed is fail for an operation of a queue.
func (e *endpoint) failed(operation string, errno syscall.Errno) error {
	switch errno {
	case unix.EBADFD, unix.ENODEV, unix.ENXIO, unix.ENOLINK:
		return e.fail(errGone)
	case unix.EPIPE, unix.ECONNRESET, unix.ENOTCONN:
		return e.fail(errPeerGone)
	}
	return e.fail(fmt.Errorf("%s: %w", operation, errno))
}

// fail ends all traffic, for the first reason given. It is logged and told by
// the link, so that also those hear of it who are not transferring anything.
func (e *endpoint) fail(why error) error {
	err := fmt.Errorf("net: %s: %w", e.name, why)
	if !e.err.CompareAndSwap(nil, &err) {
		return *e.err.Load()
	}
	e.log.Error("network interface lost", "interface", e.name, "error", why)
	e.wake()
	e.link.Set(false)
	return err
}

func (e *endpoint) wake() {
	for _, q := range e.queues {
		q.Wake()
	}
}

// close ends all waits and closes the descriptors; release is called after that.
func (e *endpoint) close(release func() error) error {
	e.closeOnce.Do(func() {
		closed := ErrClosed
		e.err.Store(&closed)
		e.link.Close()
		e.wake()
		var errs []error
		for _, q := range e.queues {
			errs = append(errs, q.file.close())
		}
		if release != nil {
			errs = append(errs, release())
		}
		if err := errors.Join(errs...); err != nil {
			e.closeErr = fmt.Errorf("net: %s: close: %w", e.name, err)
		}
	})
	return e.closeErr
}

// Queues implements Backend.
func (e *endpoint) Queues() int { return len(e.queues) }

// Queue implements Backend.
func (e *endpoint) Queue(i int) Queue { return e.queues[i] }

// Link implements Backend.
func (e *endpoint) Link() bool { return e.link.Get() }

// OnLink implements Backend.
func (e *endpoint) OnLink(f func(up bool)) { e.link.Listen(f) }

// enable marks the first n queues, after turn has switched each that changes.
func (e *endpoint) enable(n int, turn func(q *fileQueue, on bool) error) error {
	if err := e.state(); err != nil {
		return err
	}
	if n < 1 || n > len(e.queues) {
		return fmt.Errorf("net: %s: %d queue pairs are not between 1 and %d", e.name, n, len(e.queues))
	}
	e.config.Lock()
	defer e.config.Unlock()
	for i, q := range e.queues {
		on := i < n
		if q.enabled.Load() == on {
			continue
		}
		if turn != nil {
			if err := turn(q, on); err != nil {
				return fmt.Errorf("net: %s: queue pair %d: %w", e.name, i, err)
			}
		}
		q.enabled.Store(on)
		if !on {
			q.Wake()
		}
	}
	return nil
}

// setHeader checks and notes the header's size.
func (e *endpoint) setHeader(n int, tell func() error) error {
	if n != ShortHeaderSize && n != HeaderSize {
		return fmt.Errorf("net: %s: a header of %d bytes is neither %d nor %d", e.name, n, ShortHeaderSize, HeaderSize)
	}
	if tell != nil {
		if err := tell(); err != nil {
			return fmt.Errorf("net: %s: header of %d bytes: %w", e.name, n, err)
		}
	}
	e.header.Store(int32(n))
	return nil
}

func (e *endpoint) stats() Stats {
	var s Stats
	for _, q := range e.queues {
		q.addTo(&s)
	}
	return s
}
