package main

import (
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/domcfg"
)

// ok runs a command that succeeds and says nothing on standard error.
func ok(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := govmm(t, args...)
	if code != exitOK || stderr != "" {
		t.Fatalf("%v: exit code %d, %s%s", args, code, stdout, stderr)
	}
	return stdout
}

// A machine does what it is told in virsh's words, and tells what it does.
func TestVirsh(t *testing.T) {
	p := hanging(t, `<watchdog model='i6300esb'/>`)
	if got := ok(t, "domstate", "test"); got != "running\n" {
		t.Errorf("domstate: %q", got)
	}
	ok(t, "suspend", "test")
	if got := ok(t, "domstate", "--reason", "test"); got != "paused (user)\n" {
		t.Errorf("domstate: %q", got)
	}
	if got := ok(t, "domstate", "--json", "test"); got != "{\n  \"reason\": \"user\",\n  \"state\": \"paused\"\n}\n" {
		t.Errorf("domstate: %q", got)
	}
	ok(t, "resume", "test")
	ok(t, "inject-nmi", "test")
	if got := ok(t, "domstate", "--reason", "test"); got != "running (booted)\n" {
		t.Errorf("domstate: %q", got)
	}

	info := ok(t, "dominfo", "test")
	for _, line := range []string{
		fmt.Sprintf(`Id: +%d`, p.Process.Pid), `Name: +test`, `UUID: +[0-9a-f-]{36}`, `OS Type: +hvm`, `State: +running`, `CPU\(s\): +1`,
		`CPU time: +\d+\.\ds`, `Max memory: +131072 KiB`, `Used memory: +131072 KiB`,
	} {
		if !regexp.MustCompile(`(?m)^` + line + `$`).MatchString(info) {
			t.Errorf("dominfo has no line %q:\n%s", line, info)
		}
	}
	var facts domainInfo
	if err := json.Unmarshal([]byte(ok(t, "dominfo", "--json", "test")), &facts); err != nil || facts.Name != "test" || facts.MaxMemory != 131072 {
		t.Errorf("dominfo: %+v, %v", facts, err)
	}

	if got := ok(t, "vcpuinfo", "test"); !regexp.MustCompile(`^VCPU +Thread +CPU +State +CPU time +CPU Affinity\n0 +\d+ +\d+ +running +\S+ +[\d,-]+\n$`).MatchString(got) {
		t.Errorf("vcpuinfo: %q", got)
	}
	stats := ok(t, "domstats", "test")
	for _, want := range []string{
		"Domain: 'test'\n", "  state.state=1\n", "  balloon.maximum=131072\n", "  vcpu.0.state=1\n", "  net.count=0\n", "  block.count=0\n",
	} {
		if !strings.Contains(stats, want) {
			t.Errorf("domstats has no %q:\n%s", want, stats)
		}
	}
	if got := ok(t, "domstats", "--state", "--cpu-total", "test"); !regexp.MustCompile(
		`^Domain: 'test'\n  state\.state=1\n  state\.reason=booted\n  cpu\.time=\d+\n  cpu\.user=\d+\n  cpu\.system=\d+\n$`).MatchString(got) {
		t.Errorf("domstats of two groups: %q", got)
	}
	code, _, stderr := govmm(t, "setmem", "test", "64MiB")
	if code != exitError {
		t.Errorf("setmem: exit code %d", code)
	}
	oneLine(t, stderr, "no memory balloon")
	code, _, stderr = govmm(t, "domif-setlink", "test", "net0", "down")
	if code != exitError {
		t.Errorf("domif-setlink: exit code %d", code)
	}
	oneLine(t, stderr, "net0", "none")

	ok(t, "destroy", "test")
	if code := p.wait(); code != exitOK {
		t.Errorf("after destroy: exit code %d", code)
	}
}

// dumpxml of a running machine tells what the host has chosen.
func TestDumpxmlLive(t *testing.T) {
	p := prepare(t, "run", "--console=none", machine{cmdline: "test=boot exit=hang", devices: ptySerial}.write(t)).start()
	t.Cleanup(p.stop)
	running(t, "test")
	d, warnings, err := domcfg.Parse("live.xml", strings.NewReader(ok(t, "dumpxml", "test")))
	if err != nil || len(warnings) > 0 && strings.Contains(fmt.Sprint(warnings), "error") {
		t.Fatal(err, warnings)
	}
	if d.ID == nil || int(*d.ID) != p.Process.Pid {
		t.Errorf("id %v", d.ID)
	}
	path := d.Devices.Serials[0].SourcePath()
	if info, err := os.Stat(path); err != nil || info.Mode()&fs.ModeCharDevice == 0 {
		t.Errorf("pty %q: %v", path, err)
	}
	if d.Devices.Consoles[0].SourcePath() != path {
		t.Errorf("the console is at %q, the serial port at %q", d.Devices.Consoles[0].SourcePath(), path)
	}
}

// running waits until a machine answers.
func running(t *testing.T, name string) {
	t.Helper()
	for {
		code, stdout, _ := govmm(t, "domstate", name)
		if code == exitOK && stdout == "running\n" {
			return
		}
		if t.Context().Err() != nil {
			t.Fatal("the machine does not run")
		}
	}
}

func TestDump(t *testing.T) {
	p := hanging(t, "")
	defer p.stop()
	name := filepath.Join(t.TempDir(), "core")
	ok(t, "dump", "test", name)
	f, err := elf.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	ok(t, "dump", "--compress", "test", name)
	code, _, stderr := govmm(t, "dump", "test", "/nonexistent/core")
	if code != exitError {
		t.Errorf("exit code %d", code)
	}
	oneLine(t, stderr, "/nonexistent/core", "no such file")
	if got := ok(t, "domstate", "test"); got != "running\n" {
		t.Errorf("afterwards: %s", got)
	}
}

// Interrupted, a dump leaves no file, and the machine goes on.
func TestDumpInterrupted(t *testing.T) {
	// Large enough for a dump that is not done before the signal comes.
	run := prepare(t, "run", machine{cmdline: "test=boot exit=hang", memory: "<memory unit='GiB'>4</memory>"}.write(t)).start()
	defer run.stop()
	run.await("done ")
	dir := t.TempDir()
	for _, sig := range []syscall.Signal{unix.SIGINT, unix.SIGTERM} {
		p := prepare(t, "dump", "--compress", "test", filepath.Join(dir, "core")).start()
		eventually(t, func() bool {
			left, _ := os.ReadDir(dir)
			return len(left) > 0
		}, func() string { return "no dump has begun: " + p.stderr.String() })
		p.signal(sig)
		if code := p.wait(); code != exitSignal+int(sig) {
			t.Errorf("exit code %d", code)
		}
		oneLine(t, p.stderr.String(), "stopped by "+unix.SignalName(sig))
		if left, err := os.ReadDir(dir); len(left) > 0 || err != nil {
			t.Errorf("left behind: %v, %v", left, err)
		}
		eventually(t, func() bool { return ok(t, "domstate", "test") == "running\n" }, func() string { return "the machine stays paused" })
	}
}

// What there is to know of memory and disks.
func TestDiskStats(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk")
	if err := errors.Join(os.WriteFile(disk, []byte("boot"), 0o600), os.Truncate(disk, 1<<20)); err != nil {
		t.Fatal(err)
	}
	p := hanging(t, "<disk type='file'><source file='"+disk+"'/><target dev='vda' bus='virtio'/></disk>"+
		"<disk type='file' device='cdrom'><target dev='hdc' bus='ide'/></disk>")
	defer p.stop()
	var got map[string]any
	if err := json.Unmarshal([]byte(ok(t, "domstats", "--json", "--block", "--balloon", "test")), &got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"domain": "test", "block.count": 2.0, "block.0.name": "hdc", "block.0.path": nil, "block.0.capacity": nil,
		"block.1.name": "vda", "block.1.path": disk, "block.1.capacity": 1048576.0, "block.1.physical": 1048576.0,
		"block.1.allocation": 4096.0, "block.1.rd.reqs": 0.0, "balloon.maximum": 131072.0,
		"state.state": nil, "vcpu.current": nil,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
	if rss, _ := got["balloon.rss"].(float64); rss < 1024 {
		t.Errorf("resident: %v KiB", got["balloon.rss"])
	}
}

// What an interface moves is counted whatever it is plugged into, and whatever model it is.
func TestNetStats(t *testing.T) {
	p := hanging(t, "<interface type='user'><model type='virtio'/></interface><interface type='user'><model type='e1000'/></interface>")
	defer p.stop()
	got := ok(t, "domstats", "test")
	for _, want := range []string{
		"  net.count=2\n", "  net.0.name=net0\n", "  net.0.rx.bytes=0\n", "  net.0.tx.pkts=0\n", "  net.1.name=net1\n", "  net.1.tx.drop=0\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("domstats lacks %q:\n%s", want, got)
		}
	}
}

func TestEvent(t *testing.T) {
	p := hanging(t, "")
	code, _, stderr := govmm(t, "event", "--timeout=1ms", "test")
	if code != exitError {
		t.Errorf("a timeout: exit code %d", code)
	}
	oneLine(t, stderr, "no event within 1ms")

	follower := prepare(t, "event", "--loop", "--json", "test").start()
	// It is there once it has seen something.
	for !strings.Contains(follower.stdout.String(), "RESUME") {
		ok(t, "suspend", "test")
		ok(t, "resume", "test")
	}
	ok(t, "destroy", "test")
	p.wait()
	if code := follower.wait(); code != exitOK {
		t.Errorf("exit code %d, %s", code, &follower.stderr)
	}
	last := ""
	for line := range strings.Lines(follower.stdout.String()) {
		var e struct {
			Time, Event string
			Data        map[string]any
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Time == "" {
			t.Errorf("%q: %v", line, err)
		}
		last = e.Event
	}
	if last != "SHUTDOWN" {
		t.Errorf("the last event is %q", last)
	}
}

func TestStart(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	file := machine{cmdline: "test=boot exit=hang", devices: nullSerial}.write(t)
	var started struct {
		Name, Log string
		PID       int
	}
	if err := json.Unmarshal([]byte(ok(t, "start", "--json", "--log-file", log, file)), &started); err != nil || started.Name != "test" || started.Log != log {
		t.Errorf("start: %+v, %v", started, err)
	}
	row := listed(t)
	if row.State != "running" || row.PID != started.PID {
		t.Errorf("list: %+v, started %+v", row, started)
	}
	sid, err := unix.Getsid(row.PID)
	if err != nil || sid != row.PID {
		t.Errorf("session %d of process %d, %v", sid, row.PID, err)
	}
	pid, err := os.ReadFile(filepath.Join(stateDirectory("test"), "govmm.pid"))
	if err != nil || strings.TrimSpace(string(pid)) != fmt.Sprint(row.PID) {
		t.Errorf("pid file: %q, %v", pid, err)
	}
	code, _, stderr := govmm(t, "start", "--log-file", log, file)
	if code != exitError {
		t.Errorf("a second one: exit code %d", code)
	}
	oneLine(t, stderr, "runs already")
	ok(t, "destroy", "test")
	if _, err := os.Stat(stateDirectory("test")); !errors.Is(err, fs.ErrNotExist) {
		// The process is not our child, and may take a moment.
		for unix.Kill(row.PID, 0) == nil {
			if t.Context().Err() != nil {
				t.Fatal("the process does not end")
			}
		}
	}

	code, stdout, stderr := govmm(t, "start", "--log-file", log, "--device=/dev/null", file)
	if code != exitHost || stdout != "" || !strings.Contains(stderr, "/dev/null") {
		t.Errorf("no KVM: exit code %d, %q, %q", code, stdout, stderr)
	}
	code, _, stderr = govmm(t, "start", "-")
	if code != exitError {
		t.Errorf("standard input: exit code %d", code)
	}
	oneLine(t, stderr, "needs a file")
}

// A machine that is restarted under another name is known by that, and one that is
// preserved can be looked at until it is destroyed.
func TestRenamedAndPreserved(t *testing.T) {
	p := prepare(t, "run", machine{cmdline: "test=boot exit=kbd", extra: "<on_reboot>rename-restart</on_reboot>"}.write(t)).start()
	for listed(t).Name != "test-2" {
		if t.Context().Err() != nil {
			t.Fatal("the machine has no other name")
		}
	}
	p.stop()

	p = prepare(t, "run", machine{cmdline: "test=boot exit=panic", extra: "<on_crash>preserve</on_crash>"}.write(t)).start()
	for listed(t).State != "crashed" {
		if t.Context().Err() != nil {
			t.Fatal("the machine is not preserved")
		}
	}
	if got := ok(t, "domstate", "--reason", "test"); got != "crashed (panicked)\n" {
		t.Errorf("domstate: %q", got)
	}
	ok(t, "dump", "test", filepath.Join(t.TempDir(), "core"))
	code, _, stderr := govmm(t, "resume", "test")
	if code != exitError {
		t.Errorf("resume: exit code %d", code)
	}
	oneLine(t, stderr, "the guest has ended")
	ok(t, "destroy", "test")
	if code := p.wait(); code != exitCrashed {
		t.Errorf("at the end: exit code %d", code)
	}
}

func TestVirshUsage(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"suspend"}, "NAME is missing"}, {[]string{"destroy", "a", "b"}, `"b" is too much`},
		{[]string{"domstate", "nobody"}, `no machine named "nobody" runs`}, {[]string{"dump", "nobody"}, "FILE is missing"},
		{[]string{"setmem", "nobody", "much"}, "not an amount of memory"}, {[]string{"domif-setlink", "nobody", "net0", "on"}, "neither up nor down"},
		{[]string{"start"}, "FILE is missing"}, {[]string{"event"}, "NAME is missing"}, {[]string{"dumpxml", "/nonexistent"}, "no such file"},
	} {
		code, stdout, stderr := govmm(t, tt.args...)
		if code != exitError || stdout != "" {
			t.Errorf("%v: exit code %d, %q", tt.args, code, stdout)
		}
		oneLine(t, stderr, tt.want)
	}
}

func TestProgressBar(t *testing.T) {
	for _, tt := range []struct {
		done, total uint64
		want        string
	}{
		{0, 0, "[........................................] 0 of 0 MiB"},
		{1 << 20, 2 << 20, "[====================....................] 1 of 2 MiB"},
		{2 << 20, 2 << 20, "[========================================] 2 of 2 MiB"},
	} {
		if got := progressBar(tt.done, tt.total); got != tt.want {
			t.Errorf("%d of %d: %s", tt.done, tt.total, got)
		}
	}
}

// Long work is seen on a terminal alone, and leaves nothing there.
func TestProgressShown(t *testing.T) {
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	p := (&app{stderr: &screen{file: slave}}).showProgress()
	p.show(0, 4<<20) // too early
	p.next = time.Time{}
	p.show(2<<20, 4<<20)
	p.show(3<<20, 4<<20) // too early again
	p.end()
	p.end()
	if err := slave.Close(); err != nil {
		t.Error(err)
	}
	shown, _ := io.ReadAll(master) // it ends with an error, as the other end is closed
	if want := "\r[====================....................] 2 of 4 MiB\r\x1b[K"; string(shown) != want {
		t.Errorf("the terminal shows %q, want %q", shown, want)
	}

	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	p = (&app{stderr: &screen{file: file}}).showProgress()
	p.next = time.Time{}
	p.show(1, 2)
	p.end()
	if info, err := file.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("a file has %d bytes, %v", info.Size(), err)
	}
}
