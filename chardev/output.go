package chardev

import (
	"errors"
	"sync"
	"time"
)

const (
	// chunkSize is the most one write to the host carries.
	chunkSize = 16 << 10

	// gatherTime is how long bytes are collected after a write before the next
	// one. It bounds the wake-ups a stream of single bytes costs to 2000 a
	// second, and the delay of a byte that follows another.
	gatherTime = 500 * time.Microsecond

	// retryTime is the pause after a write that found nobody to write to.
	retryTime = 20 * time.Millisecond

	// gatherLimit is how many pending bytes end the gathering early.
	gatherLimit = BufferSize / 2

	// never is a value of wakeAt that no amount of pending bytes reaches.
	never = BufferSize + 1
)

// errNoLink is returned by a sink when nobody is at the other end just now. The
// bytes are kept.
var errNoLink = errors.New("nobody is connected")

// sink is where an output's bytes go. Write may block; after interrupt, a
// blocked Write and every later one return soon; interrupt reports whether the
// sink can do that.
type sink interface {
	Write(p []byte) (int, error)
	interrupt() bool
}

// overflow is what happens to output when the buffer is full.
type overflow uint8

const (
	// blockWhenFull accepts less: back pressure on the guest.
	blockWhenFull overflow = iota
	// dropUnread does so while somebody takes the bytes, and makes room and
	// counts what was lost while nobody does.
	dropUnread
)

// output is a bounded buffer and the goroutine that empties it into a sink.
type output struct {
	sink     sink
	overflow overflow
	onSpace  func()      // called when a short write may go on
	onError  func(error) // called for each failed write

	// patience is how long a short write waits for a sink that takes nothing;
	// 0 is for ever. onStall is then called, and output dropped until the sink
	// takes something.
	patience time.Duration
	onStall  func()

	mu      sync.Mutex
	ring    [BufferSize]byte
	head    uint64 // count of bytes ever taken out of the ring
	tail    uint64 // count of bytes ever put in
	wakeAt  int    // pending bytes at which write wakes the goroutine
	linked  bool   // somebody is at the other end of the sink
	unread  bool   // whoever is there takes nothing
	short   bool   // a write was cut short since the last onSpace
	closing bool   // no more is accepted; end when empty
	aborted bool   // end now
	stats   Stats

	stall      *time.Timer // fires when patience may be at its end
	watching   bool        // stall is set
	progressAt time.Time   // when the sink took something, or waiting began

	wake  chan struct{} // capacity 1
	ended chan struct{} // closed when the goroutine has returned
}

// outputOptions are what an output is made of; see the fields of output.
type outputOptions struct {
	sink     sink
	overflow overflow
	linked   bool // from the beginning
	patience time.Duration
	onSpace  func()
	onError  func(error)
	onStall  func()
}

// newOutput starts an output.
func newOutput(opts outputOptions) *output {
	o := &output{
		sink:     opts.sink,
		overflow: opts.overflow,
		onSpace:  opts.onSpace,
		onError:  opts.onError,
		patience: opts.patience,
		onStall:  opts.onStall,
		wakeAt:   never,
		linked:   opts.linked,
		wake:     make(chan struct{}, 1),
		ended:    make(chan struct{}),
	}
	o.stall = time.AfterFunc(time.Hour, o.stalled)
	o.stall.Stop()
	go o.run()
	return o
}

// reserve returns how many of n bytes write would accept now.
func (o *output) reserve(n int) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.accept(n)
}

// accept is reserve with the lock held.
func (o *output) accept(n int) int {
	if o.drops() || o.closing {
		return n
	}
	if room := BufferSize - o.pending(); n > room {
		o.short = true
		o.watchStall()
		return room
	}
	return n
}

// drops reports whether a full ring makes room; the lock is held.
func (o *output) drops() bool { return o.overflow == dropUnread && (!o.linked || o.unread) }

// pending is the number of bytes in the ring; the lock is held.
func (o *output) pending() int { return int(o.tail - o.head) }

// write puts bytes into the ring and returns how many fitted. It wakes the
// goroutine only when that waits for as many as there are now.
func (o *output) write(p []byte) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.accept(len(p))
	o.add(p[:n])
	return n
}

// put is write of what was reserved. All is accepted, also when somebody has
// come meanwhile who takes the bytes: then as much of the oldest is dropped.
func (o *output) put(p []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.add(p)
}

// add puts bytes into the ring, with the lock held.
func (o *output) add(p []byte) {
	if o.closing {
		o.stats.Dropped += uint64(len(p))
		return
	}
	for rest := p; len(rest) > 0; {
		at := int(o.tail % BufferSize)
		c := copy(o.ring[at:], rest)
		o.tail += uint64(c)
		rest = rest[c:]
		if excess := o.pending() - BufferSize; excess > 0 {
			o.head += uint64(excess)
			o.stats.Dropped += uint64(excess)
		}
	}
	if o.pending() >= o.wakeAt {
		o.wakeAt = never
		o.signal()
	}
}

// signal wakes the goroutine, or makes its next wait return at once.
func (o *output) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// setLink says whether somebody is at the other end of the sink. While nobody
// is, bytes stay in the ring. It reports whether a short write may go on now, of
// which the caller tells the front end.
func (o *output) setLink(up bool) (space bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.linked, o.unread = up, false
	o.signal()
	return o.spaceIf(o.drops())
}

// spaceIf reports whether a short write is to be told that it may go on, given
// that there is room; the lock is held.
func (o *output) spaceIf(room bool) bool {
	if !room || !o.short || o.closing {
		return false
	}
	o.short = false
	return true
}

// watchStall begins to wait for the sink to take something, with the lock held.
func (o *output) watchStall() {
	if o.patience > 0 && !o.watching {
		o.watching = true
		o.progressAt = time.Now()
		o.stall.Reset(o.patience)
	}
}

// stalled is called by the timer. Where the sink has taken something meanwhile,
// it waits on, but only for as long as a short write does.
func (o *output) stalled() {
	o.mu.Lock()
	o.watching = false
	if !o.short || o.closing {
		o.mu.Unlock()
		return
	}
	if left := o.patience - time.Since(o.progressAt); left > 0 {
		o.watching = true
		o.stall.Reset(left)
		o.mu.Unlock()
		return
	}
	o.unread = true
	space := o.spaceIf(o.drops())
	o.mu.Unlock()
	if space {
		o.onStall()
		o.onSpace()
	}
}

// finish accepts no more and lets the goroutine end when the ring is empty, or
// at once when nobody is there to take it.
func (o *output) finish() {
	o.mu.Lock()
	o.closing = true
	o.stall.Stop()
	o.mu.Unlock()
	o.signal()
}

// abort ends the goroutine with the ring as it is.
func (o *output) abort() {
	o.mu.Lock()
	o.closing, o.aborted = true, true
	o.stall.Stop()
	o.mu.Unlock()
	o.signal()
	o.sink.interrupt()
}

// left returns how many bytes never reached the sink, and counts them as
// dropped.
func (o *output) left() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := o.pending()
	o.head = o.tail
	o.stats.Dropped += uint64(n)
	return n
}

func (o *output) counts() Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.stats
}

// run empties the ring into the sink until finish or abort.
func (o *output) run() {
	defer close(o.ended)
	chunk := make([]byte, chunkSize)
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	for {
		at, n := o.next(chunk)
		if n == 0 {
			return
		}
		written, err := o.sink.Write(chunk[:n])
		o.commit(at, n, written, err)
		if errors.Is(err, errNoLink) {
			o.pause(timer, retryTime, never)
		} else {
			o.pause(timer, gatherTime, gatherLimit)
		}
	}
}

// next waits for bytes, copies the oldest to chunk and returns their position
// and number; 0 when there will be no more. They stay in the ring until commit,
// because the host may take fewer.
func (o *output) next(chunk []byte) (at uint64, n int) {
	for {
		o.mu.Lock()
		switch {
		case o.aborted, o.closing && (!o.linked || o.pending() == 0):
			o.mu.Unlock()
			return 0, 0
		case o.linked && o.pending() > 0:
			from := int(o.head % BufferSize)
			n = copy(chunk[:min(len(chunk), o.pending())], o.ring[from:])
			at = o.head
			o.mu.Unlock()
			return at, n
		case o.linked:
			o.wakeAt = 1
		default:
			o.wakeAt = never
		}
		o.mu.Unlock()
		<-o.wake
	}
}

// commit records that the first written of the n bytes at position at have
// reached the host. With an error other than errNoLink the others are given
// up: a full disk must not stop the machine.
func (o *output) commit(at uint64, n, written int, err error) {
	gone := errors.Is(err, errNoLink)
	failed := err != nil && !gone
	o.mu.Lock()
	o.wakeAt = never
	o.stats.Out += uint64(written)
	switch {
	case gone && o.closing:
		o.linked = false // nobody says so any more
	case gone:
		o.unread = true
	case written > 0:
		o.unread = false
		if o.watching {
			o.progressAt = time.Now()
		}
	}
	// Bytes that were dropped to make room while they were on their way to the
	// host have not been lost after all.
	end := at + uint64(written)
	o.stats.Dropped -= min(o.head, end) - at
	if failed && !o.aborted {
		o.stats.Errors++
		kept := max(o.head, end)
		end = at + uint64(n)
		if kept < end {
			o.stats.Dropped += end - kept
		}
	} else {
		failed = false // an interrupted write is no news
	}
	o.head = max(o.head, end)
	space := o.spaceIf(o.pending() < BufferSize || o.drops())
	o.mu.Unlock()

	if failed {
		o.onError(err)
	}
	if space {
		o.onSpace()
	}
}

// pause lets d pass, or less when limit bytes are pending or the output is
// being closed.
func (o *output) pause(timer *time.Timer, d time.Duration, limit int) {
	o.mu.Lock()
	skip := o.closing && limit != never || o.aborted || o.pending() >= limit
	if !skip {
		o.wakeAt = limit
	}
	o.mu.Unlock()
	if skip {
		return
	}
	timer.Reset(d)
	select {
	case <-o.wake:
		timer.Stop()
	case <-timer.C:
	}
}
