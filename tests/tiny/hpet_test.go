package tiny

import (
	"context"
	"testing"

	"github.com/govmm/govmm/tests/guest"
)

// A machine has an HPET as QEMU's, and with present='no' neither its registers
// nor its ACPI table, like QEMU's without.
func TestHPET(t *testing.T) {
	kernel := images(t).Kernel
	for _, tt := range []struct {
		name, clock, cmdline string
		args                 []string // of QEMU
		present              string
	}{
		{"unasked", "", "test=hpet,hpet-route", nil, "yes"},
		{"present", "<timer name='hpet' present='yes'/>", "test=hpet,hpet-route", nil, "yes"},
		{"absent", "<timer name='hpet' present='no'/>", "test=hpet", []string{"-machine", "hpet=off"}, "no"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, output := run(t, kernel, Options{PVH: true, Cmdline: tt.cmdline, Clock: tt.clock})
			ours := report(t, output)
			if err := ours.Err(); err != nil {
				t.Error(err)
			}
			if got, _ := ours.Lookup("hpet", "present"); got.Detail != tt.present {
				t.Errorf("present: %q, want %s", got.Detail, tt.present)
			}
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			theirs, err := guest.RunQEMU(ctx, kernel, guest.QEMUOptions{PVH: true, Cmdline: tt.cmdline, Args: tt.args})
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range guest.Compare(theirs.Report, ours) {
				t.Errorf("against QEMU: %s", d)
			}
		})
	}
}
