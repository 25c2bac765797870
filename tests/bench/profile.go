package main

import (
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// profile samples where a VMM's processor time goes for as long as a load
// lasts, if that is wanted, and returns what waits for its end. The last round's
// profile stays. There is no performance counter on a test host, so a timer
// samples; and perf takes a second there to begin, so loads should be long.
func (s *session) profile(p *process, what string, counts bool) (stop func() error, err error) {
	if s.perf == "" || !counts {
		return func() error { return nil }, nil
	}
	name := s.group.name + "-" + what + "-" + strings.ReplaceAll(string(p.vmm), " ", "-")
	data := filepath.Join(s.dir, name+".data")
	record := exec.CommandContext(s.ctx, "perf", "record", "-q", "-e", "cpu-clock", "-F", "499",
		"-p", strconv.Itoa(p.cmd.Process.Pid), "-o", data,
		"--", "sleep", strconv.Itoa(int(math.Ceil(s.settings.Load.Seconds()))))
	var said strings.Builder
	record.Stderr = &said
	if err := record.Start(); err != nil {
		return nil, fmt.Errorf("profiles are made by perf, of the package linux-perf: %w", err)
	}
	return func() error {
		if err := record.Wait(); err != nil {
			return fmt.Errorf("perf record: %w: %s", err, said.String())
		}
		text, err := exec.CommandContext(s.ctx, "perf", "report", "--stdio", "-i", data, "--sort", "comm,dso,symbol").CombinedOutput()
		if err != nil {
			return fmt.Errorf("perf report: %w: %s", err, text)
		}
		return writeFile(filepath.Join(s.perf, name+".txt"), text)
	}, nil
}
