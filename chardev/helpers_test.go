package chardev

import (
	"bytes"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/govmm/govmm/tests/await"
)

// noLeaks fails the test when it leaves goroutines or file descriptors behind.
func noLeaks(t testing.TB) {
	t.Helper()
	goroutines, fds := runtime.NumGoroutine(), openFDs(t)
	t.Cleanup(func() {
		var stacks string
		await.That(t, "all goroutines and descriptors gone", func() bool {
			if runtime.NumGoroutine() <= goroutines && openFDs(t) <= fds {
				return true
			}
			buf := make([]byte, 64<<10)
			stacks = string(buf[:runtime.Stack(buf, true)])
			return false
		})
		if t.Failed() {
			t.Log(stacks)
		}
	})
}

func openFDs(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// frontEnd is a front end with room for a given number of bytes.
type frontEnd struct {
	mu       sync.Mutex
	got      bytes.Buffer
	room     int
	carriers []bool
	ready    int // calls of OutputReady
}

func newFrontEnd() *frontEnd { return &frontEnd{room: 1 << 30} }

func (f *frontEnd) Receive(p []byte) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := min(len(p), f.room)
	f.room -= n
	f.got.Write(p[:n])
	return n
}

func (f *frontEnd) OutputReady() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ready++
}

func (f *frontEnd) Carrier(up bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.carriers = append(f.carriers, up)
}

func (f *frontEnd) allow(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.room += n
}

func (f *frontEnd) input() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.got.String()
}

func (f *frontEnd) outputReadies() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ready
}

// carrier is the state last told, and how often it changed.
func (f *frontEnd) carrier() (up bool, changes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.carriers[len(f.carriers)-1], len(f.carriers) - 1
}

func (f *frontEnd) waitInput(t testing.TB, want string) {
	t.Helper()
	await.That(t, "input "+want, func() bool { return f.input() == want })
}

func (f *frontEnd) waitCarrier(t testing.TB, want bool) {
	t.Helper()
	await.That(t, "carrier", func() bool { up, _ := f.carrier(); return up == want })
}

// writeAll writes like a front end that waits for room.
func writeAll(t testing.TB, b Backend, p []byte) {
	t.Helper()
	await.That(t, "all output accepted", func() bool {
		p = p[b.Write(p):]
		return len(p) == 0
	})
}

// fillUp writes until neither the host nor the buffer takes more, and returns
// how much was accepted.
func fillUp(t testing.TB, b Backend) (accepted int) {
	t.Helper()
	refusals, out := 0, uint64(0)
	await.That(t, "the host and the buffer full", func() bool {
		n := b.Write(pattern(4096))
		accepted += n
		if now := b.Stats().Out; n > 0 || now != out {
			refusals, out = 0, now
		}
		refusals++
		return refusals > 100
	})
	return accepted
}

func mustClose(t testing.TB, b Backend) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// pattern is n bytes of which no short stretch occurs twice.
func pattern(n int) []byte {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		b.WriteString(strings.Repeat("x", i%3))
		b.WriteString(string(rune('a'+i%26)) + string(rune('0'+i/26%10)) + string(rune('A'+i/260%26)) + string(rune('!'+i/6760%90)))
	}
	return []byte(b.String()[:n])
}
