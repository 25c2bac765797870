package tiny

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/govmm/govmm/tests/guest"
	"github.com/govmm/govmm/vmm"
)

// The kernel finds a printer at LPT1 as it does on QEMU's isa-parallel, and what it
// prints is in the host's file.
func TestParallel(t *testing.T) {
	kernel := images(t).Kernel
	dir := t.TempDir()
	printed := map[string]string{"ours": filepath.Join(dir, "ours"), "QEMU's": filepath.Join(dir, "theirs")}
	o := Options{PVH: true, Cmdline: "test=parallel"}
	o.Devices = "<parallel type='file'><source path='" + printed["ours"] + "'/></parallel>"
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
		PVH: true, Cmdline: o.Cmdline, Args: []string{"-parallel", "file:" + printed["QEMU's"]},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := theirs.Report.Err(); err != nil {
		t.Errorf("QEMU: %v", err)
	}
	for _, d := range guest.Compare(theirs.Report, ours) {
		t.Errorf("against QEMU: %s", d)
	}
	for whose, path := range printed {
		if text, err := os.ReadFile(path); err != nil || string(text) != "all is well\n- by interrupt\n" {
			t.Errorf("%s file has %q, %v", whose, text, err)
		}
	}
	if t.Failed() {
		t.Logf("ours:\n%s", output)
	}
}
