package net

import (
	"testing"

	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// TestTurn has more to do both ways than fits a turn. Neither direction waits
// for the other.
func TestTurn(t *testing.T) {
	for _, tt := range []struct {
		size, frames int // bytes of a frame, and how many there are to receive
		want         int // in a turn, each way
	}{{64, 100, turnFrames}, {60000, 12, turnBytes/60000 + 1}} {
		m, host := hotPath(t, tt.size, FeatureMrgRxbuf)
		m.sending(host)
		m.receiving(host, 4096)
		host.queue.left = tt.frames
		r := m.dev.active.Load()
		w := &worker{run: r, host: &host.queue, rx: r.rx[0], tx: r.tx[0]}
		w.rx.look = true
		more, err := w.turn()
		if err != nil || !more {
			t.Errorf("more %v, error %v", more, err)
		}
		sent, received := 0, tt.frames-host.queue.left
		for {
			if _, ok := m.tx(0).Used(); !ok {
				break
			}
			sent++
		}
		if sent != tt.want || received != tt.want {
			t.Errorf("%d frames sent and %d received in a turn, want %d", sent, received, tt.want)
		}
		for more && err == nil {
			more, err = w.turn()
		}
		if err != nil || host.queue.left > 0 || w.rx.need != needFrame {
			t.Errorf("in the end %d frames are left, need %d, error %v", host.queue.left, w.rx.need, err)
		}
	}
}

// TestReceiveNotified notifies the device of new buffers only when it has none.
func TestReceiveNotified(t *testing.T) {
	for name, f := range forms {
		t.Run(name, func(t *testing.T) {
			a, peer := newPair(t, 1)
			m := start(t, Options{Backend: a, Packed: true}, f, FeatureMrgRxbuf)
			q, posted := m.rx(0), map[uint16][]queuetest.Buffer{}
			for range 3 {
				post(q, posted, 2000)
				post(q, posted, 2000)
				q.Kick()
				send(t, peer.Queue(0), frame(toAll, 60, 1))
				m.got(q, posted)
				post(q, posted, 2000)
				if q.Publish() {
					t.Error("the device has a buffer, and wants to be notified of another")
				}
				for range 2 {
					send(t, peer.Queue(0), frame(toAll, 60, 1))
					m.got(q, posted)
				}
			}
		})
	}
}
