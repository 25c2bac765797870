package vmm

import (
	"sync"
	"sync/atomic"
)

// gate stops all vCPUs of a machine between two guest instructions, and lets
// them go on. A vCPU asks closed before each entry into the guest, which costs
// one load, and calls pass when it says so.
//
// Closing is two steps: shut can be called by a vCPU itself, inside a device's
// write handler, and returns at once; drain waits until every vCPU is parked.
type gate struct {
	shutFlag atomic.Bool

	mu     sync.Mutex
	cond   *sync.Cond
	quit   bool
	inside int // vCPUs that run guest code, or are about to
	kick   func()
}

// newGate makes an open gate for n vCPUs. kick must make every vCPU that runs
// guest code leave it soon; it may be called at any time and more than once.
func newGate(n int, kick func()) *gate {
	g := &gate{inside: n, kick: kick}
	g.cond = sync.NewCond(&g.mu)
	return g
}

// closed reports whether a vCPU must call pass before it goes on.
func (g *gate) closed() bool { return g.shutFlag.Load() }

// shut asks all vCPUs to stop. It does not wait.
func (g *gate) shut() {
	if !g.shutFlag.Swap(true) {
		g.kick()
	}
}

// drain waits until no vCPU is inside. The gate must have been shut.
func (g *gate) drain() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.inside > 0 {
		g.cond.Wait()
	}
}

// open lets the parked vCPUs go on.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shutFlag.Store(false)
	g.cond.Broadcast()
}

// end makes pass answer false from now on, for all vCPUs.
func (g *gate) end() {
	g.shut()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.quit = true
	g.cond.Broadcast()
}

// pass parks the calling vCPU for as long as the gate is closed. It reports
// whether the vCPU shall go on; false means its thread must end.
func (g *gate) pass() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	g.cond.Broadcast()
	for g.shutFlag.Load() && !g.quit {
		g.cond.Wait()
	}
	if g.quit {
		return false
	}
	g.inside++
	return true
}

// leave is pass for a vCPU that will not come back.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	g.cond.Broadcast()
}
