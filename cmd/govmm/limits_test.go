package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// cgroupDirs are the directories of a process's control groups by controller, that of
// version 2 under "".
func cgroupDirs(t *testing.T, pid int) map[string]string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		t.Fatal(err)
	}
	dirs := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		for c := range strings.SplitSeq(f[1], ",") {
			dirs[c] = filepath.Join("/sys/fs/cgroup", c, f[2])
		}
	}
	return dirs
}

// limited is a machine with limits in a control group.
func limited(t *testing.T) *process {
	t.Helper()
	return prepare(t, "run", machine{cmdline: "test=boot exit=hang", extra: "<memtune><hard_limit unit='GiB'>2</hard_limit>" +
		"<soft_limit unit='GiB'>1</soft_limit></memtune><cputune><shares>512</shares></cputune>"}.write(t)).start()
}

// A machine's process is in a group that holds the domain's limits, and that goes with it.
// What a killed one leaves is removed by the next.
func TestLimits(t *testing.T) {
	needRoot(t)
	p := limited(t)
	p.await("done ")
	dirs := cgroupDirs(t, p.Process.Pid)
	files := map[[2]string]string{{"memory", "memory.limit_in_bytes"}: "2147483648", {"memory", "memory.soft_limit_in_bytes"}: "1073741824", {"cpu", "cpu.shares"}: "512"}
	if dirs["memory"] == "" {
		files = map[[2]string]string{{"", "memory.max"}: "2147483648", {"", "memory.high"}: "1073741824", {"", "cpu.weight"}: "50"}
	}
	var groups []string
	for file, want := range files {
		dir := dirs[file[0]]
		if name := filepath.Base(dir); name != fmt.Sprintf("govmm-test-%d", p.Process.Pid) {
			t.Errorf("the group is %s", dir)
		}
		groups = append(groups, dir)
		if got, err := os.ReadFile(filepath.Join(dir, file[1])); err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%s holds %s, %v, want %s", file[1], got, err, want)
		}
	}
	gone := func(after string) {
		t.Helper()
		for _, g := range groups {
			if _, err := os.Stat(g); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s after %s: %v", g, after, err)
			}
		}
	}
	p.signal(unix.SIGKILL)
	p.wait()
	if _, err := os.Stat(groups[0]); err != nil {
		t.Errorf("after SIGKILL the group is not there to be swept: %v", err)
	}

	next := limited(t)
	next.await("done ")
	gone("the next machine")
	groups = nil
	for file := range files {
		groups = append(groups, cgroupDirs(t, next.Process.Pid)[file[0]])
	}
	next.stop()
	gone("its end")
}

// Limits that cannot be had are refused, with their place and what to do.
func TestLimitsRefused(t *testing.T) {
	p, _ := prepareAsNobody(t, machine{kernel: built.echo, extra: "<memtune><hard_limit unit='GiB'>2</hard_limit></memtune>"}, 0o666)
	p.start()
	if code := p.wait(); code != exitHost {
		t.Errorf("exit code %d", code)
	}
	oneLine(t, p.stderr.String(), "vm.xml:", "memtune/hard_limit: ", "permission denied", "systemd-run --user --scope -p Delegate=yes")
}

// A user to whom a group is delegated has limits in it.
func TestLimitsDelegated(t *testing.T) {
	p, _ := prepareAsNobody(t, machine{kernel: built.echo, extra: "<memtune><hard_limit unit='GiB'>2</hard_limit></memtune>" +
		"<cputune><shares>2048</shares></cputune>"}, 0o666)
	groups := delegate(t, "cpu", "memory")
	join := ""
	for _, g := range groups {
		join += "echo $$ >" + g + "/cgroup.procs && "
	}
	p.SysProcAttr.Credential = nil
	p.Args = append([]string{"sh", "-c", join + `exec setpriv --reuid=65534 --regid=65534 --clear-groups "$0" "$@"`}, p.Args...)
	p.Path = "/bin/sh"
	p.start()
	p.await(">")
	for _, g := range groups {
		if nested, err := filepath.Glob(g + "/govmm-test-*"); err != nil || len(nested) != 1 {
			t.Errorf("in %s there is %v, %v", g, nested, err)
		}
	}
	p.stop()
	for _, g := range groups {
		if nested, err := filepath.Glob(g + "/govmm-test-*"); err != nil || len(nested) != 0 {
			t.Errorf("in %s there is left %v, %v", g, nested, err)
		}
	}
}

// delegate makes groups for the user 65534, below this process's own: one, or in version 1
// one for each controller.
func delegate(t *testing.T, controllers ...string) (groups []string) {
	t.Helper()
	dirs := cgroupDirs(t, os.Getpid())
	for _, c := range controllers {
		if dir := dirs[c]; dir != "" {
			groups = append(groups, filepath.Join(dir, fmt.Sprintf("delegated-%d", os.Getpid())))
		}
	}
	files := []string{"", "cgroup.procs"}
	if len(groups) == 0 {
		groups, files = []string{filepath.Join(dirs[""], fmt.Sprintf("delegated-%d", os.Getpid()))}, append(files, "cgroup.subtree_control")
		give := []byte("+" + strings.Join(controllers, " +"))
		if err := os.WriteFile(filepath.Join(dirs[""], "cgroup.subtree_control"), give, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, g := range groups {
		if err := os.Mkdir(g, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.Rmdir(g); err != nil {
				t.Errorf("%s: %v", g, err)
			}
		})
		for _, f := range files {
			if err := os.Chown(filepath.Join(g, f), 65534, 65534); err != nil {
				t.Fatal(err)
			}
		}
	}
	return groups
}
