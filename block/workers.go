package block

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Workers are a bounded set of goroutines that carry out the requests of any
// number of queues with system calls that wait, each on a thread of its own.
// A worker is started when there is work and no worker is idle.
//
// Every back end whose Do works can make its queues here.
type Workers struct {
	mu       sync.Mutex
	work     sync.Cond
	todo     requestList
	idle     int
	woken    int // idle workers that have been signalled
	running  int
	limit    int
	closed   bool
	finished sync.WaitGroup
}

// NewWorkers makes a set of at most limit goroutines; 0 is DefaultThreads.
func NewWorkers(limit int) *Workers {
	if limit <= 0 {
		limit = DefaultThreads
	}
	w := &Workers{limit: min(limit, MaxThreads)}
	w.work.L = &w.mu
	return w
}

// submit hands a list of requests to the workers and empties it.
func (w *Workers) submit(l *requestList) {
	w.mu.Lock()
	for {
		r := l.pop()
		if r == nil {
			break
		}
		w.todo.push(r)
		switch {
		case w.woken < w.idle:
			w.woken++
			w.work.Signal()
		case w.running < w.limit:
			w.running++
			w.finished.Go(w.loop)
		}
	}
	w.mu.Unlock()
}

// loop is one worker.
func (w *Workers) loop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for w.todo.empty() {
			if w.closed {
				return
			}
			w.idle++
			w.work.Wait()
			w.idle--
			if w.woken > 0 {
				w.woken--
			}
		}
		r := w.todo.pop()
		w.mu.Unlock()
		q := r.queue
		q.timed(r)
		q.finish(r)
		w.mu.Lock()
	}
}

// Close ends the goroutines, after what they have been given is done. The
// queues must have been closed before.
func (w *Workers) Close() {
	w.mu.Lock()
	w.closed = true
	w.work.Broadcast()
	w.mu.Unlock()
	w.finished.Wait()
}

// errNoCompleted is a mistake of the calling code.
var errNoCompleted = errors.New("block: QueueOptions.Completed is not set")

// NewQueue makes a queue whose requests are carried out by do, which sets
// their Err. Depth has no meaning here: what waits costs nothing.
func (w *Workers) NewQueue(do func(*Request) error, o QueueOptions) (Queue, error) {
	return w.newQueue(do, nil, o)
}

func (w *Workers) newQueue(do func(*Request) error, try func(*Request) bool, o QueueOptions) (*workerQueue, error) {
	if o.Completed == nil {
		return nil, errNoCompleted
	}
	return &workerQueue{
		completions: newCompletions(o.Completed),
		workers:     w, do: do, try: try, inline: o.Inline,
	}, nil
}

// shortIO is how long an operation may have taken lately to be done on the
// submitter's goroutine, where it keeps later requests waiting. Handing a
// request to a worker and back costs about half of this.
const shortIO = 15 * time.Microsecond

// workerQueue is one submitter's queue in a set of workers.
type workerQueue struct {
	*completions
	workers *Workers
	do      func(*Request) error
	try     func(*Request) bool // does it, if that needs no waiting; may be nil
	inline  bool
	batch   requestList // submitted since the last Kick
	batched int

	recent [len(opNames)]atomic.Int64 // average duration of an operation, ns
}

func (q *workerQueue) Submit(r *Request) {
	if !q.begin() {
		r.Err = ErrClosed
		q.add(r)
		return
	}
	r.Err, r.moved = nil, 0
	if q.inline && q.try != nil && q.try(r) {
		q.add(r)
		return
	}
	r.queue = q
	q.batch.push(r)
	q.batched++
}

func (q *workerQueue) Kick() {
	for q.inline && !q.batch.empty() && q.expectShort(q.batch.head.Op) {
		r := q.batch.pop()
		q.timed(r)
		q.add(r)
	}
	if !q.batch.empty() {
		q.workers.submit(&q.batch)
	}
	q.batched = 0
	q.deliverHere()
}

// deliverHere gives out what Submit and Kick have finished themselves. A
// submitter that is not inline may hold its own lock, so there a goroutine
// does it; only requests after Close come to that.
func (q *workerQueue) deliverHere() {
	if q.inline {
		q.deliver()
		return
	}
	q.mu.Lock()
	some := len(q.ready) > 0 && !q.delivering
	q.mu.Unlock()
	if some {
		go q.deliver()
	}
}

func (q *workerQueue) expectShort(op Op) bool {
	return int(op) < len(q.recent) && q.recent[op].Load() < int64(shortIO)
}

// timed carries out a request and learns how long such ones take. One in
// eight parts of the average is the newest.
func (q *workerQueue) timed(r *Request) {
	start := time.Now()
	r.Err = q.do(r)
	took := time.Since(start).Nanoseconds()
	if int(r.Op) < len(q.recent) {
		a := &q.recent[r.Op]
		old := a.Load()
		a.Store(old + (took-old)/8)
	}
}

func (q *workerQueue) Drain() {
	q.Kick()
	q.drain()
}

func (q *workerQueue) Close() error {
	if q.close() {
		q.Kick()
	}
	q.drain()
	return nil
}
