package integration

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cgroupRoot is where cgroups of version 2 are.
const cgroupRoot = "/sys/fs/cgroup"

// cgroupOf is the directory of a process's group of version 2.
func cgroupOf(t *testing.T, pid int) string {
	t.Helper()
	if _, err := os.Stat(cgroupRoot + "/cgroup.controllers"); err != nil {
		t.Skip("this host has version 1 of cgroups, which the tests of cmd/govmm are about")
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	must(t, err)
	return filepath.Join(cgroupRoot, strings.TrimSpace(strings.TrimPrefix(string(text), "0::")))
}

// TestLimits looks from outside at the control group of a stock guest's machine, which has
// every limit, and at where its vCPUs may run.
func TestLimits(t *testing.T) {
	c := run(t, domain{vcpus: 2, cmdline: obeying, extra: `<blkiotune><weight>500</weight></blkiotune>
<memtune><hard_limit unit='GiB'>1</hard_limit><soft_limit unit='MiB'>900</soft_limit>
<swap_hard_limit unit='MiB'>1536</swap_hard_limit><min_guarantee unit='MiB'>64</min_guarantee></memtune>
<cputune><shares>512</shares><vcpupin vcpu='0' cpuset='1'/><vcpupin vcpu='1' cpuset='0-1,^1'/></cputune>`})
	c.ready()
	dir := cgroupOf(t, c.process.Pid)
	if want := fmt.Sprintf("govmm-integration-%d", c.process.Pid); filepath.Base(dir) != want {
		t.Errorf("the group is %s, want %s", dir, want)
	}
	for file, want := range map[string]string{
		"memory.max": "1073741824", "memory.high": "943718400", "memory.swap.max": "536870912", "memory.min": "67108864", "cpu.weight": "50",
	} {
		if got, err := os.ReadFile(filepath.Join(dir, file)); err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%s holds %s, %v, want %s", file, got, err, want)
		}
	}
	weight, err := os.ReadFile(filepath.Join(dir, "io.bfq.weight"))
	if errors.Is(err, fs.ErrNotExist) {
		weight, err = os.ReadFile(filepath.Join(dir, "io.weight"))
	}
	if err != nil || strings.TrimSpace(string(weight)) != "default 500" {
		t.Errorf("the weight of requests is %q, %v", weight, err)
	}
	for name, want := range map[string]int{"integrati/vcpu0": 1, "integrati/vcpu1": 0} {
		var set unix.CPUSet
		must(t, unix.SchedGetaffinity(threadNamed(t, c.process.Pid, name), &set))
		if !set.IsSet(want) || set.Count() != 1 {
			t.Errorf("%s may run on %d CPUs, want CPU %d alone", name, set.Count(), want)
		}
	}
	c.tell("poweroff")
	c.exit(0)
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("at the end there is the group: %v", err)
	}
}

// threadNamed finds a thread of a process by its name.
func threadNamed(t *testing.T, pid int, name string) int {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/comm", pid))
	must(t, err)
	for _, f := range files {
		got, err := os.ReadFile(f)
		if err == nil && strings.TrimSpace(string(got)) == name {
			tid, err := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			must(t, err)
			return tid
		}
	}
	t.Fatalf("no thread is called %s", name)
	return 0
}

// TestMemoryLimit lets a guest use more memory than its machine may have: that is killed,
// and nothing else is.
func TestMemoryLimit(t *testing.T) {
	c := run(t, domain{memory: "<memory unit='MiB'>768</memory>", cmdline: obeying,
		extra: "<memtune><hard_limit unit='MiB'>320</hard_limit></memtune>"})
	c.ready()
	c.said(`msg="the guest has more memory than the hard limit`)
	dir := cgroupOf(t, c.process.Pid)
	c.tell("touch %d", 512*mib)
	timeout := time.NewTimer(waitTime)
	defer timeout.Stop()
	select {
	case <-c.exited:
	case <-timeout.C:
		t.Fatal("the guest uses more memory than the limit")
	}
	if s := c.state.Sys().(syscall.WaitStatus); !s.Signaled() || s.Signal() != syscall.SIGKILL {
		t.Errorf("govmm has ended: %v", c.state)
	}
	events, err := os.ReadFile(filepath.Join(dir, "memory.events"))
	if err != nil || !strings.Contains(string(events), "\noom_kill 1\n") {
		t.Errorf("events of the group: %s, %v", events, err)
	}
	next := run(t, domain{cmdline: "quiet test=cpus action=poweroff", extra: "<cputune><shares>1024</shares></cputune>"})
	next.report()
	next.exit(0)
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the next machine has left the group of the killed one: %v", err)
	}
}

// TestLimitsDelegated has another user, to whom a group is delegated, run a machine with
// limits in it.
func TestLimitsDelegated(t *testing.T) {
	const nobody = 65534
	dir := filepath.Join(cgroupOf(t, os.Getpid()), "delegated")
	must(t, os.WriteFile(filepath.Join(filepath.Dir(dir), "cgroup.subtree_control"), []byte("+cpu +memory"), 0))
	must(t, os.Mkdir(dir, 0o755))
	t.Cleanup(func() { must(t, unix.Rmdir(dir)) })
	for _, file := range []string{"", "cgroup.procs", "cgroup.subtree_control"} {
		must(t, os.Chown(filepath.Join(dir, file), nobody, nobody))
	}
	group, err := os.Open(dir)
	must(t, err)
	defer group.Close()

	// What another user can read.
	public, err := os.MkdirTemp("/tmp", "govmm-public-")
	must(t, err)
	defer os.RemoveAll(public)
	must(t, os.Chmod(public, 0o755))
	copies := map[string]string{}
	for from, name := range map[string]string{cloudKernel(t).Image: "kernel", asset(cloudTest): "initrd", asset(govmmProgram): "govmm"} {
		content, err := os.ReadFile(from)
		must(t, err)
		copies[from] = filepath.Join(public, name)
		must(t, os.WriteFile(copies[from], content, 0o755))
	}
	device := filepath.Join(public, "kvm")
	must(t, unix.Mknod(device, unix.S_IFCHR, int(unix.Mkdev(10, 232)))) // as misc.h has it
	must(t, os.Chmod(device, 0o666))

	xml := domain{cmdline: "quiet test=cpus action=hang", extra: "<memtune><hard_limit unit='GiB'>1</hard_limit></memtune><cputune><shares>2048</shares></cputune>"}.xml(t)
	for from, to := range copies {
		xml = strings.ReplaceAll(xml, from, to)
	}
	cmd := exec.Command(copies[asset(govmmProgram)], "run", "--log-level=info", "--no-control", "--device="+device, "-")
	cmd.Stdin, cmd.Dir = strings.NewReader(xml), "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, UseCgroupFD: true, CgroupFD: int(group.Fd()),
	}
	g := newGuest(t, io.Discard)
	cmd.Stdout = g.out
	c := start(t, g, cmd)
	c.report()
	nested := cgroupOf(t, c.process.Pid)
	if filepath.Dir(nested) != dir {
		t.Errorf("the group is %s, not in %s", nested, dir)
	}
	for file, want := range map[string]string{"memory.max": "1073741824", "cpu.weight": "200"} {
		if got, err := os.ReadFile(filepath.Join(nested, file)); err != nil || strings.TrimSpace(string(got)) != want {
			t.Errorf("%s holds %s, %v, want %s", file, got, err, want)
		}
	}
	c.signal(syscall.SIGQUIT)
	c.exit(128 + int(syscall.SIGQUIT))
	if _, err := os.Stat(nested); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("at the end there is the group: %v", err)
	}
}

// TestShares has two busy guests on one CPU: one gets twice as much of it as the other.
func TestShares(t *testing.T) {
	const watched = 20 * time.Second
	var pids []int
	for _, shares := range []int{2048, 1024} {
		c := run(t, domain{memory: "<memory unit='MiB'>128</memory>", initrd: cloudShell, cmdline: "quiet",
			extra: fmt.Sprintf("<cputune><shares>%d</shares><vcpupin vcpu='0' cpuset='1'/><emulatorpin cpuset='1'/></cputune>", shares)},
			"--no-control")
		c.expect(prompt)
		cgroupOf(t, c.process.Pid)
		c.send("while :; do :; done\n")
		pids = append(pids, c.process.Pid)
	}
	var before, after [2]time.Duration
	for i, pid := range pids {
		before[i] = processorTime(t, pid)
	}
	<-time.After(watched)
	for i, pid := range pids {
		after[i] = processorTime(t, pid) - before[i]
	}
	ratio := after[0].Seconds() / after[1].Seconds()
	t.Logf("%v and %v: a ratio of %.2f", after[0], after[1], ratio)
	if ratio < 2*0.85 || ratio > 2*1.15 {
		t.Errorf("the processor times of %v and %v are in a ratio of %.2f, want 2", after[0], after[1], ratio)
	}
}

// TestHugePages boots a stock guest in huge pages of each size that the host makes.
func TestHugePages(t *testing.T) {
	for _, page := range []struct {
		size, unit string
		kib, pages int
	}{{"2", "MiB", 2 << 10, 128}, {"1", "GiB", 1 << 20, 1}} {
		t.Run(page.size+page.unit, func(t *testing.T) {
			pool := fmt.Sprintf("/sys/kernel/mm/hugepages/hugepages-%dkB/", page.kib)
			free := func() string {
				text, err := os.ReadFile(pool + "free_hugepages")
				must(t, err)
				return strings.TrimSpace(string(text))
			}
			d := domain{memory: "<memory unit='MiB'>256</memory>", cmdline: obeying,
				extra: "<memoryBacking><hugepages><page size='" + page.size + "' unit='" + page.unit + "'/></hugepages></memoryBacking>"}
			few := run(t, d)
			few.said(fmt.Sprintf(`vm\.xml:\d+:\d+: memoryBacking/hugepages: .*%d huge pages of %s %s are needed and 0 are free`, page.pages, page.size, page.unit))
			few.exit(4)

			must(t, os.WriteFile(pool+"nr_hugepages", fmt.Append(nil, page.pages), 0))
			t.Cleanup(func() { must(t, os.WriteFile(pool+"nr_hugepages", []byte("0"), 0)) })
			if free() != strconv.Itoa(page.pages) {
				t.Skipf("the host makes %s pages of %s %s, not %d", free(), page.size, page.unit, page.pages)
			}
			c := run(t, d)
			c.ready()
			if got := hugeMemory(t, c.process.Pid); got != page.pages*page.kib || free() != "0" {
				t.Errorf("%d KiB are in huge pages, %s pages free; want %d KiB", got, free(), page.pages*page.kib)
			}
			c.ask("touch %d", 100*mib)
			c.tell("poweroff")
			c.exit(0)
			if got := free(); got != strconv.Itoa(page.pages) {
				t.Errorf("at the end %s pages are free, want %d", got, page.pages)
			}
		})
	}
}

// hugeMemory is how much of a process is in huge pages, in KiB, by smaps.
func hugeMemory(t *testing.T, pid int) (kib int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, "Private_Hugetlb: %d kB", &kib); err == nil {
			return kib
		}
	}
	t.Fatalf("smaps_rollup has no Private_Hugetlb: %s", text)
	return 0
}

// processorTime is how long a process has run.
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must(t, err)
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var ticks time.Duration
	for _, f := range fields[11:13] { // of user and system time, of 100 a second
		n, err := strconv.ParseInt(f, 10, 64)
		must(t, err)
		ticks += time.Duration(n)
	}
	return ticks * (time.Second / 100)
}
