package integration

import (
	"context"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/govmm/govmm/vmm"
)

// TestManyMachines runs several machines in this process at once, and sees
// nothing of them left when they are closed.
func TestManyMachines(t *testing.T) {
	primePoller(t)
	before := ownResources(t)
	machines := make([]*machine, 4)
	for i := range machines {
		machines[i] = newMachine(t, domain{
			memory: "<memory unit='MiB'>128</memory>", cmdline: "quiet test=cpus,memtotal",
		})
	}
	for _, m := range machines {
		must(t, m.Start())
	}
	for _, m := range machines {
		m.report()
		m.ends(vmm.CausePowerOff, "ACPI S5")
		m.shut()
	}
	ctx, cancel := context.WithTimeout(t.Context(), waitTime)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond) // goroutines end in their own time
	defer poll.Stop()
	for {
		now := ownResources(t)
		if now == before {
			return
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			stacks := make([]byte, 1<<20)
			t.Fatalf("before: %+v; after: %+v; goroutines:\n%s", before, now, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// resources are what a machine must give back.
type resources struct {
	goroutines, descriptors, kvmMappings int
}

func ownResources(t *testing.T) resources {
	t.Helper()
	fds, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	maps, err := os.ReadFile("/proc/self/maps")
	must(t, err)
	return resources{runtime.NumGoroutine(), len(fds), strings.Count(string(maps), "kvm")}
}

// primePoller makes the Go runtime open the descriptors that it keeps.
func primePoller(t *testing.T) {
	t.Helper()
	r, w, err := os.Pipe()
	must(t, err)
	must(t, r.SetReadDeadline(time.Now().Add(time.Hour)))
	must(t, r.Close())
	must(t, w.Close())
}
