package net

import (
	"fmt"
	"testing"

	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/virtio"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// nullHost takes every frame, and has as many to receive as it was given.
type nullHost struct {
	*fakeHost
	queue nullQueue
}

type nullQueue struct {
	*fakeQueue
	frame []byte
	left  int
}

func (h *nullHost) Queue(int) hostnet.Queue { return &h.queue }

func (q *nullQueue) Send([][]byte) error { return nil }

func (q *nullQueue) Receive(buf [][]byte) (n int, rest []byte, err error) {
	if q.left == 0 {
		return 0, nil, hostnet.ErrAgain
	}
	q.left--
	rest = q.frame
	for _, b := range buf {
		k := copy(b, rest)
		n, rest = n+k, rest[k:]
	}
	return n, rest, nil
}

// hotPath is a device whose queues are served by the test's goroutine.
func hotPath(t testing.TB, size int, want virtio.Features) (m *machine, host *nullHost) {
	host = &nullHost{fakeHost: newFakeHost(t, 1)}
	host.queue = nullQueue{fakeQueue: host.queues[0], frame: append(make([]byte, 12), frame(toAll, size, 1)...)}
	m = start(t, Options{Backend: host}, form{Options: queuetest.Options{EventIndex: true}}, want)
	m.dev.active.Load().stopData()
	for _, q := range m.dev.active.Load().queues {
		q.Resume()
	}
	m.dev.active.Load().stopping.Store(false)
	return m, host
}

// supply is a queue's driver, which keeps what it costs apart from the device.
type supply struct {
	q     *queuetest.Driver
	bufs  []queuetest.Buffer // one for each chain
	added int
}

// refill takes back what was used, and makes all chains available again.
func (s *supply) refill() {
	for {
		if _, ok := s.q.Used(); !ok {
			break
		}
		s.added--
	}
	for ; s.added < len(s.bufs); s.added++ {
		s.q.Add(s.bufs[s.added])
	}
	s.q.Publish()
}

// sending and receiving each return a supply of frames or buffers, and what
// moves one frame.
func (m *machine) sending(host *nullHost) (*supply, func()) {
	s := &supply{q: m.tx(0)}
	b := s.q.Readable(host.queue.frame)
	for range dataQueueSize {
		s.bufs = append(s.bufs, b)
	}
	s.refill()
	x := m.dev.active.Load().tx[0]
	return s, func() {
		c, err := x.queue.Pop()
		if c == nil || err != nil {
			panic(fmt.Sprint("no frame: ", err))
		}
		if !x.send(c) {
			panic("no room")
		}
		x.queue.Flush()
	}
}

func (m *machine) receiving(host *nullHost, size uint32) (*supply, func()) {
	s := &supply{q: m.rx(0)}
	for range dataQueueSize {
		s.bufs = append(s.bufs, s.q.Writable(size))
	}
	s.refill()
	x := m.dev.active.Load().rx[0]
	return s, func() {
		host.queue.left = 1
		if n, err := x.next(); n == 0 || err != nil {
			panic(fmt.Sprint("not received: ", err))
		}
		x.queue.Flush()
	}
}

func TestNoAllocations(t *testing.T) {
	for _, size := range []int{64, 65000} {
		m, host := hotPath(t, size, FeatureMrgRxbuf)
		_, send := m.sending(host)
		if n := testing.AllocsPerRun(200, send); n != 0 {
			t.Errorf("%d bytes: %v allocations to send", size, n)
		}
		_, receive := m.receiving(host, 20000)
		for range 5 {
			receive() // as many chains are in use as there will be
		}
		if n := testing.AllocsPerRun(50, receive); n != 0 {
			t.Errorf("%d bytes: %v allocations to receive", size, n)
		}
	}
}

// BenchmarkDevice is the device alone: its host end does nothing, but to copy
// what is received.
func BenchmarkDevice(b *testing.B) {
	for _, size := range []int{64, 65000} {
		m, host := hotPath(b, size, FeatureMrgRxbuf)
		run := func(name string, s *supply, frames int, move func()) {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(size))
				left := 0
				for b.Loop() {
					if left == 0 {
						b.StopTimer()
						s.refill()
						left = frames
						b.StartTimer()
					}
					move()
					left--
				}
			})
		}
		s, send := m.sending(host)
		run("tx", s, 200, send)
		const buffer = 4096
		s, receive := m.receiving(host, buffer)
		run("rx", s, 200/((size+12+buffer-1)/buffer), receive)
	}
}

// BenchmarkPair is a frame's way from one guest's ring into another's, through
// the kernel's socket, with all goroutines and interrupts.
func BenchmarkPair(b *testing.B) {
	for _, size := range []int{64, 65000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			left, right := newPair(b, 1)
			events := form{Options: queuetest.Options{EventIndex: true}}
			from := start(b, Options{Backend: left}, events, 0)
			to := start(b, Options{Backend: right}, events, 0)
			frame := append(make([]byte, 12), frame(toAll, size, 1)...)
			out := from.tx(0).Readable(frame)
			in := make([]queuetest.Buffer, 64)
			for i := range in {
				in[i] = to.rx(0).Writable(70000)
				to.rx(0).Add(in[i])
			}
			to.rx(0).Kick()
			b.ReportAllocs()
			const flight = 16
			sent, received := 0, 0
			for b.Loop() {
				for sent-received < flight {
					from.tx(0).Add(out)
					sent++
				}
				from.tx(0).Kick()
				for range flight / 2 {
					to.rx(0).Wait()
					to.rx(0).Add(in[received%len(in)])
					received++
				}
				to.rx(0).Kick()
				for {
					if _, ok := from.tx(0).Used(); !ok {
						break
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(received), "ns/frame")
			b.SetBytes(int64(size) * flight / 2)
		})
	}
}
