package integration

import (
	"maps"
	"slices"
	"syscall"
	"testing"
)

// ways are the ways to restart a PC that Linux knows by name, in
// /sys/kernel/reboot/type, and what govmm logs of them.
func ways() []struct{ name, source string } {
	return []struct{ name, source string }{
		{"acpi", "PIIX3 reset control register"}, // which the FADT names
		{"kbd", "keyboard controller"},
		{"pci", "PIIX3 reset control register"},
		{"triple", "triple fault"},
	}
}

// TestReboot restarts one machine in every way, then powers it off. Each boot
// must find the machine as new, and the kernel somewhere else.
func TestReboot(t *testing.T) {
	c := run(t, domain{vcpus: 2, memory: "<memory unit='GiB'>1</memory>", initrd: cloudShell, cmdline: "quiet"})
	addresses := map[string]bool{}
	boot := func() {
		t.Helper()
		if match := c.expect(banner); match[2] != "2" {
			t.Errorf("%s CPUs after %q", match[2], c.stderr.tail())
		}
		c.expect(prompt)
		addresses[c.address()] = true
	}
	for _, way := range ways() {
		boot()
		c.shell("echo " + way.name + " >/sys/kernel/reboot/type")
		c.shell("echo 1 >/sys/kernel/reboot/force")
		c.send("reboot -f\n")
		if match := c.said(`msg=restarting cause=(\S+) source="(.*?)"`); match[1] != "reset" || match[2] != way.source {
			t.Errorf("reboot=%s: %s by %s, want reset by %s", way.name, match[1], match[2], way.source)
		}
	}
	boot()
	if len(addresses) < 2 {
		t.Errorf("all boots have the kernel at the same address: %q", slices.Collect(maps.Keys(addresses)))
	}
	c.send("poweroff\n")
	c.exit(0)
}

// TestRebootDestroy ends machines that must not restart.
func TestRebootDestroy(t *testing.T) {
	for _, test := range []struct {
		action string
		exit   int
		said   string
	}{
		{"reboot", 0, `msg=ended cause=reset source="PIIX3 reset control register"`},
		{"triple", 5, `govmm: the guest crashed: reset \(triple fault\): triple fault on vCPU \d`},
	} {
		t.Run(test.action, func(t *testing.T) {
			c := run(t, domain{onReboot: "destroy", cmdline: "quiet test=cpus action=" + test.action})
			c.report()
			c.said(test.said)
			c.exit(test.exit)
		})
	}
}

// TestPanic crashes a kernel that tells the pvpanic device.
func TestPanic(t *testing.T) {
	t.Run("destroy", func(t *testing.T) {
		c := run(t, domain{onCrash: "destroy", cmdline: "quiet test=cpus action=panic"})
		c.report()
		c.expect("Kernel panic - not syncing: sysrq triggered crash")
		c.said(`govmm: the guest crashed: panic \(pvpanic\)\n`)
		c.exit(5)
	})
	t.Run("restart", func(t *testing.T) {
		c := run(t, domain{onCrash: "restart", cmdline: "quiet test=cpus action=panic"})
		c.report()
		c.said(`msg=restarting cause=panic source=pvpanic`)
		c.report()
		c.signal(syscall.SIGQUIT)
		c.exit(128 + int(syscall.SIGQUIT))
		c.said("govmm: stopped by SIGQUIT\n")
	})
}
