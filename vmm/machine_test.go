package vmm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/govmm/govmm/tests/guest"
	"github.com/govmm/govmm/tests/tiny"
	"github.com/govmm/govmm/vmm"
)

const timeout = time.Minute

func kernel(t testing.TB) guest.Image {
	t.Helper()
	all, err := guest.Build(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return all.Kernel
}

func deadline(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	return ctx
}

// newMachine builds a machine; output is what its guest prints.
func newMachine(t testing.TB, o tiny.Options) (*vmm.Machine, *output) {
	t.Helper()
	d, err := o.Domain(kernel(t))
	if err != nil {
		t.Fatal(err)
	}
	out := &output{changed: make(chan struct{}, 1)}
	m, err := vmm.New(deadline(t), d, vmm.Options{Stdout: out, DebugExit: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m, out
}

// output collects what a guest prints, for a test to wait for.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	select {
	case o.changed <- struct{}{}:
	default:
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// wait returns when the guest has printed s n times.
func (o *output) wait(t testing.TB, s string, n int) {
	t.Helper()
	for late := time.After(timeout); strings.Count(o.String(), s) < n; {
		select {
		case <-o.changed:
		case <-late:
			t.Errorf("the guest did not print %q %d times but\n%s", s, n, o)
			return
		}
	}
}

// Each way out of the guest ends the machine with its cause, and the domain's
// actions decide whether it starts anew.
func TestEnds(t *testing.T) {
	for _, tt := range []struct {
		exit    string
		cause   vmm.Cause
		source  string
		crashed bool
		detail  string
	}{
		{"poweroff", vmm.CausePowerOff, "ACPI S5", false, ""},
		{"kbd", vmm.CauseReset, "keyboard controller", false, ""},
		{"reset92", vmm.CauseReset, "port 0x92 fast reset", false, ""},
		{"cf9", vmm.CauseReset, "PIIX3 reset control register", false, ""},
		{"triple", vmm.CauseReset, "triple fault", true, "RIP"},
		{"panic", vmm.CausePanic, "pvpanic", true, ""},
		{"debug", vmm.CauseDebugExit, "debug exit port", false, ""},
	} {
		t.Run(tt.exit, func(t *testing.T) {
			m, _ := newMachine(t, tiny.Options{Cmdline: "test=pvpanic exit=" + tt.exit, OnReboot: "destroy"})
			exit, err := m.Run(deadline(t))
			if err != nil {
				t.Fatal(err)
			}
			if exit.Cause != tt.cause || exit.Source != tt.source || exit.Crashed() != tt.crashed || !strings.Contains(exit.Detail, tt.detail) {
				t.Errorf("ended by %+v", exit)
			}
			want := vmm.StateShutOff
			if tt.crashed {
				want = vmm.StateCrashed
			}
			if got := m.State(); got != want {
				t.Errorf("state %v, want %v", got, want)
			}
		})
	}
}

// A restart boots the same kernel again, from a machine as new.
func TestRestarts(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    tiny.Options
	}{
		{"reboot", tiny.Options{Cmdline: "exit=reboot"}},
		{"triple fault", tiny.Options{Cmdline: "exit=triple"}},
		{"panic", tiny.Options{Cmdline: "exit=panic", OnCrash: "restart"}},
		{"four CPUs", tiny.Options{Cmdline: "exit=reboot", CPUs: 4}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.Cmdline = "test=boot,uart,pic,rtc,smp,acpi " + tt.o.Cmdline
			m, out := newMachine(t, tt.o)
			events, _ := m.Subscribe(100)
			if err := m.Start(); err != nil {
				t.Fatal(err)
			}
			out.wait(t, "\ndone ", 4) // so the lines of three boots are whole
			m.Destroy("the test has seen enough")
			exit, err := m.Wait(deadline(t))
			if err != nil || exit.Cause != vmm.CauseStopped || exit.Source != "the test has seen enough" {
				t.Errorf("ended by %v, %v", exit, err)
			}
			resets := 0
			for e := range events {
				if e.Kind == vmm.EventReset {
					resets++
				}
			}
			if resets < 2 {
				t.Errorf("%d reset events", resets)
			}
			// Every boot, not only the first, finds the machine it expects.
			for i, text := range boots(out.String())[:3] {
				r, err := guest.ParseOutput(strings.NewReader(text))
				if err == nil {
					err = r.Err()
				}
				if err != nil {
					t.Errorf("boot %d: %v", i+1, err)
				}
			}
		})
	}
}

// boots splits what several boots printed after each one's last line.
func boots(text string) (list []string) {
	var one strings.Builder
	for line := range strings.Lines(text) {
		one.WriteString(line)
		if strings.HasPrefix(line, "done ") {
			list = append(list, one.String())
			one.Reset()
		}
	}
	return list
}

// What control methods do, and that they are refused when they make no sense.
func TestControl(t *testing.T) {
	m, out := newMachine(t, tiny.Options{Cmdline: "test=boot exit=hang", CPUs: 2})
	ctx := deadline(t)
	for name, f := range map[string]func() error{
		"pause":    func() error { return m.Pause(ctx) },
		"resume":   func() error { return m.Resume(ctx) },
		"reset":    func() error { return m.Reset(ctx) },
		"shutdown": func() error { return m.Shutdown(ctx) },
		"press":    func() error { return m.PressPowerButton(ctx) },
	} {
		if err := f(); !errors.Is(err, vmm.ErrNotRunning) {
			t.Errorf("%s before start: %v", name, err)
		}
	}
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	if err := m.Start(); err == nil {
		t.Error("started twice")
	}
	out.wait(t, "\ndone ", 1)
	if err := m.Pause(ctx); err != nil || m.State() != vmm.StatePaused {
		t.Fatalf("pause: %v, state %v", err, m.State())
	}
	if err := m.Pause(ctx); err != nil {
		t.Errorf("second pause: %v", err)
	}
	if err := m.Reset(ctx); err != nil || m.State() != vmm.StatePaused {
		t.Errorf("reset of a paused machine: %v, state %v", err, m.State())
	}
	if n := strings.Count(out.String(), "\ndone "); n != 1 {
		t.Errorf("a paused machine printed: %d ends", n)
	}
	if err := m.Resume(ctx); err != nil || m.State() != vmm.StateRunning {
		t.Fatalf("resume: %v, state %v", err, m.State())
	}
	out.wait(t, "\ndone ", 2)
	if err := m.Reset(ctx); err != nil {
		t.Errorf("reset: %v", err)
	}
	out.wait(t, "\ndone ", 3)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := m.Wait(cancelled); !errors.Is(err, context.Canceled) {
		t.Errorf("wait with a cancelled context: %v", err)
	}
	m.Destroy("done")
	if m.State() != vmm.StateShutOff {
		t.Errorf("destroyed machine is %v", m.State())
	}
	if err := m.Pause(ctx); !errors.Is(err, vmm.ErrNotRunning) {
		t.Errorf("pause after the end: %v", err)
	}
	m.Destroy("again")
	if err := errors.Join(m.Close(), m.Close()); err != nil {
		t.Error(err)
	}
}

// The end of Run's context stops the guest, whatever it is doing.
func TestContextStops(t *testing.T) {
	for _, exit := range []string{"hang", "halt"} {
		t.Run(exit, func(t *testing.T) {
			m, out := newMachine(t, tiny.Options{Cmdline: "test=boot exit=" + exit})
			ctx, cancel := context.WithCancelCause(deadline(t))
			go func() {
				out.wait(t, "\ndone ", 1)
				cancel(errors.New("enough"))
			}()
			got, err := m.Run(ctx)
			if err != nil || got.Cause != vmm.CauseStopped || got.Source != "enough" {
				t.Errorf("ended by %v, %v", got, err)
			}
		})
	}
}

// The power button reaches the guest through ACPI only.
func TestShutdownNeedsACPI(t *testing.T) {
	m, _ := newMachine(t, tiny.Options{Cmdline: "test=boot exit=hang", NoACPI: true})
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	if err := m.Shutdown(deadline(t)); !errors.Is(err, vmm.ErrNoPowerButton) || !strings.Contains(err.Error(), "acpi") {
		t.Errorf("shutdown without ACPI: %v", err)
	}
}

// Files that cannot be booted are refused by New, which leaves nothing behind.
func TestBadFiles(t *testing.T) {
	good := kernel(t)
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	image, err := os.ReadFile(good.BzImage)
	if err != nil {
		t.Fatal(err)
	}
	big := write("big", nil)
	if err := os.Truncate(big, 200<<20); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, kernel string
		o            tiny.Options
		want         string
	}{
		{"missing", dir + "/none", tiny.Options{}, "no such file"},
		{"directory", dir, tiny.Options{}, "is a directory"},
		{"empty", write("empty", nil), tiny.Options{}, "is empty"},
		{"text", write("text", []byte("#!/bin/sh\necho no kernel\n")), tiny.Options{}, "not a kernel"},
		{"truncated", write("short", image[:len(image)/2]), tiny.Options{}, "truncated"},
		{"initrd missing", good.BzImage, tiny.Options{Initrd: dir + "/none"}, "no such file"},
		{"initrd too big", good.BzImage, tiny.Options{Initrd: big}, "initrd"},
		{"cmdline too long", good.BzImage, tiny.Options{Cmdline: strings.Repeat("x", 100_000)}, "command line"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := resources(t)
			d, err := tt.o.Domain(guest.Image{BzImage: tt.kernel})
			if err != nil {
				t.Fatal(err)
			}
			_, err = vmm.New(deadline(t), d, vmm.Options{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			before.check(t)
		})
	}
}

// A host without KVM is told apart from a file that is wrong.
func TestHostErrors(t *testing.T) {
	d, err := tiny.Options{}.Domain(kernel(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, device := range []string{"/nonexistent/kvm", "/dev/null"} {
		_, err := vmm.New(deadline(t), d, vmm.Options{Device: device})
		if h := (*vmm.HostError)(nil); !errors.As(err, &h) || !strings.Contains(err.Error(), device) {
			t.Errorf("%s: %v", device, err)
		}
	}
	d.VCPU.Count = 100_000
	if _, err := vmm.New(deadline(t), d, vmm.Options{}); err == nil || !strings.Contains(err.Error(), "100000") {
		t.Errorf("too many vCPUs: %v", err)
	}
}

// Fifty machines live side by side in one process, and leave nothing behind.
func TestManyMachines(t *testing.T) {
	n := 50
	if testing.Short() {
		n = 10
	}
	kernel(t) // built before resources are counted
	before := resources(t)
	t.Run("run", func(t *testing.T) {
		var wg sync.WaitGroup
		machines := make([]*vmm.Machine, n)
		for i := range machines {
			m, out := newMachine(t, tiny.Options{Cmdline: "test=boot exit=hang"})
			machines[i] = m
			if err := m.Start(); err != nil {
				t.Fatal(err)
			}
			wg.Go(func() { out.wait(t, "\ndone ", 1) })
		}
		wg.Wait()
		for _, m := range machines {
			if m.State() != vmm.StateRunning {
				t.Errorf("state %v", m.State())
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	before.check(t)
}

// The counting counts: a machine that is not closed shows.
func TestResourcesShow(t *testing.T) {
	before := resources(t)
	m, _ := newMachine(t, tiny.Options{Cmdline: "exit=hang"})
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	now := resources(t)
	if now.goroutines <= before.goroutines || now.files <= before.files || now.mappings < before.mappings+2 {
		t.Errorf("a running machine has %v, before it %v", now, before)
	}
}

// count is what a machine could leave behind.
type count struct{ goroutines, files, mappings int }

func resources(t testing.TB) count {
	t.Helper()
	list := func(dir string) int {
		names, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return count{
		goroutines: runtime.NumGoroutine(),
		files:      list("/proc/self/fd"),
		mappings:   strings.Count(string(maps), "kvm-vcpu") + guestRAM(string(maps)),
	}
}

// guestRAM counts the writable mappings as large as a test's guest.
func guestRAM(maps string) (n int) {
	for line := range strings.Lines(maps) {
		var first, end uint64
		var access string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &first, &end, &access); err == nil && access == "rw-p" && end-first >= 128<<20 {
			n++
		}
	}
	return n
}

// check waits until there is no more of anything than before.
func (c count) check(t testing.TB) {
	t.Helper()
	var now count
	for late := time.Now().Add(timeout); time.Now().Before(late); runtime.Gosched() {
		now = resources(t)
		if now.goroutines <= c.goroutines && now.files <= c.files && now.mappings <= c.mappings {
			return
		}
	}
	buf := make([]byte, 1<<16)
	t.Errorf("left behind: %v, before: %v\n%s", now, c, buf[:runtime.Stack(buf, true)])
}

func (c count) String() string {
	return fmt.Sprintf("%d goroutines, %d files, %d mappings of machines", c.goroutines, c.files, c.mappings)
}
