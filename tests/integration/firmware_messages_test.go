package integration

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// hardware are messages about what firmware and the machine's own hardware are
// to blame for.
var hardware = regexp.MustCompile(`(?i)\b(ACPI|PCI|pnp|ata|ata\d+|ata_piix|scsi|sd|sr|piix|floppy|fd0|i8042|serio|DMI|SMBIOS|BIOS|firmware|e820|MTRR|IRQ|IOAPIC|APIC)\b`)

// TestFirmwareMessages fails for a warning or an error about the hardware that a
// generic kernel, which finds drivers for all of it, gives on a machine that booted
// through SeaBIOS and not on QEMU's with the same drives.
func TestFirmwareMessages(t *testing.T) {
	const cmdline = "quiet test=dmesg,block,pci"
	dir := t.TempDir()
	hard := sparse(t, dir, "hard.img", 16*mib)
	cd, floppy := streamFile(t, "cd.iso", mib, 1), streamFile(t, "floppy.img", 1440<<10, 2)
	d := domain{
		kernel: genericKernel(t).Image, initrd: genericIDE, cmdline: cmdline,
		devices: "<serial type='stdio'/><video><model type='vga'/></video>" +
			"<disk type='file'><source file='" + hard + "'/><target dev='hda' bus='ide'/></disk>" +
			"<disk type='file' device='cdrom'><source file='" + cd + "'/><target dev='hdc' bus='ide'/><readonly/></disk>" +
			"<disk type='file' device='floppy'><source file='" + floppy + "'/><target dev='fda' bus='fdc'/></disk>",
	}
	c := runFile(t, domainFile(t, throughFirmware(d.xml(t))))
	ours := c.report()
	c.exit(0)
	theirs := qemuReport(t, d, "-device", "VGA",
		"-drive", "format=raw,if=ide,index=0,file="+hard,
		"-drive", "format=raw,if=ide,index=2,media=cdrom,file="+cd,
		"-drive", "format=raw,if=floppy,file="+floppy)
	for _, drive := range []string{"fd0", "sda", "sr0"} {
		for where, f := range map[string]facts{"govmm": ours, "QEMU": theirs} {
			if !strings.Contains(strings.Join(f.all("block"), "\n"), drive+" ") {
				t.Errorf("%s: the kernel finds no %s among %q", where, drive, f.all("block"))
			}
		}
	}
	known := map[string]bool{}
	for _, line := range theirs.all("dmesg") {
		known[pattern(line)] = true
	}
	for _, line := range ours.all("dmesg") {
		if hardware.MatchString(line) && !known[pattern(line)] && !allowed(line) {
			t.Errorf("under QEMU the kernel does not say: %s", line)
		}
	}
}

// qemuReport is what a domain's kernel reports on QEMU's machine of the same kind,
// with more arguments.
func qemuReport(t *testing.T, d domain, args ...string) facts {
	t.Helper()
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Fatalf("%v; install the package qemu-system-x86", err)
	}
	cmd := exec.Command(qemu, append([]string{
		"-machine", "pc,hpet=off", "-accel", "kvm", "-cpu", "host", "-m", "256",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-kernel", d.kernel, "-initrd", asset(d.initrd), "-append", "console=ttyS0 " + d.cmdline, "-serial", "stdio",
	}, args...)...)
	g := newGuest(t, nil)
	cmd.Stdout = g.out
	c := start(t, g, cmd)
	f := c.report()
	c.exit(0)
	return f
}
