package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const patience = 3 * time.Minute // for one run, on a busy machine

func run(t *testing.T, image Image, o QEMUOptions) *QEMURun {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := RunQEMU(ctx, image, o)
	if err != nil {
		if r != nil {
			t.Log(r.Report.Err())
		}
		t.Fatal(err)
	}
	return r
}

func entries(t *testing.T, each func(t *testing.T, pvh bool)) {
	for _, pvh := range []bool{false, true} {
		t.Run(map[bool]string{false: "bzImage", true: "pvh"}[pvh], func(t *testing.T) { each(t, pvh) })
	}
}

// Every expectation of the kernel holds on QEMU's machine, whichever way it
// was booted; both ways get the same answers.
func TestQEMU(t *testing.T) {
	kernel := images(t).Kernel
	initrd := []byte(strings.Repeat("an initrd of some size ", 100))
	file := filepath.Join(t.TempDir(), "initrd")
	if err := os.WriteFile(file, initrd, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, m := range []QEMUOptions{
		{CPUs: 1, MemoryMiB: 128},
		{CPUs: 4, MemoryMiB: 5120, Initrd: file},
		{CPUs: 1, MemoryMiB: 128, NoACPI: true},
		{CPUs: 4, MemoryMiB: 256, NoACPI: true},
	} {
		m.Cmdline = fmt.Sprintf("cpus=%d mem.mib=%d", m.CPUs, m.MemoryMiB)
		t.Run(fmt.Sprintf("%dcpu-%dMiB-acpi=%v", m.CPUs, m.MemoryMiB, !m.NoACPI), func(t *testing.T) {
			var reports []*Report
			entries(t, func(t *testing.T, pvh bool) {
				m := m
				m.PVH = pvh
				r := run(t, kernel, m)
				if err := r.Report.Err(); err != nil {
					t.Error(err)
				}
				if r.ExitCode != QEMUPassed {
					t.Errorf("exit code %d, want %d", r.ExitCode, QEMUPassed)
				}
				wantEntry, wantInitrd := "linux32", "none"
				if pvh {
					wantEntry = "pvh"
				}
				if m.Initrd != "" {
					wantInitrd = InitrdValue(initrd)
				}
				for key, want := range map[string]string{"entry": wantEntry, "cmdline": m.Cmdline, "initrd": wantInitrd} {
					if got, _ := r.Report.Lookup("boot", key); got.Detail != want {
						t.Errorf("%s %q, want %q", key, got.Detail, want)
					}
				}
				reports = append(reports, r.Report)
				t.Logf("%v in all", r.Elapsed.Round(time.Millisecond))
			})
			if len(reports) == 2 {
				for _, d := range Compare(reports[0], reports[1]) {
					t.Error("bzImage and PVH differ: ", d)
				}
			}
		})
	}
}

// The tests that take a second or more. A QEMU that the host starves loses
// timer ticks, so one of three runs has to be right.
func TestQEMUSlow(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for seconds of the guest's clock")
	}
	var r *QEMURun
	var err error
	for range 3 {
		r = run(t, images(t).Kernel, QEMUOptions{Cmdline: "test=rtc-update,rtc-rollover,hpet-route,pio-bench,mmio-bench,spin-bench n=100"})
		if err = r.Report.Err(); err == nil {
			break
		}
		t.Log(err)
	}
	if err != nil {
		t.Error(err)
	}
	if got, _ := r.Report.Lookup("rtc-rollover", "rollover"); got.Detail != "2000-01-01 00:00" {
		t.Errorf("the second after 1999-12-31 23:59:59 is %q", got.Detail)
	}
}

// With KVM's interrupt controllers and timers in place of QEMU's.
func TestQEMUWithKVM(t *testing.T) {
	if testing.Short() {
		t.Skip("firmware takes seconds where KVM interprets it")
	}
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	f.Close()
	r := run(t, images(t).Kernel, QEMUOptions{Accel: "kvm", PVH: true, Cmdline: "cpus=1 mem.mib=128"})
	if err := r.Report.Err(); err != nil {
		t.Error(err)
	}
	elapsed, _ := r.Report.Lookup("kernel", "elapsed-us")
	t.Logf("%v in all, %s us of them the kernel's", r.Elapsed.Round(time.Millisecond), elapsed.Detail)
}

func TestQEMUFirst(t *testing.T) {
	entries(t, func(t *testing.T, pvh bool) {
		r := run(t, images(t).First, QEMUOptions{PVH: pvh})
		if r.ExitCode != QEMUPassed || len(r.Report.Other) != 1 || r.Report.Other[0] != "!" {
			t.Errorf("exit code %d, output %q; want %d and a '!'", r.ExitCode, r.Report.Other, QEMUPassed)
		}
	})
}

// What is misspelt must not pass, and a failure shows in the exit code.
func TestQEMUFailure(t *testing.T) {
	kernel := images(t).Kernel
	for _, tt := range []struct{ cmdline, want string }{
		{"test=port92,prot92", "not ok kernel test-known: there is no test prot92"},
		{"test=boot mem.mib=64", "not ok boot ram-size: "},
		{"test=smp cpus=2", "not ok smp expected: 1 of 2"},
		{"test=mmio-bench n=1 address=0x800000000000", "not ok mmio-bench exception: vector 13 error 0 rip "},
		{"test=mmio-bench n=1 address=0x100000000", "not ok mmio-bench exception: vector 14 error 2 rip "},
	} {
		t.Run(tt.cmdline, func(t *testing.T) {
			r := run(t, kernel, QEMUOptions{Cmdline: tt.cmdline})
			if err := r.Report.Err(); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("Err() = %v, want %s", err, tt.want)
			}
			if r.ExitCode != QEMUFailed {
				t.Errorf("exit code %d, want %d", r.ExitCode, QEMUFailed)
			}
		})
	}
}

// Each way out ends a machine; -no-reboot makes a reset an end too.
func TestQEMUExits(t *testing.T) {
	kernel := images(t).Kernel
	for exit, want := range map[string]int{
		"debug": QEMUPassed, "poweroff": 0, "reboot": 0, "kbd": 0, "reset92": 0, "cf9": 0, "triple": 0, "panic": 0,
	} {
		t.Run(exit, func(t *testing.T) {
			r := run(t, kernel, QEMUOptions{Cmdline: "test=port92 exit=" + exit})
			if err := r.Report.Err(); err != nil {
				t.Error(err)
			}
			if r.ExitCode != want {
				t.Errorf("exit code %d, want %d", r.ExitCode, want)
			}
		})
	}
}

// stopAtDone ends a run when the kernel has printed its last line.
type stopAtDone struct {
	seen bytes.Buffer
	stop context.CancelFunc
}

func (s *stopAtDone) Write(p []byte) (int, error) {
	s.seen.Write(p)
	if bytes.Contains(s.seen.Bytes(), []byte("not ok\n")) {
		s.stop()
	}
	return len(p), nil
}

func TestQEMUStays(t *testing.T) {
	kernel := images(t).Kernel
	for _, exit := range []string{"halt", "hang"} {
		t.Run(exit, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			r, err := RunQEMU(ctx, kernel, QEMUOptions{Cmdline: "test=port92 exit=" + exit, Output: &stopAtDone{stop: cancel}})
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("RunQEMU: %v, want it to be stopped", err)
			}
			if err := r.Report.Err(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestQEMUErrors(t *testing.T) {
	kernel := images(t).Kernel
	if _, err := RunQEMU(t.Context(), kernel, QEMUOptions{Args: []string{"-no-such-option"}}); err == nil ||
		!strings.Contains(err.Error(), "no-such-option") {
		t.Errorf("a bad option: %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := RunQEMU(t.Context(), kernel, QEMUOptions{}); err == nil ||
		!strings.Contains(err.Error(), "package qemu-system-x86") {
		t.Errorf("without QEMU: %v", err)
	}
}
