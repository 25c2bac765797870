package vmm_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/govmm/govmm/tests/tiny"
	"github.com/govmm/govmm/vmm"
)

// The script of an ethernet interface is run when its tap is there, and one that
// fails leaves neither tap nor machine.
func TestInterfaceScript(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root makes taps")
	}
	dir, tap := t.TempDir(), fmt.Sprintf("sc%d", os.Getpid()%1_000_000)
	path, ifaces := filepath.Join(dir, "ifup"), "/sys/class/net/"
	write := func(status int) {
		t.Helper()
		text := fmt.Sprintf("#!/bin/sh\ncat /sys/class/net/$1/address > %s/said || exit 9\nexit %d\n", dir, status)
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	options := tiny.Options{
		Cmdline: "test=none",
		Devices: `<interface type='ethernet'><mac address='52:54:00:00:00:07'/><script path='` + path + `'/><target dev='` + tap + `'/></interface>`,
	}
	write(0)
	m, _ := newMachine(t, options)
	if said, err := os.ReadFile(filepath.Join(dir, "said")); err != nil || strings.TrimSpace(string(said)) != "fe:54:00:00:00:07" {
		t.Errorf("the script has seen %q (%v)", said, err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	write(4)
	d, err := options.Domain(kernel(t))
	if err != nil {
		t.Fatal(err)
	}
	m, err = vmm.New(deadline(t), d, vmm.Options{})
	if err == nil {
		m.Close()
		t.Fatal("there is a machine")
	}
	if want := "devices/interface[1]: script " + path + " " + tap + ": exit status 4"; !strings.Contains(err.Error(), want) {
		t.Errorf("%v; want %s", err, want)
	}
	if _, err := os.Stat(ifaces + tap); err == nil {
		t.Error("the tap is left")
	}
}
