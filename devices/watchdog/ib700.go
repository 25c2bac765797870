package watchdog

import (
	"sync"
	"time"

	"github.com/govmm/govmm/devices/clock"
)

// The ports of the IB700. They are not next to each other.
const (
	IB700StopPort  = 0x441
	IB700StartPort = 0x443
)

// IB700 is the watchdog timer of an IB700 board. Each write to its start port sets
// it anew; what is written to the stop port does not matter. Neither can be read.
//
// Start port:
//
//	 7        4 3         0
//	+----------+-----------+
//	| not used | 15 - n    |   the time is 2n seconds: 0 to 30
//	+----------+-----------+
type IB700 struct {
	clock clock.Clock
	fired func()
	timer clock.Timer

	mu sync.Mutex
	s  IB700State
}

// IB700State is all there is to know about an IB700.
type IB700State struct {
	Running  bool
	Deadline time.Duration // on the clock, while it runs
}

// IB700Options say what an IB700 is connected to.
type IB700Options struct {
	Clock clock.Clock
	// Fired is called when the time is over, on the clock's goroutine. It must not
	// wait.
	Fired func()
}

// NewIB700 returns a watchdog timer that stands still.
func NewIB700(o IB700Options) *IB700 {
	w := &IB700{clock: o.Clock, fired: o.Fired}
	w.timer = o.Clock.NewTimer(w.expire)
	return w
}

// State returns a copy of the state.
func (w *IB700) State() IB700State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.s
}

// Reset stops the timer.
func (w *IB700) Reset() { w.stop() }

// StartPort is the handler of IB700StartPort.
func (w *IB700) StartPort() *IB700Port { return &IB700Port{w.start} }

// StopPort is the handler of IB700StopPort.
func (w *IB700) StopPort() *IB700Port { return &IB700Port{func(uint8) { w.stop() }} }

func (w *IB700) start(value uint8) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seconds := 2 * (15 - time.Duration(value&0xF))
	w.s = IB700State{Running: true, Deadline: w.clock.Now() + seconds*time.Second}
	w.timer.Set(w.s.Deadline)
}

func (w *IB700) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.s = IB700State{}
	w.timer.Stop()
}

// expire is the timer's callback. The guest may have been faster.
func (w *IB700) expire() {
	w.mu.Lock()
	due := w.s.Running && w.clock.Now() >= w.s.Deadline
	if due {
		w.s = IB700State{}
	}
	w.mu.Unlock()
	if due {
		w.fired()
	}
}

// IB700Port is one of the two ports.
type IB700Port struct{ write func(uint8) }

// Read finds nobody that answers.
func (p *IB700Port) Read(_ uint64, data []byte) {
	for i := range data {
		data[i] = 0xFF
	}
}

// Write passes on what is written.
func (p *IB700Port) Write(_ uint64, data []byte) { p.write(data[0]) }
