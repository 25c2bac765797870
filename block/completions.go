package block

import "sync"

// completions brings the finished requests of one queue to its Completed
// function, one call at a time. Whoever finishes a request while a call is
// running leaves it for the goroutine that makes the call; so requests that
// finish together travel together, without a goroutine of their own.
type completions struct {
	completed func([]*Request)

	mu         sync.Mutex
	quiet      sync.Cond // pending is 0
	ready      []*Request
	spare      []*Request // the other slice, while ready fills up again
	pending    int        // submitted and not yet back from completed
	delivering bool
	closed     bool
}

func newCompletions(f func([]*Request)) *completions {
	c := &completions{completed: f}
	c.quiet.L = &c.mu
	return c
}

// begin counts a request in. It is false after close.
func (c *completions) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending++
	return !c.closed
}

// unfinished is how many requests were submitted and are not done.
func (c *completions) unfinished() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pending - len(c.ready)
}

// add takes a finished request, for the next deliver.
func (c *completions) add(r *Request) {
	c.mu.Lock()
	c.ready = append(c.ready, r)
	c.mu.Unlock()
}

// finish is add and deliver.
func (c *completions) finish(r *Request) {
	c.mu.Lock()
	c.ready = append(c.ready, r)
	c.deliverLocked()
}

// deliver gives what is finished to the queue's owner.
func (c *completions) deliver() {
	c.mu.Lock()
	c.deliverLocked()
}

// deliverLocked is entered with the lock held and leaves it released.
func (c *completions) deliverLocked() {
	if c.delivering {
		c.mu.Unlock()
		return
	}
	c.delivering = true
	for len(c.ready) > 0 {
		batch := c.ready
		c.ready = c.spare[:0]
		c.mu.Unlock()
		c.completed(batch)
		c.mu.Lock()
		c.spare = batch
		c.pending -= len(batch)
		if c.pending == 0 {
			c.quiet.Broadcast()
		}
	}
	c.delivering = false
	c.mu.Unlock()
}

// drain waits until every request has come back from completed.
func (c *completions) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.pending > 0 {
		c.quiet.Wait()
	}
}

// close makes begin false from now on. It is true the first time.
func (c *completions) close() (first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	first = !c.closed
	c.closed = true
	return first
}
