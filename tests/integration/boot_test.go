package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestBoot boots the stock cloud kernel on the smallest and on a large
// machine, and looks at what it finds.
func TestBoot(t *testing.T) {
	const mib = 1024 // KiB
	for _, test := range []struct {
		name    string
		vcpus   int
		memory  int    // MiB
		cpus    string // online
		missing uint64 // MiB that the kernel may keep for itself
	}{
		{"1 vCPU, 128 MiB", 1, 128, "0", 40},
		{"4 vCPUs, 5 GiB", 4, 5120, "0-3", 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := run(t, domain{
				vcpus:   test.vcpus,
				memory:  fmt.Sprintf("<memory unit='MiB'>%d</memory>", test.memory),
				cmdline: "quiet word=value test=release,cmdline,cpus,memtotal,clocksource,pci,irq",
			}, "--log-level=warn")
			f := c.report()
			if got, want := f.one(t, "release"), cloudKernel(t).Release; got != want {
				t.Errorf("the kernel is %s, want %s", got, want)
			}
			if got := f.one(t, "cmdline"); !strings.Contains(got, " word=value ") {
				t.Errorf("the command line is %q", got)
			}
			if got := f.one(t, "cpus"); got != test.cpus {
				t.Errorf("CPUs online: %s, want %s", got, test.cpus)
			}
			total, most := f.number(t, "memtotal"), uint64(test.memory)*mib
			if total > most || total < most-test.missing*mib {
				t.Errorf("MemTotal is %d KiB of %d", total, most)
			}
			if got := f.one(t, "clocksource"); got != "kvm-clock" {
				t.Errorf("the clock source is %s", got)
			}
			checkBridges(t, f)
			checkInterrupts(t, f, "4", "IO-APIC 4-edge ttyS0")
			checkInterrupts(t, f, "8", "IO-APIC 8-edge rtc0")
			checkInterrupts(t, f, "9", "IO-APIC 9-fasteoi acpi")
			c.expect("reboot: Power down")
			c.exit(0)
			if said := c.stderr.String(); said != "" {
				t.Errorf("govmm complains: %s", said)
			}
		})
	}
}

// checkBridges looks for what every machine of type pc has.
func checkBridges(t *testing.T, f facts) {
	t.Helper()
	for _, want := range []string{
		"0000:00:00.0 8086:1237 060000", // i440FX
		"0000:00:01.0 8086:7000 060100", // PIIX3 ISA
		"0000:00:01.3 8086:7113 068000", // PIIX4 power management
	} {
		if !slices.ContainsFunc(f.all("pci"), func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("no PCI device %s among %q", want, f.all("pci"))
		}
	}
}

// checkInterrupts looks for a line of /proc/interrupts.
func checkInterrupts(t *testing.T, f facts, number, want string) {
	t.Helper()
	for _, line := range f.all("irq") {
		words := strings.SplitN(line, " ", 3) // number, counts, the rest
		if len(words) == 3 && words[0] == number {
			if words[2] != want {
				t.Errorf("interrupt %s is %q, want %q", number, words[2], want)
			}
			return
		}
	}
	t.Errorf("no interrupt %s among %q", number, f.all("irq"))
}

// Values of /proc/sys/kernel/bootloader_type: the upper half of type_of_loader
// (Linux, Documentation/arch/x86/boot.rst).
const (
	loaderPVH     = "176" // what the kernel's own PVH entry gives
	loaderUnknown = "255" // what a loader without a number gives
)

// TestKernelFormats boots a kernel that is no bzImage.
func TestKernelFormats(t *testing.T) {
	for _, test := range []struct{ name, kernel, loader string }{
		{"vmlinux by PVH", cloudVmlinux, loaderPVH},
		{"vmlinux by its 64-bit entry", plainVmlinux, loaderUnknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := run(t, domain{vcpus: 2, kernel: asset(test.kernel), initrd: cloudShell, cmdline: "quiet"})
			if match := c.expect(banner); match[2] != "2" {
				t.Errorf("%s CPUs", match[2])
			}
			c.expect(prompt)
			if got := c.shell("cat /proc/sys/kernel/bootloader_type"); got != test.loader {
				t.Errorf("bootloader_type is %s, want %s", got, test.loader)
			}
			c.send("poweroff\n")
			c.exit(0)
		})
	}
}

// linkAddress is where a kernel runs that was not moved.
const linkAddress = "ffffffff81000000"

// address is that of the kernel's first instruction.
func (g *guest) address() string {
	g.t.Helper()
	line := g.shell("grep -m1 ' startup_64$' /proc/kallsyms")
	address, _, _ := strings.Cut(line, " ")
	if len(address) != len(linkAddress) || !strings.HasPrefix(address, "ffffffff") {
		g.t.Fatalf("the kernel's address is not in %q", line)
	}
	return address
}

// TestNoKASLR boots a bzImage that must stay where it was linked;
// TestReboot sees it moved.
func TestNoKASLR(t *testing.T) {
	c := run(t, domain{initrd: cloudShell, cmdline: "quiet nokaslr"})
	c.expect(prompt)
	if got := c.address(); got != linkAddress {
		t.Errorf("the kernel is at %s, want %s", got, linkAddress)
	}
	c.send("poweroff\n")
	c.exit(0)
}
