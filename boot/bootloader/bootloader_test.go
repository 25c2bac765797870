package bootloader

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// host is a directory with a disk, a place for temporary files, and programs.
type host struct {
	t    *testing.T
	dir  string
	opts Options
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, dir: t.TempDir()}
	h.opts = Options{Disk: h.write("disk.img", "a disk", 0o600), TempDir: filepath.Join(h.dir, "tmp"), Timeout: time.Minute}
	if err := os.Mkdir(h.opts.TempDir, 0o700); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *host) path(name string) string { return filepath.Join(h.dir, name) }

func (h *host) write(name, text string, mode os.FileMode) string {
	h.t.Helper()
	path := h.path(name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		h.t.Fatal(err)
	}
	return path
}

func (h *host) read(name string) string {
	h.t.Helper()
	text, err := os.ReadFile(h.path(name))
	if err != nil {
		h.t.Fatal(err)
	}
	return string(text)
}

// script makes a program of a body that finds the values of --output and
// --output-directory in $out and $dir, and the host's directory in $host.
func (h *host) script(body string) {
	h.t.Helper()
	h.opts.Path = h.write("program", `#!/bin/sh
host='`+h.dir+`'
for a; do
	case $a in
	--output=*) out=${a#*=} ;;
	--output-directory=*) dir=${a#*=} ;;
	esac
done
`+body, 0o700)
}

// fails runs the program and checks its error, and that nothing is left.
func (h *host) fails(ctx context.Context, want string) error {
	h.t.Helper()
	result, err := Run(ctx, h.opts)
	if err == nil || !strings.Contains(err.Error(), want) {
		h.t.Fatalf("got %+v and error %v, want one with %q", result, err, want)
	}
	if !strings.HasPrefix(err.Error(), "bootloader "+h.opts.Path+": ") {
		h.t.Errorf("error %v does not name the program", err)
	}
	h.nothingLeft()
	return err
}

func (h *host) runs() *Result {
	h.t.Helper()
	result, err := Run(h.t.Context(), h.opts)
	if err != nil {
		h.t.Fatal(err)
	}
	return result
}

func (h *host) nothingLeft() {
	h.t.Helper()
	left, err := os.ReadDir(h.opts.TempDir)
	if err != nil || len(left) > 0 {
		h.t.Errorf("left behind: %v, %v", left, err)
	}
}

// gone checks that the process whose number is in a file has ended. One that
// nobody has waited for has ended too.
func (h *host) gone(file string) {
	h.t.Helper()
	pid := strings.TrimSpace(h.read(file))
	if _, err := strconv.Atoi(pid); err != nil {
		h.t.Fatal(err)
	}
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err == nil && !strings.Contains(string(stat), ") Z ") {
		h.t.Errorf("process still runs: %s", stat)
	}
}

// kernel makes a file that was there before any program runs: it waits until the
// clock of the file system has moved on.
func (h *host) kernel(name string) string {
	h.t.Helper()
	path := h.write(name, "", 0o600)
	before, err := born(path)
	if err != nil {
		h.t.Fatal(err)
	}
	for i := 0; ; i++ {
		now, err := born(h.write(fmt.Sprint("tick", i), "", 0o600))
		if err != nil {
			h.t.Fatal(err)
		}
		if now.After(before) {
			return path
		}
	}
}

// forms are programs that answer in each form.
func forms() map[string]string {
	return map[string]string{
		"sxp":     `printf 'linux (kernel %s)(ramdisk %s)(args "a=b single")' "$dir/k" "$dir/r" >"$out"`,
		"simple":  `printf 'kernel %s\nramdisk %s\nargs a=b single\n\n' "$dir/k" "$dir/r" >"$out"`,
		"simple0": `printf 'kernel %s\0ramdisk %s\0args a=b single\0\0' "$dir/k" "$dir/r" >"$out"`,
		// Some open the output again for each item.
		"pieces": `for i in "kernel $dir/k" "ramdisk $dir/r" "args a=b single"; do echo "$i" >>"$out"; done`,
	}
}

func TestForms(t *testing.T) {
	for name, answer := range forms() {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.script("echo KERNEL >$dir/k; echo RAMDISK >$dir/r\n" + answer)
			result := h.runs()
			if result.Args != "a=b single" {
				t.Errorf("args %q", result.Args)
			}
			for path, want := range map[string]string{result.Kernel: "KERNEL\n", result.Ramdisk: "RAMDISK\n"} {
				if text, err := os.ReadFile(path); err != nil || string(text) != want {
					t.Errorf("%s holds %q, %v, want %q", path, text, err, want)
				}
			}
			for range 2 {
				if err := result.Cleanup(); err != nil {
					t.Error(err)
				}
			}
			h.nothingLeft()
		})
	}
}

func TestArguments(t *testing.T) {
	for _, test := range []struct {
		convention Convention
		kernel     string
		want       []string
	}{
		{XL, "", []string{"--output=OUT", "--output-format=simple0", "--output-directory=DIR", "--append", "single user", "DISK"}},
		{Xend, "", []string{"--output=OUT", "--append", "single user", "DISK"}},
		{Xend, "/boot/k", []string{"--kernel=/boot/k", "--ramdisk=/boot/r", "--args=ro quiet", "--output=OUT", "--append", "single user", "DISK"}},
	} {
		h := newHost(t)
		h.kernel("k")
		h.script(`for a; do echo "$a"; done >$host/args
echo "$TERM $(pwd)" >$host/env
echo "kernel $host/k" >$out
`)
		h.opts.Convention, h.opts.Args = test.convention, `--append "single user"`
		if h.opts.Kernel = test.kernel; test.kernel != "" {
			h.opts.Ramdisk, h.opts.Cmdline = "/boot/r", "ro quiet"
		}
		if err := h.runs().Cleanup(); err != nil {
			t.Error(err)
		}
		got := strings.Split(strings.TrimSpace(h.read("args")), "\n")
		for i, arg := range got {
			for prefix, short := range map[string]string{"--output=" + h.opts.TempDir: "--output=OUT",
				"--output-directory=" + h.opts.TempDir: "--output-directory=DIR", h.opts.Disk: "DISK"} {
				if strings.HasPrefix(arg, prefix) {
					got[i] = short
				}
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%v: arguments %q, want %q", test.convention, got, test.want)
		}
		if env := h.read("env"); env != "vt100 /\n" {
			t.Errorf("terminal and directory %q", env)
		}
	}
}

// TestCleanup checks which files are taken for the program's own.
func TestCleanup(t *testing.T) {
	h := newHost(t)
	old := h.kernel("old")
	h.script(`cp -p $host/old $host/new
echo "kernel $host/old" >$out; echo "ramdisk $host/new" >>$out
`)
	result := h.runs()
	if err := result.Cleanup(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(old); err != nil {
		t.Errorf("a file that was there before the program: %v", err)
	}
	if _, err := os.Stat(h.path("new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the program's file: %v", err)
	}
	// The disk itself stays, even one that is as new as this one.
	h.script(`echo "kernel $host/disk.img" >$out; rm $host/disk.img; echo new >$host/disk.img`)
	if err := h.runs().Cleanup(); err != nil {
		t.Error(err)
	}
	if h.read("disk.img") != "new\n" {
		t.Error("the disk was taken for the program's file")
	}
}

func TestFailures(t *testing.T) {
	for _, test := range []struct{ name, script, want string }{
		{"exit status", "exit 3", "exit status 3"},
		{"standard error", "echo no such partition >&2; exit 1", "exit status 1: it wrote: no such partition"},
		{"long standard error", "head -c 9999 /dev/zero | tr '\\0' x >&2; echo the end >&2; exit 1", "xxxthe end"},
		{"killed", "kill -9 $$", "signal: killed"},
		{"no answer", "exit 0", "is empty"},
		{"garbage", "echo Traceback: line 1 >$out", `names no kernel, but has "Traceback: line 1"`},
		{"binary garbage", "head -c 5000 /bin/sh >$out", "names no kernel"},
		{"broken", "echo 'linux (kernel /k' >$out", "is not closed"},
		{"too long", "yes >$out", "its answer is longer than 65536 bytes"},
		{"just too long", "head -c 65537 /dev/zero >$out", "its answer is longer than 65536 bytes"},
		{"relative kernel", "echo kernel boot/k >$out", `the kernel "boot/k" is not an absolute path`},
		{"missing kernel", "echo kernel $host/none >$out", "none: no such file"},
		{"directory", "echo kernel $host >$out", "is not a regular file"},
		{"device", "echo kernel /dev/zero >$out", "is not a regular file"},
		{"missing ramdisk", "echo >$dir/k; (echo kernel $dir/k; echo ramdisk /none/r) >$out", "the ramdisk: stat /none/r: no such file"},
		{"fails after its answer", "echo >$host/new; echo kernel $host/new >$out; exit 1", "exit status 1"},
		{"broken after its kernel", "echo >$host/new; echo \"linux (kernel $host/new)(\" >$out", "is not closed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHost(t)
			h.script(test.script)
			err := h.fails(t.Context(), test.want)
			if len(err.Error()) > 4096 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			if _, err := os.Stat(h.path("new")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the program's file is still there: %v", err)
			}
		})
	}
}

func TestRefusedOptions(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"no program", func(o *Options) { o.Path = "" }, "the program is missing"},
		{"relative program", func(o *Options) { o.Path = "pygrub" }, `the program "pygrub" is not an absolute path`},
		{"missing program", func(o *Options) { o.Path = "/none/pygrub" }, "stat /none/pygrub: no such file"},
		{"directory", func(o *Options) { o.Path = "/usr" }, "not an executable file"},
		{"not executable", func(o *Options) { o.Path = o.Disk }, "not an executable file"},
		{"not a program", func(o *Options) { _ = os.Chmod(o.Disk, 0o700); o.Path = o.Disk }, "exec format error"},
		{"no disk", func(o *Options) { o.Disk = "" }, "the disk is missing"},
		{"relative disk", func(o *Options) { o.Disk = "d" }, `the disk "d" is not an absolute path`},
		{"missing disk", func(o *Options) { o.Disk = "/none/d" }, "stat /none/d: no such file"},
		{"directory as disk", func(o *Options) { o.Disk = "/usr" }, "is a directory"},
		{"arguments", func(o *Options) { o.Args = "'x" }, "is not closed"},
		{"convention", func(o *Options) { o.Convention = 7 }, "Convention(7)"},
		{"temporary directory", func(o *Options) { o.TempDir += "/tmp/none" }, "no such file"},
		{"zero byte", func(o *Options) { o.Cmdline = "a\x00b" }, "invalid argument"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHost(t)
			h.script("exit 0")
			place := h.opts.TempDir
			test.change(&h.opts)
			_, err := Run(t.Context(), h.opts)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
			h.opts.TempDir = place
			h.nothingLeft()
		})
	}
}

// screenUntil is a terminal that calls a function when a text is on the screen.
type screenUntil struct {
	net.Conn // for its deadlines
	text     string
	then     func()
	seen     bytes.Buffer
}

func (s *screenUntil) Write(p []byte) (int, error) {
	s.seen.Write(p)
	if s.then != nil && strings.Contains(s.seen.String(), s.text) {
		s.then()
		s.then = nil
	}
	return len(p), nil
}

func onScreen(t *testing.T, text string, then func()) *screenUntil {
	near, far := net.Pipe()
	t.Cleanup(func() { near.Close(); far.Close() })
	return &screenUntil{Conn: near, text: text, then: then}
}

const hanging = `sleep 1000 & echo $! >$host/child
echo $$ >$host/pid
echo waiting
wait
wait`

// TestCancel cancels a program that waits, and looks for what is left of it.
func TestCancel(t *testing.T) {
	for name, first := range map[string]string{"willing": "", "stubborn": "trap '' TERM\n"} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			h.script(first + hanging)
			ctx, cancel := context.WithCancelCause(t.Context())
			stop := errors.New("the machine was stopped")
			h.opts.Terminal = onScreen(t, "waiting", func() { cancel(stop) })
			if err := h.fails(ctx, stop.Error()); !errors.Is(err, stop) {
				t.Errorf("error %v does not wrap the cause", err)
			}
			h.gone("pid")
			h.gone("child")
		})
	}
}

func TestTimeout(t *testing.T) {
	h := newHost(t)
	h.script(`echo $$ >$host/pid; echo thinking >&2; sleep 1000`)
	h.opts.Timeout = 100 * time.Millisecond
	err := h.fails(t.Context(), "it has not chosen within 100ms")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v is not of a deadline", err)
	}
	h.gone("pid")
}

func TestCancelledBefore(t *testing.T) {
	h := newHost(t)
	h.script("echo >$host/ran")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h.fails(ctx, "context canceled")
	if _, err := os.Stat(h.path("ran")); err == nil {
		t.Error("the program ran")
	}
}

// TestChildrenEnd checks that processes a program leaves in its session end with
// it, and that one which left the session keeps nobody waiting.
func TestChildrenEnd(t *testing.T) {
	h := newHost(t)
	h.kernel("k")
	h.script(`(trap '' HUP TERM; exec sleep 1000) & echo $! >$host/child
echo kernel $host/k >$out`)
	h.runs().Cleanup()
	h.gone("child")

	// This one has everything open: output, standard error and terminal.
	t.Cleanup(func() {
		if pid, err := strconv.Atoi(strings.TrimSpace(h.read("daemon"))); err == nil {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	})
	h.script(`exec 3>$out
setsid sh -c 'echo $$ >$0/daemon.new; mv $0/daemon.new $0/daemon; exec sleep 1000' $host &
while ! [ -e $host/daemon ]; do sleep 0.01; done
echo kernel $host/k >&3`)
	result := h.runs()
	if result.Kernel != h.path("k") {
		t.Errorf("got %+v", result)
	}
	result.Cleanup()
}

// TestNoLeaks runs programs of all fates and counts open files.
func TestNoLeaks(t *testing.T) {
	h := newHost(t)
	h.kernel("k")
	h.opts.Timeout = 50 * time.Millisecond
	open := func() string {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(len(entries))
	}
	scripts := []string{"echo kernel $host/k >$out", "exit 1", "sleep 1000", "yes >$out"}
	round := func() {
		for _, s := range scripts {
			h.script(s)
			if result, err := Run(t.Context(), h.opts); err == nil {
				result.Cleanup()
			}
			h.nothingLeft()
		}
	}
	round() // opens what the runtime keeps
	before := open()
	round()
	if after := open(); after != before {
		t.Errorf("%s open files, %s before", after, before)
	}
}

func TestLog(t *testing.T) {
	h := newHost(t)
	h.kernel("k")
	h.script("echo kernel $host/k >$out; echo entry 3 >>$out")
	var log bytes.Buffer
	h.opts.Log = slog.New(slog.NewTextHandler(&log, nil))
	h.runs().Cleanup()
	for _, want := range []string{"running the bootloader", "has chosen", `unknown item" item="entry 3"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %q in the log:\n%s", want, log.String())
		}
	}
}
