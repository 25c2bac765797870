package tiny

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/govmm/govmm/tests/guest"
	"github.com/govmm/govmm/vmm"
)

// timeout bounds a run of the kernel, which takes about a second where KVM
// interprets it and QEMU two.
const timeout = time.Minute

func images(t testing.TB) *guest.Images {
	t.Helper()
	all, err := guest.Build(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func run(t *testing.T, image guest.Image, o Options) (vmm.Exit, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	exit, output, err := Run(ctx, image, o, vmm.Options{DebugExit: true})
	if err != nil {
		t.Fatal(err)
	}
	return exit, output
}

func report(t *testing.T, output string) *guest.Report {
	t.Helper()
	r, err := guest.ParseOutput(strings.NewReader(output))
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return r
}

// The kernel finds on our machine what it expects, and answers the same as on
// QEMU's, however it is booted.
func TestSameAsQEMU(t *testing.T) {
	kernel := images(t).Kernel
	initrd := filepath.Join(t.TempDir(), "initrd")
	if err := os.WriteFile(initrd, []byte(strings.Repeat("an initrd of some size ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{
		{CPUs: 1, MemoryMiB: 128},
		{CPUs: 4, MemoryMiB: 5120, Initrd: initrd},
		{CPUs: 1, MemoryMiB: 128, NoACPI: true},
		{CPUs: 4, MemoryMiB: 256, NoACPI: true},
	} {
		o.Cmdline = fmt.Sprintf("cpus=%d mem.mib=%d", o.CPUs, o.MemoryMiB)
		t.Run(fmt.Sprintf("%dcpu-%dMiB-acpi=%v", o.CPUs, o.MemoryMiB, !o.NoACPI), func(t *testing.T) {
			for _, pvh := range []bool{false, true} {
				o := o
				o.PVH = pvh
				t.Run(map[bool]string{false: "bzImage", true: "pvh"}[pvh], func(t *testing.T) {
					exit, output := run(t, kernel, o)
					ours := report(t, output)
					if err := ours.Err(); err != nil {
						t.Error(err)
					}
					if exit.Cause != vmm.CauseDebugExit || exit.Code<<1|1 != guest.QEMUPassed {
						t.Errorf("ended by %v", exit)
					}
					ctx, cancel := context.WithTimeout(t.Context(), timeout)
					defer cancel()
					theirs, err := guest.RunQEMU(ctx, kernel, guest.QEMUOptions{
						PVH: o.PVH, CPUs: o.CPUs, MemoryMiB: o.MemoryMiB, NoACPI: o.NoACPI, Cmdline: o.Cmdline, Initrd: o.Initrd,
					})
					if err != nil {
						t.Fatal(err)
					}
					for _, d := range guest.Compare(theirs.Report, ours, exceptions(o)...) {
						t.Errorf("against QEMU: %s", d)
					}
				})
			}
		})
	}
}

// exceptions are the answers in which our machine is meant to differ.
func exceptions(o Options) []string {
	list := []string{
		// QEMU enters a bzImage by the 32-bit entry, we by the 64-bit one.
		"boot entry",
	}
	if o.NoACPI {
		// QEMU takes the power management function away with the ACPI tables. A
		// PIIX4 has it always.
		list = append(list, "pci 00:01.3", "pmtimer present", "pmtimer high-byte")
	}
	return list
}
