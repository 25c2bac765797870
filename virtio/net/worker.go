package net

import (
	"golang.org/x/sys/unix"

	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/virtio/queue"
)

// Limits of a turn, after which the other direction has its turn, and the
// driver sees what has been done.
const (
	turnFrames = 64
	turnBytes  = 256 << 10
)

// worker serves both queues of a pair, one of which may be absent, from one
// goroutine. A frame that is sent is often answered before the call that sends
// it has returned: with a worker for each direction, the answer would wake
// another thread, which costs more than the frame.
type worker struct {
	run  *run
	host hostnet.Queue
	rx   *receiver
	tx   *transmitter

	// What sleep waits for besides the host, by these indexes.
	bells [2]unix.PollFd
}

const (
	rxBell = iota
	txBell
)

// serve moves frames until the run is stopping.
func (w *worker) serve() error {
	if w.rx != nil {
		w.rx.queue.DisableNotify()
		w.rx.look = true
	}
	for !w.run.stopping.Load() {
		more, err := w.turn()
		if err == nil && !more {
			err = w.sleep()
		}
		if err != nil {
			return err // a broken queue takes nothing back
		}
	}
	if w.rx != nil {
		w.rx.giveBack()
	}
	if w.tx != nil {
		w.tx.pause()
	}
	return nil
}

// turn moves some frames each way. It reports whether there may be more.
func (w *worker) turn() (more bool, err error) {
	if w.tx != nil {
		sent := 0
		if sent, more, err = w.tx.turn(); err != nil {
			return false, err
		}
		if sent > 0 && w.rx != nil {
			w.rx.look = true
		}
	}
	if w.rx != nil {
		again, err := w.rx.turn()
		return more || again, err
	}
	return more, nil
}

// sleep waits until there may be something to do.
func (w *worker) sleep() error {
	events, ready := w.waits()
	if ready {
		return nil
	}
	found, err := w.host.Wait(events, w.bells[:])
	if err != nil && events == 0 {
		return err // nothing can wake us
	}
	if w.rx != nil {
		// Who is woken without a reason looks at everything.
		if found&hostnet.ToReceive != 0 || !w.rang(rxBell) && !w.rang(txBell) {
			w.rx.look = true
		}
		if w.rang(rxBell) {
			w.rx.queue.Wait() // takes the ring
		}
		if w.rx.need == needBuffers {
			w.rx.queue.DisableNotify()
		}
	}
	if w.rang(txBell) {
		w.tx.queue.Wait()
		w.tx.rung()
	}
	return nil
}

// waits says what to wait for, and sets bells, unless something is ready.
func (w *worker) waits() (events hostnet.Events, ready bool) {
	w.bells[rxBell].Fd, w.bells[txBell].Fd = -1, -1
	if w.rx != nil {
		switch w.rx.need {
		case needFrame:
			events |= hostnet.ToReceive
		case needBuffers:
			if w.rx.queue.EnableNotify() {
				w.rx.queue.DisableNotify()
				return 0, true
			}
			w.bells[rxBell] = bellOf(w.rx.queue)
		}
	}
	if w.tx != nil {
		// Also when no notification is wanted: it is the timer's bell too.
		w.bells[txBell] = bellOf(w.tx.queue)
		switch {
		case w.tx.full:
			events |= hostnet.ToSend
		case w.tx.idle() && w.tx.queue.EnableNotify():
			w.tx.rung()
			return 0, true
		}
	}
	return events, false
}

// bellOf is what waits for a queue's doorbell.
func bellOf(q *queue.Queue) unix.PollFd {
	return unix.PollFd{Fd: int32(q.Doorbell().FD()), Events: unix.POLLIN}
}

// rang reports whether a doorbell has rung.
func (w *worker) rang(bell int) bool { return w.bells[bell].Revents != 0 }
