package queue

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// Queue is a running virtqueue.
//
// One goroutine at a time pops, waits and turns notifications on and off. Push,
// Flush, Pause, Resume and Stop may be called from any goroutine.
type Queue struct {
	config Config
	ram    *ram
	bell   *Doorbell
	irq    Interrupter
	phase  atomic.Uint32
	broken *Violation // set before phase becomes dead

	ring  ring
	spare *Chain // the popping goroutine's, for the next chain

	// mu guards the used side of the ring and what follows.
	mu        sync.Mutex
	free      []*Chain
	popped    uint64   // chains so far
	completed uint64   // of these, pushed back
	entries   int      // ring entries of the others
	heads     []bool   // of a split queue: descriptors that are heads of these
	waiting   []*Chain // of an in-order queue: pushed before their turn
}

// What a queue may be doing.
const (
	running uint32 = iota
	paused         // pops nothing; chains may be pushed
	dead           // after a violation
	stopped
)

// ring is one of the two forms of a virtqueue. All of it but pop and unpop is
// called with the queue's mutex held.
type ring interface {
	// pop fills a chain with the next available buffer. It returns false when
	// there is none.
	pop(c *Chain) (bool, *Violation)
	// unpop goes back to before the chain popped last.
	unpop(c *Chain)
	// use writes the chain to the used ring, for the driver to see after
	// publish.
	use(c *Chain, written uint32)
	publish()
	// wantsInterrupt reports whether the driver asked to be told of what was
	// published since the last call.
	wantsInterrupt() bool
	// enableNotify asks the driver to notify, and reports whether something
	// has become available meanwhile, of which it may not.
	enableNotify() bool
	disableNotify()
	save() State
	restore(s State) bool
}

// Size is the number of descriptors.
func (q *Queue) Size() uint16 { return q.config.Size }

// Index is the queue's number in its device.
func (q *Queue) Index() int { return q.config.Index }

// Config is what the queue was started with, for back ends that serve it
// themselves (vhost).
func (q *Queue) Config() Config { return q.config }

// Doorbell is what the driver notifies the queue by.
func (q *Queue) Doorbell() *Doorbell { return q.bell }

// Interrupter is what the queue interrupts the driver by.
func (q *Queue) Interrupter() Interrupter { return q.irq }

// Pop takes the next descriptor chain. It returns nil when there is none, or
// the queue is paused or stopped. An error is of type *Violation, and is
// returned by all further calls: the device needs a reset.
//
// The chain belongs to the caller until Push or Unpop. It allocates nothing
// once as many chains have been in use at a time, and as long ones, as are
// now. Its work is bounded by the queue's size.
func (q *Queue) Pop() (*Chain, error) {
	if phase := q.phase.Load(); phase != running {
		if phase == dead {
			return nil, q.broken
		}
		return nil, nil
	}
	c := q.spare
	c.reset()
	ok, v := q.ring.pop(c)
	if ok {
		ok, v = q.admit(c)
	}
	switch {
	case v != nil:
		return nil, q.fail(v)
	case !ok:
		return nil, nil
	}
	c.attach()
	return c, nil
}

// admit counts a chain in.
func (q *Queue) admit(c *Chain) (bool, *Violation) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.phase.Load() != running {
		q.ring.unpop(c)
		return false, nil
	}
	if q.entries+int(c.entries) > int(q.config.Size) {
		return false, q.violation(c.first, RingOverrun)
	}
	if q.heads != nil {
		if q.heads[c.first] {
			return false, q.violation(c.first, HeadInUse)
		}
		q.heads[c.first] = true
	}
	q.entries += int(c.entries)
	c.sequence = q.popped
	q.popped++
	c.held = true
	if n := len(q.free); n > 0 {
		q.spare, q.free = q.free[n-1], q.free[:n-1]
	} else {
		q.spare = q.newChain()
	}
	return true, nil
}

func (q *Queue) violation(index uint16, rule Rule) *Violation {
	return &Violation{Queue: q.config.Index, Index: index, Rule: rule}
}

// fail makes the queue dead, unless it is stopped already.
func (q *Queue) fail(v *Violation) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.phase.Load() == stopped {
		return nil
	}
	q.broken = v
	q.phase.Store(dead)
	return v
}

// Unpop gives back the chain that was popped last, unused: the next Pop finds
// it again. Several are given back in reverse order. It is for the goroutine
// that pops.
func (q *Queue) Unpop(c *Chain) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.live() {
		return
	}
	if c.sequence != q.popped-1 {
		panic("queue: Unpop of a chain that was not popped last")
	}
	q.ring.unpop(c)
	q.popped--
	q.release(c)
}

// Push returns a chain to the driver: written bytes were written to the front
// of its writer, which must not be more than there are. It may be held back
// until Flush. On a dead or stopped queue, Push does nothing. In a queue with
// VIRTIO_F_IN_ORDER a chain waits for those popped before it. The chain's
// writable pages are marked dirty (memory.MarkDirty) by this call, not before.
func (q *Queue) Push(c *Chain, written uint32) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.live() {
		return
	}
	c.written = uint32(min(uint64(written), c.writable))
	for _, b := range c.bufs[c.readers:] {
		q.ram.markDirty(b)
	}
	if q.waiting == nil {
		q.ring.use(c, c.written)
		q.release(c)
		q.completed++
		return
	}
	size := uint64(q.config.Size)
	q.waiting[c.sequence%size] = c
	for next := q.waiting[q.completed%size]; next != nil; next = q.waiting[q.completed%size] {
		q.waiting[q.completed%size] = nil
		q.ring.use(next, next.written)
		q.release(next)
		q.completed++
	}
}

// live reports whether chains may still be given back.
func (q *Queue) live() bool {
	phase := q.phase.Load()
	return phase == running || phase == paused
}

// release puts a chain back into the pool.
func (q *Queue) release(c *Chain) {
	if !c.held {
		panic("queue: a chain was given back twice")
	}
	c.held = false
	q.entries -= int(c.entries)
	if q.heads != nil {
		q.heads[c.first] = false
	}
	q.free = append(q.free, c)
}

// Flush shows the driver all chains that were pushed, and interrupts it if it
// wants that. On a dead or stopped queue it does nothing.
func (q *Queue) Flush() {
	q.mu.Lock()
	interrupt := false
	if q.live() {
		q.ring.publish()
		interrupt = q.ring.wantsInterrupt()
	}
	q.mu.Unlock()
	if interrupt {
		q.irq.Interrupt()
	}
}

// EnableNotify asks the driver to ring the doorbell for the next buffer. It
// returns true when there is one already, which the doorbell may not tell of:
// then Pop again before Wait.
func (q *Queue) EnableNotify() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.phase.Load() == running && q.ring.enableNotify()
}

// DisableNotify tells the driver that the doorbell is not needed for now. It
// may ring all the same.
func (q *Queue) DisableNotify() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.phase.Load() == running {
		q.ring.disableNotify()
	}
}

// Running reports whether the queue is neither paused nor stopped nor dead.
func (q *Queue) Running() bool { return q.phase.Load() == running }

// Wait blocks until the doorbell has rung since the last call, and returns
// false when the queue is not running, or its doorbell is closed. It may return
// true for no reason.
func (q *Queue) Wait() bool {
	return q.phase.Load() == running && q.bell.Wait() && q.phase.Load() == running
}

// Pause makes Wait return false and Pop find nothing, until Resume. Chains
// that were popped can still be pushed.
func (q *Queue) Pause() {
	q.mu.Lock()
	q.phase.CompareAndSwap(running, paused)
	q.mu.Unlock()
	q.bell.Ring()
}

// Resume lets a paused queue run again. Buffers may be available then, of which
// the doorbell does not tell.
func (q *Queue) Resume() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.phase.CompareAndSwap(paused, running)
}

// Stop ends the queue for good. When it returns, Push, Flush and notification
// do not touch guest memory any more. A Pop that runs at the same time may
// still return a chain; the caller waits for its goroutines, and for I/O to the
// memory of chains.
func (q *Queue) Stop() {
	q.mu.Lock()
	q.phase.Store(stopped)
	q.mu.Unlock()
	q.bell.Ring()
}

// InFlight is how many chains are popped and not pushed yet.
func (q *Queue) InFlight() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return int(q.popped - q.completed)
}

// State is where a queue stands in its rings. It is saved when the queue is
// paused and nothing is in flight.
type State struct {
	// NextAvail is the next available index (split: counted modulo 2^16) or
	// ring position (packed), and NextUsed the same for used buffers.
	NextAvail, NextUsed uint16
	// AvailWrap and UsedWrap are the wrap counters of a packed queue.
	AvailWrap, UsedWrap bool
}

// State returns the queue's state, after showing the driver all that was
// pushed. It is an error to ask while chains are in flight.
func (q *Queue) State() (State, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n := q.popped - q.completed; n != 0 {
		return State{}, fmt.Errorf("virtqueue %d: %d chains are in flight", q.config.Index, n)
	}
	if q.live() {
		q.ring.publish()
	}
	return q.ring.save(), nil
}

// Restore continues where a saved queue stood. It is called before anything
// else.
func (q *Queue) Restore(s State) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.ring.restore(s) {
		return q.violation(0, StateInvalid)
	}
	return nil
}
