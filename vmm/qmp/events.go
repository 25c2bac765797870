package qmp

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/vmm"
)

// eventInterval is the time between two events of a kind that a guest can bring
// about as often as it likes. The last one is always reported.
const eventInterval = time.Second

// throttle holds events back that come too fast, by their kind and device.
type throttle map[string]*throttled

type throttled struct {
	next time.Time // when another one may be sent
	held *event    // the newest that has come before that
}

// report tells clients what happens to the machine, until events is closed.
func (s *Server) report(events <-chan vmm.Event) {
	held := throttle{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				held.release(time.Time{}, s.broadcast)
				return
			}
			s.note(e)
			message, key := s.translate(e)
			if message == nil {
				continue
			}
			if e.Kind == vmm.EventEnded {
				held.release(time.Time{}, s.broadcast)
			}
			if key == "" || held.pass(key, message, time.Now()) {
				s.broadcast(message)
				continue
			}
		case now := <-timer.C:
			held.release(now, s.broadcast)
		}
		if next := held.next(); !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// pass reports whether an event may be sent, and holds it otherwise.
func (t throttle) pass(key string, e *event, now time.Time) bool {
	k := t[key]
	if k == nil {
		k = &throttled{}
		t[key] = k
	}
	if now.Before(k.next) {
		k.held = e
		return false
	}
	k.next = now.Add(eventInterval)
	return true
}

// release sends what may be sent now, or everything if now is zero.
func (t throttle) release(now time.Time, send func(*event)) {
	for _, k := range t {
		if k.held != nil && (now.IsZero() || !now.Before(k.next)) {
			send(k.held)
			k.held, k.next = nil, now.Add(eventInterval)
		}
	}
}

// next is when release has something to do, zero for never.
func (t throttle) next() (when time.Time) {
	for _, k := range t {
		if k.held != nil && (when.IsZero() || k.next.Before(when)) {
			when = k.next
		}
	}
	return when
}

func (s *Server) broadcast(e *event) {
	message := encode(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		c.event(message)
	}
}

// The data of events (qapi/run-state.json, block-core.json, machine.json, misc-target.json).
type (
	causeData struct {
		Guest  bool   `json:"guest"`
		Reason string `json:"reason"`
	}
	panicData struct {
		Action string `json:"action"`
	}
	ioErrorData struct {
		Device    string `json:"device"`
		Operation string `json:"operation"`
		Action    string `json:"action"`
		NoSpace   bool   `json:"nospace"`
		Reason    string `json:"reason"`
	}
	trayData struct {
		Device string `json:"device"`
		ID     string `json:"id"`
		Open   bool   `json:"tray-open"`
	}
	watchdogData struct {
		Action string `json:"action"` // WatchdogAction
	}
	rtcData struct {
		Offset int64  `json:"offset"` // seconds
		Path   string `json:"qom-path"`
	}
	balloonData struct {
		Actual uint64 `json:"actual"` // bytes
	}
)

// translate puts an event in QMP's words, nil if it has none. Events of a kind
// that a guest can send without end have a key.
func (s *Server) translate(e vmm.Event) (message *event, key string) {
	message = &event{Timestamp: timestamp{e.Time.Unix(), int64(e.Time.Nanosecond() / 1000)}}
	switch e.Kind {
	case vmm.EventPaused:
		message.Event = "STOP"
	case vmm.EventResumed:
		message.Event = "RESUME"
	case vmm.EventReset:
		message.Event, message.Data = "RESET", causeOf(e.Exit, "host-qmp-system-reset")
	case vmm.EventShutdown:
		message.Event = "POWERDOWN"
	case vmm.EventEnded:
		message.Event, message.Data = "SHUTDOWN", causeOf(e.Exit, "host-signal")
	case vmm.EventPanicked:
		message.Event, message.Data = "GUEST_PANICKED", panicData{s.panicAction()}
	case vmm.EventIOError:
		message.Event, key = "BLOCK_IO_ERROR", "BLOCK_IO_ERROR "+e.Device
		message.Data = ioErrorData{e.Device, operationOf(e), s.ioErrorAction(e), errors.Is(e.Err, unix.ENOSPC), e.Err.Error()}
	case vmm.EventCrashLoaded:
		message.Event, message.Data = "GUEST_CRASHLOADED", panicData{"run"}
	case vmm.EventPreserved:
		// What QEMU does that is not to end: it reports a guest's end, and stops.
		message.Event = "STOP"
		if e.Exit.Cause == vmm.CausePowerOff || e.Exit.Cause == vmm.CauseReset {
			message.Event, message.Data = "SHUTDOWN", causeOf(e.Exit, "")
		}
	case vmm.EventDumped:
		message.Event, message.Data = "DUMP_COMPLETED", dumpedDataOf(e)
	case vmm.EventTray:
		message.Event, message.Data = "DEVICE_TRAY_MOVED", trayData{e.Device, e.Device, e.Open}
	case vmm.EventWatchdog:
		message.Event, key = "WATCHDOG", "WATCHDOG"
		message.Data = watchdogData{string(e.Action)}
	case vmm.EventRTCChange:
		message.Event, key = "RTC_CHANGE", "RTC_CHANGE"
		message.Data = rtcData{int64(e.RTCOffset.Round(time.Second) / time.Second), "/machine/rtc"}
	case vmm.EventBalloon:
		message.Event, key = "BALLOON_CHANGE", "BALLOON_CHANGE"
		message.Data = balloonData{e.Memory}
	default:
		return nil, ""
	}
	return message, key
}

// operationOf is a failed request as an IoOperationType.
func operationOf(e vmm.Event) string {
	if e.Write {
		return "write"
	}
	return "read"
}

// causeOf is an exit as a ShutdownCause. host is that of the program.
func causeOf(e vmm.Exit, host string) causeData {
	switch e.Cause {
	case vmm.CausePowerOff, vmm.CauseDebugExit:
		return causeData{true, "guest-shutdown"}
	case vmm.CauseReset:
		return causeData{true, "guest-reset"}
	case vmm.CausePanic:
		return causeData{true, "guest-panic"}
	case vmm.CauseInternalError, vmm.CauseFailedEntry, vmm.CauseHost:
		return causeData{false, "host-error"}
	case vmm.CauseStopped:
		if e.Source == quitReason {
			return causeData{false, "host-qmp-quit"}
		}
	}
	return causeData{false, host}
}

// panicAction is what follows on a panic, as a GuestPanicAction: one that restarts
// the guest lets it run, in a way.
func (s *Server) panicAction() string {
	switch s.domain.OnCrash {
	case domcfg.ActionRestart, domcfg.ActionRenameRestart, domcfg.ActionCoredumpRestart:
		return "run"
	case domcfg.ActionPreserve:
		return "pause"
	}
	return "poweroff"
}

// ioErrorAction is what the disk's error policy says, as a BlockErrorAction.
func (s *Server) ioErrorAction(e vmm.Event) string {
	policy := ""
	for _, d := range s.domain.Devices.Disks {
		if d.Target.Dev == e.Device && d.Driver != nil {
			policy = d.Driver.ErrorPolicy
		}
	}
	if policy == "" || policy == "enospace" {
		policy = "report"
		if errors.Is(e.Err, unix.ENOSPC) {
			policy = "stop"
		}
	}
	return policy
}

// runState is what is known of the machine from its events alone.
type runState struct {
	started bool
	paused  string // the RunState for why it is paused
	exit    vmm.Exit
}

// pausedFor is why a machine was paused as a RunState.
func pausedFor(err error) string {
	switch {
	case err == nil:
		return "paused"
	case errors.Is(err, vmm.ErrWatchdog):
		return "watchdog"
	case errors.Is(err, vmm.ErrDumping):
		return "save-vm"
	}
	return "io-error"
}

// note keeps what later answers need.
func (s *Server) note(e vmm.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run.started = true
	switch e.Kind {
	case vmm.EventPaused:
		s.run.paused = pausedFor(e.Err)
	case vmm.EventResumed, vmm.EventReset:
		s.run.paused = ""
	case vmm.EventEnded, vmm.EventPreserved:
		s.run.exit = e.Exit
	case vmm.EventTray:
		if d := findDrive(s.drives, e.Device); d != nil {
			d.open = e.Open
		}
	}
}
