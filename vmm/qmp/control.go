package qmp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/govmm/govmm/virtio/balloon"
	"github.com/govmm/govmm/vmm"
)

// do carries out a command that has no arguments and no answer.
func do(a *arguments, f func() error) (any, error) {
	err := a.done()
	if err == nil {
		err = f()
	}
	return empty{}, err
}

func (s *Server) pause(ctx context.Context, a *arguments) (any, error) {
	return do(a, func() error { return s.machine.Pause(ctx) })
}

func (s *Server) cont(ctx context.Context, a *arguments) (any, error) {
	return do(a, func() error { return s.machine.Resume(ctx) })
}

func (s *Server) reset(ctx context.Context, a *arguments) (any, error) {
	return do(a, func() error { return s.machine.Reset(ctx) })
}

// powerdown fails where QEMU does nothing: without ACPI.
func (s *Server) powerdown(ctx context.Context, a *arguments) (any, error) {
	return do(a, func() error { return s.machine.PressPowerButton(ctx) })
}

// quit ends the machine after its answer.
func (s *Server) quit(_ context.Context, a *arguments) (any, error) {
	return empty{}, a.done()
}

// queryStatus tells the RunState (qapi/run-state.json).
func (s *Server) queryStatus(_ context.Context, a *arguments) (any, error) {
	type info struct {
		Running bool   `json:"running"`
		Status  string `json:"status"`
	}
	state := s.machine.State()
	return info{state == vmm.StateRunning, s.status(state)}, a.done()
}

func (s *Server) status(state vmm.State) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case vmm.StateRunning:
		return "running"
	case vmm.StatePaused:
		return cmp.Or(s.run.paused, "paused")
	case vmm.StateCrashed:
		if s.run.exit.Cause == vmm.CausePanic {
			return "guest-panicked"
		}
		return "internal-error"
	}
	if s.run.started {
		return "shutdown"
	}
	return "prelaunch"
}

func (s *Server) queryName(_ context.Context, a *arguments) (any, error) {
	return map[string]string{"name": s.machine.Name()}, a.done()
}

func (s *Server) queryUUID(_ context.Context, a *arguments) (any, error) {
	return map[string]string{"UUID": s.domain.UUID.String()}, a.done()
}

// queryKVM answers for a program that runs nothing without KVM.
func (s *Server) queryKVM(_ context.Context, a *arguments) (any, error) {
	return map[string]bool{"enabled": true, "present": true}, a.done()
}

// threadReporter is a Machine that knows its vCPUs' threads, 0 for one that does
// not run.
type threadReporter interface{ VCPUThreads() []int }

// queryCPUs tells a CpuInfoFast of each vCPU (qapi/machine.json).
func (s *Server) queryCPUs(_ context.Context, a *arguments) (any, error) {
	type info struct {
		Index    int    `json:"cpu-index"`
		QOMPath  string `json:"qom-path"`
		ThreadID int    `json:"thread-id,omitempty"`
		Target   string `json:"target"`
	}
	list := make([]info, s.domain.VCPU.Count)
	var threads []int
	if r, ok := s.machine.(threadReporter); ok {
		threads = r.VCPUThreads()
	}
	for i := range list {
		list[i] = info{Index: i, QOMPath: fmt.Sprintf("/machine/vcpu[%d]", i), Target: "x86_64"}
		if i < len(threads) {
			list[i].ThreadID = threads[i]
		}
	}
	return list, a.done()
}

// queryChardev tells the host ends of character devices (qapi/char.json), each of
// which is joined to a device of the guest.
func (s *Server) queryChardev(_ context.Context, a *arguments) (any, error) {
	type info struct {
		Label    string `json:"label"`
		Filename string `json:"filename"`
		Open     bool   `json:"frontend-open"`
	}
	list := []info{}
	for _, c := range s.machine.Chardevs() {
		name := c.Type
		if c.Path != "" {
			name += ":" + c.Path
		}
		if c.Listens {
			name += ",server=on"
		}
		list = append(list, info{c.Alias, name, true})
	}
	return list, a.done()
}

// noBalloon is the error of the balloon's commands without one.
func noBalloon() error { return &Error{ClassDeviceNotActive, "the machine has no memory balloon"} }

// setBalloon takes the guest's memory in bytes.
func (s *Server) setBalloon(_ context.Context, a *arguments) (any, error) {
	value := need[uint64](a, "value")
	if a.err == nil && value == 0 {
		a.fail("parameter 'value' is 0: a guest needs memory")
	}
	return do(a, func() error {
		err := s.machine.SetMemory(value)
		if errors.Is(err, vmm.ErrNoBalloon) {
			return noBalloon()
		}
		return err
	})
}

func (s *Server) queryBalloon(_ context.Context, a *arguments) (any, error) {
	if err := a.done(); err != nil {
		return nil, err
	}
	for _, b := range s.domain.Devices.MemBalloons {
		if b.Model != "none" {
			return balloonData{s.machine.Memory()}, nil
		}
	}
	return nil, noBalloon()
}

// memStatsTime is how long a guest may take to tell of its memory.
const memStatsTime = time.Second

// queryMemStats is an extension: how the guest uses its memory, as it says when asked, in
// the names that QEMU's property guest-stats has. What it does not tell is left out.
func (s *Server) queryMemStats(ctx context.Context, a *arguments) (any, error) {
	if err := a.done(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, memStatsTime)
	defer cancel()
	stats, err := s.machine.MemoryStats(ctx)
	if errors.Is(err, vmm.ErrNoBalloon) {
		return nil, noBalloon()
	}
	if err != nil {
		return nil, err
	}
	names := map[balloon.Tag]string{
		balloon.SwappedIn: "stat-swap-in", balloon.SwappedOut: "stat-swap-out",
		balloon.MajorFaults: "stat-major-faults", balloon.MinorFaults: "stat-minor-faults",
		balloon.Free: "stat-free-memory", balloon.Total: "stat-total-memory", balloon.Available: "stat-available-memory",
		balloon.Caches: "stat-disk-caches", balloon.HugePageAllocations: "stat-htlb-pgalloc", balloon.HugePageFailures: "stat-htlb-pgfail",
		balloon.OOMKills: "stat-oom-kills", balloon.AllocationStalls: "stat-alloc-stalls",
		balloon.AsyncScans: "stat-scan-async", balloon.DirectScans: "stat-scan-direct",
		balloon.AsyncReclaims: "stat-reclaim-async", balloon.DirectReclaims: "stat-reclaim-direct",
	}
	told := make(map[string]uint64)
	for tag, value := range stats {
		told[names[tag]] = value
	}
	return map[string]any{"stats": told}, nil
}
