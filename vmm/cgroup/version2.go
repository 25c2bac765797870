package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/cgroups/v3/cgroup2"
)

// version2 is a group of the one hierarchy of version 2.
//
// There a group has processes or groups with controllers, not both, but for the root. So the
// process's group becomes the parent when there is nobody else in it, and else that around
// it, which has no processes.
type version2 struct {
	mount string
	own   string // where the process was, as a path below mount
	path  string // the group
	// enabled are the controllers that own had not given to groups in it.
	enabled []string
	group   *cgroup2.Manager
}

func (v *version2) join(name string, controllers []string) (err error) {
	if v.own, err = cgroup2.PidGroupPath(os.Getpid()); err != nil {
		return fmt.Errorf("the cgroup of this process: %w", err)
	}
	parent, err := v.parent()
	if err != nil {
		return err
	}
	sweep(v.dir(parent))
	v.path = path.Join(parent, name)
	if err := os.Mkdir(v.dir(v.path), 0o755); err != nil {
		return fmt.Errorf("a cgroup for the machine: %w", err)
	}
	if v.group, err = v.load(v.path); err != nil {
		return errors.Join(err, os.Remove(v.dir(v.path)))
	}
	// The process goes first: its group can give controllers to others when it is empty.
	if err := v.group.AddProc(uint64(os.Getpid())); err != nil {
		return errors.Join(fmt.Errorf("a cgroup for the machine: %w", err), v.group.Delete())
	}
	if parent == v.own {
		given := v.words(parent, "cgroup.subtree_control")
		for _, c := range controllers {
			if !slices.Contains(given, c) && !v.isRoot(parent) {
				v.enabled = append(v.enabled, c)
			}
		}
	}
	err = v.group.ToggleControllers(controllers, cgroup2.Enable)
	if missing := v.missing(controllers); missing != nil {
		return errors.Join(missing, err, v.leave())
	}
	return nil
}

// parent is where the group can be.
func (v *version2) parent() (string, error) {
	if strings.HasPrefix(v.own, "/..") {
		return "", fmt.Errorf("the cgroup of this process (%s) is outside of what is mounted at %s", v.own, v.mount)
	}
	if v.isRoot(v.own) {
		return v.own, nil
	}
	if procs := v.words(v.own, "cgroup.procs"); len(procs) == 1 && procs[0] == strconv.Itoa(os.Getpid()) {
		return v.own, nil
	}
	if v.own == "/" { // of a container
		return "", errors.New("there are other processes in the cgroup of this one, and none around it: " +
			"start govmm as the only process of a container or a unit, or move the others into a group of their own")
	}
	return path.Dir(v.own), nil
}

// isRoot reports whether a group is the root of the hierarchy: no other has no state.
func (v *version2) isRoot(group string) bool {
	return !exists(filepath.Join(v.dir(group), "cgroup.events"))
}

// missing is the error of a group that has not got all controllers.
func (v *version2) missing(controllers []string) error {
	there := v.words(v.path, "cgroup.controllers")
	for _, c := range controllers {
		if !slices.Contains(there, c) {
			return fmt.Errorf("the cgroup %s cannot have the controller %s: the groups around it have to give it on "+
				"(their cgroup.subtree_control, or Delegate= of the unit), and it must not be mounted as version 1", v.path, c)
		}
	}
	return nil
}

func (v *version2) dir(group string) string { return filepath.Join(v.mount, group) }

// words are those of a group's file, none if it cannot be read.
func (v *version2) words(group, file string) []string {
	text, _ := os.ReadFile(filepath.Join(v.dir(group), file))
	return strings.Fields(string(text))
}

func (v *version2) load(group string) (*cgroup2.Manager, error) {
	return cgroup2.Load(group, cgroup2.WithMountpoint(v.mount))
}

func (v *version2) set(limit Limit, l Limits) error {
	var r cgroup2.Resources
	bytes := func(n uint64) *int64 { b := int64(min(n, math.MaxInt64)); return &b }
	switch limit {
	case CPUShares:
		weight := weightOf(l.CPUShares)
		r.CPU = &cgroup2.CPU{Weight: &weight}
	case IOWeight:
		return v.setIOWeight(l.IOWeight)
	case MemoryHard:
		r.Memory = &cgroup2.Memory{Max: bytes(l.MemoryHard)}
	case MemorySoft:
		r.Memory = &cgroup2.Memory{High: bytes(l.MemorySoft)}
	case MemorySwap:
		// Version 2 counts swap apart.
		if !exists(filepath.Join(v.dir(v.path), "memory.swap.max")) {
			return errors.New("this kernel does not count swap by cgroup: it needs CONFIG_SWAP, and no swapaccount=0")
		}
		r.Memory = &cgroup2.Memory{Swap: bytes(l.MemorySwap - min(l.MemoryHard, l.MemorySwap))}
	case MemoryMin:
		if err := v.guaranteed(l.MemoryMin); err != nil {
			return err
		}
		r.Memory = &cgroup2.Memory{Min: bytes(l.MemoryMin)}
	}
	return v.group.Update(&r)
}

// weightOf is the weight in version 2 that stands to the default of 100 as shares do to
// that of 1024.
func weightOf(shares uint64) uint64 { return min(max((shares*100+512)/1024, 1), 10000) }

// setIOWeight sets the weight for BFQ where the kernel has that, and that of io.cost else.
func (v *version2) setIOWeight(weight uint64) error {
	if exists(filepath.Join(v.dir(v.path), "io.bfq.weight")) {
		return v.group.Update(&cgroup2.Resources{IO: &cgroup2.IO{BFQ: cgroup2.BFQ{Weight: uint16(weight)}}})
	}
	file, err := os.OpenFile(filepath.Join(v.dir(v.path), "io.weight"), os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("this kernel gives no weights to the disks' requests of a cgroup: it needs the I/O scheduler BFQ (modprobe bfq) or io.cost")
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(file, "default %d", weight)
	return errors.Join(err, file.Close())
}

// guaranteed refuses a guarantee that the groups around do not have themselves: of what is
// promised to a group, those in it can have no more.
func (v *version2) guaranteed(bytes uint64) error {
	for group := path.Dir(v.path); !v.isRoot(group); group = path.Dir(group) {
		has := uint64(0)
		if w := v.words(group, "memory.min"); len(w) == 1 {
			if w[0] == "max" {
				continue
			}
			has, _ = strconv.ParseUint(w[0], 10, 64) // 0 for what is none
		}
		if has < bytes {
			return fmt.Errorf("the cgroup %s, which the machine's is in, is promised %d bytes itself, and not %d: raise its memory.min (MemoryMin= of a unit)",
				group, has, bytes)
		}
		if group == "/" {
			break
		}
	}
	return nil
}

func (v *version2) leave() error {
	own, err := v.load(v.own)
	if err != nil {
		return err
	}
	if len(v.enabled) > 0 {
		// It can have processes again when it gives no controllers any more.
		file, err := os.OpenFile(filepath.Join(v.dir(v.own), "cgroup.subtree_control"), os.O_WRONLY, 0)
		if err == nil {
			_, err = file.WriteString("-" + strings.Join(v.enabled, " -"))
			err = errors.Join(err, file.Close())
		}
		if err != nil {
			return err
		}
	}
	err = own.AddProc(uint64(os.Getpid()))
	if errors.Is(err, fs.ErrNotExist) {
		// The group was removed when its last process went. There is no other place; the next
		// machine sweeps after this one.
		return nil
	}
	return errors.Join(err, v.group.Delete())
}
