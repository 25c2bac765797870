package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/cgroups/v3"
	"golang.org/x/sys/unix"
)

// Limit is one of Limits.
type Limit int

// The limits.
const (
	CPUShares Limit = iota
	IOWeight
	MemoryHard
	MemorySoft
	MemorySwap
	MemoryMin
	limitCount
)

// controllers are those that limits need.
var controllers = [limitCount]string{"cpu", "io", "memory", "memory", "memory", "memory"}

// Limits are what a group holds. 0 is none.
type Limits struct {
	// CPUShares is the weight of the group beside others, 2 to 262144; the kernel's default
	// is 1024. Version 2 has weights of 1 to 10000 with 100 as the default: shares become
	// the nearest that stands in the same relation to it.
	CPUShares uint64
	// IOWeight is the weight of the group's requests to disks, 100 to 1000. It takes effect
	// for disks under the BFQ scheduler or, in version 2, with io.cost.
	IOWeight uint64
	// In bytes: what the processes may use at most, beyond which one of them is killed;
	// what they are brought down to in times of need, in version 2 at any time; memory and
	// swap together, above MemoryHard; what is not taken from them, in version 2 alone.
	MemoryHard, MemorySoft, MemorySwap, MemoryMin uint64
}

// values are the limits by their names.
func (l Limits) values() [limitCount]uint64 {
	return [limitCount]uint64{l.CPUShares, l.IOWeight, l.MemoryHard, l.MemorySoft, l.MemorySwap, l.MemoryMin}
}

// wanted lists the limits that there are, and the controllers that they need.
func (l Limits) wanted() (list []Limit, needs []string) {
	for limit, value := range l.values() {
		if value == 0 {
			continue
		}
		list = append(list, Limit(limit))
		if c := controllers[limit]; len(needs) == 0 || needs[len(needs)-1] != c {
			needs = append(needs, c)
		}
	}
	return list, needs
}

// Error is a limit that cannot be had, and what to do about it.
type Error struct {
	Limit Limit
	Err   error
}

// Error is what stands in the way, and the remedy.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Group is the group that this process is in since Join.
type Group struct{ version hierarchy }

// hierarchy is what the versions have in common.
type hierarchy interface {
	// join makes the group and moves the process into it.
	join(name string, controllers []string) error
	set(limit Limit, l Limits) error
	// leave moves the process back and removes the group.
	leave() error
}

// Join puts this process, with all its threads, into a new group with limits; name is a part
// of the group's. A process has one group at a time.
//
// The error is an *Error for a limit that cannot be set, the first one for what stops them
// all, such as a missing right. The process is where it was then.
func Join(name string, l Limits) (*Group, error) {
	limits, needs := l.wanted()
	if len(limits) == 0 {
		return nil, errors.New("cgroup: no limit is wanted")
	}
	g := &Group{version: &version1{}}
	switch cgroups.Mode() {
	case cgroups.Unified:
		g.version = &version2{mount: mountPoint}
	case cgroups.Unavailable:
		return nil, &Error{limits[0], fmt.Errorf("%s is not mounted, which limits need: mount -t cgroup2 none %[1]s", mountPoint)}
	}
	if err := g.version.join(groupName(name, os.Getpid()), needs); err != nil {
		return nil, &Error{limits[0], explain(err)}
	}
	for _, limit := range limits {
		if err := g.version.set(limit, l); err != nil {
			return nil, errors.Join(&Error{limit, explain(err)}, g.Leave())
		}
	}
	return g, nil
}

// Leave moves the process back to the group that it was in, and removes its own.
func (g *Group) Leave() error { return g.version.leave() }

// mountPoint is where cgroups are, by convention.
const mountPoint = "/sys/fs/cgroup"

// explain adds to a failure what can be done about it.
func explain(err error) error {
	remedy := ""
	switch {
	case errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM):
		remedy = "run it as root, or in a group that is delegated to you: systemd-run --user --scope -p Delegate=yes govmm run ..."
	case errors.Is(err, unix.EROFS):
		remedy = "the file system of cgroups is read-only here, as in many containers: set the limit where the container is started"
	case errors.Is(err, unix.EBUSY):
		remedy = "start it in a group where no other process is: systemd-run --scope -p Delegate=yes govmm run ..."
	}
	if remedy == "" {
		return err
	}
	return fmt.Errorf("%w; %s", err, remedy)
}

// prefix begins the names of all groups of this package.
const prefix = "govmm-"

// maxName bounds the part of a group's name that others choose.
const maxName = 100

// groupName is a directory's name that tells of the process.
func groupName(name string, pid int) string {
	clean := func(r rune) rune {
		if r > ' ' && r < 0x7F && r != '/' {
			return r
		}
		return '_'
	}
	name = strings.Map(clean, name)
	return fmt.Sprintf("%s%s-%d", prefix, name[:min(len(name), maxName)], pid)
}

// sweep removes the groups in a directory whose processes have been killed. The kernel keeps
// those that have processes.
func sweep(dir string) {
	left, _ := filepath.Glob(filepath.Join(dir, prefix+"*"))
	for _, path := range left {
		pid, err := strconv.Atoi(path[strings.LastIndexByte(path, '-')+1:])
		if err != nil || pid <= 0 || !errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			continue // of nobody that is known, or about to join
		}
		_ = os.Remove(path) // it may be another's
	}
}

// exists reports whether a file is there.
func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
