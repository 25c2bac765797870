package net

import (
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/tests/await"
	"github.com/govmm/govmm/virtio/queue"
)

// fakeHost is a host end that can do everything, in memory: what the device
// sends stays, header included, and what is put in front of it is received.
type fakeHost struct {
	mu       sync.Mutex
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
	refused int             // frames for want of room
	bell    *queue.Doorbell // rings with each change
}

func newFakeHost(t testing.TB, pairs int) *fakeHost {
	f := &fakeHost{enabled: 1, header: hostnet.HeaderSize}
	for i := range pairs {
		bell, err := queue.NewDoorbell()
		must(t, err)
		t.Cleanup(func() { must(t, bell.Close()) })
		f.queues = append(f.queues, &fakeQueue{host: f, index: i, bell: bell})
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
func (f *fakeHost) do(what func())            { f.mu.Lock(); defer f.mu.Unlock(); what() }
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

// change is do with something that the device is to look at.
func (f *fakeHost) change(what func()) {
	f.do(what)
	for _, q := range f.queues {
		q.Wake()
	}
}

// put has the device receive a frame, header included.
func (q *fakeQueue) put(b []byte) {
	q.host.change(func() { q.ready = append(q.ready, slices.Clone(b)) })
}

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

// Wait implements hostnet.Queue by the bell, which may ring for no reason.
func (q *fakeQueue) Wait(events hostnet.Events, others []unix.PollFd) (found hostnet.Events, err error) {
	q.host.do(func() {
		if len(q.ready) > 0 && q.index < q.host.enabled {
			found |= events & hostnet.ToReceive
		}
		if !q.host.full {
			found |= events & hostnet.ToSend
		}
	})
	patience := -1
	if found != 0 {
		patience = 0
	}
	polls := append([]unix.PollFd{{Fd: int32(q.bell.FD()), Events: unix.POLLIN}}, others...)
	if _, err := unix.Poll(polls, patience); err != nil && err != unix.EINTR {
		return 0, err
	}
	if polls[0].Revents != 0 {
		q.bell.Wait()
	}
	copy(others, polls[1:])
	return found, nil
}

func (q *fakeQueue) Wake()   { q.bell.Ring() }
func (q *fakeQueue) FD() int { return -1 }
