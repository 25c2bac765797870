package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// diagnose logs what the host knows of guests that do not do what they should:
// KVM's counters of each machine on the host, and the state, the times in user
// and system mode (in clock ticks) and the place in the host's kernel of each
// thread of a process that runs a vCPU. It needs root and debugfs, and says
// nothing of what it cannot read.
func diagnose(t *testing.T, pid int) {
	var b strings.Builder
	machines, _ := filepath.Glob("/sys/kernel/debug/kvm/*-*") // THREAD-DESCRIPTOR
	for _, machine := range machines {
		fmt.Fprintf(&b, "%s:", machine)
		for _, counter := range []string{
			"exits", "io_exits", "mmio_exits", "irq_exits", "signal_exits", "halt_exits",
			"halt_wakeup", "irq_injections", "irq_window_exits", "insn_emulation",
		} {
			fmt.Fprintf(&b, " %s=%s", counter, contents(filepath.Join(machine, counter)))
		}
		b.WriteByte('\n')
	}
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, thread := range threads {
		stack := contents(filepath.Join(thread, "stack"))
		_, stat, _ := strings.Cut(contents(filepath.Join(thread, "stat")), ") ")
		if words := strings.Fields(stat); strings.Contains(stack, "kvm") && len(words) > 12 {
			fmt.Fprintf(&b, "thread %s: %s, %s, %s; %s\n", filepath.Base(thread), words[0], words[11], words[12], stack)
		}
	}
	t.Logf("what the host knows of process %d:\n%s", pid, &b)
}

// contents are a file's lines in one, or nothing.
func contents(file string) string {
	text, _ := os.ReadFile(file)
	return strings.ReplaceAll(strings.TrimSpace(string(text)), "\n", " | ")
}
