package net

import (
	"time"

	"github.com/govmm/govmm/devices/clock"
)

// TxDelay is how long after the driver's notification frames are sent with
// Options.TxTimer. It is QEMU's figure.
const TxDelay = 150 * time.Microsecond

// rxPatience is how long a frame may wait for the driver to give the buffers
// that it still needs. The driver may never give as many.
const rxPatience = time.Second

// pairTimers are the timers of a queue pair. A clock keeps room for each timer
// that was ever made, so they are made once and not by each Activate.
type pairTimers struct {
	rx clock.Timer // rings the doorbell of the receive queue
	tx txTimer
}

func (p *pairTimers) init(d *Device, pair int) {
	p.rx = d.clock.NewTimer(func() {
		r := d.active.Load()
		if r != nil && pair < len(r.rx) && r.rx[pair] != nil {
			r.rx[pair].queue.Doorbell().Ring()
		}
	})
	p.tx.clock, p.tx.due = d.clock, make(chan struct{}, 1)
	p.tx.timer = d.clock.NewTimer(p.tx.fire)
}

// txTimer delays the sending of a transmit queue.
type txTimer struct {
	clock clock.Clock
	timer clock.Timer
	due   chan struct{}
}

// fire ends a delay, or the next one.
func (t *txTimer) fire() {
	select {
	case t.due <- struct{}{}:
	default:
	}
}

// clear takes back a fire that nobody has waited for.
func (t *txTimer) clear() {
	select {
	case <-t.due:
	default:
	}
}

// delay waits for TxDelay, or fire.
func (t *txTimer) delay() {
	t.timer.Set(t.clock.Now() + TxDelay)
	<-t.due
	t.timer.Stop()
}

// serveDelayed is serve in batches. While one gathers, the driver need not
// notify.
func (t *transmitter) serveDelayed() error {
	t.timer.clear()
	for {
		if !t.queue.EnableNotify() && !t.queue.Wait() || t.run.stopping.Load() {
			return nil
		}
		t.queue.DisableNotify()
		t.timer.delay()
		if err := t.drain(); err != nil {
			return err
		}
	}
}

// drain sends all there is.
func (t *transmitter) drain() error {
	defer t.queue.Flush()
	for n := 1; ; n++ {
		c, err := t.queue.Pop()
		if c == nil {
			return err
		}
		if err := t.send(c); err != nil {
			return err
		}
		if n%batch == 0 {
			t.queue.Flush()
		}
	}
}
