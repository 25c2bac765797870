package net

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/virtio/queue"
)

// headSize is what is received apart from the driver's buffers, to be looked
// at before the driver can change it: the header, and what the filter wants.
const headSize = hostnet.HeaderSize + filterHead

// calm is how many short frames must follow one another before room for a long
// one is not offered any more.
const calm = 64

// receiver serves a receive queue.
type receiver struct {
	run   *run
	pair  int
	queue *queue.Queue
	host  hostnet.Queue

	mergeable bool // VIRTIO_NET_F_MRG_RXBUF: a frame may take several chains

	// window holds the chains that are popped and empty, in the order of the
	// ring, and room their bytes. Without mergeable buffers there is one at most.
	window []*queue.Chain
	room   int

	// expect is how long the next frame may be, header included. What does not
	// fit in the room offered costs a copy, and much room costs time.
	expect, usual int
	short         int // frames in a row that the usual room would have held

	head [headSize]byte // of the current frame
	vec  [][]byte       // where it goes
}

func newReceiver(r *run, pair int, q *queue.Queue) *receiver {
	x := &receiver{
		run: r, pair: pair, queue: q, host: r.d.backend.Queue(pair),
		mergeable: r.features.Has(FeatureMrgRxbuf), expect: 1,
	}
	if x.mergeable {
		x.usual = hostnet.HeaderSize + 18 + max(r.d.backend.MTU(), 1500)
		x.expect = x.usual
	}
	return x
}

// serve receives until the queue is paused or stopped, or the host end is gone.
func (x *receiver) serve() error {
	if err := x.loop(); err != nil {
		return err // a broken queue takes nothing back
	}
	x.giveBack()
	return nil
}

func (x *receiver) loop() error {
	x.queue.DisableNotify()
	for frames := 0; !x.run.stopping.Load(); {
		seen := x.run.gate.count.Load()
		if !x.run.d.linkUp() || x.pair >= int(x.run.pairs.Load()) {
			x.park(seen)
			continue
		}
		ok, err := x.fill(x.expect)
		if err != nil {
			return err
		}
		if !ok {
			x.queue.Flush()
			if !x.waitBuffers() {
				return nil
			}
			continue
		}
		n, rest, err := x.host.Receive(x.vector())
		if err != nil {
			if !x.idle(err, seen) {
				return nil
			}
			continue
		}
		if err := x.deliver(n, rest); err != nil {
			return err
		}
		if frames++; frames%batch == 0 {
			x.queue.Flush()
		}
	}
	return nil
}

// park waits until something has changed since seen changes.
func (x *receiver) park(seen uint64) {
	x.queue.Flush()
	if !x.run.stopping.Load() {
		x.run.gate.wait(seen)
	}
}

// idle waits until the host may have a frame, after an answer that it has none.
// It returns false when there will never be one.
func (x *receiver) idle(err error, seen uint64) bool {
	x.queue.Flush()
	if errors.Is(err, hostnet.ErrAgain) {
		err = x.host.WaitReceive()
	}
	switch {
	case err == nil:
		return true
	case errors.Is(err, hostnet.ErrDisabled):
		x.park(seen)
		return true
	}
	if d := x.run.d; !x.run.stopping.Load() && d.log.Allow() {
		d.log.Warn("nothing is received any more", "queue", x.queue.Index(), "error", err)
	}
	return false
}

// giveBack leaves the chains that were not used to whoever pops next.
func (x *receiver) giveBack() {
	for i := len(x.window) - 1; i >= 0; i-- {
		x.queue.Unpop(x.window[i])
	}
	clear(x.window)
	x.window, x.room = x.window[:0], 0
	x.queue.Flush()
}

// fill pops chains until there is room for n bytes. It reports whether there is
// any room.
func (x *receiver) fill(n int) (bool, error) {
	for x.room < n {
		c, err := x.queue.Pop()
		if err != nil {
			return false, err
		}
		if c == nil {
			break
		}
		x.window = append(x.window, c)
		x.room += c.Writer().Len()
		switch {
		case c.Reader().Len() > 0:
			return false, fmt.Errorf("virtqueue %d: a receive buffer is device-readable", x.queue.Index())
		case c.Writer().Len() < x.run.header:
			return false, fmt.Errorf("virtqueue %d: a receive buffer of %d bytes cannot hold the header of %d",
				x.queue.Index(), c.Writer().Len(), x.run.header)
		}
	}
	return x.room > 0, nil
}

// waitBuffers waits until the driver rings for new chains. It returns false
// when the queue is not running.
func (x *receiver) waitBuffers() bool {
	ok := x.queue.EnableNotify() || x.queue.Wait()
	x.queue.DisableNotify()
	return ok
}

// vector is where the next frame goes: its head to us, the rest to the window.
func (x *receiver) vector() [][]byte {
	x.vec = append(x.vec[:0], x.head[:])
	skip, offered := headSize, 0
	for _, c := range x.window {
		if offered >= x.expect {
			break
		}
		offered += c.Writer().Len()
		for _, b := range c.Writer().Iovecs() {
			if skip >= len(b) {
				skip -= len(b)
				continue
			}
			x.vec = append(x.vec, b[skip:])
			skip = 0
		}
	}
	return x.vec
}

// adapt follows the length of the frames.
func (x *receiver) adapt(total int) {
	switch {
	case !x.mergeable:
	case total > x.usual:
		x.expect, x.short = hostnet.HeaderSize+hostnet.MaxFrame, 0
	case x.expect > x.usual:
		if x.short++; x.short == calm {
			x.expect, x.short = x.usual, 0
		}
	}
}

// deliver gives the driver a frame, of which n bytes are where vector said. The
// error is the driver's.
func (x *receiver) deliver(n int, rest []byte) error {
	total := n + len(rest)
	x.adapt(total)
	h, refused := x.judge(x.head[:min(n, headSize)], total)
	if refused != nil {
		refused.Add(1)
		return nil
	}
	if x.room < total {
		if ok, err := x.gather(total); !ok {
			return err
		}
	}
	count, room := 0, 0
	for ; room < total; count++ {
		room += x.window[count].Writer().Len()
	}
	h.NumBuffers = uint16(count)
	h.Put(x.head[:x.run.header])
	pos := 0
	for _, c := range x.window[:count] {
		end := min(pos+c.Writer().Len(), total)
		x.place(c.Writer(), pos, end, n, rest)
		x.queue.Push(c, uint32(end-pos))
		pos = end
	}
	x.window = slices.Delete(x.window, 0, count)
	x.room -= room
	return nil
}

// judge looks at a frame's head. It returns the header for the driver, or else
// the counter of what is wrong.
func (x *receiver) judge(head []byte, total int) (hostnet.Header, *atomic.Uint64) {
	counters := &x.run.d.counters
	h, _ := hostnet.ParseHeader(head[:x.run.header])
	switch {
	case !x.run.takes(&h), !x.mergeable && total > x.room:
		return h, &counters.rxErrors
	case !x.run.filter.Load().accept(head[x.run.header:]):
		return h, &counters.rxFiltered
	}
	if !x.run.features.Has(FeatureGuestCSUM) {
		h.Flags = 0
	}
	return h, nil
}

// gather waits until there is room for n bytes. It returns false when that
// takes too long, or the queue is to stop; the frame is lost then.
func (x *receiver) gather(n int) (bool, error) {
	d := x.run.d
	timer, deadline := d.timers[x.pair].rx, d.clock.Now()+rxPatience
	defer timer.Stop()
	for {
		if _, err := x.fill(n); err != nil {
			return false, err
		}
		if x.room >= n {
			return true, nil
		}
		x.queue.Flush()
		timer.Set(deadline)
		if x.run.stopping.Load() || d.clock.Now() >= deadline || !x.waitBuffers() {
			d.counters.rxDropped.Add(1)
			return false, nil
		}
	}
}

// place puts bytes pos to end of a frame into the chain that is for them. Those
// before n that are not of the head are there already.
func (x *receiver) place(w *queue.Writer, pos, end, n int, rest []byte) {
	// No write can fail: end is within the chain.
	if k := min(end, n, headSize); pos < k {
		_, _ = w.Write(x.head[pos:k])
		pos = k
	}
	if k := min(end, n); pos < k {
		_ = w.Skip(k - pos)
		pos = k
	}
	if pos < end {
		_, _ = w.Write(rest[pos-n : end-n])
	}
}
