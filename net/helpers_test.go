package net

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// within fails the test when f does not return.
func within(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { f(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s: still waiting after %v", what, patience)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// check is must for other goroutines than the test's.
func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// closing closes c at the end of the test.
func closing[T io.Closer](t testing.TB, c T) T {
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

// frame is a broadcast frame of n bytes, with a header of zeros before it.
func frame(header, n int, fill byte) []byte {
	b := bytes.Repeat([]byte{fill}, header+n)
	clear(b[:header])
	copy(b[header:], "\xff\xff\xff\xff\xff\xff\x52\x54\x00\x00\x00\x01\x88\xb5")
	return b
}

// wait waits for one event.
func wait(q Queue, event Events) error {
	_, err := q.Wait(event, nil)
	return err
}

// receive waits for one frame and returns it, put together.
func receive(t testing.TB, q Queue, buf ...[]byte) []byte {
	t.Helper()
	var got []byte
	within(t, "receive", func() {
		for {
			n, rest, err := q.Receive(buf)
			if errors.Is(err, ErrAgain) {
				if err := wait(q, ToReceive); err != nil {
					t.Error(err)
					return
				}
				continue
			}
			if err != nil {
				t.Error(err)
				return
			}
			all := make([]byte, n)
			gather(all, buf)
			got = append(all, rest...)
			return
		}
	})
	return got
}

// endOf waits for the error that ends the queue and returns it.
func endOf(q Queue) error {
	for {
		if err := wait(q, ToReceive); err != nil {
			return err
		}
		if _, _, err := q.Receive(nil); err != nil && !errors.Is(err, ErrAgain) {
			return err
		}
	}
}

// waitError is endOf for the test's goroutine.
func waitError(t testing.TB, q Queue) (err error) {
	t.Helper()
	within(t, "the end of the queue", func() { err = endOf(q) })
	return err
}

// split cuts b into slices of the given lengths, and the rest.
func split(b []byte, lengths ...int) [][]byte {
	var out [][]byte
	for _, n := range lengths {
		n = min(n, len(b))
		out, b = append(out, b[:n:n]), b[n:]
	}
	return append(out, b)
}

// linkOf returns an interface of the test's namespace, nil if there is none.
func linkOf(t testing.TB, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if isNotFound(err) {
		return nil
	}
	must(t, err)
	return l
}

// addLink makes an interface for the time of the test.
func addLink(t testing.TB, l netlink.Link) netlink.Link {
	t.Helper()
	must(t, netlink.LinkAdd(l))
	t.Cleanup(func() {
		if err := netlink.LinkDel(l); err != nil && !isNotFound(err) {
			t.Errorf("remove %s: %v", l.Attrs().Name, err)
		}
	})
	return linkOf(t, l.Attrs().Name)
}

func addBridge(t testing.TB, name string, mtu int) netlink.Link {
	t.Helper()
	off := false
	l := addLink(t, &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name, MTU: mtu}, MulticastSnooping: &off})
	must(t, netlink.LinkSetUp(l))
	return l
}

// logged collects log lines.
type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
