package qmp

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/vmm"
)

func TestEvents(t *testing.T) {
	full := fmt.Errorf("/images/vda.img: %w", unix.ENOSPC)
	reset := func(c vmm.Cause) vmm.Event { return vmm.Event{Kind: vmm.EventReset, Exit: vmm.Exit{Cause: c}} }
	for _, test := range []struct {
		event vmm.Event
		want  string // "" for none
	}{
		{vmm.Event{Kind: vmm.EventStarted}, ""},
		{vmm.Event{Kind: vmm.EventPaused}, `"STOP"`},
		{vmm.Event{Kind: vmm.EventResumed}, `"RESUME"`},
		{vmm.Event{Kind: vmm.EventShutdown}, `"POWERDOWN"`},
		{reset(0), `"RESET","data":{"guest":false,"reason":"host-qmp-system-reset"}`},
		{reset(vmm.CauseReset), `"RESET","data":{"guest":true,"reason":"guest-reset"}`},
		{reset(vmm.CausePanic), `"RESET","data":{"guest":true,"reason":"guest-panic"}`},
		{reset(vmm.CausePowerOff), `"RESET","data":{"guest":true,"reason":"guest-shutdown"}`},
		{reset(vmm.CauseInternalError), `"RESET","data":{"guest":false,"reason":"host-error"}`},
		{vmm.Event{Kind: vmm.EventPanicked}, `"GUEST_PANICKED","data":{"action":"poweroff"}`},
		{vmm.Event{Kind: vmm.EventTray, Device: "hdc", Open: true},
			`"DEVICE_TRAY_MOVED","data":{"device":"hdc","id":"hdc","tray-open":true}`},
		{vmm.Event{Kind: vmm.EventCrashLoaded}, `"GUEST_CRASHLOADED","data":{"action":"run"}`},
		{vmm.Event{Kind: vmm.EventWatchdog, Action: domcfg.WatchdogPause}, `"WATCHDOG","data":{"action":"pause"}`},
		{vmm.Event{Kind: vmm.EventRenamed, Name: "x-1"}, ""},
		{vmm.Event{Kind: vmm.EventPreserved, Exit: vmm.Exit{Cause: vmm.CausePanic}}, `"STOP"`},
		{vmm.Event{Kind: vmm.EventPreserved, Exit: vmm.Exit{Cause: vmm.CausePowerOff}}, `"SHUTDOWN","data":{"guest":true,"reason":"guest-shutdown"}`},
		{vmm.Event{Kind: vmm.EventDumped, Dump: vmm.DumpStatus{State: vmm.DumpFailed, Done: 1, Total: 2}, Err: errors.New("full")},
			`"DUMP_COMPLETED","data":{"result":{"status":"failed","completed":1,"total":2},"error":"full"}`},
		{vmm.Event{Kind: vmm.EventBalloon, Memory: 4096}, `"BALLOON_CHANGE","data":{"actual":4096}`},
		{vmm.Event{Kind: vmm.EventRTCChange, RTCOffset: -90*time.Minute - 400*time.Millisecond},
			`"RTC_CHANGE","data":{"offset":-5400,"qom-path":"/machine/rtc"}`},
		{vmm.Event{Kind: vmm.EventIOError, Device: "vda", Err: errors.New("bad sector")},
			`"BLOCK_IO_ERROR","data":{"device":"vda","operation":"read","action":"stop","nospace":false,"reason":"bad sector"}`},
		{vmm.Event{Kind: vmm.EventIOError, Device: "fda", Err: errors.New("bad sector")},
			`"BLOCK_IO_ERROR","data":{"device":"fda","operation":"read","action":"report","nospace":false,"reason":"bad sector"}`},
		{vmm.Event{Kind: vmm.EventIOError, Device: "fda", Err: full, Write: true},
			`"BLOCK_IO_ERROR","data":{"device":"fda","operation":"write","action":"stop","nospace":true,"reason":"/images/vda.img: ` + unix.ENOSPC.Error() + `"}`},
	} {
		r := newRig(t)
		s := r.open()
		r.machine.happen(test.event)
		r.machine.happen(vmm.Event{Kind: vmm.EventResumed})
		const stamp = `,"timestamp":{"seconds":12,"microseconds":34}}`
		if test.want != "" {
			if got := s.read(); got != `{"event":`+test.want+stamp {
				t.Errorf("%v: %s, not %s", test.event, got, test.want)
			}
		}
		if got := s.read(); got != `{"event":"RESUME"`+stamp {
			t.Errorf("after %v: %s", test.event, got)
		}
		r.close()
	}
}

func TestPanicActions(t *testing.T) {
	for action, want := range map[domcfg.Action]string{
		domcfg.ActionDestroy: "poweroff", domcfg.ActionRestart: "run", domcfg.ActionPreserve: "pause",
		domcfg.ActionCoredumpRestart: "run", domcfg.ActionCoredumpDestroy: "poweroff", domcfg.ActionRenameRestart: "run",
	} {
		r := newRig(t)
		r.server.domain.OnCrash = action
		if got := r.server.panicAction(); got != want {
			t.Errorf("%s: %s, not %s", action, got, want)
		}
		r.close()
	}
}

// Whoever listens when the machine ends is told why, and then there is nobody to
// talk to any more.
func TestEnd(t *testing.T) {
	for cause, want := range map[vmm.Cause]string{
		vmm.CausePowerOff: `"guest":true,"reason":"guest-shutdown"`, vmm.CauseReset: `"guest":true,"reason":"guest-reset"`,
		vmm.CausePanic: `"guest":true,"reason":"guest-panic"`, vmm.CauseFailedEntry: `"guest":false,"reason":"host-error"`,
		vmm.CauseStopped: `"guest":false,"reason":"host-signal"`, vmm.CauseHost: `"guest":false,"reason":"host-error"`,
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			s, stuck := r.open(), r.open()
			r.machine.happen(vmm.Event{Kind: vmm.EventEnded, Exit: vmm.Exit{Cause: cause}})
			closed := make(chan struct{})
			go func() { defer close(closed); r.close() }()
			if got := s.read(); !strings.Contains(got, `"SHUTDOWN","data":{`+want+`}`) {
				t.Errorf("%v: %s", cause, got)
			}
			s.ended()
			<-closed // though one of them does not read
			if rest, _ := stuck.from.ReadString('\n'); rest != "" {
				t.Errorf("the stuck client read %q", rest)
			}
			r.close() // does nothing
		})
	}
}

// quit is answered before the machine ends.
func TestQuit(t *testing.T) {
	r := newRig(t)
	s := r.open()
	if got := s.ask(`{"execute":"quit","id":9}{"execute":"query-status"}`); got != `{"return":{},"id":9}` {
		t.Error(got)
	}
	seen := s.read() + s.read()
	if !strings.Contains(seen, `"SHUTDOWN","data":{"guest":false,"reason":"host-qmp-quit"}`) || !strings.Contains(seen, `"status":"shutdown"`) {
		t.Errorf("after quit: %s", seen)
	}
	if got := r.machine.taken(); got != "destroy quit" {
		t.Errorf("asked of the machine: %s", got)
	}
	r.close()
	s.ended()
}

func TestStatus(t *testing.T) {
	crashed := func(c vmm.Cause) vmm.Event {
		return vmm.Event{Kind: vmm.EventEnded, Exit: vmm.Exit{Cause: c}}
	}
	for _, test := range []struct {
		state vmm.State
		event vmm.Event
		want  string
	}{
		{vmm.StateShutOff, vmm.Event{}, "prelaunch"},
		{vmm.StateRunning, vmm.Event{Kind: vmm.EventStarted}, "running"},
		{vmm.StatePaused, vmm.Event{Kind: vmm.EventPaused}, "paused"},
		{vmm.StatePaused, vmm.Event{Kind: vmm.EventPaused, Err: unix.ENOSPC}, "io-error"},
		{vmm.StatePaused, vmm.Event{Kind: vmm.EventPaused, Err: vmm.ErrWatchdog}, "watchdog"},
		{vmm.StatePaused, vmm.Event{Kind: vmm.EventPaused, Err: vmm.ErrDumping}, "save-vm"},
		{vmm.StateCrashed, vmm.Event{Kind: vmm.EventPreserved, Exit: vmm.Exit{Cause: vmm.CausePanic}}, "guest-panicked"},
		{vmm.StateShutOff, vmm.Event{Kind: vmm.EventStarted}, "shutdown"},
		{vmm.StateShutOff, crashed(vmm.CausePowerOff), "shutdown"},
		{vmm.StateCrashed, crashed(vmm.CausePanic), "guest-panicked"},
		{vmm.StateCrashed, crashed(vmm.CauseInternalError), "internal-error"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			defer r.close()
			r.server.run.started = false
			s, _ := r.connect()
			r.machine.state = test.state
			if test.event.Kind != 0 {
				r.machine.happen(test.event)
			}
			synctest.Wait()
			s.ask(`{"execute":"qmp_capabilities"}`)
			want := fmt.Sprintf(`{"return":{"running":%v,"status":"%s"}}`, test.want == "running", test.want)
			if got := s.ask(`{"execute":"query-status"}`); got != want {
				t.Errorf("%s, not %s", got, want)
			}
		})
	}
}

// A guest that moves its balloon all the time does not flood clients: they hear
// of it once a second, and always of where it ended.
func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.close()
		s := r.open()
		for i := range 1000 {
			r.machine.happen(vmm.Event{Kind: vmm.EventBalloon, Memory: uint64(i)})
			synctest.Wait()
		}
		r.machine.happen(vmm.Event{Kind: vmm.EventIOError, Device: "vda", Err: unix.EIO})
		r.machine.happen(vmm.Event{Kind: vmm.EventIOError, Device: "fda", Err: unix.EIO})
		start := time.Now()
		for _, want := range []struct {
			text  string
			after time.Duration
		}{
			{`{"actual":0}`, 0}, {`"device":"vda"`, 0}, {`"device":"fda"`, 0}, {`{"actual":999}`, eventInterval},
		} {
			got := s.read()
			if after := time.Since(start); !strings.Contains(got, want.text) || after != want.after {
				t.Errorf("after %v: %s, not %s after %v", after, got, want.text, want.after)
			}
		}
		r.machine.happen(vmm.Event{Kind: vmm.EventBalloon, Memory: 5})
		r.machine.happen(vmm.Event{Kind: vmm.EventEnded, Exit: vmm.Exit{Cause: vmm.CausePowerOff}})
		if got := s.read(); !strings.Contains(got, `{"actual":5}`) {
			t.Errorf("what was held at the end: %s", got)
		}
		if got := s.read(); !strings.Contains(got, "SHUTDOWN") {
			t.Error(got)
		}
	})
}
