package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/digitalocean/go-qemu/qmp"
	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/vmm/statedir"
)

// hanging is a machine that does nothing until it is stopped.
func hanging(t *testing.T, devices string) *process {
	t.Helper()
	p := prepare(t, "run", machine{cmdline: "test=boot exit=hang", devices: stdioSerial + devices}.write(t)).start()
	p.await("done ")
	return p
}

// stop stops a machine by a signal.
func (p *process) stop() {
	p.t.Helper()
	p.signal(unix.SIGQUIT)
	p.wait()
}

// stateDirectory of a machine of these tests.
func stateDirectory(name string) string { return filepath.Join(statedir.Root(), name) }

// listed is what "list" prints of the only machine.
func listed(t *testing.T) machineRow {
	t.Helper()
	code, stdout, stderr := govmm(t, "list", "--json")
	var rows []machineRow
	if err := json.Unmarshal([]byte(stdout), &rows); err != nil || code != exitOK || stderr != "" || len(rows) > 1 {
		t.Fatalf("exit code %d, %q, %v: %s", code, stderr, err, stdout)
	}
	return append(rows, machineRow{})[0]
}

// monitor is a client that was not written here.
func monitor(t *testing.T) *qmp.SocketMonitor {
	t.Helper()
	m, err := qmp.NewSocketMonitor("unix", filepath.Join(stateDirectory("test"), "qmp.sock"), patient)
	if err == nil {
		err = m.Connect()
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A machine is listed and controlled while it runs, and nothing is left of it.
func TestControl(t *testing.T) {
	p := hanging(t, "")
	row := machineRow{"test", p.Process.Pid, "running", stateDirectory("test") + "/qmp.sock"}
	if got := listed(t); got != row {
		t.Errorf("list: %+v, not %+v", got, row)
	}
	_, stdout, _ := govmm(t, "list")
	if want := fmt.Sprintf("Name  PID    State\ntest  %-6d running\n", p.Process.Pid); spaces(stdout) != spaces(want) {
		t.Errorf("list: %q, not %q", stdout, want)
	}
	for path, mode := range map[string]os.FileMode{stateDirectory("test"): 0o700, row.Socket: 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}

	m := monitor(t)
	defer m.Disconnect()
	if got := m.Version.String(); got != "0.0.0" { // v0-test
		t.Errorf("version %s", got)
	}
	events, err := m.Events(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 100)
	go func() {
		defer close(seen)
		for e := range events {
			seen <- e.Event
		}
	}()
	for _, step := range []struct{ command, state, event string }{
		{"stop", "paused", "STOP"}, {"cont", "running", "RESUME"}, {"system_reset", "running", "RESET"},
	} {
		if _, err := m.Run([]byte(`{"execute":"` + step.command + `"}`)); err != nil {
			t.Fatalf("%s: %v", step.command, err)
		}
		if got := listed(t).State; got != step.state {
			t.Errorf("after %s: %s", step.command, got)
		}
		if got := <-seen; got != step.event {
			t.Errorf("after %s: event %s", step.command, got)
		}
	}
	answer, err := m.Run([]byte(`{"execute":"query-cpus-fast"}`))
	if err != nil || !strings.Contains(string(answer), `"cpu-index":0`) {
		t.Errorf("query-cpus-fast: %s, %v", answer, err)
	}

	code, stdout, stderr := govmm(t, "run", machine{cmdline: "exit=poweroff"}.write(t))
	if code != exitError || stdout != "" {
		t.Errorf("a second one: exit code %d, %q", code, stdout)
	}
	oneLine(t, stderr, `"test" runs already`, fmt.Sprintf("process %d", p.Process.Pid), "--no-control")

	if _, err := m.Run([]byte(`{"execute":"quit"}`)); err != nil {
		t.Errorf("quit: %v", err)
	}
	if got := <-seen; got != "SHUTDOWN" {
		t.Errorf("after quit: event %s", got)
	}
	if code := p.wait(); code != exitOK || p.stderr.String() != "" {
		t.Errorf("after quit: exit code %d, %s", code, &p.stderr)
	}
	if got := listed(t); got != (machineRow{}) {
		t.Errorf("at the end: %+v", got)
	}
	if _, err := os.Stat(stateDirectory("test")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("at the end: %v", err)
	}
}

func spaces(s string) string { return regexp.MustCompile(` +`).ReplaceAllString(s, " ") }

// A guest that ends by itself is told of with its reason.
func TestShutdownEvent(t *testing.T) {
	p := prepare(t, "run", machine{kernel: built.echo}.write(t)).start()
	p.await(">")
	m := monitor(t)
	defer m.Disconnect()
	events, err := m.Events(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	p.signal(unix.SIGQUIT)
	if e := <-events; e.Event != "SHUTDOWN" || e.Data["reason"] != "host-signal" || e.Data["guest"] != false {
		t.Errorf("event %+v", e)
	}
	if code := p.wait(); code != exitSignal+int(unix.SIGQUIT) {
		t.Errorf("exit code %d", code)
	}
}

// What a killed process leaves is in nobody's way.
func TestKilledMachine(t *testing.T) {
	for _, next := range []string{"list", "run"} {
		p := hanging(t, "")
		p.signal(unix.SIGKILL)
		p.wait()
		if _, err := os.Stat(stateDirectory("test") + "/qmp.sock"); err != nil {
			t.Errorf("nothing was left: %v", err)
		}
		switch next {
		case "list":
			if got := listed(t); got != (machineRow{}) {
				t.Errorf("list: %+v", got)
			}
		case "run":
			if code, _, stderr := govmm(t, "run", machine{cmdline: "exit=poweroff"}.write(t)); code != exitOK || stderr != "" {
				t.Errorf("run: exit code %d, %s", code, stderr)
			}
		}
		if _, err := os.Stat(stateDirectory("test")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("after %s: %v", next, err)
		}
	}
}

// A process that is stopped itself is listed, soon.
func TestStoppedProcess(t *testing.T) {
	p := hanging(t, "")
	p.signal(unix.SIGSTOP)
	if got := listed(t); got.State != "no answer" || got.PID != p.Process.Pid {
		t.Errorf("list: %+v", got)
	}
	p.signal(unix.SIGCONT)
	p.stop()
}

func TestNoControl(t *testing.T) {
	file := machine{cmdline: "test=boot exit=hang"}.write(t)
	var all []*process
	for range 2 {
		all = append(all, prepare(t, "run", "--no-control", file).start())
	}
	for _, p := range all {
		p.await("done ")
	}
	if got := listed(t); got != (machineRow{}) {
		t.Errorf("list: %+v", got)
	}
	for _, p := range all {
		p.stop()
	}
}

// A place where nothing can be made costs the control, not the machine.
func TestNoStateDirectory(t *testing.T) {
	p := prepare(t, "run", machine{cmdline: "test=boot exit=poweroff"}.write(t))
	p.Env = append(os.Environ(), statedir.RootVariable+"=/dev/null/run")
	p.start()
	if code := p.wait(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	oneLine(t, p.stderr.String(), "WARN", "cannot be controlled", "/dev/null", "--no-control", statedir.RootVariable)
}

// The commands that act on a running machine, one after the other on one machine.
func TestActing(t *testing.T) {
	disc := filepath.Join(t.TempDir(), "disc.iso")
	if err := os.WriteFile(disc, make([]byte, 64<<10), 0o644); err != nil {
		t.Fatal(err)
	}
	floppy, wrong := filepath.Join(t.TempDir(), "floppy.img"), filepath.Join(t.TempDir(), "wrong.img")
	if err := errors.Join(os.WriteFile(floppy, make([]byte, 1440<<10), 0o644), os.WriteFile(wrong, make([]byte, 64<<10), 0o644)); err != nil {
		t.Fatal(err)
	}
	p := hanging(t, `<disk type='file' device='cdrom'><target dev='hdc' bus='ide'/><readonly/></disk>
<disk type='file' device='floppy'><target dev='fda' bus='fdc'/></disk><video><model type='vga'/></video>`)
	m := monitor(t)
	defer m.Disconnect()
	inserted := func(target string) string {
		answer, err := m.Run([]byte(`{"execute":"query-block"}`))
		var block struct {
			Return []struct {
				Device   string
				Inserted struct{ File string }
			}
		}
		if err == nil {
			err = json.Unmarshal(answer, &block)
		}
		if err != nil || len(block.Return) != 2 {
			t.Fatalf("%v: %s", err, answer)
		}
		for _, drive := range block.Return {
			if drive.Device == target {
				return drive.Inserted.File
			}
		}
		t.Fatalf("%s is not in %s", target, answer)
		return ""
	}
	relative, err := filepath.Rel(must(os.Getwd()), disc)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ args, inserted string }{
		{"change-media test hdc " + relative, disc},
		{"change-media test hdc --eject", ""},
		{"change-media test hdc --force " + disc, disc},
		{"change-media test fda " + floppy, floppy},
		{"change-media test fda --eject", ""},
		{"change-media test fda " + floppy, floppy},
	} {
		if code, stdout, stderr := govmm(t, strings.Fields(test.args)...); code != exitOK || stdout+stderr != "" {
			t.Errorf("%s: exit code %d, %q, %q", test.args, code, stdout, stderr)
		}
		if got := inserted(strings.Fields(test.args)[2]); got != test.inserted {
			t.Errorf("%s: %q is in the drive", test.args, got)
		}
	}

	picture := filepath.Join(t.TempDir(), "screen.png")
	if code, stdout, stderr := govmm(t, "screenshot", "-o", picture, "test"); code != exitOK || stdout+stderr != "" {
		t.Errorf("screenshot: exit code %d, %q, %q", code, stdout, stderr)
	}
	f, err := os.Open(picture)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	shown, err := png.Decode(f)
	if err != nil || shown.Bounds().Empty() {
		t.Errorf("screenshot: %v", err)
	}
	code, stdout, stderr := govmm(t, "screenshot", "test")
	if again, err := png.Decode(strings.NewReader(stdout)); err != nil || code != exitOK || stderr != "" || again.Bounds() != shown.Bounds() {
		t.Errorf("screenshot to standard output: exit code %d, %s, %v", code, stderr, err)
	}
	if left, err := filepath.Glob(stateDirectory("test") + "/screenshot*"); len(left) > 0 || err != nil {
		t.Errorf("left behind: %v", left)
	}

	if code, stdout, stderr := govmm(t, "send-key", "test", "ctrl-alt-delete"); code != exitOK || stdout+stderr != "" {
		t.Errorf("send-key: exit code %d, %q, %q", code, stdout, stderr)
	}

	for _, test := range []struct {
		args string
		says []string
	}{
		{"change-media test hdd x.iso", []string{"no disk 'hdd'"}},
		{"change-media test fda " + wrong, []string{"fda", wrong, "floppy"}},
		{"change-media test hdc /nonexistent.iso", []string{"hdc", "/nonexistent.iso", "no such file"}},
		{"send-key test ctrl-nonsense", []string{"ctrl-nonsense", "no key 'nonsense'"}},
		{"screenshot -o /nonexistent/x test", []string{"/nonexistent/x", "no such file"}},
		{"screenshot other", []string{`no machine named "other" runs`, "running: test"}},
	} {
		code, stdout, stderr := govmm(t, strings.Fields(test.args)...)
		if code != exitError || stdout != "" {
			t.Errorf("%s: exit code %d, %q", test.args, code, stdout)
		}
		oneLine(t, stderr, append(test.says, "govmm: ")...)
	}
	p.stop()
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A command line that is wrong, or names a machine that does not run, is said to be
// so in one line.
func TestControlUsage(t *testing.T) {
	for _, test := range []struct {
		args string
		says []string
	}{
		{"list now", []string{`"now"`, "govmm list --help"}},
		{"screenshot", []string{"NAME is missing", "govmm screenshot --help"}},
		{"screenshot a b", []string{`"b" is too much`, "--help"}},
		{"send-key", []string{"NAME is missing", "--help"}},
		{"send-key vm", []string{"KEYS is missing", "--help"}},
		{"change-media vm", []string{"TARGET is missing", "--help"}},
		{"change-media vm hdc", []string{"PATH is missing, or --eject", "--help"}},
		{"change-media vm hdc x --eject", []string{"exclude", "--help"}},
		{"change-media vm hdc x y", []string{`"y" is too much`, "--help"}},
		{"change-media vm hdc x", []string{`no machine named "vm" runs`, "none runs"}},
		{"send-key vm ret", []string{`no machine named "vm" runs`, statedir.Root()}},
		{"screenshot --text vm", []string{`no machine named "vm" runs`}},
	} {
		code, stdout, stderr := govmm(t, strings.Fields(test.args)...)
		if code != exitError || stdout != "" {
			t.Errorf("%s: exit code %d, standard output %q", test.args, code, stdout)
		}
		oneLine(t, stderr, append(test.says, "govmm: ")...)
	}
}

func TestControlHelp(t *testing.T) {
	for _, command := range []string{
		"list", "screenshot", "send-key", "change-media", "suspend", "resume", "shutdown", "reboot", "reset", "inject-nmi", "destroy",
		"domstate", "dominfo", "domstats", "vcpuinfo", "dump", "setmem", "domif-setlink", "event", "start",
	} {
		code, stdout, stderr := govmm(t, command, "--help")
		if code != exitOK || stderr != "" || !strings.Contains(stdout, "Examples:\n  govmm "+command) {
			t.Errorf("%s: exit code %d, %q: %s", command, code, stderr, stdout)
		}
		for line := range strings.Lines(stdout) {
			if !strings.HasPrefix(strings.TrimSpace(line), "-") && len(line) > 81 {
				t.Errorf("%s: a line is too long for a terminal: %q", command, line)
			}
		}
	}
}

// Shells complete the names of machines that run.
func TestNameCompletion(t *testing.T) {
	p := hanging(t, "")
	for _, test := range []struct{ args, want string }{
		{"screenshot ", "test\n:4\n"}, // 4: no files
		{"send-key ", "test\n:4\n"},
		{"change-media ", "test\n:4\n"},
		{"change-media test ", ":4\n"},
		{"change-media test hdc ", ":0\n"}, // files
		{"list ", ":"},
	} {
		code, stdout, _ := govmm(t, append([]string{"__complete"}, strings.Split(test.args, " ")...)...)
		if code != exitOK || !strings.HasPrefix(stdout, test.want) {
			t.Errorf("%s: exit code %d, %q", test.args, code, stdout)
		}
	}
	p.stop()
}

// Another user's machine is not this one's to use.
func TestOtherUser(t *testing.T) {
	needRoot(t)
	p := hanging(t, "")
	q := prepare(t, "screenshot", "--text", "test")
	q.Dir = "/"
	q.SysProcAttr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
	q.start()
	if code := q.wait(); code != exitError {
		t.Errorf("exit code %d", code)
	}
	oneLine(t, q.stderr.String(), "permission denied", statedir.Root())
	p.stop()
}

// The machine's end does not wait for a client that has stopped reading.
func TestStuckClient(t *testing.T) {
	p := hanging(t, "")
	e := statedir.Entry{Name: "test", Path: stateDirectory("test")}
	conn, err := e.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// More answers than a socket holds, and none of them is read.
	if err := conn.SetWriteDeadline(time.Now().Add(patient)); err != nil {
		t.Fatal(err)
	}
	id := strings.Repeat("i", 100<<10)
	if _, err := conn.Write([]byte(`{"execute":"qmp_capabilities"}` + strings.Repeat(`{"execute":"query-name","id":"`+id+`"}`, 4))); err != nil {
		t.Fatal(err)
	}
	if got := listed(t).State; got != "running" {
		t.Errorf("list: %s", got)
	}
	p.signal(unix.SIGQUIT)
	if code := p.wait(); code != exitSignal+int(unix.SIGQUIT) {
		t.Errorf("exit code %d", code)
	}
}
