package tiny

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/govmm/govmm/tests/guest"
	"github.com/govmm/govmm/vmm"
)

// A machine has all the timers of a PC, and with present='no' those are missing
// from ports, memory, ACPI and CPUID alike. (A KVM that interprets the kernel shows
// it the host's bit of the TSC itself.)
func TestTimersPresent(t *testing.T) {
	kernel := images(t).Kernel
	absent := func(name string) string { return fmt.Sprintf("<timer name='%s' present='no'/>", name) }
	for _, tt := range []struct {
		name, clock string
		want        map[string]string // of what the kernel finds
	}{
		{"all", "", map[string]string{"pit": "yes", "rtc": "yes", "hpet": "yes", "hpet-table": "yes", "fadt": "32 0", "tsc-khz": "0"}},
		{"no pit", absent("pit"), map[string]string{"pit": "no", "rtc": "yes", "hpet": "yes"}},
		{"no rtc", absent("rtc"), map[string]string{"pit": "yes", "rtc": "no", "hpet": "yes", "fadt": "00 20"}},
		{"no hpet", absent("hpet"), map[string]string{"pit": "yes", "rtc": "yes", "hpet": "no", "hpet-table": "no"}},
		{"no tsc", absent("tsc"), map[string]string{"tsc-deadline": "no", "kvmclock": "no"}},
		{"no kvmclock", absent("kvmclock"), map[string]string{"kvmclock": "no"}},
		{"none", absent("pit") + absent("rtc") + absent("hpet") + absent("tsc") + absent("kvmclock"),
			map[string]string{"pit": "no", "rtc": "no", "hpet": "no", "tsc-deadline": "no", "kvmclock": "no"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, output := run(t, kernel, Options{PVH: true, Cmdline: "test=timers", Clock: tt.clock})
			r := report(t, output)
			for name, want := range tt.want {
				if got, ok := r.Lookup("timers", name); !ok || got.Detail != want {
					t.Errorf("%s: %q, want %q", name, got.Detail, want)
				}
			}
		})
	}
}

// The clock answers to sequences of registers as QEMU's: how it carries, its
// alarms, and its update cycle; and in each format of the hours as the data sheet
// has it.
func TestRTCSequences(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for seconds of the guest's clock")
	}
	kernel := images(t).Kernel
	const cmdline = "test=rtc-update,rtc-rollover,rtc-alarm"
	_, output := run(t, kernel, Options{PVH: true, Cmdline: cmdline + ",rtc-formats"})
	ours := report(t, output)
	if err := ours.Err(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	theirs, err := guest.RunQEMU(ctx, kernel, guest.QEMUOptions{PVH: true, Cmdline: cmdline})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range guest.Compare(theirs.Report, ours) {
		t.Errorf("against QEMU: %s", d)
	}
}

// The clock that the guest reads is right for each offset, around a leap day, the
// turn of the year, and those of summer time.
func TestClockOffsets(t *testing.T) {
	if testing.Short() {
		t.Skip("boots the kernel two dozen times")
	}
	kernel := images(t).Kernel
	zone := func(name string) *time.Location {
		z, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		return z
	}
	local := time.Local
	time.Local = zone("America/Los_Angeles") // what the host says of itself
	t.Cleanup(func() { time.Local = local })

	offsets := []struct {
		name, attributes string
		zone             *time.Location
	}{
		{"utc", "offset='utc'", time.UTC},
		{"localtime", "offset='localtime'", time.Local},
		{"timezone", "offset='timezone' timezone='Europe/Berlin'", zone("Europe/Berlin")},
		{"variable", "offset='variable' adjustment='-12345'", time.FixedZone("", -12345)},
	}
	for _, instant := range []string{
		"2028-02-28T23:59:59Z", "2028-02-29T08:00:00Z", // a leap day begins in UTC, and in Los Angeles
		"2026-12-31T23:00:00Z", "2027-01-01T07:59:59Z", // a year begins in Berlin, and ends in Los Angeles
		"2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z", // summer time begins in Berlin
	} {
		now, err := time.Parse(time.RFC3339, instant)
		if err != nil {
			t.Fatal(err)
		}
		for _, offset := range offsets {
			t.Run(offset.name+" "+instant, func(t *testing.T) {
				o := Options{PVH: true, Cmdline: "test=rtc-date", Offset: offset.attributes}
				_, output, err := Run(t.Context(), kernel, o, vmm.Options{DebugExit: true, Wall: func() time.Time { return now }})
				if err != nil {
					t.Fatal(err)
				}
				r := report(t, output)
				there := now.In(offset.zone)
				want := fmt.Sprintf("%s %d", there.Format(time.DateTime), int(there.Weekday())+1)
				if got, _ := r.Lookup("rtc-date", "now"); got.Detail != want {
					t.Errorf("the guest reads %q, want %q", got.Detail, want)
				}
			})
		}
	}
}
