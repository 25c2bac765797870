package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// diagnose logs what the host knows of a process whose guest does not do what
// it should: KVM's counters of each machine, and where its threads are in the
// host's kernel. It needs root and debugfs, and says nothing of what it cannot
// read.
func diagnose(t *testing.T, pid int) {
	var b strings.Builder
	machines, _ := filepath.Glob(fmt.Sprintf("/sys/kernel/debug/kvm/%d-*", pid))
	for _, machine := range machines {
		fmt.Fprintf(&b, "%s:", machine)
		for _, counter := range []string{
			"exits", "io_exits", "mmio_exits", "irq_exits", "signal_exits", "halt_exits",
			"halt_wakeup", "irq_injections", "irq_window_exits", "insn_emulation",
		} {
			fmt.Fprintf(&b, " %s=%s", counter, firstLines(filepath.Join(machine, counter), 1))
		}
		b.WriteByte('\n')
	}
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, thread := range threads {
		fmt.Fprintf(&b, "thread %s: %s; %s\n", filepath.Base(thread),
			firstLines(filepath.Join(thread, "stat"), 1), firstLines(filepath.Join(thread, "stack"), 4))
	}
	t.Logf("what the host knows of process %d:\n%s", pid, &b)
}

// firstLines are a file's first lines in one, or nothing.
func firstLines(file string, n int) string {
	text, _ := os.ReadFile(file)
	lines := strings.SplitN(strings.TrimSpace(string(text)), "\n", n+1)
	return strings.Join(lines[:min(n, len(lines))], " | ")
}
