package vmm_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/govmm/govmm/kvm"
	"github.com/govmm/govmm/tests/tiny"
	"github.com/govmm/govmm/vmm"
)

// hostTSC is the rate of this host's TSC in kHz, and whether KVM can scale it.
func hostTSC(t *testing.T) (khz uint32, scales bool) {
	t.Helper()
	sys, err := kvm.Open("")
	if err != nil {
		t.Fatal(err)
	}
	defer sys.Close()
	vm, err := sys.CreateVM()
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	cpu, err := vm.CreateVCPU(0)
	if err != nil {
		t.Fatal(err)
	}
	defer cpu.Close()
	if khz, err = cpu.TSCKHz(); err != nil {
		t.Fatal(err)
	}
	return khz, sys.CheckExtension(kvm.CapTSCControl) > 0
}

// A rate of the TSC is honoured, or refused with its place in the file, the reason
// and the remedy.
func TestTSCFrequency(t *testing.T) {
	khz, scales := hostTSC(t)
	for _, tt := range []struct {
		name    string
		khz     uint32
		mode    string
		refused string // empty if it is not
	}{
		{"the host's", khz, "native", ""},
		{"nearly the host's", khz + khz/10_000, "auto", ""},
		{"another, native", khz / 2, "native", `with mode="native"`},
		{"another", khz / 2, "auto", map[bool]string{false: "no KVM_CAP_TSC_CONTROL"}[scales]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := tiny.Options{Cmdline: "test=timers", Clock: fmt.Sprintf("<timer name='tsc' frequency='%d000' mode='%s'/>", tt.khz, tt.mode)}
			if tt.refused != "" {
				d, err := o.Domain(kernel(t))
				if err != nil {
					t.Fatal(err)
				}
				_, err = vmm.New(deadline(t), d, vmm.Options{})
				var host *vmm.HostError
				if !errors.As(err, &host) {
					t.Fatalf("error %v, want one of the host", err)
				}
				for _, want := range []string{"clock/timer: frequency=", tt.refused, fmt.Sprintf("%d000", khz), "leave the frequency out"} {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("error %q does not say %q", err, want)
					}
				}
				return
			}
			m, out := newMachine(t, o)
			if _, err := m.Run(deadline(t)); err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf("ok timers tsc-khz = %d\n", tt.khz); !strings.Contains(out.String(), want) {
				t.Errorf("the guest does not say %q but\n%s", want, out)
			}
		})
	}
}

// What a guest sets a variable clock to is told as an event and by the domain, and
// is there after a reboot; a clock that is not variable goes back.
func TestVariableClock(t *testing.T) {
	wall := time.Date(2028, 2, 28, 22, 59, 58, 0, time.UTC) // which stands still
	for _, tt := range []struct {
		offset, first, again string
		live                 string
	}{
		{"offset='variable' adjustment='3600'", "2028-02-28 23:59:58", "2027-01-01 00:00:00",
			"<clock offset='variable' adjustment='-36629998'"},
		{"offset='utc'", "2028-02-28 22:59:58", "2028-02-28 22:59:58", "<clock offset='utc'"},
	} {
		t.Run(tt.offset, func(t *testing.T) {
			d, err := tiny.Options{Cmdline: "test=rtc-date date=20270101000000 exit=reboot", Offset: tt.offset}.Domain(kernel(t))
			if err != nil {
				t.Fatal(err)
			}
			out := &output{changed: make(chan struct{}, 1)}
			m, err := vmm.New(deadline(t), d, vmm.Options{Stdout: out, Wall: func() time.Time { return wall }})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { m.Close() })
			events, cancel := m.Subscribe(16)
			defer cancel()
			if err := m.Start(); err != nil {
				t.Fatal(err)
			}
			out.wait(t, "ok rtc-date then = 2027-01-01 00:00:00", 2)
			said := out.String()
			for _, want := range []string{tt.first, tt.again} {
				_, after, _ := strings.Cut(said, "ok rtc-date now = ")
				if !strings.HasPrefix(after, want) {
					t.Errorf("the clock does not begin with %s:\n%s", want, said)
				}
				said = after
			}
			set := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
			begin, _ := time.Parse(time.DateTime, tt.first)
			for {
				e := <-events
				if e.Kind != vmm.EventRTCChange {
					continue
				}
				if want := set.Sub(begin); e.RTCOffset != want {
					t.Errorf("told of %v, want %v", e.RTCOffset, want)
				}
				break
			}
			live, err := m.LiveXML(1, nil)
			if err != nil || !strings.Contains(live, tt.live) {
				t.Errorf("no %s, %v, in\n%s", tt.live, err, live)
			}
		})
	}
}

// The host is woken for a timer while the guest uses it, and not any more when the
// guest has stopped it.
func TestTimersSleep(t *testing.T) {
	for _, tt := range []struct {
		name, cmdline, clock string
		wakes                bool
	}{
		{"unprogrammed", "test=timers", "", false},
		{"pit", "test=ticks-long seconds=1 hz=100 timer=pit", "", true},
		{"rtc", "test=ticks-long seconds=1 hz=128 timer=rtc", "", true},
		{"hpet", "test=ticks-long seconds=1 hz=100 timer=hpet", "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, out := newMachine(t, tiny.Options{Cmdline: tt.cmdline + " exit=halt", Clock: tt.clock})
			if err := m.Start(); err != nil {
				t.Fatal(err)
			}
			woke := false
			poll(t, func() bool {
				if _, armed := m.NextWake(); armed {
					woke = true
				}
				return strings.Contains(out.String(), "\ndone ")
			})
			if woke != tt.wakes {
				t.Errorf("a timer was armed meanwhile: %v\n%s", woke, out)
			}
			poll(t, func() bool {
				_, armed := m.NextWake()
				return !armed
			})
		})
	}
}

// poll looks now and then, until what it waits for has come.
func poll(t *testing.T, come func() bool) {
	t.Helper()
	now := time.NewTicker(5 * time.Millisecond)
	defer now.Stop()
	for late := time.After(timeout); !come(); {
		select {
		case <-now.C:
		case <-late:
			t.Fatal("what was waited for has not come")
		}
	}
}
