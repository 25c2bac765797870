package clock

import (
	"slices"
	"time"
)

// queue holds the armed timers of a clock, the earliest first; timers with the
// same deadline are in the order in which they were armed. A machine has a few
// dozen timers at most, so a sorted slice serves better than a heap.
type queue struct {
	armed  []*entry
	timers int // ever made; armed has room for all, so arming allocates nothing
}

// entry is what the queue knows of a timer.
type entry struct {
	f        func()
	deadline time.Duration
	armed    bool
}

// register makes an entry for f and room to arm it.
func (q *queue) register(f func()) entry {
	q.timers++
	if cap(q.armed) < q.timers {
		q.armed = slices.Grow(q.armed, q.timers)
	}
	return entry{f: f}
}

// set arms e for the given deadline.
func (q *queue) set(e *entry, deadline time.Duration) {
	q.remove(e)
	i := len(q.armed)
	for i > 0 && q.armed[i-1].deadline > deadline {
		i--
	}
	e.deadline, e.armed = deadline, true
	q.armed = slices.Insert(q.armed, i, e)
}

// remove disarms e.
func (q *queue) remove(e *entry) {
	if !e.armed {
		return
	}
	i := slices.Index(q.armed, e)
	q.armed = slices.Delete(q.armed, i, i+1)
	e.armed = false
}

// popDue takes out the earliest timer if its deadline has come, or returns nil.
func (q *queue) popDue(now time.Duration) *entry {
	if len(q.armed) == 0 || q.armed[0].deadline > now {
		return nil
	}
	e := q.armed[0]
	q.remove(e)
	return e
}

// next is the earliest deadline; ok is false when nothing is armed.
func (q *queue) next() (deadline time.Duration, ok bool) {
	if len(q.armed) == 0 {
		return 0, false
	}
	return q.armed[0].deadline, true
}
