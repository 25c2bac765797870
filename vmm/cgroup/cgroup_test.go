package cgroup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/cgroups/v3"
	"golang.org/x/sys/unix"
)

const mib = 1 << 20

// needRoot skips a test that makes groups where only root can.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root makes control groups here")
	}
}

// membership is what the kernel says of this process's groups.
func membership(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// file reads a file of a group that this process is in.
func file(t *testing.T, controller, name string) string {
	t.Helper()
	dir := ""
	for line := range strings.Lines(membership(t)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if fields[1] == controller {
			dir = filepath.Join(mountPoint, controller, fields[2])
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// want is the value of a limit in version 1 and 2.
type want struct{ controller, file1, value1, file2, value2 string }

func (w want) check(t *testing.T) {
	t.Helper()
	controller, name, value := w.controller, w.file1, w.value1
	if cgroups.Mode() == cgroups.Unified {
		controller, name, value = "", w.file2, w.value2
	}
	if got := file(t, controller, name); got != value {
		t.Errorf("%s holds %s, want %s", name, got, value)
	}
}

// While the process is in its group, that holds what was asked for; then nothing is left.
func TestJoin(t *testing.T) {
	needRoot(t)
	before := membership(t)
	g, err := Join("a machine/with slashes", Limits{CPUShares: 2048, MemoryHard: 4096 * mib, MemorySoft: 2048 * mib})
	if err != nil {
		t.Fatal(err)
	}
	if now := membership(t); !strings.Contains(now, fmt.Sprintf("/govmm-a_machine_with_slashes-%d\n", os.Getpid())) {
		t.Errorf("the process is in %s", now)
	}
	for _, w := range []want{
		{"cpu", "cpu.shares", "2048", "cpu.weight", "200"},
		{"memory", "memory.limit_in_bytes", "4294967296", "memory.max", "4294967296"},
		{"memory", "memory.soft_limit_in_bytes", "2147483648", "memory.high", "2147483648"},
	} {
		w.check(t)
	}
	if err := g.Leave(); err != nil {
		t.Fatal(err)
	}
	if now := membership(t); now != before {
		t.Errorf("afterwards the process is in %s, before in %s", now, before)
	}
	if left := groups(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// groups are those that this process has made.
func groups(t *testing.T) (left []string) {
	t.Helper()
	err := filepath.WalkDir(mountPoint, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), prefix) && strings.HasSuffix(d.Name(), fmt.Sprintf("-%d", os.Getpid())) {
			left = append(left, path)
		}
		return nil // others' groups come and go
	})
	if err != nil {
		t.Fatal(err)
	}
	return left
}

// A limit that cannot be had is named, and the process is where it was.
func TestCannot(t *testing.T) {
	needRoot(t)
	before := membership(t)
	refused := func(limit Limit, l Limits, says string) {
		t.Helper()
		g, err := Join("test", l)
		if err == nil {
			err = g.Leave()
		}
		if e := (*Error)(nil); !errors.As(err, &e) || e.Limit != limit || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want %q of limit %d", l, err, says, limit)
		}
		if now := membership(t); now != before {
			t.Fatalf("the process is in %s, before in %s", now, before)
		}
		if left := groups(t); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	if cgroups.Mode() == cgroups.Unified {
		refused(IOWeight, Limits{CPUShares: 1024, IOWeight: 20000}, "") // out of every range
		return
	}
	refused(MemoryMin, Limits{CPUShares: 1024, MemoryMin: mib}, "version 2 can")
	refused(MemorySwap, Limits{MemoryHard: 4096 * mib, MemorySwap: 1024 * mib}, "invalid argument")
}

// Swap and the weight of requests are set, or refused for want of the kernel's support.
func TestOptional(t *testing.T) {
	needRoot(t)
	for _, tt := range []struct {
		limits Limits
		want   want
		remedy string
	}{
		{Limits{MemoryHard: 4096 * mib, MemorySwap: 6144 * mib},
			want{"memory", "memory.memsw.limit_in_bytes", "6442450944", "memory.swap.max", "2147483648"}, "does not count swap"},
		{Limits{IOWeight: 500}, want{"blkio", "blkio.bfq.weight", "500", "io.bfq.weight", "default 500"}, "BFQ"},
	} {
		g, err := Join("test", tt.limits)
		if err != nil {
			if !strings.Contains(err.Error(), tt.remedy) {
				t.Errorf("%+v: %v", tt.limits, err)
			}
			t.Logf("not on this kernel: %v", err)
			continue
		}
		if tt.limits.IOWeight == 0 || cgroups.Mode() != cgroups.Unified || exists(filepath.Join(mountPoint, "io.bfq.weight")) {
			tt.want.check(t)
		}
		if err := g.Leave(); err != nil {
			t.Error(err)
		}
	}
}

// What killed processes have left behind is removed, and what others have is not.
func TestSweep(t *testing.T) {
	needRoot(t)
	controller, dir := "cpu", ""
	if cgroups.Mode() == cgroups.Unified {
		controller = ""
	}
	for line := range strings.Lines(membership(t)) {
		if fields := strings.SplitN(strings.TrimSpace(line), ":", 3); fields[1] == controller {
			dir = filepath.Join(mountPoint, controller, fields[2])
		}
	}
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	stale, lives, foreign := filepath.Join(dir, groupName("stale", dead.Process.Pid)), filepath.Join(dir, groupName("lives", 1)), filepath.Join(dir, "govmm-foreign")
	for _, d := range []string{stale, lives, foreign} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		defer unix.Rmdir(d)
	}
	g, err := Join("test", Limits{CPUShares: 1024})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Leave(); err != nil {
		t.Error(err)
	}
	if exists(stale) || !exists(lives) || !exists(foreign) {
		t.Errorf("stale %v, of a process that lives %v, foreign %v", exists(stale), exists(lives), exists(foreign))
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"vm": "govmm-vm-7", "a b/c\n\u00e4": "govmm-a_b_c__-7", strings.Repeat("x", 300): "govmm-" + strings.Repeat("x", maxName) + "-7",
	} {
		if got := groupName(name, 7); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
	if _, err := Join("vm", Limits{}); err == nil {
		t.Error("a group without limits")
	}
}

// Shares keep their relation in version 2, and the default is the default.
func TestWeight(t *testing.T) {
	for shares, want := range map[uint64]uint64{2: 1, 10: 1, 512: 50, 1024: 100, 2048: 200, 1029: 100, 102400: 10000, 262144: 10000} {
		if got := weightOf(shares); got != want {
			t.Errorf("%d shares: weight %d, want %d", shares, got, want)
		}
	}
}

// Each failure says what can be done.
func TestExplain(t *testing.T) {
	for cause, want := range map[error]string{
		unix.EACCES: "systemd-run --user --scope -p Delegate=yes", unix.EROFS: "container", unix.EBUSY: "no other process", unix.EIO: "input/output error",
	} {
		if got := explain(fmt.Errorf("x: %w", cause)); !errors.Is(got, cause) || !strings.Contains(got.Error(), want) {
			t.Errorf("%v: %v", cause, got)
		}
	}
}
