package vmm_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/memory"
	"github.com/govmm/govmm/tests/tiny"
	"github.com/govmm/govmm/vmm"
)

// withHugePages has the host make some more huge pages of 2 MiB, and ends the test where it
// does not.
func withHugePages(t *testing.T, more uint64) {
	t.Helper()
	const file = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
	before, err := memory.HugePages(memory.HugePage2M)
	if err != nil {
		t.Fatal(err)
	}
	if before.Free < more {
		if os.Geteuid() != 0 {
			t.Skip("only root makes huge pages")
		}
		if err := os.WriteFile(file, fmt.Append(nil, before.Total+more), 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.WriteFile(file, fmt.Append(nil, before.Total), 0); err != nil {
				t.Error(err)
			}
		})
	}
	if now, err := memory.HugePages(memory.HugePage2M); err != nil || now.Free < more {
		t.Skipf("the host makes no %d huge pages: %+v, %v", more, now, err)
	}
}

// A guest whose memory is of huge pages has them from the start, also after a reset, and
// gives them back.
func TestHugePages(t *testing.T) {
	withHugePages(t, 64)
	before, err := memory.HugePages(memory.HugePage2M)
	if err != nil {
		t.Fatal(err)
	}
	var taken, total atomic.Uint64
	m, out := newMachineWith(t, tiny.Options{Cmdline: "test=boot exit=hang"},
		vmm.Options{MemoryProgress: func(done, of uint64) { taken.Store(done); total.Store(of) }},
		func(d *domcfg.Domain) {
			d.Memory, d.CurrentMemory = 128<<10, 128<<10
			d.MemoryBacking = &domcfg.MemoryBacking{HugePages: &domcfg.HugePages{}}
		})
	free := func() uint64 {
		p, err := memory.HugePages(memory.HugePage2M)
		if err != nil {
			t.Fatal(err)
		}
		return p.Free
	}
	if got := free(); got != before.Free-64 {
		t.Errorf("of %d huge pages %d are free, want 64 less", before.Free, got)
	}
	if taken.Load() != 128<<20 || total.Load() != 128<<20 {
		t.Errorf("%d of %d bytes were taken", taken.Load(), total.Load())
	}
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	out.wait(t, "done ", 1)
	if err := m.Reset(deadline(t)); err != nil {
		t.Fatal(err)
	}
	out.wait(t, "done ", 2)
	if got := free(); got != before.Free-64 {
		t.Errorf("after a reset %d huge pages are free, want %d", got, before.Free-64)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if got := free(); got != before.Free {
		t.Errorf("after Close %d huge pages are free, want %d", got, before.Free)
	}
}

// Memory that the host has not, or the process must not lock, is refused with its place.
func TestMemoryRefused(t *testing.T) {
	const vcpu = "<vcpu>1</vcpu>"
	d := placedDomain(t, vcpu, "<memoryBacking><hugepages><page size='2' unit='MiB'/></hugepages></memoryBacking>")
	d.Memory, d.CurrentMemory = 64<<30, 64<<30 // 64 TiB
	m, err := vmm.New(deadline(t), d, vmm.Options{})
	if err == nil {
		m.Close()
	}
	if h := (*vmm.HostError)(nil); !errors.As(err, &h) {
		t.Errorf("%v is no fault of the host", err)
	}

	d = placedDomain(t, vcpu, "<memoryBacking><hugepages><page size='1' unit='GiB'/></hugepages></memoryBacking>")
	if p, poolErr := memory.HugePages(memory.HugePage1G); poolErr == nil && p.Free+p.Surplus == 0 {
		m, err := vmm.New(deadline(t), d, vmm.Options{})
		if err == nil {
			m.Close()
		}
		const place, want = "vm.xml:3:16: memoryBacking/hugepages: ", "1 huge pages of 1 GiB are needed and 0 are free: echo 1 >"
		if err == nil || !strings.HasPrefix(err.Error(), place) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s%s", err, place, want)
		}
		if err := vmm.CheckDomain(deadline(t), d, vmm.Options{}); err == nil || !strings.HasPrefix(err.Error(), place) {
			t.Errorf("CheckDomain: %v, want %s", err, place)
		}
	}
}

// All memory is taken at start by as many threads as wanted, until the context is done; and
// locked.
func TestMemoryTaken(t *testing.T) {
	for _, backing := range []string{"<locked/>", "<allocation mode='immediate' threads='3'/>"} {
		d := placedDomain(t, "<vcpu>1</vcpu>", "<memoryBacking>"+backing+"</memoryBacking>")
		d.Memory, d.CurrentMemory = 300<<10, 300<<10 // three pieces
		before := resident(t)
		var calls int
		m, err := vmm.New(deadline(t), d, vmm.Options{MemoryProgress: func(uint64, uint64) { calls++ }})
		if err != nil {
			t.Fatal(err)
		}
		const slack = 20 << 20 // that the rest of the process may have given back
		if now := resident(t); now+slack < before+300<<20 {
			t.Errorf("%s: %d bytes are resident, before %d", backing, now, before)
		}
		if calls != 3 {
			t.Errorf("%s: progress was told %d times", backing, calls)
		}
		if locked := statusKiB(t, "VmLck"); (locked >= 300<<10) != (backing == "<locked/>") {
			t.Errorf("%s: %d KiB are locked", backing, locked)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}

		enough := errors.New("enough")
		ctx, cancel := context.WithCancelCause(deadline(t))
		m, err = vmm.New(ctx, d, vmm.Options{MemoryProgress: func(uint64, uint64) { cancel(enough) }})
		if err == nil {
			m.Close()
		}
		if !errors.Is(err, enough) {
			t.Errorf("%s: canceled: %v", backing, err)
		}
	}
}

// resident is how much of this process is in RAM, in bytes.
func resident(t *testing.T) uint64 { return statusKiB(t, "VmRSS") << 10 }

// statusKiB is an amount of memory of this process (proc(5)).
func statusKiB(t *testing.T, name string) (kib uint64) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, name+": %d kB", &kib); err == nil {
			return kib
		}
	}
	t.Fatalf("no %s in %s", name, text)
	return 0
}
