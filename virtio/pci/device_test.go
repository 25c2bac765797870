package pci_test

import (
	"io"
	"sync"
	"testing"

	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/pci/pcitest"
	"github.com/govmm/govmm/virtio/queue"
)

// echo is a device that answers each request with the request's own bytes, on
// all of its queues.
type echo struct {
	kind       virtio.Type
	features   virtio.Features
	sizes      []uint16
	refuse     error // what Activate returns
	activated  func(a virtio.Activation) error
	activation virtio.Activation
	activates  int
	resets     int

	mu      sync.Mutex
	config  [8]byte
	queues  []*queue.Queue
	serving []sync.WaitGroup
}

func newEcho(sizes ...uint16) *echo {
	return &echo{kind: virtio.Entropy, sizes: sizes, config: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}}
}

func (e *echo) Type() virtio.Type         { return e.kind }
func (e *echo) Features() virtio.Features { return e.features }
func (e *echo) QueueSizes() []uint16      { return e.sizes }

func (e *echo) ReadConfig(offset uint64, data []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(data)
	if offset < uint64(len(e.config)) {
		copy(data, e.config[offset:])
	}
}

func (e *echo) WriteConfig(offset uint64, data []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if offset < uint64(len(e.config)) {
		copy(e.config[offset:], data)
	}
}

func (e *echo) Activate(a virtio.Activation) error {
	e.activates++
	if e.refuse != nil {
		return e.refuse
	}
	e.activation = a
	if e.activated != nil {
		if err := e.activated(a); err != nil {
			return err
		}
	}
	e.queues = a.Queues
	e.serving = make([]sync.WaitGroup, len(a.Queues))
	for i, q := range a.Queues {
		if q != nil {
			e.serve(i)
		}
	}
	return nil
}

func (e *echo) serve(i int) {
	q := e.queues[i]
	e.serving[i].Go(func() {
		err := queue.Serve(q, func(c *queue.Chain) error {
			n, err := io.Copy(c.Writer(), c.Reader())
			if err != nil && err != queue.ErrShort && err != io.ErrShortWrite {
				return err
			}
			q.Push(c, uint32(n))
			return nil
		})
		if err != nil {
			e.activation.Interrupts.NeedsReset(err)
		}
	})
}

func (e *echo) Reset() {
	e.resets++
	for i := range e.queues {
		e.stop(i)
	}
	e.queues = nil
}

func (e *echo) stop(i int) {
	if e.queues[i] != nil {
		e.queues[i].Stop()
		e.serving[i].Wait()
		e.queues[i] = nil
	}
}

// ringEcho is an echo whose queues can be reset.
type ringEcho struct{ *echo }

func (e ringEcho) ResetQueue(i int) { e.stop(i) }

func (e ringEcho) EnableQueue(i int, q *queue.Queue) error {
	e.queues[i] = q
	e.serve(i)
	return nil
}

// exchange sends a request and checks the answer.
func exchange(tb testing.TB, q *pcitest.Queue, text string) {
	tb.Helper()
	answer := q.Writable(uint32(len(text)))
	if n := q.Do(q.Readable([]byte(text)), answer); int(n) != len(text) || string(q.Bytes(answer)) != text {
		tb.Fatalf("%d bytes, %q, want %q", n, q.Bytes(answer), text)
	}
}
