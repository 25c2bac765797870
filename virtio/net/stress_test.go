package net

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	hostnet "github.com/govmm/govmm/net"
	"github.com/govmm/govmm/tests/await"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// stressFrames is how many frames go each way in TestStress. More come by
// -count.
const stressFrames = 50_000

// TestStress has a driver send and receive as it likes, a peer that sends every
// frame back, and a host that pauses the machine now and then. Nothing gets
// lost, and whoever is notified only when it asked for that, as the rings
// have it, never waits in vain.
func TestStress(t *testing.T) {
	for name, f := range forms {
		t.Run(name, func(t *testing.T) {
			device, peer := newPair(t, 1)
			m := start(t, Options{Backend: device, Packed: true}, f, FeatureMrgRxbuf)
			seed := rand.Uint64()
			t.Logf("seed %#x", seed)
			s := &stress{m: m, peer: peer.Queue(0), frames: stressFrames, stop: make(chan struct{}), pause: make(chan struct{}, 1)}
			var work, aside sync.WaitGroup
			errs := make(chan error, 3)
			aside.Go(func() { errs <- s.echo() })
			aside.Go(s.pauses)
			for i, f := range []func(*side) error{s.send, s.receive} {
				x := &side{q: m.queues[1-i], rng: rand.New(rand.NewPCG(seed, uint64(i)))}
				work.Go(func() { errs <- f(x) })
			}
			work.Wait()
			close(s.stop)
			s.peer.Wake()
			aside.Wait()
			for range 3 {
				if err := <-errs; err != nil {
					t.Error(err)
				}
			}
			if m.why() != nil {
				t.Error(m.why())
			}
		})
	}
}

// TestStressOneWay only sends, and often waits until all is sent: nothing but
// the driver's own notification wakes the device.
func TestStressOneWay(t *testing.T) {
	for name, f := range forms {
		t.Run(name, func(t *testing.T) {
			m := start(t, Options{Backend: newFakeHost(t, 1), Packed: true}, f, FeatureMrgRxbuf)
			s := &stress{m: m, frames: stressFrames}
			must(t, s.send(&side{q: m.tx(0), rng: rand.New(rand.NewPCG(rand.Uint64(), 0))}))
		})
	}
}

// stress is a run of TestStress.
type stress struct {
	m      *machine
	peer   hostnet.Queue
	frames int
	stop   chan struct{} // closed when all frames are there
	pause  chan struct{} // asks for a pause
}

func (s *stress) stopped() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// echo is the peer.
func (s *stress) echo() error {
	buf := make([]byte, hostnet.HeaderSize+4096)
	for !s.stopped() {
		n, _, err := s.peer.Receive([][]byte{buf})
		event := hostnet.ToReceive
		if err == nil {
			event = hostnet.ToSend
			err = s.peer.Send([][]byte{buf[:n]})
		}
		for errors.Is(err, hostnet.ErrAgain) && !s.stopped() {
			if _, err = s.peer.Wait(event, nil); err == nil && event == hostnet.ToSend {
				err = s.peer.Send([][]byte{buf[:n]})
			}
		}
		if err != nil && !s.stopped() {
			return fmt.Errorf("the peer: %w", err)
		}
	}
	return nil
}

// pauses stops and continues the device each time that it is asked to.
func (s *stress) pauses() {
	for {
		select {
		case <-s.pause:
			s.m.dev.Pause()
			s.m.dev.Resume()
		case <-s.stop:
			return
		}
	}
}

// side is a driver's half of a queue pair.
type side struct {
	q    *queuetest.Driver
	rng  *rand.Rand
	bufs []queuetest.Buffer // that the device does not have
	held map[uint16]queuetest.Buffer
}

// own gives the driver buffers.
func (x *side) own(n int, size uint32) {
	x.held = map[uint16]queuetest.Buffer{}
	for range n {
		x.bufs = append(x.bufs, x.q.Writable(size))
	}
}

// some is a number from 1 to 64, small ones being likelier.
func (x *side) some() int { return 1 + x.rng.IntN(1<<x.rng.IntN(7)) }

// give makes a buffer available.
func (x *side) give(b queuetest.Buffer) error {
	id, ok := x.q.TryAdd(false, b)
	if !ok {
		return errors.New("the ring is full")
	}
	x.held[id] = b
	x.bufs = x.bufs[:len(x.bufs)-1]
	return nil
}

// take takes back a buffer. It returns false when there is none and wait is
// false, and otherwise waits for an interrupt.
func (x *side) take(wait bool) (buf queuetest.Buffer, n uint32, ok bool, err error) {
	late := time.NewTimer(await.Patience)
	defer late.Stop()
	for {
		if wait {
			x.q.EnableInterrupts()
		}
		if u, ok := x.q.Used(); ok {
			b, known := x.held[u.ID]
			if !known {
				return b, 0, false, fmt.Errorf("buffer %d was used, which the device does not have", u.ID)
			}
			delete(x.held, u.ID)
			x.bufs = append(x.bufs, b)
			return b, u.Len, true, nil
		}
		if !wait {
			return buf, 0, false, nil
		}
		select {
		case <-x.q.Line():
		case <-late.C:
			return buf, 0, false, fmt.Errorf("queue %d stalls", x.q.Config().Index)
		}
	}
}

// send sends numbered frames in bursts, and sometimes waits for one to be sent.
func (s *stress) send(x *side) error {
	x.own(100, hostnet.HeaderSize+1514)
	for sent := 0; sent < s.frames || len(x.held) > 0; {
		for range min(x.some(), len(x.bufs), s.frames-sent) {
			b := x.bufs[len(x.bufs)-1]
			b.Write, b.Len = false, uint32(hostnet.HeaderSize+60+x.rng.IntN(1400))
			binary.LittleEndian.PutUint32(x.q.Bytes(b)[hostnet.HeaderSize+hostnet.MinFrame:], uint32(sent))
			if err := x.give(b); err != nil {
				return err
			}
			sent++
		}
		x.q.Kick()
		if x.rng.IntN(3) == 0 {
			x.q.DisableInterrupts()
		}
		all := x.rng.IntN(3) == 0
		wait := all || len(x.bufs) == 0 || sent == s.frames || x.rng.IntN(4) == 0
		for {
			_, _, ok, err := x.take(wait && len(x.held) > 0)
			if err != nil {
				return fmt.Errorf("after %d frames sent: %w", sent, err)
			}
			if !ok {
				break
			}
			wait = all
		}
	}
	return nil
}

// receive takes the frames, which come in the order of their numbers. Now and
// then the device runs out of buffers.
func (s *stress) receive(x *side) error {
	x.own(100, hostnet.HeaderSize+1514)
	least := 0
	for got := 0; got < s.frames; {
		if len(x.held) <= least {
			for range min(x.some(), len(x.bufs)) {
				if err := x.give(x.bufs[len(x.bufs)-1]); err != nil {
					return err
				}
			}
			x.q.Kick()
			least = x.rng.IntN(20)
		}
		b, n, ok, err := x.take(len(x.held) > 0 && x.rng.IntN(8) > 0)
		if err != nil {
			return fmt.Errorf("after %d frames received: %w", got, err)
		}
		if !ok {
			continue
		}
		if k := binary.LittleEndian.Uint32(x.q.Bytes(b)[hostnet.HeaderSize+hostnet.MinFrame:]); k != uint32(got) || n < hostnet.HeaderSize+60 {
			return fmt.Errorf("frame %d of %d bytes where %d was expected", k, n, got)
		}
		if got++; got%1000 == 0 {
			select {
			case s.pause <- struct{}{}:
			default: // one is under way
			}
		}
	}
	return nil
}
