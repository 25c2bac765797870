package net

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func newPair(t testing.TB, o PairOptions) (a, b *Pair) {
	t.Helper()
	a, b, err := NewPair(o)
	must(t, err)
	return closing(t, a), closing(t, b)
}

func TestPairCarriesFrames(t *testing.T) {
	a, b := newPair(t, PairOptions{})
	for _, header := range []int{ShortHeaderSize, HeaderSize} {
		must(t, a.SetHeaderSize(header))
		must(t, b.SetHeaderSize(header))
		for _, n := range []int{MinFrame, 60, 1514, 9014, MaxFrame} {
			sent := frame(header, n, byte(n))
			must(t, a.Queue(0).Send([][]byte{sent}))
			buf := bytes.Repeat([]byte{0xee}, header+n)
			got := receive(t, b.Queue(0), buf)
			if !bytes.Equal(got, sent) {
				t.Errorf("header %d, frame of %d bytes: received %d bytes that differ", header, n, len(got))
			}
		}
	}
	want := Stats{TxFrames: 10, TxBytes: 2 * (MinFrame + 60 + 1514 + 9014 + MaxFrame)}
	if got := a.Stats(); got != want {
		t.Errorf("sender's stats %+v, want %+v", got, want)
	}
	want = Stats{RxFrames: want.TxFrames, RxBytes: want.TxBytes}
	if got := b.Stats(); got != want {
		t.Errorf("receiver's stats %+v, want %+v", got, want)
	}
}

// TestPairSlices cuts the frame in all kinds of ways on both sides.
func TestPairSlices(t *testing.T) {
	ones := slices.Repeat([]int{1}, 3000)
	empty := slices.Repeat([]int{0}, 3000)
	for _, tt := range []struct {
		name     string
		tx, rx   []int
		room     int // bytes to receive into
		wantRest int
	}{
		{"whole", nil, nil, 5000, 0},
		{"header apart", []int{12}, []int{12}, 5000, 0},
		{"inside the header", []int{3, 4}, []int{5, 2, 1}, 5000, 0},
		{"empty slices", []int{0, 12, 0, 0}, []int{0, 5, 0, 9, 0}, 5000, 0},
		{"single bytes", ones, ones, 5000, 0},
		{"many empty", empty, empty, 5000, 0},
		{"no room", nil, nil, 0, 4012},
		{"room for part of the header", []int{12}, []int{2}, 7, 4005},
		{"room for the header", nil, []int{12}, 12, 4000},
		{"room for half", nil, []int{100}, 2000, 2012},
		{"single bytes, too few", ones, ones, 2500, 1512},
		{"one byte short", nil, nil, 4011, 1},
		{"exact", nil, nil, 4012, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := newPair(t, PairOptions{})
			sent := frame(HeaderSize, 4000, 0)
			for i := HeaderSize + MinFrame; i < len(sent); i++ {
				sent[i] = byte(i * 7)
			}
			must(t, a.Queue(0).Send(split(sent, tt.tx...)))
			buf := bytes.Repeat([]byte{0xee}, tt.room)
			n, rest, err := b.Queue(0).Receive(split(buf, tt.rx...))
			must(t, err)
			if len(rest) != tt.wantRest || n != len(sent)-tt.wantRest {
				t.Errorf("%d bytes in place and %d apart, want %d apart", n, len(rest), tt.wantRest)
			}
			if got := append(slices.Clone(buf[:n]), rest...); !bytes.Equal(got, sent) {
				t.Error("the frame differs")
			}
		})
	}
}

// TestPairBadFrames has frames that a hostile guest may send.
func TestPairBadFrames(t *testing.T) {
	a, b := newPair(t, PairOptions{})
	csum, gso := frame(HeaderSize, 60, 1), frame(HeaderSize, 60, 1)
	Header{Flags: HeaderNeedsCsum}.Put(csum)
	Header{GSOType: GSOTCPv4, GSOSize: 1}.Put(gso)
	bad := [][][]byte{
		nil,
		{nil, {}},
		{make([]byte, HeaderSize)},
		{make([]byte, HeaderSize+MinFrame-1)},
		{make([]byte, HeaderSize), make([]byte, MaxFrame+1)},
		slices.Repeat([][]byte{make([]byte, 64<<10)}, 32768),
		{csum},
		split(gso, 1),
	}
	for i, f := range bad {
		must(t, a.Queue(0).Send(f))
		if got := a.Stats().TxErrors; got != uint64(i+1) {
			t.Errorf("after bad frame %d, %d errors", i, got)
		}
	}
	if n, _, err := b.Queue(0).Receive([][]byte{make([]byte, 2000)}); !errors.Is(err, ErrAgain) {
		t.Errorf("a bad frame arrived: %d bytes, %v", n, err)
	}
	good := frame(HeaderSize, 60, 2)
	good[0] = HeaderDataValid
	must(t, a.Queue(0).Send([][]byte{good}))
	if got := receive(t, b.Queue(0)); len(got) != len(good) || got[0] != 0 {
		t.Errorf("received %x", got)
	}
}

// TestReceiveWrongSize has a peer that is not one of ours.
func TestReceiveWrongSize(t *testing.T) {
	a, b := newPair(t, PairOptions{})
	fd := a.queues[0].file.fd
	for _, n := range []int{MaxFrame + 1, MaxFrame + 5000, MinFrame - 1, 1} {
		_, err := unix.Write(fd, make([]byte, n))
		must(t, err)
	}
	for range 4 {
		buf := make([]byte, 100)
		if n, rest, err := b.Queue(0).Receive([][]byte{buf}); !errors.Is(err, ErrAgain) {
			t.Errorf("received %d+%d bytes, %v", n, len(rest), err)
		}
	}
	if got := b.Stats(); got != (Stats{RxErrors: 4}) {
		t.Errorf("stats %+v", got)
	}
	must(t, a.Queue(0).Send([][]byte{frame(HeaderSize, 60, 3)}))
	receive(t, b.Queue(0))
}

// TestPairFull sends to a receiver that is not there.
func TestPairFull(t *testing.T) {
	a, b := newPair(t, PairOptions{})
	f := [][]byte{frame(HeaderSize, 1514, 1)}
	sent := 0
	var err error
	for ; sent < 100000 && err == nil; sent++ {
		err = a.Queue(0).Send(f)
	}
	sent--
	if !errors.Is(err, ErrAgain) {
		t.Fatalf("after %d frames: %v", sent, err)
	}
	room := make(chan error)
	go func() { room <- wait(a.Queue(0), ToSend) }()
	for range sent {
		receive(t, b.Queue(0))
	}
	within(t, "room to send", func() {
		if err := <-room; err != nil {
			t.Error(err)
		}
	})
	must(t, a.Queue(0).Send(f))
	receive(t, b.Queue(0))
}

func TestWake(t *testing.T) {
	a, _ := newPair(t, PairOptions{})
	q := a.Queue(0)
	// Before the wait.
	q.Wake()
	within(t, "a wait after Wake", func() { check(t, wait(q, ToReceive)) })
	within(t, "a wait for room", func() { check(t, wait(q, ToSend)) })
	// During it: the first may come early, one of them is in time.
	done := make(chan error)
	go func() { done <- wait(q, ToReceive) }()
	within(t, "a wait during Wake", func() {
		for {
			q.Wake()
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	// Waking does not disturb transfers.
	q.Wake()
	if _, _, err := q.Receive(nil); !errors.Is(err, ErrAgain) {
		t.Errorf("receive after Wake: %v", err)
	}
	must(t, q.Send([][]byte{frame(HeaderSize, 60, 0)}))
}

func TestCloseEndsWaits(t *testing.T) {
	a, b := newPair(t, PairOptions{})
	errs := make(chan error)
	go func() { errs <- endOf(a.Queue(0)) }()
	must(t, a.Close())
	within(t, "the waiter", func() {
		if err := <-errs; !errors.Is(err, ErrClosed) {
			t.Errorf("the waiter got %v", err)
		}
	})
	q := a.Queue(0)
	_, _, err := q.Receive(nil)
	for name, err := range map[string]error{
		"Receive": err, "Send": q.Send([][]byte{frame(HeaderSize, 60, 0)}),
		"WaitSend": wait(q, ToSend), "WaitReceive": wait(q, ToReceive), "SetQueues": a.SetQueues(1),
		"SetLink": a.SetLink(true), "SetOffloads": a.SetOffloads(0),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	q.Wake()
	// The other end fails.
	if err := waitError(t, b.Queue(0)); !errors.Is(err, errPeerGone) {
		t.Errorf("the other end got %v", err)
	}
	if b.Link() {
		t.Error("the other end's link is up")
	}
	if err := b.SetLink(true); !errors.Is(err, errPeerGone) {
		t.Errorf("SetLink of the other end: %v", err)
	}
}

func TestPairQueues(t *testing.T) {
	a, b := newPair(t, PairOptions{Queues: 3})
	if a.Queues() != 3 {
		t.Errorf("%d queues", a.Queues())
	}
	f := [][]byte{frame(HeaderSize, 60, 0)}
	if err := a.Queue(1).Send(f); !errors.Is(err, ErrDisabled) {
		t.Errorf("a queue that is disabled at first: %v", err)
	}
	must(t, a.SetQueues(3))
	must(t, b.SetQueues(3))
	must(t, a.Queue(2).Send(f))
	receive(t, b.Queue(2))
	errs := make(chan error)
	go func() { errs <- wait(b.Queue(2), ToReceive) }()
	must(t, b.SetQueues(2))
	within(t, "the waiter", func() {
		if err := <-errs; !errors.Is(err, ErrDisabled) {
			t.Errorf("the waiter got %v", err)
		}
	})
	for _, n := range []int{-1, 0, 4} {
		if a.SetQueues(n) == nil {
			t.Errorf("%d queues were accepted", n)
		}
	}
}

func TestPairLink(t *testing.T) {
	a, b := newPair(t, PairOptions{})
	var seen []bool
	b.OnLink(func(up bool) { seen = append(seen, up) })
	for _, up := range []bool{true, false, false, true} {
		must(t, a.SetLink(up))
		if b.Link() != up || !a.Link() {
			t.Errorf("after SetLink(%v): the other's link is %v, ours %v", up, b.Link(), a.Link())
		}
	}
	if !slices.Equal(seen, []bool{false, true}) {
		t.Errorf("changes seen: %v", seen)
	}
}

func TestPairOptions(t *testing.T) {
	before := openFiles(t)
	for _, n := range []int{-1, MaxQueues + 1} {
		if _, _, err := NewPair(PairOptions{Queues: n}); err == nil {
			t.Errorf("%d queues were accepted", n)
		}
	}
	a, b, err := NewPair(PairOptions{Queues: 4, MTU: 9000})
	must(t, err)
	if a.MTU() != 9000 || a.Offloads() != 0 || a.Queue(0).FD() != -1 {
		t.Errorf("MTU %d, offloads %v, FD %d", a.MTU(), a.Offloads(), a.Queue(0).FD())
	}
	if a.SetOffloads(Csum) == nil || a.SetHeaderSize(11) == nil {
		t.Error("impossible settings were accepted")
	}
	must(t, a.Close())
	must(t, b.Close())
	if after := openFiles(t); after != before {
		t.Errorf("%d files were open before, %d after", before, after)
	}
}

// openFiles counts the open files of the process.
func openFiles(t testing.TB) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(files)
}

func TestTransferAllocatesNothing(t *testing.T) {
	a, b := newPair(t, PairOptions{})
	tx, rx := a.Queue(0), b.Queue(0)
	out := split(frame(HeaderSize, 1514, 0), 12, 500)
	in := split(make([]byte, 4096), 1000, 0, 7)
	round := func() {
		if err := tx.Send(out); err != nil {
			t.Fatal(err)
		}
		if err := wait(rx, ToReceive); err != nil {
			t.Fatal(err)
		}
		if _, _, err := rx.Receive(in); err != nil {
			t.Fatal(err)
		}
		if _, _, err := rx.Receive(in); err != ErrAgain {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(1000, round); n != 0 {
		t.Errorf("%v allocations for each frame", n)
	}
}

// FuzzSlices sends and receives in slices of any lengths: what arrives is what
// was sent, or nothing.
func FuzzSlices(f *testing.F) {
	f.Add([]byte{12, 200}, []byte{5, 5, 5}, uint16(300), uint16(200), true)
	f.Add([]byte{0, 0}, []byte{}, uint16(20), uint16(0), false)
	a, b := newPair(f, PairOptions{})
	f.Fuzz(func(t *testing.T, tx, rx []byte, n, room uint16, short bool) {
		header := HeaderSize
		if short {
			header = ShortHeaderSize
		}
		must(t, a.SetHeaderSize(header))
		must(t, b.SetHeaderSize(header))
		sent := make([]byte, n)
		for i := header; i < len(sent); i++ {
			sent[i] = byte(i)
		}
		must(t, a.Queue(0).Send(split(sent, lengths(tx)...)))
		buf := make([]byte, room)
		got, rest, err := b.Queue(0).Receive(split(buf, lengths(rx)...))
		if int(n) < header+MinFrame {
			if !errors.Is(err, ErrAgain) {
				t.Fatalf("%d bytes arrived: %v", n, err)
			}
			return
		}
		must(t, err)
		if !bytes.Equal(append(buf[:got:got], rest...), sent) {
			t.Fatalf("frame of %d bytes differs: %d in place, %d apart", n, got, len(rest))
		}
	})
}

func lengths(b []byte) []int {
	out := make([]int, len(b))
	for i, n := range b {
		out[i] = int(n)
	}
	return out
}
