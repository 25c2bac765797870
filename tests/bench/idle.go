package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
	return s.turns(max(1, s.repeat()/2), func(v vmm, counts bool) error {
		m := m
		if v.silent() {
			m.nic = nil // it would get no address
		}
		p, err := s.start(v, m)
		if err != nil {
			return err
		}
		defer p.stop()
		if _, _, err := p.await(s.ctx, "bench: ready"); err != nil {
			return err
		}
		if m.nic != nil {
			if err := l.up(); err != nil {
				return err
			}
			if _, _, err := p.ask(s.ctx, "address eth0 %s/24", l.guest()); err != nil {
				return err
			}
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
		own, err := memoryOf(pid, guestMemory<<20, "Private_Clean", "Private_Dirty")
		if err != nil {
			return err
		}
		s.record("memory", v, float64(own)/(1<<20), 0)
		return nil
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

// times are a process's, in parts.
type times struct{ user, guest, system time.Duration }

// readTimes reads them from /proc/PID/stat (proc_pid_stat(5)), which counts in
// hundredths of a second, a guest's among the user's.
func readTimes(pid int) (times, error) {
	file := fmt.Sprintf("/proc/%d/stat", pid)
	text, err := os.ReadFile(file)
	if err != nil {
		return times{}, err
	}
	t, err := parseTimes(string(text))
	if err != nil {
		return times{}, fmt.Errorf("%s: %w", file, err)
	}
	return t, nil
}

func parseTimes(stat string) (t times, err error) {
	const tick = 10 * time.Millisecond // USER_HZ, which is part of the kernel's interface
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	for i, to := range map[int]*time.Duration{14: &t.user, 15: &t.system, 43: &t.guest} {
		i -= 3 // the first field after the name is number 3
		if i >= len(fields) {
			return t, fmt.Errorf("%d fields", len(fields))
		}
		n, err := strconv.ParseUint(fields[i], 10, 40)
		if err != nil {
			return t, err
		}
		*to = time.Duration(n) * tick
	}
	return t, nil
}

// memoryOf sums up a kind of a process's memory, as /proc/PID/smaps has it, in
// bytes, but for the mappings as large as the guest's RAM, which must be there.
func memoryOf(pid, ramSize int, kinds ...string) (int, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	own, err := sumMemory(f, ramSize, kinds...)
	if err != nil {
		return 0, fmt.Errorf("process %d: %w", pid, err)
	}
	return own, nil
}

func sumMemory(smaps io.Reader, ramSize int, kinds ...string) (own int, err error) {
	size, ram := 0, 0
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) != 3 || words[2] != "kB" {
			continue
		}
		name := strings.TrimSuffix(words[0], ":")
		if name != "Size" && !slices.Contains(kinds, name) {
			continue
		}
		kib, err := strconv.ParseUint(words[1], 10, 50)
		if err != nil {
			return 0, fmt.Errorf("smaps: %q: %w", lines.Text(), err)
		}
		bytes := int(kib) << 10
		switch {
		case name == "Size":
			size = bytes
		case size == ramSize:
			ram += bytes
		default:
			own += bytes
		}
	}
	if ram == 0 && lines.Err() == nil {
		return 0, errors.New("smaps: the guest's RAM was not found")
	}
	return own, lines.Err()
}
