package net

import (
	"slices"
	"sync"
	"testing"

	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/tests/await"
)

// fakeHost is a host end that can do everything, in memory: what the device
// sends stays, header included, and what is put in front of it is received.
type fakeHost struct {
	mu       sync.Mutex
	changed  sync.Cond
	queues   []*fakeQueue
	enabled  int
	header   int
	offloads hostnet.Offload
	full     bool
	down     bool
	onLink   func(bool)
	linkSet  []bool
	pairsErr error
}

type fakeQueue struct {
	host    *fakeHost
	index   int
	sent    [][]byte
	ready   [][]byte
	refused int // frames for want of room
	woken   bool
	wokeT   bool
}

func newFakeHost(pairs int) *fakeHost {
	f := &fakeHost{enabled: 1, header: hostnet.HeaderSize}
	f.changed.L = &f.mu
	for i := range pairs {
		f.queues = append(f.queues, &fakeQueue{host: f, index: i})
	}
	return f
}

const allOffloads = hostnet.Csum | hostnet.TSO4 | hostnet.TSO6 | hostnet.TSOECN | hostnet.UFO | hostnet.USO4 | hostnet.USO6

func (f *fakeHost) Queues() int               { return len(f.queues) }
func (f *fakeHost) Queue(i int) hostnet.Queue { return f.queues[i] }
func (f *fakeHost) Offloads() hostnet.Offload { return allOffloads }
func (f *fakeHost) MTU() int                  { return 1500 }
func (f *fakeHost) Stats() (s hostnet.Stats)  { return s }
func (f *fakeHost) Close() error              { return nil }
func (f *fakeHost) do(change func())          { f.mu.Lock(); change(); f.changed.Broadcast(); f.mu.Unlock() }
func (f *fakeHost) OnLink(onLink func(bool))  { f.do(func() { f.onLink = onLink }) }
func (f *fakeHost) SetLink(up bool) error {
	f.do(func() { f.linkSet = append(f.linkSet, up) })
	return nil
}
func (f *fakeHost) SetHeaderSize(n int) error { f.do(func() { f.header = n }); return nil }
func (f *fakeHost) Link() (up bool)           { f.do(func() { up = !f.down }); return up }
func (f *fakeHost) SetQueues(n int) (err error) {
	f.do(func() {
		if err = f.pairsErr; err == nil {
			f.enabled = n
		}
	})
	return err
}

func (f *fakeHost) SetOffloads(o hostnet.Offload) error {
	f.do(func() { f.offloads = o })
	return nil
}

func (f *fakeHost) state() (header, enabled int, offloads hostnet.Offload) {
	f.do(func() { header, enabled, offloads = f.header, f.enabled, f.offloads })
	return header, enabled, offloads
}

// hostLink changes the host's side of the link.
func (f *fakeHost) hostLink(up bool) {
	var call func(bool)
	f.do(func() { f.down, call = !up, f.onLink })
	call(up)
}

// put has the device receive a frame, header included.
func (q *fakeQueue) put(b []byte) { q.host.do(func() { q.ready = append(q.ready, slices.Clone(b)) }) }

func (q *fakeQueue) waiting() (n int) {
	q.host.do(func() { n = len(q.ready) })
	return n
}

// blocked waits until a frame was refused.
func (q *fakeQueue) blocked(t testing.TB) {
	t.Helper()
	await.That(t, "a frame refused", func() (ok bool) {
		q.host.do(func() { ok, q.refused = q.refused > 0, 0 })
		return ok
	})
}

func (q *fakeQueue) taken() (all [][]byte) {
	q.host.do(func() { all, q.sent = q.sent, nil })
	return all
}

func (q *fakeQueue) Send(frame [][]byte) (err error) {
	q.host.do(func() {
		switch {
		case q.index >= q.host.enabled:
			err = hostnet.ErrDisabled
		case q.host.full:
			err = hostnet.ErrAgain
			q.refused++
		default:
			q.sent = append(q.sent, slices.Concat(frame...))
		}
	})
	return err
}

func (q *fakeQueue) Receive(buf [][]byte) (n int, rest []byte, err error) {
	q.host.do(func() {
		switch {
		case q.index >= q.host.enabled:
			err = hostnet.ErrDisabled
		case len(q.ready) == 0:
			err = hostnet.ErrAgain
		default:
			rest, q.ready = q.ready[0], q.ready[1:]
			for _, b := range buf {
				k := copy(b, rest)
				n, rest = n+k, rest[k:]
			}
		}
	})
	return n, rest, err
}

func (q *fakeQueue) wait(woken *bool, ready func() bool) error {
	f := q.host
	f.mu.Lock()
	defer f.mu.Unlock()
	for !*woken && q.index < f.enabled && !ready() {
		f.changed.Wait()
	}
	*woken = false
	if q.index >= f.enabled {
		return hostnet.ErrDisabled
	}
	return nil
}

func (q *fakeQueue) WaitSend() error {
	return q.wait(&q.wokeT, func() bool { return !q.host.full })
}

func (q *fakeQueue) WaitReceive() error {
	return q.wait(&q.woken, func() bool { return len(q.ready) > 0 })
}

func (q *fakeQueue) Wake()   { q.host.do(func() { q.woken, q.wokeT = true, true }) }
func (q *fakeQueue) FD() int { return -1 }
