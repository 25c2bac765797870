package integration

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// TestKernelMessages fails for a warning or an error of the guest's kernel
// that the same kernel does not have under QEMU on the same host.
func TestKernelMessages(t *testing.T) {
	const cmdline = "quiet test=dmesg"
	d := domain{vcpus: 2, cmdline: cmdline}
	c := run(t, d)
	ours := c.report().all("dmesg")
	c.exit(0)
	theirs := map[string]bool{}
	for _, line := range underQEMU(t, d) {
		theirs[pattern(line)] = true
	}
	for _, line := range ours {
		if !theirs[pattern(line)] && !allowed(line) {
			t.Errorf("under QEMU the kernel does not say: %s", line)
		}
	}
}

// underQEMU are the messages of a domain's kernel on QEMU's machine of the
// same kind.
func underQEMU(t *testing.T, d domain) []string {
	t.Helper()
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Fatalf("%v; install the package qemu-system-x86", err)
	}
	cmd := exec.Command(qemu,
		"-machine", "pc,hpet=off", "-accel", "kvm", "-cpu", "host", "-smp", "2", "-m", "256",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-device", "pvpanic",
		"-kernel", cloudKernel(t).Image, "-initrd", asset(cloudTest), "-append", "console=ttyS0 "+d.cmdline,
		"-serial", "stdio")
	g := newGuest(t, nil)
	cmd.Stdout = g.out
	c := start(t, g, cmd)
	messages := c.report().all("dmesg")
	c.exit(0)
	return messages
}

var (
	hex    = regexp.MustCompile(`\b(0x)?[0-9a-fA-F]{2,}\b`)
	digits = regexp.MustCompile(`[0-9]+`)
)

// pattern is a message without its numbers, which differ from boot to boot, and
// without the machine's name, with which the kernel heads every report.
func pattern(message string) string {
	if level, _, ok := strings.Cut(message, " Hardware name: "); ok {
		return level + " Hardware name"
	}
	return digits.ReplaceAllString(hex.ReplaceAllString(message, "N"), "N")
}

// allowed are messages about a host that was busy, which come and go.
func allowed(message string) bool {
	for _, m := range []string{
		"hrtimer: interrupt took ",
		"clocksource: timekeeping watchdog on CPU",
	} {
		if strings.Contains(message, m) {
			return true
		}
	}
	return false
}
