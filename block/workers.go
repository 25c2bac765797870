package block

import (
	"errors"
	"sync"
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
		r.Err = q.do(r)
		q.inliner.returns(r)
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

// newQueue is NewQueue for a disk of which some requests are done inline, if it
// is not nil.
func (w *Workers) newQueue(do func(*Request) error, inline inlineDisk, o QueueOptions) (*workerQueue, error) {
	if o.Completed == nil {
		return nil, errNoCompleted
	}
	return &workerQueue{
		completions: newCompletions(o.Completed),
		workers:     w, do: do, inline: o.Inline, inliner: inliner{disk: inline},
	}, nil
}

// workerQueue is one submitter's queue in a set of workers.
type workerQueue struct {
	*completions
	workers *Workers
	do      func(*Request) error
	inline  bool
	inliner inliner
	batch   requestList // submitted since the last Kick
	batched int
}

func (q *workerQueue) Submit(r *Request) {
	if !q.begin() {
		r.Err = ErrClosed
		q.add(r)
		return
	}
	r.Err, r.moved, r.handed = nil, 0, time.Time{}
	if q.inliner.submit(r) {
		q.add(r)
		return
	}
	r.queue = q
	q.batch.push(r)
	q.batched++
}

func (q *workerQueue) Kick() {
	q.kickInline()
	if !q.batch.empty() {
		q.workers.submit(&q.batch)
	}
	q.batched = 0
	q.deliverHere()
}

// kickInline does a batch of one if nothing else is in flight, and otherwise
// measures how long the first of a batch takes.
func (q *workerQueue) kickInline() {
	if q.batched == 0 || q.unfinished() > q.batched {
		return
	}
	if q.batched == 1 && q.inliner.kick(q.batch.head) {
		q.add(q.batch.pop())
		return
	}
	q.inliner.leaves(q.batch.head)
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
