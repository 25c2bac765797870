package blk

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue"
)

// batch is how many requests are taken before the disk is asked to start: enough
// to share the cost of starting and of the interrupt, and few enough that the
// first does not wait for long.
const batch = 32

// maxInFlight is how many bytes the disk may have to move for one queue before
// no more requests are taken. It bounds what a reset or a pause waits for,
// whatever the driver has asked for.
const maxInFlight = 64 << 20

// requestQueue is an active queue. Its goroutine takes the driver's requests and
// submits them; the disk's completions come from any goroutine, but never from
// two at a time.
type requestQueue struct {
	device     *Device
	queue      *queue.Queue
	disk       block.Queue
	interrupts virtio.Interrupts
	features   virtio.Features
	counters   *counters
	serving    sync.WaitGroup

	// turn is held by who serves: the queue's goroutine, or a vCPU that attends
	// to its doorbell. What follows is theirs.
	turn      sync.Mutex
	free      requestList
	last      *request // not submitted yet: the next one may follow it
	submitted bool     // since the last kick
	answered  bool     // since the last flush, by this goroutine
	broken    bool     // the driver has been told to reset; nobody serves any more
	sequence  uint64

	inFlight  atomic.Int64 // bytes
	starved   atomic.Bool  // waits until inFlight has become less
	attention atomic.Bool  // again is not empty

	mu       sync.Mutex
	returned requestList // free
	again    []*request  // to be submitted once more
}

func newRequestQueue(d *Device, index int, q *queue.Queue) (*requestQueue, error) {
	r := &requestQueue{
		device: d, queue: q, interrupts: *d.interrupts.Load(), features: d.features,
		counters: &d.counters[index],
	}
	disk, err := d.backend.NewQueue(block.QueueOptions{Completed: r.completed, Inline: true})
	if err != nil {
		return nil, fmt.Errorf("virtio disk, queue %d: %w", index, err)
	}
	r.disk = disk
	return r, nil
}

// start begins to serve the queue.
func (q *requestQueue) start() { q.serving.Go(q.serve) }

// wait waits for the end of serving, which the queue's Pause or Stop brings.
func (q *requestQueue) wait() {
	q.serving.Wait()
	q.turn.Lock() // a vCPU may have been at it
	defer q.turn.Unlock()
}

// serve is the queue's goroutine.
func (q *requestQueue) serve() {
	for q.work() && q.queue.Wait() {
	}
}

// work serves until there is nothing to do. It is false when there never will
// be.
func (q *requestQueue) work() bool {
	q.turn.Lock()
	defer q.turn.Unlock()
	for !q.broken {
		q.queue.DisableNotify()
		if err := q.drain(); err != nil {
			q.breakDown(err)
			break
		}
		if !q.queue.EnableNotify() || q.blocked() {
			return true
		}
	}
	return false
}

func (q *requestQueue) breakDown(err error) {
	q.broken = true
	q.interrupts.NeedsReset(err)
}

// attendMost is how many requests a vCPU handles that attends to a doorbell. A
// driver that has more at a time is served faster by another thread beside it.
const attendMost = 4

// attend serves the queue on a vCPU's thread for a short time, and reports
// whether nothing is left to do.
func (q *requestQueue) attend() bool {
	if !q.turn.TryLock() {
		return false
	}
	defer q.turn.Unlock()
	switch {
	case q.broken || !q.queue.Running():
		return true
	case !q.device.cache.inForce() || q.attention.Load():
		return false // which may take long
	}
	n, err := q.take(attendMost)
	q.kick()
	if err != nil {
		q.breakDown(err)
		return true
	}
	return n < attendMost && (!q.queue.EnableNotify() || q.blocked())
}

// drain takes what is available.
func (q *requestQueue) drain() error {
	for {
		n, err := q.take(batch)
		q.kick()
		if err != nil || n < batch {
			return err
		}
	}
}

// take handles up to most requests, and returns how many there were.
func (q *requestQueue) take(most int) (n int, err error) {
	q.retry()
	for ; n < most && !q.blocked(); n++ {
		c, err := q.queue.Pop()
		if c == nil {
			return n, err
		}
		if err := q.handle(c); err != nil {
			return n, fmt.Errorf("virtqueue %d: %w", q.queue.Index(), err)
		}
	}
	return n, nil
}

// blocked reports whether no requests are to be taken for now. The doorbell
// rings when this may have changed.
func (q *requestQueue) blocked() bool {
	if q.device.halted.Load() {
		return true
	}
	if q.inFlight.Load() < maxInFlight {
		return false
	}
	// Either we see that it has become less now, or who made it less sees us.
	q.starved.Store(true)
	return q.inFlight.Load() >= maxInFlight
}

// kick has the disk start what was collected, and shows the driver what was
// answered without it.
func (q *requestQueue) kick() {
	q.release()
	if q.submitted {
		q.submitted = false
		q.disk.Kick()
	}
	if q.answered {
		q.answered = false
		q.queue.Flush()
	}
}

// submit hands a request to the disk.
func (q *requestQueue) submit(r *request) {
	r.cost = r.disk.Bytes()
	if r.disk.Op == block.Discard {
		r.cost = 0 // nothing is moved
	}
	q.inFlight.Add(r.cost)
	q.submitted = true
	q.disk.Submit(&r.disk)
}

// retry submits again what is to be. Requests that failed together are done one
// by one, to find out which of them it was.
func (q *requestQueue) retry() {
	if !q.attention.Load() || q.device.halted.Load() {
		return
	}
	q.mu.Lock()
	again := q.again
	q.again = nil
	q.attention.Store(false)
	q.mu.Unlock()
	slices.SortFunc(again, func(a, b *request) int { return cmp.Compare(a.sequence, b.sequence) })
	for _, r := range again {
		for r != nil {
			next := r.next
			r.next = nil
			r.disk.Vec = r.own
			q.submit(r)
			r = next
		}
	}
}

// kept is how many requests are to be submitted again.
func (q *requestQueue) kept() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for _, r := range q.again {
		for ; r != nil; r = r.next {
			n++
		}
	}
	return n
}

// completed takes the requests that the disk has done.
func (q *requestQueue) completed(done []*block.Request) {
	var free requestList
	var cost int64
	again := false
	for _, b := range done {
		r := b.Owner.(*request)
		cost += r.cost
		err := b.Err
		if err != nil {
			var keep bool
			if err, keep = q.failed(r, err); keep {
				again = true
				continue
			}
		}
		for r != nil {
			next := r.next
			q.finish(r, err, &free)
			r = next
		}
	}
	q.queue.Flush()
	q.mu.Lock()
	q.returned.join(free)
	q.mu.Unlock()
	if q.inFlight.Add(-cost) < maxInFlight && q.starved.CompareAndSwap(true, false) || again {
		q.queue.Doorbell().Ring()
	}
}

// failed decides what becomes of a request that has failed: either it is to be
// submitted again, or it is finished with the error returned.
func (q *requestQueue) failed(r *request, err error) (_ error, again bool) {
	if r.next != nil {
		q.keep(r)
		return nil, true
	}
	if block.GuestsFault(err) {
		return err, false
	}
	q.counters.ops[r.disk.Op].errors.Add(1)
	d := q.device
	action := d.policy.Action(r.disk.Op, err)
	if action == block.StopOnError {
		d.halted.Store(true)
		q.keep(r)
	}
	if d.onError != nil {
		d.onError(block.IOError{Op: r.disk.Op, Offset: r.disk.Offset, Length: r.disk.Bytes(), Err: err, Action: action})
	}
	if action == block.IgnoreError {
		err = nil
	}
	return err, action == block.StopOnError
}

// keep keeps a request to be submitted again.
func (q *requestQueue) keep(r *request) {
	q.mu.Lock()
	q.again = append(q.again, r)
	q.attention.Store(true)
	q.mu.Unlock()
}

// finish does what is left of one request that the disk has done.
func (q *requestQueue) finish(r *request, err error, free *requestList) {
	status := uint8(statusOK)
	if err != nil {
		status = statusIOErr
	} else {
		c := &q.counters.ops[r.disk.Op]
		c.requests.Add(1)
		c.bytes.Add(uint64(r.size))
	}
	if p := r.parent; p != nil {
		free.push(r)
		p.status = max(p.status, status)
		if p.segments--; p.segments > 0 {
			return
		}
		r, status = p, p.status
	}
	written := r.written
	if status != statusOK {
		written = r.bare
	}
	q.answer(r.chain, status, written)
	free.push(r)
}
