package main

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// How a guest ends decides the exit code and what is said of it.
func TestExitCodes(t *testing.T) {
	tests := []struct {
		exit  string
		extra string
		args  []string
		code  int
		says  []string // nil: nothing
	}{
		{exit: "poweroff", code: exitOK},
		{exit: "reboot", extra: destroyed, code: exitOK},
		{exit: "kbd", extra: destroyed, code: exitOK},
		{exit: "cf9", extra: destroyed, code: exitOK},
		{exit: "triple", extra: destroyed, code: exitCrashed, says: []string{"crashed", "triple fault", "RIP"}},
		{exit: "panic", code: exitCrashed, says: []string{"crashed", "panic", "pvpanic"}},
		{exit: "debug", args: []string{"--debug-exit"}, code: 0x10<<1 | 1},
		{exit: "debug", code: exitOK}, // there is no such port, so it powers off
	}
	for _, test := range tests {
		t.Run(test.exit, func(t *testing.T) {
			file := machine{cmdline: "test=boot exit=" + test.exit, extra: test.extra}.write(t)
			code, stdout, stderr := govmm(t, append(append([]string{"run"}, test.args...), file)...)
			if code != test.code {
				t.Errorf("exit code %d, not %d", code, test.code)
			}
			if !strings.Contains(stdout, "\ndone ") || !strings.HasSuffix(stdout, " 0 not ok\n") {
				t.Errorf("the guest's output is not complete: %q", stdout)
			}
			if test.says == nil && stderr != "" {
				t.Errorf("standard error: %q", stderr)
			}
			if test.says != nil {
				oneLine(t, stderr, test.says...)
			}
		})
	}
}

// With on_reboot restart, a reset begins the guest anew.
func TestRestart(t *testing.T) {
	file := machine{cmdline: "test=boot exit=reboot"}.write(t)
	p := prepare(t, "run", file).start()
	eventually(t, func() bool { return strings.Count(p.stdout.String(), "\ndone ") >= 2 }, func() string {
		return "no restart: " + p.stdout.String()
	})
	p.signal(unix.SIGQUIT)
	if code := p.wait(); code != exitSignal+int(unix.SIGQUIT) {
		t.Errorf("exit code %d", code)
	}
}

// nohup starts a program with SIGHUP ignored, and it stays so.
func TestIgnoredSignal(t *testing.T) {
	p := prepare(t)
	p.Path, p.Args = "/bin/sh", []string{"sh", "-c", `trap "" HUP; exec "$0" run "$1"`, built.govmm,
		machine{kernel: built.count}.write(t)}
	p.start()
	p.await("\x01\x02")
	p.signal(unix.SIGHUP)
	before := len(p.stdout.String())
	eventually(t, func() bool { return len(p.stdout.String()) > before+4096 }, func() string { return "the machine stopped" })
	p.signal(unix.SIGQUIT)
	if code := p.wait(); code != exitSignal+int(unix.SIGQUIT) {
		t.Errorf("exit code %d", code)
	}
}

// What the guest printed until a signal came is in the file, without a gap.
func TestFileComplete(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	p := prepare(t, "run", machine{kernel: built.count, devices: fileSerial(log)}.write(t)).start()
	read := func() string {
		b, err := os.ReadFile(log)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return string(b)
	}
	eventually(t, func() bool { return len(read()) > 1024 }, func() string { return "nothing in the file" })
	p.signal(unix.SIGQUIT)
	p.wait()
	for i, b := range []byte(read()) {
		if b != byte(i) {
			t.Fatalf("byte %d is %#x", i, b)
		}
	}

	code, stdout, _ := govmm(t, "run", machine{cmdline: "test=boot exit=poweroff", devices: fileSerial(log)}.write(t))
	if text := read(); code != exitOK || stdout != "" || !strings.HasSuffix(text, " 0 not ok\n") {
		t.Errorf("exit code %d, on standard output %q, in the file %q", code, stdout, text)
	}
}

// The first console is on standard output if it is a pty or stdio, and only there.
func TestConsoleChoice(t *testing.T) {
	tests := []struct {
		name, devices, option string
		shown                 bool
	}{
		{"stdio", stdioSerial, "tty", true},
		{"pty", ptySerial, "tty", true},
		{"console element", `<console type='pty'/>`, "tty", true},
		{"null first", nullSerial + ptySerial, "tty", false},
		{"none", stdioSerial, "none", false},
		{"pty, none", ptySerial, "none", false},
		{"null", nullSerial, "tty", false},
		// Standard output is that of the stdio device, so COM1 stays a pty.
		{"stdio second", ptySerial + stdioSerial, "tty", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := machine{cmdline: "test=boot exit=poweroff", devices: test.devices}.write(t)
			code, stdout, stderr := govmm(t, "run", "--console="+test.option, file)
			if code != exitOK || stderr != "" {
				t.Errorf("exit code %d, standard error %q", code, stderr)
			}
			if shown := strings.Contains(stdout, "\ndone "); shown != test.shown || !shown && stdout != "" {
				t.Errorf("standard output: %q", stdout)
			}
		})
	}
}

// With --console=none, the path of a pty is in the log, and it works.
func TestPtyPath(t *testing.T) {
	p := prepare(t, "run", "--console=none", "--log-level=info", "--log-format=json",
		machine{kernel: built.echo, devices: ptySerial}.write(t)).start()
	var path string
	eventually(t, func() bool {
		for line := range strings.Lines(p.stderr.String()) {
			var entry struct{ Path string }
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Path != "" {
				path = entry.Path
			}
		}
		return path != ""
	}, func() string { return "no path in the log: " + p.stderr.String() })
	client, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.WriteString("hi\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(client).ReadString('\n'); line != ">hi\n" {
		t.Errorf("read %q, %v", line, err)
	}
	p.signal(unix.SIGQUIT)
	p.wait()
	if _, err := os.Stat(path); err == nil {
		t.Errorf("%s is still there", path)
	}
}

// Input from a file reaches the guest as it is, ^] included, and its end ends
// nothing else.
func TestInputFile(t *testing.T) {
	for name, devices := range map[string]string{"stdio": stdioSerial, "pty": ptySerial} {
		t.Run(name, func(t *testing.T) {
			p := prepare(t, "run", machine{kernel: built.echo, devices: devices}.write(t))
			p.Stdin = strings.NewReader("one\x03two\x1dthree\n")
			p.start()
			p.await(">one\x03two\x1dthree\n")
			p.signal(unix.SIGQUIT)
			p.wait()
		})
	}
}

// The machine goes on when nobody reads its output any more.
func TestBrokenPipe(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := prepare(t, "run", "--log-format=json", machine{cmdline: "exit=poweroff", devices: ptySerial + fileSerial(log)}.write(t))
	p.Stdout = w
	p.start()
	w.Close()
	if _, err := bufio.NewReader(r).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	r.Close()
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d, standard error %s", code, &p.stderr)
	}
	oneLine(t, p.stderr.String(), "broken pipe", "serial0")
}

// Also when nobody reads the log, and when the three standard files are closed.
func TestClosedFiles(t *testing.T) {
	for _, redirect := range []string{
		`<&- >&-`, `<&- >&- 2>&-`, `2>&1 | head -n 1 >/dev/null; exit ${PIPESTATUS[0]}`,
	} {
		t.Run(redirect, func(t *testing.T) {
			log := filepath.Join(t.TempDir(), "log")
			p := prepare(t)
			p.Path, p.Args = "/bin/bash", []string{"bash", "-c", `"$0" run --log-level=debug "$1" ` + redirect, built.govmm,
				machine{cmdline: "test=boot exit=panic", devices: stdioSerial}.write(t), log}
			p.start()
			if code := p.wait(); code != exitCrashed {
				t.Errorf("exit code %d, standard error %s", code, &p.stderr)
			}
		})
	}
}
