package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// measureIdle measures what a machine costs that does nothing.
func measureIdle(s *session) error {
	image := filepath.Join(s.dir, "idle.img")
	if err := fill(image, 16<<20); err != nil {
		return err
	}
	defer os.Remove(image)
	l := link{9, "bench9"}
	m := machine{memory: guestMemory, kernel: s.assets.Kernel, initrd: s.assets.Drivers, cmdline: cmdline,
		disk: &disk{image, diskMode{"writeback", "threads"}}, nic: l.nic(false)}
	return s.turns(s.repeat()/2, func(v vmm, counts bool) error {
		p, err := s.start(v, m)
		if err != nil {
			return err
		}
		defer p.stop()
		if _, _, err := p.await(s.ctx, "bench: ready"); err != nil {
			return err
		}
		if err := l.up(); err != nil {
			return err
		}
		if _, _, err := p.ask(s.ctx, "address eth0 %s/24", l.guest()); err != nil {
			return err
		}
		if !counts {
			return nil
		}
		if err := s.pass(s.settings.Idle / 3); err != nil { // for the kernel's start to settle
			return err
		}
		pid, start := p.cmd.Process.Pid, time.Now()
		before, err := readUsage(pid)
		if err != nil {
			return err
		}
		if err := s.pass(s.settings.Idle); err != nil {
			return err
		}
		after, err := readUsage(pid)
		if err != nil {
			return err
		}
		seconds := time.Since(start).Seconds()
		s.record("cpu", v, (after.cpu-before.cpu).Seconds()*1e3/seconds, 0)
		s.record("switches", v, float64(after.switches-before.switches)/seconds, 0)
		own, err := privateMemory(pid, guestMemory<<20)
		s.record("memory", v, float64(own)/(1<<20), 0)
		return err
	})
}

// pass lets time pass.
func (s *session) pass(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// usage is what a process has used since its start.
type usage struct {
	cpu      time.Duration
	switches int
}

// readUsage sums up a process's threads. A thread's time is in nanoseconds in
// schedstat; stat has it in hundredths of a second only.
func readUsage(pid int) (u usage, err error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil || len(tasks) == 0 {
		return u, fmt.Errorf("process %d has no threads: %w", pid, unix.ESRCH)
	}
	for _, task := range tasks {
		text, err := os.ReadFile(filepath.Join(task, "schedstat"))
		if err != nil {
			continue // the thread has ended
		}
		var ns int64
		if _, err := fmt.Sscan(string(text), &ns); err != nil {
			return u, fmt.Errorf("%s/schedstat: %w", task, err)
		}
		u.cpu += time.Duration(ns)
		status, err := os.ReadFile(filepath.Join(task, "status"))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(status)) {
			var n int
			if name, value, _ := strings.Cut(line, ":"); strings.HasSuffix(name, "ctxt_switches") {
				if _, err := fmt.Sscan(value, &n); err != nil {
					return u, fmt.Errorf("%s/status: %w", task, err)
				}
				u.switches += n
			}
		}
	}
	return u, nil
}

// privateMemory sums up what a process alone has in memory, in bytes, but for
// the mapping as large as the guest's RAM.
func privateMemory(pid, ramSize int) (int, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	own, size, ram := 0, 0, 0
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var name string
		var kib int
		if n, _ := fmt.Sscanf(lines.Text(), "%s %d kB", &name, &kib); n != 2 {
			continue
		}
		switch {
		case name == "Size:":
			size = kib << 10
		case name != "Private_Clean:" && name != "Private_Dirty:":
		case size == ramSize:
			ram += kib << 10
		default:
			own += kib << 10
		}
	}
	if ram == 0 {
		return 0, fmt.Errorf("process %d: the guest's RAM was not found", pid)
	}
	return own, lines.Err()
}
