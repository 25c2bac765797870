package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/vmm"
)

// liveXML is the domain of a machine as it runs.
func (r *remote) liveXML(ctx context.Context) (string, error) {
	var answer struct{ XML string }
	err := r.client.Execute(ctx, "__com.github.govmm_dumpxml", nil, &answer)
	return answer.XML, err
}

func (r *remote) domain(ctx context.Context) (*domcfg.Domain, error) {
	xml, err := r.liveXML(ctx)
	if err != nil {
		return nil, err
	}
	d, _, err := domcfg.Parse(r.Name, strings.NewReader(xml))
	return d, err
}

// state is the machine's state and the reason for it, both in virsh's words.
func (r *remote) state(ctx context.Context) (state, reason string, err error) {
	var status struct{ Status string }
	if err := r.client.Execute(ctx, "query-status", nil, &status); err != nil {
		return "", "", err
	}
	state, reason = inVirsh(status.Status)
	return state, reason, nil
}

// inVirsh is a RunState (qapi/run-state.json) in virsh's words.
func inVirsh(status string) (state, reason string) {
	paused, off, crashed := vmm.StatePaused.String(), vmm.StateShutOff.String(), vmm.StateCrashed.String()
	switch status {
	case "paused":
		return paused, "user"
	case "io-error":
		return paused, "I/O error"
	case "watchdog":
		return paused, "watchdog"
	case "save-vm":
		return paused, "dumping"
	case "prelaunch":
		return off, "starting up"
	case "shutdown":
		return off, "shutdown"
	case "guest-panicked":
		return crashed, "panicked"
	case "internal-error":
		return crashed, "unknown"
	}
	return status, "booted"
}

// thread is a vCPU's thread on the host.
type thread struct {
	VCPU  int           `json:"vcpu"`
	TID   int           `json:"tid"`
	CPU   int           `json:"cpu"` // of the host, where it ran last
	State string        `json:"state"`
	Time  time.Duration `json:"time"`  // nanoseconds that it has run
	Delay time.Duration `json:"delay"` // nanoseconds that it has waited for a CPU
	Mask  string        `json:"affinity"`
}

// threads are the machine's vCPUs.
func (r *remote) threads(ctx context.Context) ([]thread, error) {
	var list []struct {
		Index int `json:"cpu-index"`
		TID   int `json:"thread-id"`
	}
	if err := r.client.Execute(ctx, "query-cpus-fast", nil, &list); err != nil {
		return nil, err
	}
	var all []thread
	for _, c := range list {
		t := thread{VCPU: c.Index, TID: c.TID, State: "offline"}
		if c.TID != 0 {
			if err := t.read(r.PID); err != nil {
				return nil, fmt.Errorf("vCPU %d: %w", c.Index, err)
			}
		}
		all = append(all, t)
	}
	return all, nil
}

// read asks the kernel for a thread of a process (proc(5)).
func (t *thread) read(pid int) error {
	dir := fmt.Sprintf("/proc/%d/task/%d", pid, t.TID)
	stat, err := statFields(filepath.Join(dir, "stat"))
	if err != nil {
		return err
	}
	t.State = "running"
	if t.CPU, err = strconv.Atoi(stat[38]); err != nil {
		return err
	}
	// Nanoseconds, where the kernel counts them.
	if text, err := os.ReadFile(filepath.Join(dir, "schedstat")); err == nil {
		var run, wait int64
		if _, err := fmt.Sscan(string(text), &run, &wait); err == nil {
			t.Time, t.Delay = time.Duration(run), time.Duration(wait)
		}
	}
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	for line := range strings.Lines(string(status)) {
		if mask, ok := strings.CutPrefix(line, "Cpus_allowed_list:"); ok {
			t.Mask = strings.TrimSpace(mask)
		}
	}
	return err
}

// statFields are the fields of a stat file, the first one at 0. The second one is a
// name, which may have anything in it.
func statFields(path string) ([]string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	const most = 52
	end := strings.LastIndexByte(string(text), ')')
	fields := append([]string{"", ""}, strings.Fields(string(text[end+1:]))...)
	if end < 0 || len(fields) < most {
		return nil, fmt.Errorf("%s: %q is not what proc(5) says", path, text)
	}
	return fields, nil
}

// processTimes are how long a process has run, itself and the kernel for it.
func processTimes(pid int) (user, system time.Duration, err error) {
	fields, err := statFields(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, err
	}
	const hz = 100 // USER_HZ on x86
	var times [2]time.Duration
	for i := range times {
		ticks, err := strconv.ParseInt(fields[13+i], 10, 64)
		if err != nil {
			return 0, 0, err
		}
		times[i] = time.Duration(ticks) * (time.Second / hz)
	}
	return times[0], times[1], nil
}

// residentMemory is how much of a process is in RAM, in bytes.
func residentMemory(pid int) (uint64, error) {
	fields, err := statFields(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseUint(fields[23], 10, 64)
	return pages * uint64(os.Getpagesize()), err
}
