package vmm_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/tests/tiny"
	"github.com/govmm/govmm/vmm"
)

// next waits for an event of a kind, and fails the test if there is none any more.
func next(t testing.TB, events <-chan vmm.Event, kind vmm.EventKind) vmm.Event {
	t.Helper()
	ctx := deadline(t)
	for {
		select {
		case e, ok := <-events:
			if !ok {
				t.Fatalf("the machine has ended without the event %v", kind)
			}
			if e.Kind == kind {
				return e
			}
		case <-ctx.Done():
			t.Fatalf("no event %v", kind)
		}
	}
}

// watched is a machine whose guest arms its watchdog and then does nothing.
func watched(t testing.TB, action domcfg.WatchdogAction, o tiny.Options) (*vmm.Machine, *output, <-chan vmm.Event) {
	t.Helper()
	o.Cmdline = "test=pvpanic exit=watchdog"
	o.Devices = "<watchdog model='ib700' action='" + string(action) + "'/>"
	m, out := newMachine(t, o)
	events, cancel := m.Subscribe(64)
	t.Cleanup(cancel)
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	if e := next(t, events, vmm.EventWatchdog); e.Action != action {
		t.Errorf("the event tells of action %q", e.Action)
	}
	return m, out, events
}

// A watchdog that ends the guest leaves what follows to the domain.
func TestWatchdogEnds(t *testing.T) {
	for _, tt := range []struct {
		action domcfg.WatchdogAction
		cause  vmm.Cause
	}{{domcfg.WatchdogReset, vmm.CauseReset}, {domcfg.WatchdogPoweroff, vmm.CausePowerOff}} {
		m, _, _ := watched(t, tt.action, tiny.Options{OnReboot: "destroy"})
		exit, err := m.Wait(deadline(t))
		if err != nil || exit.Cause != tt.cause || exit.Source != "watchdog" || exit.Crashed() {
			t.Errorf("%s: ended by %+v, %v", tt.action, exit, err)
		}
	}
}

func TestWatchdogResets(t *testing.T) {
	_, out, events := watched(t, domcfg.WatchdogReset, tiny.Options{})
	next(t, events, vmm.EventReset)
	out.wait(t, "done ", 2)
}

func TestWatchdogGoesOn(t *testing.T) {
	m, _, events := watched(t, domcfg.WatchdogPause, tiny.Options{})
	if e := next(t, events, vmm.EventPaused); !errors.Is(e.Err, vmm.ErrWatchdog) {
		t.Errorf("paused because of %v", e.Err)
	}
	if err := m.Resume(deadline(t)); err != nil {
		t.Error(err)
	}

	_, _, events = watched(t, domcfg.WatchdogShutdown, tiny.Options{})
	next(t, events, vmm.EventShutdown)

	_, out, _ := watched(t, domcfg.WatchdogInjectNMI, tiny.Options{})
	out.wait(t, "vector 2 ", 1) // the exception that it is

	m, _, events = watched(t, domcfg.WatchdogNone, tiny.Options{})
	m.Destroy("enough")
	var after []vmm.EventKind
	for e := range events {
		after = append(after, e.Kind)
	}
	if !slices.Equal(after, []vmm.EventKind{vmm.EventEnded}) {
		t.Errorf("after a watchdog that does nothing: %v", after)
	}
}

func TestSetWatchdogAction(t *testing.T) {
	m, _ := newMachine(t, tiny.Options{Cmdline: "test=pvpanic exit=watchdog", Devices: "<watchdog model='ib700'/>"})
	if err := m.SetWatchdogAction("explode"); err == nil {
		t.Error("an unknown action is taken")
	}
	if err := m.SetWatchdogAction(domcfg.WatchdogPoweroff); err != nil {
		t.Fatal(err)
	}
	exit, err := m.Run(deadline(t))
	if err != nil || exit.Cause != vmm.CausePowerOff {
		t.Errorf("ended by %v, %v", exit, err)
	}
	without, _ := newMachine(t, tiny.Options{})
	if err := without.SetWatchdogAction(domcfg.WatchdogNone); !errors.Is(err, vmm.ErrNoDevice) {
		t.Errorf("without a watchdog: %v", err)
	}
}
