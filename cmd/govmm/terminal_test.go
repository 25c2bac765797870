package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/vmm"
)

// window is a terminal with a person before it: the test.
type window struct {
	t      testing.TB
	master *os.File
	slave  *os.File
	shown  output
	before unix.Termios
}

func openWindow(t testing.TB) *window {
	t.Helper()
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	w := &window{t: t, master: master, slave: slave}
	w.before = w.settings()
	return w
}

// watch reads what is shown on the window, from now on.
func (w *window) watch() *window {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(&w.shown, w.master)
	}()
	w.t.Cleanup(func() {
		w.slave.Close() // the last one: the copy ends
		<-done
		w.master.Close()
	})
	return w
}

// settings are the terminal's. They are asked of the test's own end, which is
// no controlling terminal and survives every process.
func (w *window) settings() unix.Termios {
	w.t.Helper()
	s, err := unix.IoctlGetTermios(int(w.slave.Fd()), unix.TCGETS)
	if err != nil {
		w.t.Fatal(err)
	}
	return *s
}

func (w *window) raw() bool { return w.settings().Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) == 0 }

func (w *window) restored() {
	w.t.Helper()
	if after := w.settings(); after != w.before {
		w.t.Errorf("the terminal was not restored: %+v, before %+v", after, w.before)
	}
}

// run starts govmm on the window.
func (w *window) run(args ...string) *process {
	p := prepare(w.t, args...)
	p.Stdin, p.Stdout, p.Stderr = w.slave, w.slave, w.slave
	return p.start()
}

func (w *window) await(text string) {
	w.t.Helper()
	eventually(w.t, func() bool { return strings.Contains(w.shown.String(), text) }, func() string {
		return fmt.Sprintf("%q is not shown: %q", text, w.shown.String())
	})
}

func (w *window) typed(keys string) {
	w.t.Helper()
	if _, err := w.master.WriteString(keys); err != nil {
		w.t.Fatal(err)
	}
}

// In raw mode all keys but ^] go to the guest, and come back from this one.
func TestKeys(t *testing.T) {
	for name, devices := range map[string]string{"stdio": stdioSerial, "pty": ptySerial, "second": nullSerial + stdioSerial} {
		t.Run(name, func(t *testing.T) {
			w := openWindow(t).watch()
			kernel, prompt := built.echo, ">"
			if name == "second" {
				kernel, prompt = "", "" // it prints on COM1, which is not here
			}
			p := w.run("run", machine{kernel: kernel, devices: devices, cmdline: "test=boot exit=hang"}.write(t))
			eventually(t, w.raw, func() string { return "not in raw mode" })
			w.await(prompt)
			if prompt != "" {
				w.typed("a\x03\x04\x1a\x1c\r~.") // Ctrl-C, -D, -Z, -\, Return
				w.await(">a\x03\x04\x1a\x1c\r~.")
			}
			w.typed("\x1d")
			if code := p.wait(); code != exitSignal+int(unix.SIGINT) {
				t.Errorf("exit code %d", code)
			}
			w.restored()
			w.await("govmm: stopped by ^]\r\n")
		})
	}
}

// A log line begins at the left edge also while the terminal is in raw mode.
func TestLogInRawMode(t *testing.T) {
	w := openWindow(t).watch()
	p := w.run("run", "--log-level=info", machine{cmdline: "test=boot exit=reboot"}.write(t))
	line := regexp.MustCompile(`msg=restarting [^\r\n]*\r\n`)
	eventually(t, func() bool { return line.MatchString(w.shown.String()) }, func() string {
		return fmt.Sprintf("no such line: %q", w.shown.String())
	})
	p.signal(unix.SIGQUIT)
	p.wait()
	w.restored()
}

// ^] works also when the guest has long stopped taking keys.
func TestEscapeFromHungGuest(t *testing.T) {
	w := openWindow(t).watch()
	p := w.run("run", machine{cmdline: "test=boot exit=hang"}.write(t))
	w.await("done ")
	for range 20 {
		w.typed(strings.Repeat("knock ", 100))
	}
	w.typed("\x1d")
	if code := p.wait(); code != exitSignal+int(unix.SIGINT) {
		t.Errorf("exit code %d", code)
	}
	w.restored()
}

// After su, the terminal is another user's and cannot be opened a second time.
func TestForeignTerminal(t *testing.T) {
	w := openWindow(t).watch()
	if err := w.slave.Chmod(0o600); err != nil {
		t.Fatal(err)
	}
	p, _ := prepareAsNobody(t, machine{kernel: built.echo}, 0o666)
	p.Stdin, p.Stdout, p.Stderr = w.slave, w.slave, w.slave
	p.start()
	w.await(">")
	eventually(t, w.raw, func() string { return "not in raw mode" })
	w.typed("a\x03b")
	w.await(">a\x03b")
	w.typed("\x1d")
	if code := p.wait(); code != exitSignal+int(unix.SIGINT) {
		t.Errorf("exit code %d", code)
	}
	w.restored()
}

// However it ends, the terminal is as it was before.
func TestTerminalRestored(t *testing.T) {
	for name, test := range map[string]struct {
		machine machine
		args    []string
		signal  syscall.Signal
		code    int
		shows   string
	}{
		"power-off":    {machine: machine{cmdline: "test=boot exit=poweroff"}, code: exitOK, shows: " 0 not ok\n"},
		"pty":          {machine: machine{cmdline: "test=boot exit=poweroff", devices: ptySerial}, code: exitOK, shows: " 0 not ok\n"},
		"panic":        {machine: machine{cmdline: "test=boot exit=panic"}, code: exitCrashed, shows: "govmm: the guest crashed"},
		"triple fault": {machine: machine{cmdline: "test=boot exit=triple", extra: destroyed}, code: exitCrashed, shows: "govmm: the guest crashed"},
		"SIGTERM":      {machine: machine{cmdline: "test=boot exit=hang"}, args: []string{"--shutdown-timeout=100ms"}, signal: unix.SIGTERM, code: 128 + 15, shows: "stopped by SIGTERM"},
		"SIGINT":       {machine: machine{cmdline: "test=boot exit=hang"}, args: []string{"--shutdown-timeout=100ms"}, signal: unix.SIGINT, code: 128 + 2, shows: "stopped by SIGINT"},
		"SIGQUIT":      {machine: machine{cmdline: "test=boot exit=hang"}, signal: unix.SIGQUIT, code: 128 + 3, shows: "stopped by SIGQUIT"},
		"no kernel":    {machine: machine{kernel: "/nonexistent/kernel"}, code: exitError, shows: "/nonexistent/kernel"},
		"no KVM":       {args: []string{"--device=/nonexistent/kvm"}, code: exitHost, shows: "/nonexistent/kvm"},
	} {
		t.Run(name, func(t *testing.T) {
			w := openWindow(t).watch()
			p := w.run(append(append([]string{"run"}, test.args...), test.machine.write(t))...)
			if test.signal != 0 {
				w.await("done ")
				eventually(t, w.raw, func() string { return "not in raw mode" })
				p.signal(test.signal)
			}
			if code := p.wait(); code != test.code {
				t.Errorf("exit code %d, not %d", code, test.code)
			}
			w.restored()
			w.await(test.shows)
		})
	}
}

// A console that is not here leaves the terminal as it is, and Ctrl-C stops the
// machine.
func TestTerminalUntouched(t *testing.T) {
	log := t.TempDir() + "/log"
	for name, args := range map[string][]string{
		"null": {"run", machine{kernel: built.count, devices: nullSerial}.write(t)},
		"file": {"run", machine{kernel: built.count, devices: fileSerial(log)}.write(t)},
		"none": {"run", "--console=none", machine{kernel: built.count}.write(t)},
	} {
		t.Run(name, func(t *testing.T) {
			w := openWindow(t).watch()
			p := prepare(t, append([]string{args[0], "--log-level=debug"}, args[1:]...)...)
			p.Stdin, p.Stdout, p.Stderr = w.slave, w.slave, w.slave
			p.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			p.start()
			// Far more than it takes to get there: the guest runs.
			eventually(t, func() bool { return cpuTime(t, p) > 200*time.Millisecond }, func() string { return "the guest does not run" })
			w.restored() // in fact it never changed
			w.typed("\x03")
			if code := p.wait(); code != exitSignal+int(unix.SIGINT) {
				t.Errorf("exit code %d", code)
			}
		})
	}
}

// stat is what /proc/PID/stat tells from the third field, the state, on (proc(5)).
func stat(t *testing.T, p *process) []string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, fields, _ := strings.Cut(string(text), ") ")
	return strings.Fields(fields)
}

// state is the letter that ps shows.
func state(t *testing.T, p *process) string { return stat(t, p)[0] }

// cpuTime is how much of the processor a process has used.
func cpuTime(t *testing.T, p *process) time.Duration {
	const utime, stime, tick = 14 - 3, 15 - 3, 10 * time.Millisecond
	fields := stat(t, p)
	var sum time.Duration
	for _, i := range []int{utime, stime} {
		n, err := strconv.Atoi(fields[i])
		if err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(n) * tick
	}
	return sum
}

// Closing the window of the session ends the machine.
func TestHangup(t *testing.T) {
	log := t.TempDir() + "/log"
	w := openWindow(t)
	p := prepare(t, "run", machine{cmdline: "test=boot exit=hang", devices: stdioSerial + fileSerial(log)}.write(t))
	p.Stdin, p.Stdout, p.Stderr = w.slave, w.slave, w.slave
	p.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	p.start()
	buf := make([]byte, 4096)
	for shown := ""; !strings.Contains(shown, "done "); {
		n, err := w.master.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		shown += string(buf[:n])
	}
	w.slave.Close()
	w.master.Close()
	if code := p.wait(); code != exitSignal+int(unix.SIGHUP) {
		t.Errorf("exit code %d", code)
	}
}

// A suspended machine gives the terminal back, and takes it again.
func TestSuspend(t *testing.T) {
	w := openWindow(t).watch()
	p := w.run("run", machine{kernel: built.echo}.write(t))
	w.await(">")
	eventually(t, w.raw, func() string { return "not in raw mode" })
	p.signal(unix.SIGTSTP)
	eventually(t, func() bool { return state(t, p) == "T" }, func() string { return "not stopped: " + state(t, p) })
	w.restored()
	p.signal(unix.SIGCONT)
	eventually(t, w.raw, func() string { return "not in raw mode again" })
	w.typed("x")
	w.await(">x")
	w.typed("\x1d")
	if code := p.wait(); code != exitSignal+int(unix.SIGINT) {
		t.Errorf("exit code %d", code)
	}
	w.restored()
}

// A process that cannot end because nobody reads its terminal is ended by
// another signal, and leaves the terminal in order.
func TestStuckTerminal(t *testing.T) {
	w := openWindow(t)
	defer w.master.Close()
	defer w.slave.Close()
	p := w.run("run", machine{kernel: built.count}.write(t))
	eventually(t, w.raw, func() string { return "not in raw mode" })
	full := func() bool {
		fds := []unix.PollFd{{Fd: int32(w.slave.Fd()), Events: unix.POLLOUT}}
		n, err := unix.Poll(fds, 0)
		return err == nil && n == 0
	}
	eventually(t, full, func() string { return "the terminal takes more and more" })
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for gaveUp := time.After(patient); ; {
		select {
		case <-p.ended:
			if code := p.ProcessState.ExitCode(); code != exitSignal+int(unix.SIGTERM) {
				t.Errorf("exit code %d", code)
			}
			w.restored()
			return
		case <-tick.C:
			_ = p.Process.Signal(unix.SIGTERM)
		case <-gaveUp:
			t.Fatal("not even many signals end it")
		}
	}
}

// A panic of the goroutine that has the terminal restores it on its way.
func TestPanicRestoresTerminal(t *testing.T) {
	w := openWindow(t).watch()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		c, err := openConsole(w.slave)
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		if err := c.start(func() {}); err != nil {
			t.Fatal(err)
		}
		if !w.raw() {
			t.Error("not in raw mode")
		}
		panic("a bug")
	}()
	w.restored()
}

// An error of the machine after the console was prepared leaves the terminal,
// and the process, as they were.
func TestFailedStart(t *testing.T) {
	w := openWindow(t).watch()
	d, _, err := domcfg.Parse("vm.xml", strings.NewReader(machine{devices: stdioSerial + fileSerial("/nonexistent/log")}.xml()))
	if err != nil {
		t.Fatal(err)
	}
	files := openFiles(t)
	a := &app{stdin: w.slave, stdout: w.slave, stderr: &screen{file: w.slave}}
	err = a.runMachine(t.Context(), &judgement{domain: d}, true, 0, vmm.Options{})
	if e := (*exitCode)(nil); !errors.As(err, &e) || e.code != exitError {
		t.Errorf("error %v", err)
	}
	w.restored()
	if after := openFiles(t); after != files {
		t.Errorf("%d open files, %d before", after, files)
	}
}

func openFiles(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
