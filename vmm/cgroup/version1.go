package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// version1 is a group in each of the hierarchies of version 1 that limits need.
type version1 struct {
	own   cgroup1.Cgroup // where the process was
	group cgroup1.Cgroup
	path  cgroup1.Path // of the group
}

// file is a file of the group.
func (v *version1) file(controller cgroup1.Name, name string) string {
	path, err := v.path(controller)
	if err != nil {
		return ""
	}
	return filepath.Join(mountPoint, string(controller), path, name)
}

// namesInVersion1 are the controllers by their names in version 2.
var namesInVersion1 = map[string]cgroup1.Name{"cpu": cgroup1.Cpu, "io": cgroup1.Blkio, "memory": cgroup1.Memory}

func (v *version1) join(name string, controllers []string) error {
	var names []cgroup1.Name
	for _, c := range controllers {
		names = append(names, namesInVersion1[c])
	}
	hierarchy := func() ([]cgroup1.Subsystem, error) {
		all, err := cgroup1.Default()
		return slices.DeleteFunc(all, func(s cgroup1.Subsystem) bool { return !slices.Contains(names, s.Name()) }), err
	}
	there, err := hierarchy()
	if err != nil {
		return err
	}
	for _, n := range names {
		if !slices.ContainsFunc(there, func(s cgroup1.Subsystem) bool { return s.Name() == n }) {
			return fmt.Errorf("there is no %s: this kernel has no cgroup controller %s, or it is not mounted there (mount -t cgroup -o %[2]s)",
				filepath.Join(mountPoint, string(n)), n)
		}
	}
	here := cgroup1.NestedPath("")
	for _, n := range names {
		path, err := here(n)
		if err != nil {
			return err
		}
		sweep(filepath.Join(mountPoint, string(n), path))
	}
	if v.own, err = cgroup1.Load(here, cgroup1.WithHierarchy(hierarchy)); err != nil {
		return fmt.Errorf("the cgroup of this process: %w", err)
	}
	v.path = cgroup1.NestedPath(name)
	if v.group, err = cgroup1.New(v.path, &specs.LinuxResources{}, cgroup1.WithHierarchy(hierarchy)); err != nil {
		if half, loadErr := cgroup1.Load(v.path, cgroup1.WithHierarchy(hierarchy)); loadErr == nil {
			err = errors.Join(err, half.Delete())
		}
		return fmt.Errorf("a cgroup for the machine: %w", err)
	}
	if err := v.group.AddProc(uint64(os.Getpid())); err != nil {
		return errors.Join(fmt.Errorf("a cgroup for the machine: %w", err), v.leave())
	}
	return nil
}

// set writes a limit. What version 1 calls memory.memsw has to be above the hard limit, which
// is set before it.
func (v *version1) set(limit Limit, l Limits) error {
	var r specs.LinuxResources
	bytes := func(n uint64) *int64 { b := int64(n); return &b }
	switch limit {
	case CPUShares:
		r.CPU = &specs.LinuxCPU{Shares: &l.CPUShares}
	case IOWeight:
		if bfq := v.file(cgroup1.Blkio, "blkio.bfq.weight"); exists(bfq) {
			return os.WriteFile(bfq, fmt.Append(nil, l.IOWeight), 0)
		}
		if !exists(v.file(cgroup1.Blkio, "blkio.weight")) {
			return errors.New("this kernel gives no weights to the disks' requests of a cgroup: it needs the I/O scheduler BFQ (modprobe bfq) or CFQ")
		}
		weight := uint16(l.IOWeight)
		r.BlockIO = &specs.LinuxBlockIO{Weight: &weight}
	case MemoryHard:
		r.Memory = &specs.LinuxMemory{Limit: bytes(l.MemoryHard)}
	case MemorySoft:
		r.Memory = &specs.LinuxMemory{Reservation: bytes(l.MemorySoft)}
	case MemorySwap:
		if !exists(v.file(cgroup1.Memory, "memory.memsw.limit_in_bytes")) {
			return errors.New("this kernel does not count swap by cgroup: boot it with swapaccount=1")
		}
		r.Memory = &specs.LinuxMemory{Swap: bytes(l.MemorySwap)}
	case MemoryMin:
		return errors.New("version 1 of cgroups cannot keep memory for a process; version 2 can (boot with systemd.unified_cgroup_hierarchy=1)")
	}
	return v.group.Update(&r)
}

func (v *version1) leave() error {
	return errors.Join(v.own.AddProc(uint64(os.Getpid())), v.group.Delete())
}
