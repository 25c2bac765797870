package integration

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPty talks to a guest through the pty that the log names, and has it copy
// its kernel's log to a second serial port, whose other end is a file.
func TestPty(t *testing.T) {
	file := filepath.Join(t.TempDir(), "copy")
	c := run(t, domain{
		initrd:  cloudShell,
		cmdline: "quiet",
		devices: "<serial type='pty'/><serial type='file'><source path='" + file + "'/></serial>",
	}, "--console=none")
	path := c.said(`clients can connect.* path=(/dev/pts/\d+)`)[1]
	pty, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	defer pty.Close()
	g := atTerminal(t, pty)

	g.expect(banner)
	g.expect(prompt)
	if got := g.shell("tty"); got != "/dev/ttyS0" {
		t.Errorf("the shell is on %s", got)
	}
	if got := g.shell("echo $((6*7))"); got != "42" {
		t.Errorf("6*7 is %s", got)
	}
	sum, _, _ := strings.Cut(g.shell("dmesg >/tmp/log; md5sum /tmp/log"), " ")
	g.shell("stty -F /dev/ttyS1 raw; cat /tmp/log >/dev/ttyS1")
	g.send("poweroff\n")
	c.exit(0)
	if got := c.out.String(); got != "" {
		t.Errorf("with --console=none there is output: %q", got)
	}
	written, err := os.ReadFile(file)
	must(t, err)
	if got := fmt.Sprintf("%x", md5.Sum(written)); got != sum {
		t.Errorf("the file's MD5 is %s, want %s; it has:\n%s", got, sum, written)
	}
}

// TestFile has all of a guest's console in a file.
func TestFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	c := run(t, domain{
		cmdline: "ignore_loglevel test=cpus",
		devices: "<serial type='file'><source path='" + file + "'/></serial>",
	})
	c.exit(0)
	if got := c.out.String(); got != "" {
		t.Errorf("there is output beside the file: %q", got)
	}
	log, err := os.ReadFile(file)
	must(t, err)
	checkLog(t, log)
}

// atTerminal is the guest's console at a terminal.
func atTerminal(t *testing.T, terminal *os.File) *guest {
	g := newGuest(t, terminal)
	go func() {
		_, _ = io.Copy(g.out, terminal) // ends with an error when the other side is gone
		g.out.end()
	}()
	return g
}

// checkLog looks for the whole output of a guest: from the kernel's first
// message to its last, with times that never go back, and what init says.
func checkLog(t *testing.T, log []byte) {
	t.Helper()
	last := 0.0
	for _, stamp := range regexp.MustCompile(`(?m)^\[ *(\d+\.\d+)\] `).FindAllSubmatch(log, -1) {
		at, err := strconv.ParseFloat(string(stamp[1]), 64)
		must(t, err)
		if at < last {
			t.Errorf("the file has a line of %g s after one of %g s", at, last)
		}
		last = at
	}
	rest := log
	for _, want := range []string{"[    0.000000] Linux version ", "] Command line: ",
		"init: up\r\n", "init: cpus 0\r\n", "init: action poweroff\r\n", "] reboot: Power down\r\n"} {
		if n := bytes.Count(log, []byte(want)); n != 1 {
			t.Errorf("the file has %q %d times", want, n)
		}
		_, after, found := bytes.Cut(rest, []byte(want))
		if !found {
			t.Errorf("the file has %q, if at all, in the wrong place", want)
			continue
		}
		rest = after
	}
	if len(rest) > 0 {
		t.Errorf("the file ends with %q", rest)
	}
	if t.Failed() {
		t.Logf("the file:\n%s", log)
	}
}

// TestTerminal runs govmm at a terminal, as people do: keys go to the guest as
// they are, and ^] leaves, with the terminal as it was.
func TestTerminal(t *testing.T) {
	for _, kind := range []string{"stdio", "pty"} {
		t.Run(kind, func(t *testing.T) {
			master, slave := openTerminal(t)
			before := settings(t, slave)
			cmd := govmm("run", domain{
				initrd: cloudShell, cmdline: "quiet", devices: "<serial type='" + kind + "'/>",
			}.file(t))
			cmd.Stdin, cmd.Stdout = slave, slave
			c := start(t, newGuest(t, nil), cmd)
			g := atTerminal(t, master)

			g.expect(prompt)
			g.send("echo $((6*7)); cat\n") // what follows sooner is the shell's
			g.expect("42\r\n")
			g.send("typed\n")
			g.expect(`typed\r\ntyped\r\n`) // by the guest's terminal and by cat; not by ours
			g.send("\x03")                 // for cat, not for govmm
			g.expect(prompt)
			if settings(t, slave) == before {
				t.Error("the terminal is not in raw mode while it is the guest's console")
			}
			g.send("\x1d")
			c.exit(130)
			c.said(regexp.QuoteMeta("govmm: stopped by ^]"))
			if after := settings(t, slave); after != before {
				t.Errorf("the terminal's settings are %s, were %s", after, before)
			}
		})
	}
}

// openTerminal makes a terminal: what one types goes to master, what is shown
// comes from there.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { master.Close() })
	raw, err := master.SyscallConn()
	must(t, err)
	var number int
	var failed error
	must(t, raw.Control(func(fd uintptr) {
		if failed = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); failed == nil {
			number, failed = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}))
	must(t, failed)
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// settings describes a terminal's settings.
func settings(t *testing.T, terminal *os.File) string {
	t.Helper()
	termios, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	must(t, err)
	return strings.TrimSpace(fmt.Sprintf("%+v", *termios))
}
