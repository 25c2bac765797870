package block

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/block/iouring"
)

// ringQueue is one submitter's queue on an io_uring of its own.
//
// The ring carries what the kernel does in one operation: reads and writes that
// need no buffer, and flushes. Everything else, and whatever comes back only
// partly done, is left to the workers, who know all the cases.
//
// The submitter makes the system call that starts a batch, and takes what is
// already complete on its return: reads from the page cache, mostly. A
// goroutine waits for the rest.
type ringQueue struct {
	*completions
	raw  *Raw
	side *workerQueue // for what the ring does not take; the same completions

	mu       sync.Mutex
	ring     *iouring.Ring
	slots    []*Request // in the ring, by the number that travels with them
	vacant   []int
	waiting  requestList // for a slot
	inFlight int
	redo     requestList // for the workers
	started  sync.Cond   // inFlight is not 0, or closed
	ended    bool

	reaper sync.WaitGroup
}

func newRingQueue(d *Raw, inline inlineDisk, o QueueOptions) (Queue, error) {
	depth := min(max(o.Depth, 0), MaxDepth)
	if depth == 0 {
		depth = DefaultDepth
	}
	ring, err := iouring.New(depth)
	if err != nil {
		return nil, fmt.Errorf("%s: io=\"native\": %w", d.path, err)
	}
	side, err := d.workers.newQueue(d.Do, inline, o)
	if err != nil {
		return nil, errors.Join(err, ring.Close())
	}
	q := &ringQueue{
		completions: side.completions, raw: d, side: side, ring: ring,
		slots: make([]*Request, depth), vacant: make([]int, depth),
	}
	for i := range q.vacant {
		q.vacant[i] = depth - 1 - i
	}
	q.started.L = &q.mu
	q.reaper.Go(q.reap)
	return q, nil
}

func (q *ringQueue) Submit(r *Request) { q.side.Submit(r) }

// takes reports whether a checked request is one for the ring. A write then
// holds the edge lock for reading.
//
// The ring is no place for writes that go to the page cache or must be durable
// at once: the kernel does those of one file one after the other, on a thread
// of its own. The workers are twice to four times as fast, as their syncs share
// a commit of the journal.
func (q *ringQueue) takes(r *Request) bool {
	d := q.raw
	switch r.Op {
	case Flush:
		return !d.readOnly
	case Read, Write:
	default:
		return false
	}
	if r.total == 0 || r.total > maxRing || len(r.Vec) > maxSegments {
		return false
	}
	if d.direct == nil {
		return r.Op == Read
	}
	if r.Op == Write && !d.writeCache.Load() {
		return false
	}
	return d.direct.asItIs(r) && (r.Op == Read || d.direct.edge.TryRLock())
}

// maxRing is the most bytes one system call moves (MAX_RW_COUNT), less than a
// unit of O_DIRECT.
const maxRing = 1<<31 - maxUnit

func (q *ringQueue) Kick() {
	q.side.kickInline()
	batch := q.side.batch
	q.side.batch = requestList{}
	q.side.batched = 0
	if !batch.empty() {
		q.mu.Lock()
		for r := batch.pop(); r != nil; r = batch.pop() {
			q.sort(r)
		}
		q.start()
		if q.side.inline {
			q.collect()
		}
		q.redoLocked()
		q.mu.Unlock()
	}
	q.side.deliverHere()
}

// sort puts a request on the list of the ring or on that of the workers.
func (q *ringQueue) sort(r *Request) {
	d := q.raw
	if err := r.Check(d.size.Load(), d.readOnly); err == nil && q.takes(r) {
		q.waiting.push(r)
		return
	}
	q.pushRedo(r) // the workers also say what is wrong with it
}

// start fills the ring from the waiting list and submits. What the kernel does
// not take, being short of memory, is left to the workers.
func (q *ringQueue) start() {
	for len(q.vacant) > 0 && !q.waiting.empty() {
		r := q.waiting.pop()
		slot := q.vacant[len(q.vacant)-1]
		q.vacant = q.vacant[:len(q.vacant)-1]
		q.slots[slot] = r
		q.prepare(r, uint64(slot))
		q.inFlight++
	}
	if q.inFlight == 0 {
		return
	}
	if q.ring.Submit() != nil {
		for slot, ok := q.ring.Retract(); ok; slot, ok = q.ring.Retract() {
			q.pushRedo(q.leave(slot))
		}
	}
	q.started.Signal()
}

// leave takes a request out of its slot.
func (q *ringQueue) leave(slot uint64) *Request {
	r := q.slots[slot]
	q.slots[slot] = nil
	q.vacant = append(q.vacant, int(slot))
	q.inFlight--
	if r.Op == Write {
		q.raw.direct.edge.RUnlock()
	}
	return r
}

func (q *ringQueue) pushRedo(r *Request) {
	r.queue = q.side
	q.redo.push(r)
}

// prepare puts a request into the ring, which has room: it has as many entries
// as there are slots.
func (q *ringQueue) prepare(r *Request, slot uint64) {
	d := q.raw
	switch r.Op {
	case Read:
		r.iov = segments(r.iov, r.Vec, 0)
		_ = q.ring.Readv(d.fd, r.iov, r.Offset, 0, slot)
	case Write:
		r.iov = segments(r.iov, r.Vec, 0)
		_ = q.ring.Writev(d.fd, r.iov, r.Offset, 0, slot)
	default:
		_ = q.ring.Fdatasync(d.fd, slot)
	}
}

// collect takes what the ring has completed.
func (q *ringQueue) collect() {
	for {
		c, ok := q.ring.Next()
		if !ok {
			return
		}
		q.settle(q.leave(c.Data), c.Result)
	}
}

// settle finishes a request or leaves it for the workers. These find out what
// a short read or write means, and try again what the kernel gave up: an
// operation is cancelled when the thread that submitted it ends, which a vCPU's
// may.
func (q *ringQueue) settle(r *Request, result int32) {
	q.side.inliner.returns(r)
	errno := unix.Errno(0)
	if result < 0 {
		errno = unix.Errno(-result)
	}
	switch {
	case errno == unix.EAGAIN, errno == unix.EINTR, errno == unix.ECANCELED,
		errno == unix.EOPNOTSUPP, errno == 0 && r.Op != Flush && int64(result) < r.total:
		q.pushRedo(r)
	case errno != 0:
		r.Err = fail(q.raw.path, r, errno)
		q.add(r)
	default:
		q.add(r)
	}
}

func (q *ringQueue) redoLocked() {
	if !q.redo.empty() {
		q.raw.workers.submit(&q.redo)
	}
}

// reap is the goroutine that waits for completions while something is in
// flight.
func (q *ringQueue) reap() {
	for {
		q.mu.Lock()
		for q.inFlight == 0 && !q.ended {
			q.started.Wait()
		}
		ended := q.ended
		q.mu.Unlock()
		if ended || q.ring.Wait() != nil {
			return
		}
		q.mu.Lock()
		q.collect()
		q.start()
		q.redoLocked()
		q.mu.Unlock()
		q.deliver()
	}
}

func (q *ringQueue) Drain() {
	q.Kick()
	q.drain()
}

func (q *ringQueue) Close() error {
	if !q.close() {
		return nil
	}
	q.Drain()
	q.mu.Lock()
	q.ended = true
	q.started.Signal()
	q.mu.Unlock()
	err := q.ring.Interrupt()
	q.reaper.Wait()
	return errors.Join(err, q.ring.Close())
}
