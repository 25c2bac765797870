package net

import (
	"sync/atomic"
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
	p.tx.clock = d.clock
	p.tx.timer = d.clock.NewTimer(func() {
		p.tx.due.Store(true)
		r := d.active.Load()
		if r != nil && pair < len(r.tx) && r.tx[pair] != nil {
			r.tx[pair].queue.Doorbell().Ring()
		}
	})
}

// txTimer delays the sending of a transmit queue.
type txTimer struct {
	clock clock.Clock
	timer clock.Timer // rings the doorbell
	due   atomic.Bool
}

// txPhase is what a transmitter with a timer does.
type txPhase uint8

const (
	txQuiet     txPhase = iota // waits for the driver to notify
	txGathering                // waits for the timer
	txSending                  // until there is nothing left
)

// rung follows a ring of the doorbell. While the transmitter is busy, the driver
// need not notify.
func (t *transmitter) rung() {
	t.queue.DisableNotify()
	if t.timer != nil && t.phase == txQuiet {
		t.phase = txGathering
		t.timer.due.Store(false)
		t.timer.timer.Set(t.timer.clock.Now() + TxDelay)
	}
}

// idle reports whether the driver should notify.
func (t *transmitter) idle() bool { return t.timer == nil || t.phase == txQuiet }

// open reports whether it is time to send.
func (t *transmitter) open() bool {
	if t.phase == txGathering && t.timer.due.Load() {
		t.phase = txSending
	}
	return t.phase == txSending
}

// pause ends the wait for the timer.
func (t *transmitter) pause() {
	if t.timer != nil {
		t.timer.timer.Stop()
		t.phase = txQuiet
	}
}
