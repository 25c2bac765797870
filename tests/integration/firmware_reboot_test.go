package integration

import (
	"testing"

	"github.com/govmm/govmm/vmm"
)

// TestFirmwareReboot restarts a machine that boots through firmware, in two ways a
// guest has and by Reset: each time the firmware starts anew and boots the same.
func TestFirmwareReboot(t *testing.T) {
	xml := throughFirmware(domain{vcpus: 2, initrd: cloudShell, cmdline: "quiet"}.xml(t))
	m := newMachineOf(t, xml)
	events, cancel := m.Subscribe(64)
	defer cancel()
	must(t, m.Start())
	boot := func() {
		t.Helper()
		if match := m.expect(banner); match[2] != "2" {
			t.Errorf("%s CPUs", match[2])
		}
		m.expect(prompt)
	}
	boot()
	for _, way := range []struct{ name, source string }{
		{"acpi", "PIIX3 reset control register"}, {"triple", "triple fault"},
	} {
		m.shell("echo " + way.name + " >/sys/kernel/reboot/type")
		m.shell("echo 1 >/sys/kernel/reboot/force")
		m.send("reboot -f\n")
		if exit := m.reset(events); exit.Cause != vmm.CauseReset || exit.Source != way.source {
			t.Errorf("reboot=%s: reset by %v, want %s", way.name, exit, way.source)
		}
		boot()
	}
	must(t, m.Reset(t.Context()))
	m.reset(events)
	boot()
	m.send("poweroff\n")
	m.ends(vmm.CausePowerOff, "ACPI S5")
}

// reset waits for the machine to start anew and tells why it did.
func (m *machine) reset(events <-chan vmm.Event) vmm.Exit {
	m.t.Helper()
	return m.event(events, "reset", func(e vmm.Event) bool { return e.Kind == vmm.EventReset }).Exit
}
