package integration

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/govmm/govmm/vmm"
)

// pauseTime is how long a paused guest is watched at least, and clockError how
// much its clock may then be off.
const (
	pauseTime  = 3 * time.Second
	clockError = 100 * time.Millisecond
)

// TestControl does to a live guest all that the library can: reset, pause,
// resume, reset while paused, and the power button.
func TestControl(t *testing.T) {
	ctx := t.Context()
	m := newMachine(t, domain{vcpus: 2, initrd: cloudShell, cmdline: "earlyprintk=ttyS0"})
	events, cancel := m.Subscribe(16)
	defer cancel()
	must(t, m.Start())

	// A kernel that has only begun.
	m.expect("Linux version ")
	must(t, m.Reset(ctx))
	m.expect("Linux version ")
	m.expect(prompt)

	m.pauseAndResume()

	must(t, m.Pause(ctx))
	must(t, m.Reset(ctx))
	if got := m.State(); got != vmm.StatePaused {
		t.Errorf("after a reset while paused the machine is %v", got)
	}
	must(t, m.Resume(ctx))
	m.expect("Linux version ")
	m.expect(prompt)

	must(t, m.Shutdown(ctx))
	m.expect("reboot: Power down")
	m.ends(vmm.CausePowerOff, "ACPI S5")
	if got := m.State(); got != vmm.StateShutOff {
		t.Errorf("at the end the machine is %v", got)
	}

	var got []vmm.EventKind
	for e := range events {
		got = append(got, e.Kind)
	}
	want := []vmm.EventKind{
		vmm.EventStarted, vmm.EventReset,
		vmm.EventPaused, vmm.EventResumed,
		vmm.EventPaused, vmm.EventReset, vmm.EventResumed,
		vmm.EventShutdown, vmm.EventEnded,
	}
	if !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pauseAndResume stops a guest that prints all the time, and looks at its
// clock: of the host's time it has missed what it was paused.
func (m *machine) pauseAndResume() {
	t := m.t
	t.Helper()
	begin := time.Now()
	uptime := m.uptime()
	m.send("while sleep .1; do echo tick; done\n")
	m.expect("tick\r\n")

	must(t, m.Pause(t.Context()))
	if got := m.State(); got != vmm.StatePaused {
		t.Errorf("the paused machine is %v", got)
	}
	pauseBegin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), waitTime)
	defer cancel()
	must(t, m.out.quiet(ctx, pauseTime))
	pause := time.Since(pauseBegin)
	must(t, m.Resume(t.Context()))
	if got := m.State(); got != vmm.StateRunning {
		t.Errorf("the resumed machine is %v", got)
	}

	m.out.skip()
	m.expect("tick\r\n")
	m.send("\x03")
	m.expect(prompt)
	guest, host := m.uptime()-uptime, time.Since(begin)
	if most := host - pause + clockError; guest < 0 || guest > most {
		t.Errorf("in %v, paused for %v of them, the guest's clock went on by %v", host, pause, guest)
	}
}

// uptime is the time since the boot by the guest's clock.
func (m *machine) uptime() time.Duration {
	m.t.Helper()
	text, _, _ := strings.Cut(m.shell("cat /proc/uptime"), " ")
	s, err := strconv.ParseFloat(text, 64)
	must(m.t, err)
	return time.Duration(s * float64(time.Second))
}

// TestRTC reads the battery-backed clock, which shows the host's time in UTC,
// and waits for its alarm. Linux has it in three ways: with an HPET, from ACPI
// where the BIOS is of recent years, and else from the HPET's second comparator,
// as it looks at the time in its interrupts; without one, from the clock itself.
func TestRTC(t *testing.T) {
	const oldBIOS = `<sysinfo type='smbios'><bios><entry name='date'>01/01/2011</entry></bios></sysinfo>`
	for _, test := range []struct {
		name, clock, smbios, sysinfo string
		interrupt                    string // whose count goes up
	}{
		{"HPET, ACPI event", "", "", "", "9"},
		{"HPET, old BIOS", "", "<smbios mode='sysinfo'/>", oldBIOS, "8"},
		{"no HPET", "<timer name='hpet' present='no'/>", "", "", "8"},
	} {
		t.Run(test.name, func(t *testing.T) {
			xml := domain{initrd: cloudShell, cmdline: "quiet", clock: test.clock}.xml(t)
			xml = strings.Replace(xml, "</os>", test.smbios+"</os>"+test.sysinfo, 1)
			c := runFile(t, domainFile(t, xml))
			c.expect(prompt)
			c.shell("rtc=/sys/class/rtc/rtc0")
			before := time.Now().Unix()
			text := c.shell("cat $rtc/since_epoch")
			shown, err := strconv.ParseInt(text, 10, 64)
			must(t, err)
			if after := time.Now().Unix(); shown < before || shown > after {
				t.Errorf("the RTC shows %d between %d and %d", shown, before, after)
			}
			c.shell("echo +1 >$rtc/wakealarm")
			c.shell("while grep -q . $rtc/wakealarm; do :; done") // empty when it has come
			c.shell("until grep -q ' " + test.interrupt + ": *[1-9]' /proc/interrupts; do :; done")
			c.send("poweroff\n")
			c.exit(0)
		})
	}
}
