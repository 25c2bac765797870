package net

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/govmm/govmm/devices/clock"
	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/virtio/queue"
)

// headSize is what is received apart from the driver's buffers, to be looked
// at before the driver can change it: the header, and what the filter wants.
const headSize = hostnet.HeaderSize + filterHead

// calm is how many short frames must follow one another before room for a long
// one is not offered any more.
const calm = 64

// need is what a receiver waits for.
type need uint8

const (
	needFrame   need = iota
	needBuffers      // from the driver
	needChange       // of the link or the number of pairs
)

// receiver is a worker's side that serves a receive queue.
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

	need need
	look bool // whether there is a frame
	lost bool // the host end, of which the log tells

	head [headSize]byte // of the current frame
	vec  [][]byte       // where it goes
	held held
}

// held is a frame that waits for the driver to give more buffers.
type held struct {
	total    int // bytes, 0 if there is none
	n        int // of these, in place
	rest     []byte
	header   hostnet.Header
	deadline time.Duration // 0 when not waited yet
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

// turn receives frames. It reports whether there may be more that can be
// received now; otherwise need says what is missing.
func (x *receiver) turn() (more bool, err error) {
	if x.need == needFrame && !x.look {
		return false, nil
	}
	x.look = false
	frames, total, bytes := 0, 0, 0 // since the last flush
	for frames < turnFrames && total < turnBytes {
		n, err := x.next()
		if err != nil {
			return false, err
		}
		if n == 0 {
			x.queue.Flush()
			return false, nil
		}
		frames, total, bytes = frames+1, total+n, bytes+n
		if frames%batchFrames == 0 || bytes >= batchBytes {
			x.queue.Flush()
			bytes = 0
		}
	}
	x.look = true
	x.queue.Flush()
	return true, nil
}

// next receives a frame and returns how long it is, 0 when there is none or it
// has to wait. The error is the driver's.
func (x *receiver) next() (int, error) {
	if n := x.held.total; n > 0 {
		ok, err := x.finish()
		if !ok {
			n = 0
		}
		return n, err
	}
	if !x.run.d.linkUp() || x.pair >= int(x.run.pairs.Load()) {
		x.need = needChange
		return 0, nil
	}
	if ok, err := x.fill(x.expect); !ok {
		x.need = needBuffers
		return 0, err
	}
	n, rest, err := x.host.Receive(x.vector())
	if err != nil {
		x.refused(err)
		return 0, nil
	}
	ok, err := x.deliver(n, rest)
	if !ok {
		return 0, err
	}
	return n + len(rest), nil
}

// refused takes the host's answer that there is no frame.
func (x *receiver) refused(err error) {
	x.need = needChange
	switch {
	case errors.Is(err, hostnet.ErrAgain):
		x.need = needFrame
	case errors.Is(err, hostnet.ErrDisabled), x.lost:
	default:
		x.lost = true
		if d := x.run.d; d.log.Allow() {
			d.log.Warn("nothing is received any more", "queue", x.queue.Index(), "error", err)
		}
	}
}

// giveBack leaves the chains that were not used to whoever pops next.
func (x *receiver) giveBack() {
	if x.held.total > 0 {
		x.drop()
	}
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

// deliver gives the driver a frame, of which n bytes are where vector said. It
// returns false when the frame is held. The error is the driver's.
func (x *receiver) deliver(n int, rest []byte) (bool, error) {
	total := n + len(rest)
	x.adapt(total)
	h, refused := x.judge(x.head[:min(n, headSize)], total)
	if refused != nil {
		refused.Add(1)
		return true, nil
	}
	x.held = held{total: total, n: n, rest: rest, header: h}
	return x.finish()
}

// finish gives the driver the frame that is held. It returns false while there
// is no room for it, and drops it when that takes too long.
func (x *receiver) finish() (bool, error) {
	total := x.held.total
	if x.room < total {
		if _, err := x.fill(total); err != nil {
			return false, err
		}
	}
	if x.room < total {
		return x.await(), nil
	}
	if x.held.deadline != 0 {
		x.timer().Stop()
	}
	count, room := 0, 0
	for ; room < total; count++ {
		room += x.window[count].Writer().Len()
	}
	x.held.header.NumBuffers = uint16(count)
	x.held.header.Put(x.head[:x.run.header])
	pos := 0
	for _, c := range x.window[:count] {
		end := min(pos+c.Writer().Len(), total)
		x.place(c.Writer(), pos, end, x.held.n, x.held.rest)
		x.queue.Push(c, uint32(end-pos))
		pos = end
	}
	x.window = slices.Delete(x.window, 0, count)
	x.room -= room
	x.held = held{}
	return true, nil
}

// await has the frame that is held wait for buffers. It returns true when it
// has waited long enough, and is dropped.
func (x *receiver) await() bool {
	x.need = needBuffers
	now := x.run.d.clock.Now()
	switch {
	case x.held.deadline == 0:
		x.held.deadline = now + rxPatience
		x.timer().Set(x.held.deadline)
	case now >= x.held.deadline:
		x.drop()
		return true
	}
	return false
}

// drop gives up the frame that is held.
func (x *receiver) drop() {
	x.timer().Stop()
	x.held = held{}
	x.run.d.counters.rxDropped.Add(1)
}

// timer rings the doorbell when a frame has been held for too long.
func (x *receiver) timer() clock.Timer { return x.run.d.timers[x.pair].rx }

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
