package chardevs

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/govmm/govmm/chardev"
	"github.com/govmm/govmm/tests/await"
)

// visitor is somebody at the other end of a back end. It stalls by doing nothing.
type visitor interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
}

// venue is a back end that visitors come to.
type venue struct {
	name string
	// follows says that the connection is up while a visitor is there.
	follows bool
	// open returns the back end, and who visits it. With early, there must be a
	// visitor when the back end is opened, and the first visit is that.
	open  func(t *testing.T, e end) (b chardev.Backend, visit func() visitor)
	early bool
}

// TestVisits has visitors come, stall, leave and return. The machine always goes
// on, and loses no more than is said.
func TestVisits(t *testing.T) {
	// They mostly wait, so many can do so at a time.
	var all sync.WaitGroup
	turns := make(chan struct{}, 8)
	list := venues()
	if testing.Short() {
		list = list[:3] // what is none of the sockets
	}
	for _, p := range list {
		for _, f := range frontEnds {
			all.Go(func() {
				turns <- struct{}{}
				defer func() { <-turns }()
				t.Run(p.name+"/"+f.name, func(t *testing.T) { visits(t, p, f) })
			})
		}
	}
	all.Wait()
}

func visits(t *testing.T, p venue, f frontEnd) {
	backend, visit := p.open(t, end{t.TempDir(), f.patience})
	s := &stay{t: t, backend: &watched{Backend: backend}, front: f, venue: p}
	s.g = f.start(t, s.backend)
	if !p.early {
		s.absent()
	}
	v := visit()
	s.comes(v)
	s.exchange(v)
	s.guestStalls(v)
	s.stalls(v)
	s.leaves(v)
	s.absent()
	v = visit()
	s.comes(v)
	s.exchange(v)
	s.stallsAndLeaves(v)
	v = visit()
	s.comes(v)
	s.exchange(v)
	s.leaves(v)
	if s.settle(); s.backend.Stats().Errors != 0 {
		t.Errorf("stats %+v", s.backend.Stats())
	}
}

// watched is a back end of which the state of the connection is known, also where
// the front end does not show it.
type watched struct {
	chardev.Backend
	up atomic.Bool
}

func (w *watched) Attach(r chardev.Receiver) { w.Backend.Attach(&watcher{r, w}) }

// watcher is a front end that sees visitors come and go.
type watcher struct {
	chardev.Receiver
	backend *watched
}

func (w *watcher) OutputReady() { w.Receiver.(chardev.OutputReceiver).OutputReady() }

func (w *watcher) Carrier(up bool) {
	if c, ok := w.Receiver.(chardev.CarrierReceiver); ok {
		c.Carrier(up)
	}
	w.backend.up.Store(up)
}

// stay is what visitors do to a machine.
type stay struct {
	t       *testing.T
	backend *watched
	front   frontEnd
	venue   venue
	g       *guest

	written uint64 // bytes of output
	unread  []byte // output of which the next visitor will find the end
}

// send is output of the guest's, at once.
func (s *stay) send(p []byte) {
	s.written += uint64(len(p))
	s.g.write(p)
}

// settle waits until all output is accounted for.
func (s *stay) settle() {
	s.t.Helper()
	await.That(s.t, "the account", func() bool {
		now := s.backend.Stats()
		return now.Out+now.Dropped == s.written
	})
}

func (s *stay) dropped() uint64 { return s.backend.Stats().Dropped }

// connected waits until the guest has seen the visitor come or go.
func (s *stay) connected(up bool) {
	s.t.Helper()
	if s.venue.follows {
		await.That(s.t, "the back end to notice", func() bool { return s.backend.up.Load() == up })
		s.front.waitConnected(s.t, s.g, up)
	}
}

// absent: without a visitor the guest does not wait, and the last output is kept.
func (s *stay) absent() {
	s.t.Helper()
	before := s.dropped()
	out := random(s.t, "absent")[:3*chardev.BufferSize]
	s.send(out)
	await.That(s.t, "the guest to go on with nobody there", s.g.sent)
	if n := s.dropped() - before; n != 2*chardev.BufferSize {
		s.t.Errorf("with nobody there, %d bytes were dropped of %d", n, len(out))
	}
	s.unread = out
}

// comes: a visitor finds what was kept. More may come before that: what was on its
// way when it was dropped, and what the kernel has of an earlier visitor's.
func (s *stay) comes(v visitor) {
	s.t.Helper()
	s.connected(true)
	kept := s.unread[max(0, len(s.unread)-chardev.BufferSize):]
	var got []byte
	s.readUntil(v, &got, func() bool { return bytes.HasSuffix(got, kept) })
	if !isLeft(s.unread, got) {
		s.t.Errorf("%d bytes came, and others than were left", len(got))
	}
	s.unread = nil
}

// expect reads what is to come next.
func (s *stay) expect(v visitor, want []byte) {
	s.t.Helper()
	if err := v.SetReadDeadline(time.Now().Add(await.Patience)); err != nil {
		s.t.Fatal(err)
	}
	got := make([]byte, len(want))
	if n, err := io.ReadFull(v, got); err != nil || !bytes.Equal(got, want) {
		s.t.Fatalf("%d bytes came of %d, or others: %v", n, len(want), err)
	}
}

// say writes for a visitor.
func (s *stay) say(v visitor, p []byte) {
	if _, err := v.Write(p); err != nil {
		s.t.Errorf("the visitor: %v", err)
	}
}

// hear waits for input, and forgets it.
func (s *stay) hear(want []byte) {
	s.t.Helper()
	await.That(s.t, "the input", func() bool { return len(s.g.received()) >= len(want) })
	if !bytes.Equal(s.g.received(), want) {
		s.t.Error("other input came than was sent")
	}
	s.g.forget()
}

// exchange: all arrives, both ways at once.
func (s *stay) exchange(v visitor) {
	s.t.Helper()
	const length = 2 * chardev.BufferSize
	out, in := random(s.t, "out")[:length], []byte(nil)
	if !s.front.oneWay {
		in = random(s.t, "in")[:length]
	}
	var saying sync.WaitGroup
	saying.Go(func() { s.say(v, in) })
	before := s.dropped()
	s.send(out)
	s.expect(v, out)
	s.hear(in)
	saying.Wait()
	if n := s.dropped() - before; n != 0 {
		s.t.Errorf("%d bytes were dropped of a visitor who reads", n)
	}
}

// guestStalls: a guest that takes no input makes the visitor wait, goes on itself,
// and loses nothing.
func (s *stay) guestStalls(v visitor) {
	s.t.Helper()
	if s.front.oneWay {
		return
	}
	s.g.hold(true)
	in := random(s.t, "late")[:512<<10]
	var saying sync.WaitGroup
	saying.Go(func() { s.say(v, in) })
	out := random(s.t, "meanwhile")[:1000]
	s.send(out)
	s.expect(v, out)
	s.g.hold(false)
	s.hear(in)
	saying.Wait()
}

// heldTime is how long nothing goes on when a guest is held up.
const heldTime = 200 * time.Millisecond

// fill sends until nothing goes on any more, or until so much is dropped, and
// returns all that was sent.
func (s *stay) fill(dropped uint64) (all []byte) {
	s.t.Helper()
	source := stream(s.t, "much")
	before := s.backend.Stats()
	since, out := time.Now(), before.Out
	await.That(s.t, "nothing to go on", func() bool {
		now := s.backend.Stats()
		if now.Dropped-before.Dropped >= dropped {
			return true
		}
		if s.g.sent() {
			piece := source(chardev.BufferSize)
			all = append(all, piece...)
			s.send(piece)
		}
		if now.Out != out || s.g.sent() {
			since, out = time.Now(), now.Out
		}
		full := s.written-now.Out-now.Dropped > chardev.BufferSize
		return s.front.patience < 0 && full && time.Since(since) > heldTime
	})
	return all
}

// stalls: a visitor that does not read holds the guest up, for ever where that is
// right, and elsewhere until its patience ends.
func (s *stay) stalls(v visitor) {
	s.t.Helper()
	s.settle()
	before := s.backend.Stats()
	all := s.fill(2 * chardev.BufferSize)
	if s.front.patience < 0 {
		if s.g.sent() || s.dropped() != before.Dropped {
			s.t.Errorf("the guest is held up: %v; %d bytes were dropped", !s.g.sent(), s.dropped()-before.Dropped)
		}
		// The other way is open.
		in := random(s.t, "the other way")[:1000]
		s.say(v, in)
		s.hear(in)
		s.expect(v, all)
	} else {
		await.That(s.t, "the guest to go on", s.g.sent)
		got := s.rest(v, before)
		if !bytes.HasSuffix(all, got[len(got)-chardev.BufferSize:]) || !isLeft(all, got) {
			s.t.Errorf("%d bytes of %d came, and others", len(got), len(all))
		}
	}
	await.That(s.t, "the guest to go on", s.g.sent)
}

// isLeft reports whether got is what is left of all when some stretches of it were
// dropped.
func isLeft(all, got []byte) bool {
	const recognised = 16 // bytes, which random ones are by
	for len(got) > 0 {
		at := bytes.Index(all, got[:min(recognised, len(got))])
		if at < 0 {
			return false
		}
		all = all[at:]
		n := 0
		for n < len(got) && n < len(all) && got[n] == all[n] {
			n++
		}
		all, got = all[n:], got[n:]
	}
	return true
}

// rest is all that a visitor has yet to read.
func (s *stay) rest(v visitor, before chardev.Stats) (got []byte) {
	s.t.Helper()
	s.readUntil(v, &got, func() bool {
		now := s.backend.Stats()
		return now.Out+now.Dropped == s.written && len(got) == int(now.Out-before.Out)
	})
	return got
}

// readUntil reads on until enough.
func (s *stay) readUntil(v visitor, got *[]byte, enough func() bool) {
	s.t.Helper()
	buf := make([]byte, 64<<10)
	await.That(s.t, "the rest", func() bool {
		if err := v.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
			s.t.Fatal(err)
		}
		n, err := v.Read(buf)
		if *got = append(*got, buf[:n]...); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			s.t.Fatalf("after %d bytes: %v", len(*got), err)
		}
		return enough()
	})
}

// leaves: the guest sees it.
func (s *stay) leaves(v visitor) {
	s.t.Helper()
	if err := v.Close(); err != nil {
		s.t.Error(err)
	}
	s.connected(false)
}

// stallsAndLeaves: what the visitor leaves unread is not what the guest waits for.
func (s *stay) stallsAndLeaves(v visitor) {
	s.t.Helper()
	all := s.fill(2 * chardev.BufferSize)
	s.leaves(v)
	await.That(s.t, "the guest to go on", s.g.sent)
	s.unread = all
}
