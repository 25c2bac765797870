package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A signal stops the machine, whatever the guest does, if it is not given time to end.
func TestSignals(t *testing.T) {
	for _, sig := range []syscall.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT} {
		for _, guest := range []string{"hang", "halt", "button"} {
			t.Run(unix.SignalName(sig)+"/"+guest, func(t *testing.T) {
				args := []string{"run", machine{cmdline: "test=boot exit=" + guest}.write(t)}
				if sig == unix.SIGINT || sig == unix.SIGTERM {
					args = append(args, "--shutdown-timeout=0")
				}
				p := prepare(t, args...).start()
				p.await("done ")
				p.signal(sig)
				if code := p.wait(); code != exitSignal+int(sig) {
					t.Errorf("exit code %d", code)
				}
				oneLine(t, p.stderr.String(), "govmm: stopped by "+unix.SignalName(sig))
			})
		}
	}
}

// A signal that asks for an orderly end gets one from a guest that obeys its power button,
// also where the domain wants its guest to start anew.
func TestOrderlySignals(t *testing.T) {
	for name, test := range map[string]struct {
		signal syscall.Signal
		twice  bool // at once, as timeout(1) does
		extra  string
	}{
		"SIGTERM":              {signal: unix.SIGTERM},
		"SIGINT":               {signal: unix.SIGINT},
		"twice":                {signal: unix.SIGTERM, twice: true},
		"on_poweroff restart":  {signal: unix.SIGTERM, extra: "<on_poweroff>restart</on_poweroff>"},
		"on_poweroff preserve": {signal: unix.SIGTERM, extra: "<on_poweroff>preserve</on_poweroff>"},
	} {
		t.Run(name, func(t *testing.T) {
			p := prepare(t, "run", machine{cmdline: "test=boot exit=button", extra: test.extra}.write(t)).start()
			p.await("done ")
			p.signal(test.signal)
			if test.twice {
				_ = p.Process.Signal(test.signal) // it may have ended already
			}
			if code := p.wait(); code != exitOK {
				t.Errorf("exit code %d", code)
			}
			if said := p.stderr.String(); said != "" {
				t.Errorf("standard error: %s", said)
			}
		})
	}
}

// The guest has its time, and no more, unless it cannot be told at all.
func TestOrderlyTimeout(t *testing.T) {
	noACPI := func(t *testing.T, m machine) string {
		path := filepath.Join(t.TempDir(), "vm.xml")
		if err := os.WriteFile(path, []byte(strings.Replace(m.xml(), "<acpi/>", "", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := func(t *testing.T, m machine) string { return m.write(t) }
	for name, test := range map[string]struct {
		file    func(*testing.T, machine) string
		timeout time.Duration
		says    string
	}{
		"deaf":    {file, 300 * time.Millisecond, "the guest has not ended within 300ms"},
		"no ACPI": {noACPI, time.Hour, "the domain has no <acpi/>"},
	} {
		t.Run(name, func(t *testing.T) {
			p := prepare(t, "run", "--shutdown-timeout="+test.timeout.String(),
				test.file(t, machine{cmdline: "test=boot exit=hang"})).start()
			p.await("done ")
			begin := time.Now()
			p.signal(unix.SIGTERM)
			if code := p.wait(); code != exitSignal+int(unix.SIGTERM) {
				t.Errorf("exit code %d", code)
			}
			if test.timeout < patient && time.Since(begin) < test.timeout {
				t.Errorf("stopped after %v", time.Since(begin))
			}
			oneLine(t, p.stderr.String(), "govmm: stopped by SIGTERM", test.says)
		})
	}
	code, _, stderr := govmm(t, "run", "--shutdown-timeout=-1s", machine{}.write(t))
	if code != exitError {
		t.Errorf("a timeout of less than nothing: exit code %d", code)
	}
	oneLine(t, stderr, "--shutdown-timeout=-1s")
}

// timeout(1) and systemd send a signal twice: the second one must not cut the
// taking down short. Two that come at once may be taken in either order.
func TestSecondSignal(t *testing.T) {
	p := prepare(t, "run", "--shutdown-timeout=0", machine{cmdline: "test=boot exit=hang"}.write(t)).start()
	p.await("done ")
	p.signal(unix.SIGINT)
	_ = p.Process.Signal(unix.SIGTERM) // it may have ended already
	code := p.wait()
	first := unix.Signal(code - exitSignal)
	if first != unix.SIGINT && first != unix.SIGTERM {
		t.Fatalf("exit code %d is neither signal's", code)
	}
	oneLine(t, p.stderr.String(), "stopped by "+unix.SignalName(first))
}

// One that comes later stops a guest that takes its time.
func TestLaterSignal(t *testing.T) {
	p := prepare(t, "run", "--shutdown-timeout=1h", machine{cmdline: "test=boot exit=hang"}.write(t)).start()
	p.await("done ")
	begin := time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for gaveUp := time.After(patient); ; {
		_ = p.Process.Signal(unix.SIGTERM) // it may have ended
		select {
		case <-p.ended:
			if code := p.wait(); code != exitSignal+int(unix.SIGTERM) {
				t.Errorf("exit code %d", code)
			}
			if took := time.Since(begin); took < patience {
				t.Errorf("the second signal, after %v, had an effect", took)
			}
			oneLine(t, p.stderr.String(), "govmm: stopped by SIGTERM")
			return
		case <-tick.C:
		case <-gaveUp:
			t.Fatal("many signals do not end it")
		}
	}
}
