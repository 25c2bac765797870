package integration

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// panics is a domain of two vCPUs whose guest crashes by "echo c >/proc/sysrq-trigger" as
// soon as it is up.
func panics(onCrash string) domain {
	return domain{vcpus: 2, onCrash: onCrash, cmdline: "quiet test=cpus action=panic"}
}

const sysrqCrash = "Kernel panic - not syncing: sysrq triggered crash"

// commanded gives a govmm command that must succeed, and returns what it prints.
func commanded(t *testing.T, args ...string) string {
	t.Helper()
	cmd := govmm(args...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("govmm %v: %v: %s", args, err, &complaint)
	}
	return strings.TrimSpace(string(out))
}

// TestPreserve keeps a crashed machine, looks at it from outside, and ends it.
func TestPreserve(t *testing.T) {
	c := run(t, panics("preserve"))
	c.report()
	c.expect(sysrqCrash)
	c.said(`msg="the guest has ended, and the machine is kept until it is destroyed" cause=panic source=pvpanic`)
	if got := commanded(t, "domstate", "--reason", "integration"); got != "crashed (panicked)" {
		t.Errorf("domstate: %q", got)
	}
	var vcpus []struct{ VCPU int }
	if err := json.Unmarshal([]byte(commanded(t, "vcpuinfo", "--json", "integration")), &vcpus); err != nil || len(vcpus) != 2 {
		t.Errorf("vcpuinfo: %v, %v", vcpus, err)
	}
	if out, err := govmm("resume", "integration").CombinedOutput(); err == nil {
		t.Errorf("a crashed guest was resumed: %s", out)
	}
	core := filepath.Join(t.TempDir(), "core")
	commanded(t, "dump", "integration", core)
	readCore(t, core, 2, 256<<20)
	commanded(t, "destroy", "integration")
	c.said(`govmm: the guest crashed: panic \(pvpanic\)\n`)
	c.exit(5)
	if got := commanded(t, "list", "--json"); got != "[]" {
		t.Errorf("at the end there is %s", got)
	}
}

// TestCoredump reads what a crash leaves in the directory of core dumps.
func TestCoredump(t *testing.T) {
	for _, restart := range []bool{false, true} {
		action := map[bool]string{false: "coredump-destroy", true: "coredump-restart"}[restart]
		t.Run(action, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "dumps")
			c := run(t, panics(action), "--dump-dir="+dir)
			c.report()
			c.expect(sysrqCrash)
			path := c.said(`msg="the core dump is complete" path=(\S+)`)[1]
			if matched, _ := filepath.Match(filepath.Join(dir, "integration-*.core"), path); !matched {
				t.Errorf("the core dump is %s", path)
			}
			readCore(t, path, 2, 256<<20)
			if !restart {
				c.exit(5)
				return
			}
			c.said(`msg=restarting cause=panic source=pvpanic`)
			c.report()
			c.signal(syscall.SIGQUIT)
			c.exit(128 + int(syscall.SIGQUIT))
		})
	}
}

// readCore asks readelf for what is in a core dump: the registers of the vCPUs and all of
// the RAM.
func readCore(t *testing.T, path string, vcpus int, ram uint64) {
	t.Helper()
	cmd := exec.Command("readelf", "--wide", "--file-header", "--segments", "--notes", path)
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("readelf (Debian package binutils): %v: %s", err, text)
	}
	for what, n := range map[string]int{
		`(?m)^  Type: +CORE \(Core file\)$`:   1,
		`(?m)^  CORE .*NT_PRSTATUS`:           vcpus,
		`(?m)^  QEMU `:                        vcpus,
		`(?m)^  Machine: +Advanced Micro Dev`: 1,
	} {
		if got := len(regexp.MustCompile(what).FindAll(text, -1)); got != n {
			t.Errorf("%q is there %d times, want %d, in\n%s", what, got, n, text)
		}
	}
	var sum uint64
	for _, load := range regexp.MustCompile(`(?m)^  LOAD +0x\w+ +0x\w+ +0x\w+ +0x(\w+) +0x(\w+)`).FindAllStringSubmatch(string(text), -1) {
		inFile, err := strconv.ParseUint(load[1], 16, 64)
		if err != nil || load[1] != load[2] {
			t.Errorf("%s: %v", load[0], err)
		}
		sum += inFile
	}
	if sum > ram || sum < ram-1<<20 { // less what is not RAM below 1 MiB
		t.Errorf("%d bytes of memory, want %d:\n%s", sum, ram, text)
	}
}

// TestRenameRestart finds a machine under its new name after its guest has crashed.
func TestRenameRestart(t *testing.T) {
	c := run(t, panics("rename-restart"))
	c.report()
	c.said(`msg="the machine has another name" name=integration-1`)
	// It is found before it has booted, and crashes, again.
	if got := commanded(t, "domstate", "integration-1"); got != "running" {
		t.Errorf("domstate: %q", got)
	}
	if out, err := govmm("domstate", "integration").CombinedOutput(); err == nil {
		t.Errorf("the old name is known: %s", out)
	}
	c.report()
	c.signal(syscall.SIGQUIT)
	c.exit(128 + int(syscall.SIGQUIT))
}

// TestEndActions has a guest that switches itself off, or restarts, under the actions that
// keep its machine.
func TestEndActions(t *testing.T) {
	for _, test := range []struct {
		name   string
		domain domain
		cause  string
	}{
		{"on_poweroff preserve", domain{onPoweroff: "preserve", cmdline: "quiet test=cpus action=poweroff"}, `power-off source="ACPI S5"`},
		{"on_reboot preserve", domain{onReboot: "preserve", cmdline: "quiet test=cpus action=reboot"}, `reset source="PIIX3 reset control register"`},
		{"on_poweroff rename-restart", domain{onPoweroff: "rename-restart", cmdline: "quiet test=cpus action=poweroff"}, ""},
		{"on_reboot rename-restart", domain{onReboot: "rename-restart", cmdline: "quiet test=cpus action=reboot"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := run(t, test.domain)
			c.report()
			if test.cause == "" {
				c.said(`msg="the machine has another name" name=integration-1`)
				if got := commanded(t, "domstate", "integration-1"); got != "running" {
					t.Errorf("domstate: %q", got)
				}
				c.report()
				c.signal(syscall.SIGQUIT)
				c.exit(128 + int(syscall.SIGQUIT))
				return
			}
			c.said(`msg="the guest has ended, and the machine is kept until it is destroyed" cause=` + test.cause)
			if got := commanded(t, "domstate", "--reason", "integration"); got != "shut off (shutdown)" {
				t.Errorf("domstate: %q", got)
			}
			commanded(t, "destroy", "integration")
			c.exit(0)
		})
	}
}

// TestNMI gives each processor of a guest a non-maskable interrupt, which Linux tells of
// when it knows no reason for it.
func TestNMI(t *testing.T) {
	c := run(t, domain{vcpus: 2, initrd: cloudShell, cmdline: "quiet"})
	c.expect(prompt)
	commanded(t, "inject-nmi", "integration")
	for _, cpu := range []string{"0", "1"} {
		c.contains(`Uhhuh\. NMI received for unknown reason [0-9a-f]+ on CPU ` + cpu)
	}
	c.send("\n")
	c.expect(prompt)
	c.send("poweroff\n")
	c.exit(0)
}

// TestPoweroffRestart starts a guest anew that switches itself off, until a signal asks
// for the end.
func TestPoweroffRestart(t *testing.T) {
	c := run(t, domain{onPoweroff: "restart", initrd: cloudShell, cmdline: "quiet"})
	c.expect(prompt)
	c.send("poweroff\n")
	c.said(`msg=restarting cause=power-off source="ACPI S5"`)
	c.expect(prompt)
	c.signal(syscall.SIGTERM)
	c.expect("reboot: Power down")
	c.exit(0)
}

// TestTripleFault keeps a guest after a triple fault: that is a reset, on which on_reboot
// decides and not on_crash.
func TestTripleFault(t *testing.T) {
	c := run(t, domain{onReboot: "preserve", onCrash: "restart", cmdline: "quiet test=cpus action=triple"})
	c.report()
	c.said(`msg="the guest has ended, and the machine is kept until it is destroyed" cause=reset source="triple fault"`)
	if got := commanded(t, "domstate", "integration"); got != "crashed" {
		t.Errorf("domstate: %q", got)
	}
	commanded(t, "destroy", "integration")
	c.exit(5)
}
