package integration

import (
	"strings"
	"testing"
)

// TestWithoutACPI boots machines without <acpi/>, which have the tables of the
// MultiProcessor Specification instead and cannot power themselves off. The
// cloud kernel does not read those, so it uses one CPU.
func TestWithoutACPI(t *testing.T) {
	t.Run("MP tables", func(t *testing.T) {
		c := run(t, domain{
			noACPI: true, vcpus: 2, onReboot: "destroy",
			kernel: genericKernel(t).Image, initrd: genericTest,
			cmdline: "quiet reboot=k action=reboot test=cpus,pci,irq",
		})
		f := c.report()
		if got := f.one(t, "cpus"); got != "0-1" {
			t.Errorf("CPUs online: %s, want 0-1", got)
		}
		checkBridges(t, f)
		checkInterrupts(t, f, "4", "IO-APIC 4-edge ttyS0")
		c.exit(0)
		c.said(`msg=ended cause=reset source="keyboard controller"`)
	})
	t.Run("no tables", func(t *testing.T) {
		c := run(t, domain{
			noACPI: true, vcpus: 2, onReboot: "destroy",
			cmdline: "quiet reboot=k action=reboot test=cpus,pci,irq",
		})
		f := c.report()
		if got := f.one(t, "cpus"); got != "0" {
			t.Errorf("CPUs online: %s, want 0", got)
		}
		checkBridges(t, f)
		checkInterrupts(t, f, "4", "XT-PIC ttyS0")
		c.exit(0)
		c.said(`msg=ended cause=reset source="keyboard controller"`)
	})
}

// TestLegacyTimers boots a kernel that uses neither an APIC nor kvmclock nor the
// TSC: interrupts by the 8259s, ticks by the 8254, time by ACPI's PM timer.
func TestLegacyTimers(t *testing.T) {
	c := run(t, domain{
		clock:   "<timer name='hpet' present='no'/>",
		cmdline: "quiet nolapic noapic no-kvmclock notsc test=cpus,irq,clocksource",
	})
	f := c.report()
	if got := f.one(t, "clocksource"); got != "acpi_pm" {
		t.Errorf("the clock source is %s, want acpi_pm", got)
	}
	checkInterrupts(t, f, "0", "XT-PIC timer")
	checkInterrupts(t, f, "4", "XT-PIC ttyS0")
	checkInterrupts(t, f, "9", "XT-PIC acpi")
	for _, line := range f.all("irq") {
		if strings.HasPrefix(line, "0 0 ") {
			t.Errorf("there was no timer interrupt: %q", line)
		}
	}
	c.exit(0)
}
