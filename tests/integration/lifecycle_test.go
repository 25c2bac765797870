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
	checkCore(t, core)
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
			checkCore(t, path)
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

// checkCore asks readelf for what is in a core dump of the guest of panics: the registers
// of two vCPUs and all of the RAM.
func checkCore(t *testing.T, path string) {
	t.Helper()
	cmd := exec.Command("readelf", "--wide", "--file-header", "--segments", "--notes", path)
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("readelf (Debian package binutils): %v: %s", err, text)
	}
	for what, n := range map[string]int{
		`(?m)^  Type: +CORE \(Core file\)$`:   1,
		`(?m)^  CORE .*NT_PRSTATUS`:           2,
		`(?m)^  QEMU `:                        2,
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
	const ram = 256 << 20
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
