package net

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// newEvent is a descriptor to wait for besides, with a count to begin with.
func newEvent(t testing.TB, count uint) unix.PollFd {
	t.Helper()
	fd, err := unix.Eventfd(count, unix.EFD_CLOEXEC)
	must(t, err)
	t.Cleanup(func() { unix.Close(fd) })
	return unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
}

// TestWaitFinds says which of the events there are, and which other descriptors
// are ready.
func TestWaitFinds(t *testing.T) {
	a, b := newPair(t, PairOptions{})
	q := a.Queue(0)
	quiet, rung, none := newEvent(t, 0), newEvent(t, 1), unix.PollFd{Fd: -1, Events: unix.POLLIN}
	for _, tt := range []struct {
		name    string
		frame   bool // one is there to receive
		events  Events
		others  []unix.PollFd
		want    Events
		ringing int // index in others, -1 for none
	}{
		{"room", false, ToSend | ToReceive, nil, ToSend, -1},
		{"another descriptor", false, ToReceive, []unix.PollFd{quiet, rung}, 0, 1},
		{"another descriptor alone", false, 0, []unix.PollFd{none, rung, quiet}, 0, 1},
		{"a frame", true, ToReceive, []unix.PollFd{quiet, none}, ToReceive, -1},
		{"all", true, ToReceive | ToSend, []unix.PollFd{rung, quiet}, ToReceive | ToSend, 0},
		{"a frame that is not asked for", true, 0, []unix.PollFd{rung}, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.frame {
				must(t, b.Queue(0).Send([][]byte{frame(HeaderSize, 60, 1)}))
				defer receive(t, q)
			}
			for i := range tt.others {
				tt.others[i].Revents = -1
			}
			within(t, "something ready", func() {
				found, err := q.Wait(tt.events, tt.others)
				if err != nil || found != tt.want {
					t.Errorf("found %b, want %b, error %v", found, tt.want, err)
				}
			})
			for i, p := range tt.others {
				if (p.Revents != 0) != (i == tt.ringing) {
					t.Errorf("descriptor %d: events %#x", i, p.Revents)
				}
			}
		})
	}
}

// TestWaitWhenLost waits for other things when the queue has none to wait for.
func TestWaitWhenLost(t *testing.T) {
	a, b := newPair(t, PairOptions{})
	must(t, b.Close())
	q := a.Queue(0)
	if err := waitError(t, q); !errors.Is(err, errPeerGone) {
		t.Errorf("got %v", err)
	}
	others := []unix.PollFd{newEvent(t, 1)}
	for range 2 { // the first may be what woke the others
		if _, err := q.Wait(0, others); err != nil || others[0].Revents == 0 {
			t.Errorf("another descriptor: events %#x, error %v", others[0].Revents, err)
		}
	}
	q.Wake()
	within(t, "the wake", func() {
		_, err := q.Wait(0, nil)
		check(t, err)
	})
	must(t, a.Close())
	if _, err := q.Wait(0, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestWaitAllocatesNothing(t *testing.T) {
	a, _ := newPair(t, PairOptions{})
	q, others := a.Queue(0), []unix.PollFd{newEvent(t, 1), newEvent(t, 0)}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := q.Wait(ToReceive, others); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
