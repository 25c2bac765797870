package vmm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/domcfg"
)

// placement is where the threads of a machine may run: masks of the host's CPUs, nil for
// where the kernel likes.
type placement struct {
	vcpus    []unix.CPUSetDynamic
	emulator unix.CPUSetDynamic
}

// cpuBits is how many CPUs a mask has room for: more than domcfg's lists can name.
const cpuBits = 8192

// findCPUs decides where threads run. A vCPU without CPUs of its own has those of <vcpu>,
// as has the rest of the process without an <emulatorpin>.
func (m *Machine) findCPUs(context.Context) error {
	d := m.domain
	p := &m.placement
	p.vcpus = make([]unix.CPUSetDynamic, d.VCPU.Count)
	var all unix.CPUSetDynamic
	var err error
	if d.VCPU.CPUSet != nil {
		if all, err = hostCPUs(d.VCPU.CPUSet); err != nil {
			return hostError(d.Fault("vcpu@cpuset", "%v", err))
		}
		p.emulator = all
	}
	for i := range p.vcpus {
		p.vcpus[i] = all
	}
	if d.CPUTune != nil {
		return hostError(p.tune(d))
	}
	return nil
}

// tune is what <cputune> says of places.
func (p *placement) tune(d *domcfg.Domain) (err error) {
	for _, pin := range d.CPUTune.Pins {
		if pin.VCPU == nil || *pin.VCPU >= d.VCPU.Count {
			continue // with a warning of domcfg
		}
		if p.vcpus[*pin.VCPU], err = hostCPUs(pin.CPUSet); err != nil {
			return &domcfg.Error{Pos: pin.Pos(), Path: pin.Path(), Msg: err.Error()}
		}
	}
	if e := d.CPUTune.Emulator; e != nil {
		if p.emulator, err = hostCPUs(e.CPUSet); err != nil {
			return &domcfg.Error{Pos: e.Pos(), Path: e.Path(), Msg: err.Error()}
		}
	}
	return nil
}

// moveProcess ties all threads of a process that is the machine's alone to the emulator's
// CPUs. vCPUs that have no CPUs of their own keep the process's.
func (m *Machine) moveProcess(context.Context) error {
	switch tune := m.domain.CPUTune; {
	case m.placement.emulator == nil:
		return nil
	case !m.options.OwnsProcess:
		if tune != nil && tune.Emulator != nil {
			m.log.Warn("emulatorpin has no effect: the process is not the machine's alone")
		}
		return nil
	}
	before := unix.NewCPUSet(cpuBits)
	if err := unix.SchedGetaffinityDynamic(0, before); err != nil {
		return os.NewSyscallError("sched_getaffinity", err)
	}
	for i, set := range m.placement.vcpus {
		if set == nil {
			m.placement.vcpus[i] = before
		}
	}
	// The Go runtime would take the number of those CPUs for how many threads run Go code at
	// once. vCPUs that run elsewhere need their share.
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	m.closer.add(func() error { return tieProcess(before) })
	return tieProcess(m.placement.emulator)
}

// tieProcess ties all threads of this process to CPUs. Threads that are made meanwhile are
// seen by another look: they begin with the CPUs of the thread that made them.
func tieProcess(set unix.CPUSetDynamic) error {
	tied := make(map[int]bool)
	for again := true; again; {
		again = false
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, t := range threads {
			tid, err := strconv.Atoi(t.Name())
			if err != nil || tied[tid] {
				continue
			}
			tied[tid], again = true, true
			if err := unix.SchedSetaffinityDynamic(tid, set); err != nil && !errors.Is(err, unix.ESRCH) {
				return os.NewSyscallError("sched_setaffinity", err)
			}
		}
	}
	return nil
}

// hostCPUs is a list of CPUs as a mask. The error names those that this host does not have,
// or this process not use.
func hostCPUs(list domcfg.CPUSet) (unix.CPUSetDynamic, error) {
	wanted, usable := unix.NewCPUSet(cpuBits), unix.NewCPUSet(cpuBits)
	for cpu := range list.All() {
		wanted.Set(cpu)
	}
	// The kernel leaves CPUs out that are offline, or outside the process's cpuset cgroup.
	var err error
	onThread(func() {
		switch err = unix.SchedSetaffinityDynamic(0, wanted); err {
		case nil:
			err = unix.SchedGetaffinityDynamic(0, usable)
		case unix.EINVAL: // none is left
			err = nil
		}
	})
	if err != nil {
		return nil, os.NewSyscallError("sched_setaffinity", err)
	}
	for cpu := range list.All() {
		if usable.IsSet(cpu) {
			continue
		}
		online, err := onlineCPUs()
		if err == nil && online.Contains(cpu) {
			return nil, fmt.Errorf("CPU %d is not among those that this process may use (its cpuset cgroup; /proc/self/status has Cpus_allowed_list)", cpu)
		}
		return nil, fmt.Errorf("there is no CPU %d on this host; it has %v", cpu, online)
	}
	return wanted, nil
}

// onlineCPUs are the host's.
func onlineCPUs() (domcfg.CPUSet, error) {
	text, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return nil, err
	}
	return domcfg.ParseCPUSet(strings.TrimSpace(string(text)))
}

// onThread runs f on a thread that ends with it: not on the process's first one, which
// would stay, with what f has made of it.
func onThread(f func()) {
	var done sync.WaitGroup
	done.Go(func() {
		runtime.LockOSThread()
		if onFirstThread() {
			onThread(f)
			runtime.UnlockOSThread()
			return
		}
		f()
	})
	done.Wait()
}

func onFirstThread() bool { return unix.Gettid() == unix.Getpid() }

// prepareThread names and places the thread of a vCPU, which calls it.
func (m *Machine) prepareThread(vcpu int) error {
	name, err := unix.BytePtrFromString(threadName(m.Name(), vcpu))
	if err == nil {
		// A name is for people alone.
		_ = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(name)), 0, 0, 0)
	}
	if set := m.placement.vcpus[vcpu]; set != nil {
		return os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinityDynamic(0, set))
	}
	return nil
}

// maxThreadName is how long a thread's name can be (TASK_COMM_LEN, without the last NUL).
const maxThreadName = 15

// threadName is what a vCPU's thread is called, as top and ps show it: NAME/vcpu0, of which
// NAME is cut if need be.
func threadName(machine string, vcpu int) string {
	suffix := fmt.Sprintf("/vcpu%d", vcpu)
	return machine[:min(len(machine), maxThreadName-len(suffix))] + suffix
}

// renameThreads gives the threads of the vCPUs the machine's new name. It does nothing
// where there is no /proc.
func (m *Machine) renameThreads() {
	for _, v := range m.cpus {
		if tid := v.tid.Load(); tid != 0 {
			_ = os.WriteFile(fmt.Sprintf("/proc/self/task/%d/comm", tid), []byte(threadName(m.Name(), v.id)), 0)
		}
	}
}
