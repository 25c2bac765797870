// Package blocktest helps to test what uses disks: a disk in memory, and a
// wrapper around any disk that fails or holds back chosen requests.
package blocktest

import (
	"math"
	"sync"

	"github.com/govmm/govmm/block"
)

// Any matches every operation in a Rule.
const Any = block.Op(math.MaxUint8)

// Rule chooses requests and says what becomes of them.
type Rule struct {
	// Op is the operation, or Any.
	Op block.Op
	// From and To bound the bytes of the disk [From, To) of which a request
	// must touch at least one. To 0 is the end of the disk. A Flush is
	// everywhere.
	From, To int64
	// Err fails the request, wrapped in a block.RequestError. Nil does not.
	Err error
	// Hold, when not nil, keeps the request until something can be received,
	// as from a closed channel. It comes before Err.
	Hold <-chan struct{}
	// Times is for how many requests the rule holds, 0 for all.
	Times int
}

func (u *Rule) matches(r *block.Request) bool {
	if u.Op != Any && u.Op != r.Op {
		return false
	}
	to := u.To
	if to == 0 {
		to = math.MaxInt64
	}
	return r.Op == block.Flush || r.Offset < to && r.Bytes() > u.From-r.Offset
}

// Faulty is a disk that does not always work.
type Faulty struct {
	block.Backend
	workers *block.Workers

	mu       sync.Mutex
	rules    []*Rule
	counts   map[block.Op]int
	held     int
	holding  sync.Cond // held has changed
	queues   []block.Queue
	closeErr error
	once     sync.Once
}

var _ block.Backend = (*Faulty)(nil)

// NewFaulty wraps a disk, which it closes when it is closed.
func NewFaulty(b block.Backend) *Faulty {
	f := &Faulty{Backend: b, workers: block.NewWorkers(block.MaxThreads), counts: make(map[block.Op]int)}
	f.holding.L = &f.mu
	return f
}

// Add adds a rule. The first one that matches decides.
func (f *Faulty) Add(u Rule) {
	f.mu.Lock()
	f.rules = append(f.rules, &u)
	f.mu.Unlock()
}

// Clear removes all rules. Requests that are held stay so.
func (f *Faulty) Clear() {
	f.mu.Lock()
	f.rules = nil
	f.mu.Unlock()
}

// Count is how many requests of an operation have come.
func (f *Faulty) Count(op block.Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[op]
}

// WaitHeld waits until n requests are held.
func (f *Faulty) WaitHeld(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.held < n {
		f.holding.Wait()
	}
}

// Do implements [block.Backend].
func (f *Faulty) Do(r *block.Request) error {
	u := f.decide(r)
	if u.Hold != nil {
		f.hold(u.Hold)
	}
	if u.Err != nil {
		r.Err = &block.RequestError{Path: "blocktest", Op: r.Op, Offset: r.Offset, Length: r.Bytes(), Err: u.Err}
		return r.Err
	}
	return f.Backend.Do(r)
}

// decide finds the rule for a request and counts both.
func (f *Faulty) decide(r *block.Request) Rule {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[r.Op]++
	for i, u := range f.rules {
		if !u.matches(r) {
			continue
		}
		if u.Times > 0 {
			if u.Times--; u.Times == 0 {
				f.rules = append(f.rules[:i:i], f.rules[i+1:]...)
			}
		}
		return *u
	}
	return Rule{}
}

func (f *Faulty) hold(until <-chan struct{}) {
	f.mu.Lock()
	f.held++
	f.holding.Broadcast()
	f.mu.Unlock()
	<-until
	f.mu.Lock()
	f.held--
	f.holding.Broadcast()
	f.mu.Unlock()
}

// NewQueue implements [block.Backend]. Nothing is done inline, so that a
// request that is held holds nobody else.
func (f *Faulty) NewQueue(o block.QueueOptions) (block.Queue, error) {
	q, err := f.workers.NewQueue(f.Do, o)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.queues = append(f.queues, q)
	f.mu.Unlock()
	return q, nil
}

// Close implements [block.Backend]. What is held must have been let go.
func (f *Faulty) Close() error {
	f.once.Do(func() {
		f.closeErr = closeAll(&f.mu, &f.queues, f.workers)
		if err := f.Backend.Close(); err != nil {
			f.closeErr = err
		}
	})
	return f.closeErr
}

// closeAll closes queues and their workers.
func closeAll(mu *sync.Mutex, queues *[]block.Queue, w *block.Workers) error {
	mu.Lock()
	all := *queues
	*queues = nil
	mu.Unlock()
	var first error
	for _, q := range all {
		if err := q.Close(); err != nil && first == nil {
			first = err
		}
	}
	w.Close()
	return first
}
