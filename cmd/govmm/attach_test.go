package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// echoing is a machine whose guest echoes what comes to its first serial port.
func echoing(t *testing.T, devices string) *process {
	t.Helper()
	p := prepare(t, "run", "--console=none", machine{kernel: built.echo, devices: devices}.write(t)).start()
	eventually(t, func() bool { return listed(t).State == "running" }, func() string { return "not running: " + p.stderr.String() })
	return p
}

// session is one on a window.
func session(t *testing.T, args ...string) (*window, *process) {
	t.Helper()
	w := openWindow(t).watch()
	p := w.run(append([]string{"console", "test"}, args...)...)
	return w, p
}

// What the guest says is shown, what is typed reaches it, and ^] leaves the
// machine as it is, for the next session.
func TestConsole(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "socket")
	for name, device := range map[string]string{
		"pty":  ptySerial,
		"vc":   `<serial type='vc'/>`,
		"unix": fmt.Sprintf(`<serial type='unix'><source mode='bind' path='%s'/></serial>`, socket),
	} {
		t.Run(name, func(t *testing.T) {
			m := echoing(t, device+nullSerial)
			for _, typed := range []string{"one", "two"} {
				w, p := session(t)
				w.await("Connected to serial0 of test. Leave with ^]\r\n")
				if typed == "one" {
					w.await(">")
				}
				w.typed(typed)
				w.await(typed)
				w.typed("\x1d")
				if code := p.wait(); code != exitOK {
					t.Errorf("exit code %d: %s", code, &w.shown)
				}
				w.restored()
			}
			if name == "vc" {
				if _, text, stderr := govmm(t, "screenshot", "--text", "--device", "serial0", "test"); text != ">onetwo\n" {
					t.Errorf("the screen shows %q, %s", text, stderr)
				}
			}
			// The end of the machine is the end of a session.
			w, p := session(t)
			w.await("Connected")
			m.stop()
			if code := p.wait(); code != exitOK {
				t.Errorf("exit code %d: %s", code, &w.shown)
			}
			w.restored()
		})
	}
}

// Two sessions are told apart, and the second can take the console over.
func TestConsoleTakenOver(t *testing.T) {
	m := echoing(t, ptySerial)
	first, p := session(t)
	first.await("Connected")
	code, _, stderr := govmm(t, "console", "test")
	if code != exitError {
		t.Errorf("a second session: exit code %d", code)
	}
	oneLine(t, stderr, "serial0 is in use by another session", fmt.Sprintf("process %d", p.Process.Pid), "--force")
	second, q := session(t, "--force")
	if code := p.wait(); code != exitError {
		t.Errorf("the first session: exit code %d", code)
	}
	first.restored()
	first.await("another session has taken the console over")
	second.await("Connected")
	second.typed("mine")
	second.await("mine")
	second.typed("\x1d")
	if code := q.wait(); code != exitOK {
		t.Errorf("the second session: exit code %d", code)
	}
	m.stop()
}

// A script can use it: the end of its input is not the end of the output.
func TestConsoleOfScript(t *testing.T) {
	m := echoing(t, ptySerial)
	p := prepare(t, "console", "test")
	p.Stdin = strings.NewReader("hello\n")
	p.start()
	p.await(">hello\n")
	p.signal(unix.SIGTERM)
	if code := p.wait(); code != exitSignal+int(unix.SIGTERM) {
		t.Errorf("exit code %d", code)
	}
	m.stop()
}

func TestConsoleErrors(t *testing.T) {
	p := hanging(t, nullSerial)
	for _, test := range []struct {
		args []string
		want []string
	}{
		{[]string{"test"}, []string{"serial0 is on the terminal of govmm run", "--console=none"}},
		{[]string{"test", "--devname", "serial1"}, []string{"serial1 is of type null", "pty, vc"}},
		{[]string{"test", "--devname", "serial7"}, []string{"no character device serial7, only serial0, serial1"}},
		{[]string{"nosuch"}, []string{"nosuch"}},
	} {
		code, stdout, stderr := govmm(t, append([]string{"console"}, test.args...)...)
		if code != exitError || stdout != "" {
			t.Errorf("%v: exit code %d, %q", test.args, code, stdout)
		}
		oneLine(t, stderr, test.want...)
	}
	p.stop()
}
