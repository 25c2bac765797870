package integration

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/vmm"
)

// TestWatchdog stops the daemon that feeds the watchdog of a stock guest, and then
// ends it. While the machine is paused the watchdog does not fire.
func TestWatchdog(t *testing.T) {
	for _, model := range []string{"i6300esb", "ib700"} {
		t.Run(model, func(t *testing.T) { starve(t, model) })
	}
}

func starve(t *testing.T, model string) {
	// Of the two drivers one belongs to the kernel's watchdog core, and can be asked.
	const sys = "/sys/class/watchdog/watchdog0/"
	asked := model == "i6300esb"
	m := newMachine(t, domain{
		kernel: genericKernel(t).Image, initrd: genericDogs, cmdline: "quiet",
		devices: "<serial type='stdio'/><watchdog model='" + model + "' action='pause'/>",
	})
	events, cancel := m.Subscribe(64)
	defer cancel()
	must(t, m.Start())
	m.expect(prompt)
	if asked {
		if got := m.shell("cat " + sys + "identity"); got != "i6300ESB timer" {
			t.Errorf("the guest's watchdog is %q", got)
		}
	}
	m.shell("busybox watchdog -F -T 4 -t 1 /dev/watchdog & sleep 8")
	must(t, m.Pause(t.Context()))
	quiet := time.After(2 * pauseTime)
	for waiting := true; waiting; {
		select {
		case e := <-events:
			if e.Kind == vmm.EventWatchdog {
				t.Fatal("the watchdog fires though it is fed, and the machine paused")
			}
		case <-quiet:
			waiting = false
		}
	}
	must(t, m.Resume(t.Context()))
	m.event(events, "resuming", func(e vmm.Event) bool { return e.Kind == vmm.EventResumed })

	m.send("kill -STOP $!\n")
	e := m.event(events, "the watchdog", func(e vmm.Event) bool { return e.Kind == vmm.EventWatchdog })
	if e.Action != domcfg.WatchdogPause {
		t.Errorf("the watchdog's action is %q", e.Action)
	}
	e = m.event(events, "pausing", func(e vmm.Event) bool { return e.Kind == vmm.EventPaused })
	if !errors.Is(e.Err, vmm.ErrWatchdog) {
		t.Errorf("paused because of %v", e.Err)
	}

	// The daemon feeds it once more and dies, without saying that it is to stop.
	must(t, m.SetWatchdogAction(domcfg.WatchdogReset))
	must(t, m.Resume(t.Context()))
	m.expect(prompt)
	m.shell("kill -CONT $!; sleep 2")
	m.send("kill -KILL $!\n")
	reset := m.event(events, "a reset", func(e vmm.Event) bool { return e.Kind == vmm.EventReset })
	if reset.Exit.Source != "watchdog" {
		t.Errorf("reset by %v", reset.Exit)
	}
	m.expect(banner)
	m.expect(prompt)
	if asked {
		const cardReset = "32" // WDIOF_CARDRESET
		if got := m.shell("cat " + sys + "bootstatus"); got != cardReset {
			t.Errorf("the new system's bootstatus is %q, want %s", got, cardReset)
		}
	}
	m.send("poweroff\n")
	m.ends(vmm.CausePowerOff, "ACPI S5")
}

// TestWatchdogActions starves the watchdog of a stock guest under the actions that
// TestWatchdog leaves.
func TestWatchdogActions(t *testing.T) {
	dumps := t.TempDir()
	m, events := dogged(t, domcfg.WatchdogNone, dumps)
	m.starve()
	if e := m.event(events, "the watchdog", func(e vmm.Event) bool { return e.Kind == vmm.EventWatchdog }); e.Action != domcfg.WatchdogNone {
		t.Errorf("the watchdog's action is %q", e.Action)
	}
	m.shell("true")
	if got := m.State(); got != vmm.StateRunning {
		t.Errorf("after nothing was done the machine is %v", got)
	}

	must(t, m.SetWatchdogAction(domcfg.WatchdogDump))
	m.starve()
	e := m.event(events, "a core dump", func(e vmm.Event) bool { return e.Kind == vmm.EventDumped })
	if e.Err != nil || filepath.Dir(e.Dump.Path) != dumps {
		t.Errorf("dumped %+v", e)
	}
	readCore(t, e.Dump.Path, 1, 256<<20)
	m.event(events, "resuming", func(e vmm.Event) bool { return e.Kind == vmm.EventResumed })
	m.shell("true")

	must(t, m.SetWatchdogAction(domcfg.WatchdogInjectNMI))
	m.starve()
	m.contains(`Uhhuh\. NMI received for unknown reason`)
	m.send("\n")
	m.expect(prompt)

	must(t, m.SetWatchdogAction(domcfg.WatchdogShutdown))
	m.starve()
	m.event(events, "the power button", func(e vmm.Event) bool { return e.Kind == vmm.EventShutdown })
	m.expect("reboot: Power down")
	m.ends(vmm.CausePowerOff, "ACPI S5")

	m, _ = dogged(t, domcfg.WatchdogPoweroff, dumps)
	m.starve()
	m.ends(vmm.CausePowerOff, "watchdog")
}

// dogged is a guest with a shell and a watchdog.
func dogged(t *testing.T, action domcfg.WatchdogAction, dumps string) (*machine, <-chan vmm.Event) {
	t.Helper()
	m := newMachineWith(t, domain{
		kernel: genericKernel(t).Image, initrd: genericDogs, cmdline: "quiet",
		devices: "<serial type='stdio'/><watchdog model='i6300esb' action='" + string(action) + "'/>",
	}.xml(t), vmm.Options{DumpDir: dumps})
	events, cancel := m.Subscribe(64)
	t.Cleanup(cancel)
	must(t, m.Start())
	m.expect(prompt)
	return m, events
}

// starve starts the daemon that feeds the watchdog, anew if need be, and stops it.
func (m *machine) starve() {
	m.t.Helper()
	m.shell("kill -CONT $!; kill $!; wait") // it says that it is to stop
	m.shell("busybox watchdog -F -T 4 -t 1 /dev/watchdog & sleep 2")
	m.send("kill -STOP $!\n")
	m.expect(prompt)
}
