package vmm_test

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/tests/tiny"
	"github.com/govmm/govmm/vmm"
)

// newMachineWith is newMachine with more of the domain and the options.
func newMachineWith(t testing.TB, o tiny.Options, mo vmm.Options, change func(*domcfg.Domain)) (*vmm.Machine, *output) {
	t.Helper()
	d, err := o.Domain(kernel(t))
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(d)
	}
	out := &output{changed: make(chan struct{}, 1)}
	mo.Stdout, mo.DebugExit = out, true
	m, err := vmm.New(deadline(t), d, mo)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m, out
}

// checkCore reads a core dump and looks for the command line, which a bzImage's kernel
// has in its RAM.
func checkCore(t testing.TB, path, cmdline string, cpus int) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	found, loads := false, 0
	for _, p := range f.Progs {
		if p.Type == elf.PT_NOTE {
			notes, err := io.ReadAll(p.Open())
			if n := bytes.Count(notes, []byte("CORE\x00")); err != nil || n != cpus {
				t.Errorf("%d processors, %v", n, err)
			}
			continue
		}
		loads++
		memory, err := io.ReadAll(p.Open())
		if err != nil {
			t.Fatal(err)
		}
		found = found || bytes.Contains(memory, []byte(cmdline))
	}
	if !found || loads == 0 {
		t.Errorf("the command line is in none of %d regions", loads)
	}
}

func TestDump(t *testing.T) {
	const cmdline = "test=pvpanic exit=hang"
	m, out := newMachine(t, tiny.Options{CPUs: 2, Cmdline: cmdline})
	events, cancel := m.Subscribe(64)
	defer cancel()
	name := filepath.Join(t.TempDir(), "core")
	if err := m.Dump(t.Context(), name, vmm.DumpOptions{}); !errors.Is(err, vmm.ErrNotRunning) {
		t.Errorf("before the start: %v", err)
	}
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	out.wait(t, "done ", 1)
	var last, of uint64
	if err := m.Dump(deadline(t), name, vmm.DumpOptions{Progress: func(done, total uint64) { last, of = done, total }}); err != nil {
		t.Fatal(err)
	}
	checkCore(t, name, cmdline, 2)
	if last != 128<<20 || of != last {
		t.Errorf("progress %d of %d", last, of)
	}
	if s := m.DumpStatus(); s.State != vmm.DumpCompleted || s.Path != name || s.Done != s.Total {
		t.Errorf("status %+v", s)
	}
	if s := m.State(); s != vmm.StateRunning {
		t.Errorf("afterwards the machine is %v", s)
	}

	// One that runs is in nobody's way but another's, and does not outlive the machine.
	inner := map[string]error{}
	other := name + "-other"
	err := m.Dump(deadline(t), other, vmm.DumpOptions{Progress: func(uint64, uint64) {
		if len(inner) > 0 {
			return
		}
		inner["dump"] = m.Dump(t.Context(), name, vmm.DumpOptions{})
		inner["resume"] = m.Resume(t.Context())
		inner["reset"] = m.Reset(t.Context())
		go m.Destroy("enough")
		next(t, events, vmm.EventDumped) // of the first
	}})
	for what, err := range inner {
		if !errors.Is(err, vmm.ErrDumping) {
			t.Errorf("%s meanwhile: %v", what, err)
		}
	}
	if err != nil {
		if _, statErr := os.Stat(other); !errors.Is(statErr, os.ErrNotExist) {
			t.Errorf("the dump failed (%v) and left: %v", err, statErr)
		}
	}
	if _, err := m.Wait(deadline(t)); err != nil {
		t.Error(err)
	}
}

func TestDumpCanceled(t *testing.T) {
	m, out := newMachine(t, tiny.Options{Cmdline: "test=pvpanic exit=hang"})
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	out.wait(t, "done ", 1)
	if err := m.Pause(deadline(t)); err != nil {
		t.Fatal(err)
	}
	reason := errors.New("not so important")
	ctx, cancel := context.WithCancelCause(deadline(t))
	name := filepath.Join(t.TempDir(), "core")
	err := m.Dump(ctx, name, vmm.DumpOptions{Compress: true, Progress: func(uint64, uint64) { cancel(reason) }})
	if !errors.Is(err, reason) {
		t.Errorf("error %v", err)
	}
	if left, _ := filepath.Glob(name + "*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if s := m.State(); s != vmm.StatePaused || m.DumpStatus().State != vmm.DumpFailed {
		t.Errorf("a machine that was paused is %v", s)
	}
}

// Whoever wanted a dump, it can be canceled. The machine goes on.
func TestCancelDump(t *testing.T) {
	m, out := newMachine(t, tiny.Options{Cmdline: "test=pvpanic exit=hang"})
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	out.wait(t, "done ", 1)
	if err := m.CancelDump(deadline(t)); !errors.Is(err, vmm.ErrNoDump) {
		t.Errorf("without a dump: %v", err)
	}
	name := filepath.Join(t.TempDir(), "core")
	canceled := false
	err := m.Dump(deadline(t), name, vmm.DumpOptions{Progress: func(uint64, uint64) {
		if canceled {
			return
		}
		canceled = true
		if err := m.CancelDump(deadline(t)); err != nil {
			t.Error(err)
		}
	}})
	if !errors.Is(err, vmm.ErrDumpCanceled) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
	if s := m.State(); s != vmm.StateRunning || m.DumpStatus().State != vmm.DumpFailed {
		t.Errorf("afterwards the machine is %v", s)
	}
}

// A crashed guest is dumped before what else its domain wants.
func TestCrashDump(t *testing.T) {
	for _, action := range []domcfg.Action{domcfg.ActionCoredumpDestroy, domcfg.ActionCoredumpRestart} {
		t.Run(string(action), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "of", "dumps")
			const cmdline = "test=pvpanic exit=panic"
			m, out := newMachineWith(t, tiny.Options{Cmdline: cmdline, OnCrash: string(action)}, vmm.Options{DumpDir: dir}, nil)
			events, cancel := m.Subscribe(64)
			defer cancel()
			if err := m.Start(); err != nil {
				t.Fatal(err)
			}
			next(t, events, vmm.EventPanicked)
			dumped := next(t, events, vmm.EventDumped)
			if dumped.Err != nil || filepath.Dir(dumped.Dump.Path) != dir || !strings.HasPrefix(filepath.Base(dumped.Dump.Path), "tiny-") {
				t.Errorf("dumped %+v", dumped)
			}
			checkCore(t, dumped.Dump.Path, cmdline, 1)
			if action == domcfg.ActionCoredumpRestart {
				next(t, events, vmm.EventReset)
				out.wait(t, "done ", 2)
				return
			}
			exit, err := m.Wait(deadline(t))
			if err != nil || exit.Cause != vmm.CausePanic || m.State() != vmm.StateCrashed {
				t.Errorf("ended by %v, %v", exit, err)
			}
		})
	}
}

// A dump that cannot be written does not keep the machine from its end.
func TestCrashDumpFails(t *testing.T) {
	m, _ := newMachineWith(t, tiny.Options{Cmdline: "test=pvpanic exit=panic", OnCrash: "coredump-destroy"},
		vmm.Options{DumpDir: "/dev/null/nowhere"}, nil)
	exit, err := m.Run(deadline(t))
	if err != nil || exit.Cause != vmm.CausePanic {
		t.Errorf("ended by %v, %v", exit, err)
	}
}

func TestWatchdogDumps(t *testing.T) {
	dir := t.TempDir()
	m, _ := newMachineWith(t, tiny.Options{
		Cmdline: "test=pvpanic exit=watchdog", Devices: "<watchdog model='ib700' action='dump'/>",
	}, vmm.Options{DumpDir: dir}, nil)
	events, cancel := m.Subscribe(64)
	defer cancel()
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	next(t, events, vmm.EventWatchdog)
	if e := next(t, events, vmm.EventPaused); !errors.Is(e.Err, vmm.ErrDumping) {
		t.Errorf("paused because of %v", e.Err)
	}
	e := next(t, events, vmm.EventDumped)
	checkCore(t, e.Dump.Path, "exit=watchdog", 1)
	next(t, events, vmm.EventResumed)
}

func TestPreserve(t *testing.T) {
	for _, tt := range []struct {
		exit  string
		state vmm.State
		cause vmm.Cause
	}{
		{"poweroff", vmm.StateShutOff, vmm.CausePowerOff},
		{"kbd", vmm.StateShutOff, vmm.CauseReset},
		{"panic", vmm.StateCrashed, vmm.CausePanic},
	} {
		t.Run(tt.exit, func(t *testing.T) {
			cmdline := "test=pvpanic exit=" + tt.exit
			m, out := newMachineWith(t, tiny.Options{Cmdline: cmdline, OnCrash: "preserve", OnReboot: "preserve"}, vmm.Options{},
				func(d *domcfg.Domain) { d.OnPoweroff = domcfg.ActionPreserve })
			events, cancel := m.Subscribe(64)
			defer cancel()
			if err := m.Start(); err != nil {
				t.Fatal(err)
			}
			if e := next(t, events, vmm.EventPreserved); e.Exit.Cause != tt.cause {
				t.Errorf("preserved after %v", e.Exit)
			}
			if got := m.State(); got != tt.state {
				t.Errorf("state %v, want %v", got, tt.state)
			}
			for what, err := range map[string]error{
				"resume": m.Resume(deadline(t)), "pause": m.Pause(deadline(t)), "button": m.PressPowerButton(deadline(t)),
			} {
				if !errors.Is(err, vmm.ErrEnded) {
					t.Errorf("%s: %v", what, err)
				}
			}
			name := filepath.Join(t.TempDir(), "core")
			if err := m.Dump(deadline(t), name, vmm.DumpOptions{}); err != nil {
				t.Error(err)
			}
			checkCore(t, name, cmdline, 1)
			if got := m.State(); got != tt.state {
				t.Errorf("after a dump the state is %v, want %v", got, tt.state)
			}
			if err := m.Reset(deadline(t)); err != nil {
				t.Error(err)
			}
			out.wait(t, "done ", 2)
			next(t, events, vmm.EventPreserved)
			m.Destroy("enough of it")
			exit, err := m.Wait(deadline(t))
			if err != nil || exit.Cause != tt.cause {
				t.Errorf("ended by %v, %v", exit, err)
			}
		})
	}
}

func TestRenameRestart(t *testing.T) {
	var asked []string
	m, out := newMachineWith(t, tiny.Options{Cmdline: "test=pvpanic exit=kbd", OnReboot: "rename-restart"}, vmm.Options{
		Rename: func(name string) error {
			asked = append(asked, name)
			if name == "tiny-2" {
				return vmm.ErrNameTaken
			}
			return nil
		},
	}, nil)
	events, cancel := m.Subscribe(64)
	defer cancel()
	if got := m.Name(); got != "tiny" {
		t.Errorf("before the start the name is %q", got)
	}
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"tiny-1", "tiny-3"} {
		if e := next(t, events, vmm.EventRenamed); e.Name != want {
			t.Errorf("the name is %q, want %q", e.Name, want)
		}
	}
	out.wait(t, "done ", 3)
	m.Destroy("enough")
	if len(asked) < 3 || !slices.Equal(asked[:3], []string{"tiny-1", "tiny-2", "tiny-3"}) {
		t.Errorf("asked for %q", asked)
	}
}

// A name that cannot be had ends the machine, and says why.
func TestRenameFails(t *testing.T) {
	m, _ := newMachineWith(t, tiny.Options{Cmdline: "test=pvpanic exit=kbd", OnReboot: "rename-restart"}, vmm.Options{
		Rename: func(string) error { return errors.New("the disk is full") },
	}, nil)
	exit, err := m.Run(deadline(t))
	if err != nil || exit.Cause != vmm.CauseHost || !strings.Contains(exit.Detail, "the disk is full") {
		t.Errorf("ended by %v, %v", exit, err)
	}
}
