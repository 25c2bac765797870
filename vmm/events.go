package vmm

import (
	"fmt"
	"sync"
	"time"

	"github.com/govmm/govmm/domcfg"
)

// State is what a machine is doing, in libvirt's words.
type State int

const (
	// StateShutOff: built and not started yet, or ended.
	StateShutOff State = iota
	StateRunning
	StatePaused
	// StateCrashed: ended by a crash.
	StateCrashed
)

var stateNames = [...]string{"shut off", "running", "paused", "crashed"}

// String is the state as virsh prints it.
func (s State) String() string {
	if s >= 0 && int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state(%d)", int(s))
}

// EventKind is what happened to a machine.
type EventKind int

const (
	// EventStarted: the vCPUs run for the first time.
	EventStarted EventKind = iota + 1
	// EventPaused and EventResumed: Pause and Resume took effect.
	EventPaused
	EventResumed
	// EventReset: the machine starts anew. Exit tells why; its Cause is zero
	// when the program asked for it with Reset.
	EventReset
	// EventShutdown: the power button was pressed for the program.
	EventShutdown
	// EventPanicked: the guest reported a panic.
	EventPanicked
	// EventIOError: the host failed a disk's request. Device and Err tell which
	// and why; when the disk's error policy is to stop, EventPaused follows.
	EventIOError
	// EventBalloon: the guest gave memory back, or took some. Memory is what it
	// has now.
	EventBalloon
	// EventTray: the tray of a drive, Device, was opened (Open) or closed, by the guest,
	// OpenTray or CloseTray, or by ChangeMedia with something else in it.
	EventTray
	// EventWatchdog: the guest did not answer its watchdog. Action is what follows.
	EventWatchdog
	// EventCrashLoaded: the guest's kernel has crashed, and its crash kernel takes over.
	EventCrashLoaded
	// EventDumped: a core dump was written, or failed with Err. Dump tells which.
	EventDumped
	// EventRenamed: the machine was restarted under the name in Name.
	EventRenamed
	// EventPreserved: the guest has ended, as Exit tells, and the machine was kept.
	EventPreserved
	// EventRTCChange: the guest has set the clock. RTCOffset tells how far.
	EventRTCChange
	// EventEnded: the machine has ended. Exit tells why. The last event.
	EventEnded
)

var eventNames = [...]string{
	EventStarted: "started", EventPaused: "paused", EventResumed: "resumed",
	EventReset: "reset", EventShutdown: "shutdown", EventPanicked: "panicked",
	EventIOError: "I/O error", EventBalloon: "balloon", EventTray: "tray",
	EventWatchdog: "watchdog", EventCrashLoaded: "crash loaded", EventDumped: "core dump",
	EventRenamed: "renamed", EventPreserved: "preserved", EventRTCChange: "RTC change", EventEnded: "ended",
}

// String names the kind for a log.
func (k EventKind) String() string {
	if k > 0 && int(k) < len(eventNames) {
		return eventNames[k]
	}
	return fmt.Sprintf("event(%d)", int(k))
}

// Event is one thing that happened to a machine.
type Event struct {
	Kind EventKind
	Time time.Time
	Exit Exit // with EventReset, EventPanicked, EventPreserved and EventEnded

	Memory uint64 // with EventBalloon, in bytes
	Device string // with EventIOError: the target of the disk
	Err    error  // with EventIOError, EventDumped, and with EventPaused when it was not asked for
	Name   string // with EventRenamed
	Dump   DumpStatus
	// Action is what EventWatchdog brings about.
	Action domcfg.WatchdogAction
	// Open tells which way the tray of EventTray went.
	Open bool
	// RTCOffset is how far EventRTCChange has brought the clock from what it was
	// when the machine was made, apart from the time that has passed.
	RTCOffset time.Duration
	// Write tells of EventIOError whether the request was to change the disk.
	Write bool
}

// eventHub hands events to any number of subscribers, each with a queue of its
// own, so that a slow one delays nobody.
type eventHub struct {
	mu     sync.Mutex
	subs   map[chan Event]struct{}
	closed bool
}

// Subscribe returns a channel that receives the machine's events from now on,
// and a function that ends the subscription. buffer is how many events may wait
// unread; when they do, the oldest are dropped in favour of new ones. The
// channel is closed after EventEnded or Close, or when cancel is called.
func (m *Machine) Subscribe(buffer int) (events <-chan Event, cancel func()) {
	return m.events.subscribe(buffer)
}

func (h *eventHub) subscribe(buffer int) (<-chan Event, func()) {
	ch := make(chan Event, max(buffer, 1))
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		close(ch)
		return ch, func() {}
	}
	if h.subs == nil {
		h.subs = make(map[chan Event]struct{})
	}
	h.subs[ch] = struct{}{}
	return ch, func() { h.unsubscribe(ch) }
}

func (h *eventHub) unsubscribe(ch chan Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.subs[ch]; ok {
		delete(h.subs, ch)
		close(ch)
	}
}

func (h *eventHub) publish(e Event) {
	e.Time = time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	for ch := range h.subs {
		for sent := false; !sent; {
			select {
			case ch <- e:
				sent = true
			default:
				select {
				case <-ch:
				default:
				}
			}
		}
	}
}

func (h *eventHub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for ch := range h.subs {
		delete(h.subs, ch)
		close(ch)
	}
}
