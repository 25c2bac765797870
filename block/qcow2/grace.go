package qcow2

import (
	"sync"
	"sync/atomic"
)

// grace tells when every request has ended that was there at a moment. Requests
// enter and leave without a lock.
type grace struct {
	now   atomic.Uint32 // the low bit says which of count those count in who enter
	count [2]atomic.Int64

	mu    sync.Mutex
	empty sync.Cond // one of count has become 0
}

// enter begins a request. What it returns is for leave.
func (g *grace) enter() uint32 {
	for {
		i := g.now.Load() & 1
		g.count[i].Add(1)
		if g.now.Load()&1 == i {
			return i
		}
		// The side changed in between, so whoever changed it may have missed us.
		g.leave(i)
	}
}

func (g *grace) leave(i uint32) {
	if g.count[i].Add(-1) == 0 && g.now.Load()&1 != i {
		g.mu.Lock()
		g.empty.Broadcast()
		g.mu.Unlock()
	}
}

// wait returns when all who entered before have left. One goroutine waits at a
// time.
func (g *grace) wait() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.empty.L = &g.mu
	old := (g.now.Add(1) - 1) & 1
	for g.count[old].Load() != 0 {
		g.empty.Wait()
	}
}
