package vmm_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/tests/tiny"
	"github.com/govmm/govmm/vmm"
)

// affinity is where a thread of this host may run.
func affinity(t testing.TB, tid int) string {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(tid, &set); err != nil {
		t.Fatal(err)
	}
	var cpus []string
	for cpu := range 1024 {
		if set.IsSet(cpu) {
			cpus = append(cpus, fmt.Sprint(cpu))
		}
	}
	return strings.Join(cpus, ",")
}

func comm(t testing.TB, tid int) string {
	t.Helper()
	name, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/comm", tid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(name))
}

// needCPUs fails a test that needs the host's CPUs 0 and 1.
func needCPUs(t testing.TB) {
	t.Helper()
	if got := affinity(t, 0); !strings.HasPrefix(got, "0,1") {
		t.Fatalf("this test needs the CPUs 0 and 1, and may use %s", got)
	}
}

// Each vCPU's thread has the CPUs that the domain says, and its name.
func TestVCPUPlacement(t *testing.T) {
	needCPUs(t)
	all := affinity(t, 0)
	set := func(text string) domcfg.CPUSet {
		s, err := domcfg.ParseCPUSet(text)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	one := uint(1)
	m, out := newMachineWith(t, tiny.Options{CPUs: 3, Cmdline: "test=boot exit=hang"}, vmm.Options{}, func(d *domcfg.Domain) {
		d.Name = "a long name of a machine"
		d.VCPU.CPUSet = set("0-1,^0")
		d.CPUTune = &domcfg.CPUTune{Pins: []*domcfg.VCPUPin{{VCPU: &one, CPUSet: set("0")}}}
	})
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	out.wait(t, "done ", 1)
	threads := m.VCPUThreads()
	if slices.Contains(threads, os.Getpid()) {
		t.Error("a vCPU runs on the process's first thread")
	}
	for i, want := range []string{"1", "0", "1"} {
		if got := affinity(t, threads[i]); got != want {
			t.Errorf("vCPU %d may run on %s, want %s", i, got, want)
		}
		if got, want := comm(t, threads[i]), fmt.Sprintf("a long na/vcpu%d", i); got != want {
			t.Errorf("vCPU %d's thread is called %q, want %q", i, got, want)
		}
	}
	// What is not the machine's alone stays where it was.
	if got := affinity(t, os.Getpid()); got != all {
		t.Errorf("the process may run on %s, before on %s", got, all)
	}
}

// A process that is the machine's alone is placed as well, until the machine is closed.
func TestProcessPlacement(t *testing.T) {
	needCPUs(t)
	all := affinity(t, 0)
	for _, tt := range []struct{ vcpu, tune, wantVCPU, wantProcess string }{
		{"<vcpu cpuset='1'>1</vcpu>", "", "1", "1"},
		{"<vcpu cpuset='1'>1</vcpu>", "<emulatorpin cpuset='0'/>", "1", "0"},
		{"<vcpu>1</vcpu>", "<emulatorpin cpuset='0'/>", all, "0"},
		{"<vcpu>1</vcpu>", "<vcpupin vcpu='0' cpuset='0'/>", "0", all},
	} {
		t.Run(tt.vcpu+tt.tune, func(t *testing.T) {
			d := placedDomain(t, tt.vcpu, "<cputune>"+tt.tune+"</cputune>")
			m, err := vmm.New(deadline(t), d, vmm.Options{OwnsProcess: true})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if err := m.Start(); err != nil {
				t.Fatal(err)
			}
			tid := 0
			for tid == 0 {
				tid = m.VCPUThreads()[0]
			}
			// The thread has its number before it is placed.
			for ctx := deadline(t); affinity(t, tid) != tt.wantVCPU; {
				if ctx.Err() != nil {
					t.Fatalf("the vCPU may run on %s, want %s", affinity(t, tid), tt.wantVCPU)
				}
			}
			for _, other := range threadsOf(t) {
				if strings.HasPrefix(comm(t, other), "kvm-") {
					continue // a thread that KVM makes for itself, from a vCPU's
				}
				if got := affinity(t, other); other != tid && got != tt.wantProcess {
					t.Errorf("the thread %s may run on %s, want %s", comm(t, other), got, tt.wantProcess)
				}
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
			for _, other := range threadsOf(t) {
				if got := affinity(t, other); got != all {
					t.Errorf("after Close a thread may run on %s, want %s", got, all)
				}
			}
		})
	}
}

// threadsOf are this process's threads.
func threadsOf(t testing.TB) (list []int) {
	t.Helper()
	names, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		var tid int
		if _, err := fmt.Sscan(n.Name(), &tid); err != nil {
			t.Fatal(err)
		}
		list = append(list, tid)
	}
	return list
}

// placedDomain is a domain that hangs, with elements of a file.
func placedDomain(t testing.TB, vcpu, more string) *domcfg.Domain {
	t.Helper()
	xml := "<domain type='kvm'><name>placed</name><memory unit='MiB'>32</memory>\n" + vcpu + "\n" + more +
		"<os><type>hvm</type><kernel>" + kernel(t).BzImage + "</kernel><cmdline>exit=hang</cmdline></os></domain>"
	d, _, err := domcfg.Parse("vm.xml", strings.NewReader(xml))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// CPUs that the host does not have are said to be so, with the place of the list.
func TestAbsentCPUs(t *testing.T) {
	for _, tt := range []struct{ vcpu, more, want string }{
		{"<vcpu cpuset='0-8000'>1</vcpu>", "", "vm.xml:2:7: vcpu: there is no CPU "},
		{"<vcpu cpuset='8000'>1</vcpu>", "", "vm.xml:2:7: vcpu: there is no CPU 8000 on this host; it has 0"},
		{"<vcpu>1</vcpu>", "<cputune><vcpupin vcpu='0' cpuset='8000'/></cputune>", "vm.xml:3:10: cputune/vcpupin: there is no CPU 8000"},
		{"<vcpu>1</vcpu>", "<cputune><emulatorpin cpuset='0,8000'/></cputune>", "vm.xml:3:10: cputune/emulatorpin: there is no CPU 8000"},
	} {
		m, err := vmm.New(deadline(t), placedDomain(t, tt.vcpu, tt.more), vmm.Options{OwnsProcess: true})
		if err == nil {
			m.Close()
		}
		if h := (*vmm.HostError)(nil); !errors.As(err, &h) || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s%s: %v, want %s", tt.vcpu, tt.more, err, tt.want)
		}
		if err := vmm.CheckDomain(deadline(t), placedDomain(t, tt.vcpu, tt.more), vmm.Options{}); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("CheckDomain: %v, want %s", err, tt.want)
		}
	}
}
