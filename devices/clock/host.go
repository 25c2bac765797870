package clock

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Host is the Clock of a running machine, over the host's CLOCK_MONOTONIC. It
// is made paused, at 0.
//
// All of its timers share one timerfd and one goroutine, which sleeps unless a
// deadline has come: a machine whose guest arms no timer does not wake the
// host. (The Go runtime's own timers are rounded up to the millisecond when the
// process is idle, as long as a whole tick of a 1000 Hz guest.) Callbacks run
// one at a time and must not block.
type Host struct {
	reading atomic.Pointer[reading] // replaced under mu; read without it
	wake    *os.File                // the timerfd
	fd      int
	done    chan struct{} // closed when the goroutine has ended

	mu     sync.Mutex
	idle   sync.Cond // signalled when a callback has returned
	queue  queue
	busy   bool // a callback runs
	closed bool
	// programmed is the deadline that the timerfd is set to; when valid.
	programmed      time.Duration
	programmedValid bool
}

// reading is what it takes to tell the time. It is never changed, only replaced.
type reading struct {
	base    time.Duration // machine time when the clock last started or stopped
	since   time.Time     // host time at base
	running bool
}

func (r *reading) now() time.Duration {
	if !r.running {
		return r.base
	}
	return r.base + time.Since(r.since)
}

// NewHost returns a paused clock that reads 0; Resume starts it. Close must be
// called to release its descriptor and goroutine. An error means that the
// process has no descriptor left.
func NewHost() (*Host, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("machine clock: timerfd_create: %w", err)
	}
	h := &Host{wake: os.NewFile(uintptr(fd), "timerfd"), fd: fd, done: make(chan struct{})}
	h.idle.L = &h.mu
	h.reading.Store(&reading{})
	go h.run()
	return h, nil
}

// Now is the time the machine has run. It takes no lock.
func (h *Host) Now() time.Duration { return h.reading.Load().now() }

// NewTimer returns a stopped timer that calls f on the clock's goroutine.
func (h *Host) NewTimer(f func()) Timer {
	h.mu.Lock()
	defer h.mu.Unlock()
	return &hostTimer{host: h, entry: h.queue.register(f)}
}

// Next is the earliest deadline of an armed timer; ok is false when no timer is
// armed, so that the clock does not wake the host.
func (h *Host) Next() (deadline time.Duration, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.queue.next()
}

// Resume lets the time run on. It does nothing while the clock runs.
func (h *Host) Resume() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.reading.Load(); !r.running && !h.closed {
		h.reading.Store(&reading{base: r.base, since: time.Now(), running: true})
		h.program()
	}
}

// Pause stops the time; armed timers keep their deadlines and wait for Resume.
// When Pause returns no callback is running, so it must not be called from one.
func (h *Host) Pause() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r := h.reading.Load(); r.running {
		h.reading.Store(&reading{base: r.now()})
		h.program()
	}
	for h.busy {
		h.idle.Wait()
	}
}

// Close stops the clock and all timers for good, and waits for a callback that
// is running; it must not be called from one. Timers may still be set, to no
// effect. Closing again does nothing.
func (h *Host) Close() error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		<-h.done
		return nil
	}
	h.closed = true
	h.reading.Store(&reading{base: h.Now()})
	h.mu.Unlock()
	err := h.wake.Close() // ends the goroutine's read
	<-h.done
	if err != nil {
		return fmt.Errorf("machine clock: %w", err)
	}
	return nil
}

// run waits for the timerfd and calls what is due.
func (h *Host) run() {
	defer close(h.done)
	var expirations [8]byte
	for {
		if _, err := h.wake.Read(expirations[:]); err != nil {
			return // closed
		}
		h.expire()
	}
}

func (h *Host) expire() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.programmedValid = false
	for !h.closed && h.reading.Load().running {
		e := h.queue.popDue(h.Now())
		if e == nil {
			break
		}
		h.busy = true
		h.mu.Unlock()
		e.f()
		h.mu.Lock()
		h.busy = false
		h.idle.Broadcast()
	}
	h.program()
}

// program sets the timerfd to the earliest deadline. mu is held.
func (h *Host) program() {
	deadline, ok := h.queue.next()
	ok = ok && !h.closed && h.reading.Load().running
	if h.closed || ok == h.programmedValid && (!ok || deadline == h.programmed) {
		return
	}
	var spec unix.ItimerSpec // zero disarms
	if ok {
		// A relative time is as good as an absolute one here: the deadlines
		// themselves are absolute, so an error does not add up.
		spec.Value = unix.NsecToTimespec(int64(max(deadline-h.Now(), 1)))
	}
	// It cannot fail: the descriptor is open and the time is in range.
	_ = unix.TimerfdSettime(h.fd, 0, &spec, nil)
	h.programmed, h.programmedValid = deadline, ok
}

type hostTimer struct {
	host  *Host
	entry entry
}

func (t *hostTimer) Set(deadline time.Duration) {
	t.host.mu.Lock()
	defer t.host.mu.Unlock()
	t.host.queue.set(&t.entry, deadline)
	t.host.program()
}

func (t *hostTimer) Stop() {
	t.host.mu.Lock()
	defer t.host.mu.Unlock()
	t.host.queue.remove(&t.entry)
	t.host.program()
}
