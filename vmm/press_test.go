package vmm_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/tests/tiny"
	"github.com/govmm/govmm/vmm"
)

// Shutdown waits for a guest that listens to its power button only later, and its end is
// the machine's, whatever the domain says.
func TestShutdown(t *testing.T) {
	for _, action := range []domcfg.Action{domcfg.ActionDestroy, domcfg.ActionRestart, domcfg.ActionPreserve} {
		t.Run(string(action), func(t *testing.T) {
			d, err := tiny.Options{Cmdline: "test=boot exit=button"}.Domain(kernel(t))
			if err != nil {
				t.Fatal(err)
			}
			d.OnPoweroff = action
			m, err := vmm.New(deadline(t), d, vmm.Options{Stdout: &output{changed: make(chan struct{}, 1)}})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			events, cancel := m.Subscribe(16)
			defer cancel()
			if err := m.Start(); err != nil {
				t.Fatal(err)
			}
			if err := m.Shutdown(deadline(t)); err != nil {
				t.Fatal(err)
			}
			exit, err := m.Wait(deadline(t))
			if err != nil || exit.Cause != vmm.CausePowerOff {
				t.Errorf("ended by %v, %v", exit, err)
			}
			for _, want := range []vmm.EventKind{vmm.EventStarted, vmm.EventShutdown, vmm.EventEnded} {
				if e := <-events; e.Kind != want {
					t.Errorf("event %v, want %v", e.Kind, want)
				}
			}
			if err := m.Shutdown(deadline(t)); !errors.Is(err, vmm.ErrNotRunning) {
				t.Errorf("after the end: %v", err)
			}
		})
	}
}

// A shutdown that nobody waits for any more has no effect on what follows.
func TestShutdownGivesUp(t *testing.T) {
	d, err := tiny.Options{Cmdline: "test=boot exit=button"}.Domain(kernel(t))
	if err != nil {
		t.Fatal(err)
	}
	d.OnPoweroff = domcfg.ActionPreserve
	m, err := vmm.New(deadline(t), d, vmm.Options{Stdout: &output{changed: make(chan struct{}, 1)}})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	events, cancel := m.Subscribe(16)
	defer cancel()
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	if err := m.Pause(deadline(t)); err != nil {
		t.Fatal(err)
	}
	late := errors.New("late")
	ctx, stop := context.WithTimeoutCause(deadline(t), 50*time.Millisecond, late)
	defer stop()
	if err := m.Shutdown(ctx); !errors.Is(err, late) {
		t.Errorf("shutdown of a paused machine: %v", err)
	}
	if err := m.Resume(deadline(t)); err != nil {
		t.Fatal(err)
	}
	for pressed := time.NewTicker(100 * time.Millisecond); m.State() == vmm.StateRunning; <-pressed.C {
		if err := m.PressPowerButton(deadline(t)); err != nil && !errors.Is(err, vmm.ErrEnded) {
			t.Fatal(err)
		}
	}
	preserved := false
	for e := range events {
		switch e.Kind {
		case vmm.EventPreserved:
			preserved = true
			// It has nothing to wait for.
			if err := m.Shutdown(deadline(t)); err != nil {
				t.Error(err)
			}
		case vmm.EventEnded:
			if !preserved || e.Exit.Cause != vmm.CausePowerOff {
				t.Errorf("ended by %v, preserved before: %v", e.Exit, preserved)
			}
		}
	}
}
