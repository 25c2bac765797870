package tiny

import (
	"context"
	"strings"
	"testing"

	"github.com/govmm/govmm/tests/guest"
	"github.com/govmm/govmm/vmm"
)

// The kernel finds our watchdogs as QEMU's, and both fire when they should.
func TestWatchdog(t *testing.T) {
	kernel := images(t).Kernel
	for _, c := range []struct {
		model, device string
		except        []string
	}{
		// QEMU takes bits 4 and 0 for the interrupt type. The data sheet has it in bits 1 and 0.
		{"i6300esb", "i6300esb,addr=4", []string{"i6300esb config-ones", "i6300esb config-kept"}},
		{"ib700", "ib700", nil},
	} {
		t.Run(c.model, func(t *testing.T) {
			o := Options{PVH: true, Cmdline: "test=" + c.model}
			o.Devices = "<watchdog model='" + c.model + "' action='none'/>"
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
				PVH: true, Cmdline: o.Cmdline, Args: []string{"-device", c.device, "-action", "watchdog=none"},
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := theirs.Report.Err(); err != nil {
				t.Errorf("QEMU: %v", err)
			}
			for _, d := range guest.Compare(theirs.Report, ours, c.except...) {
				t.Errorf("against QEMU: %s", d)
			}
			if t.Failed() {
				t.Logf("ours:\n%s", strings.TrimSpace(output))
			}
		})
	}
}
