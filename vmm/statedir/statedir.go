// Package statedir keeps a directory for each machine that runs, by which other
// processes find it and by which one domain runs once.
//
//	ROOT/          one a user: see Root
//	  NAME/        one a machine, mode 0700
//	    govmm.pid  the process, in decimal; locked as long as it lives
//	    qmp.sock   where it is controlled (package qmp), mode 0600
//	    *.sock     channels and virtual consoles that the domain gives no path, mode 0600
//	    *.lock     held by whoever is attached to the console of that name
//
// Whether a machine runs is decided by the lock on govmm.pid alone, an open file
// description lock (fcntl(2), F_OFD_SETLK), which the kernel gives back however
// the process ends. A directory without a lock is what a killed process left
// behind; whoever comes across it removes it. All that makes, judges or removes
// a directory does so while it holds a lock on ROOT (flock(2)), which lasts for a
// few system calls.
//
// A program that uses package vmm as a library has none of this unless it asks.
package statedir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	pidFile    = "govmm.pid"
	socketFile = "qmp.sock"
)

// RootVariable is the environment variable that puts the state directories
// elsewhere.
const RootVariable = "GOVMM_RUNTIME_DIR"

// Root is the directory that has the state directories of this user's machines:
//
//   - $GOVMM_RUNTIME_DIR, if that is set;
//   - /run/govmm for root, whatever XDG_RUNTIME_DIR says: after sudo it is
//     another user's, and after a login it goes away with the session;
//   - $XDG_RUNTIME_DIR/govmm;
//   - /tmp/govmm-UID where that is not set, as in containers and cron jobs.
//
// It need not exist yet.
func Root() string { return rootFor(os.Geteuid(), os.Getenv) }

func rootFor(uid int, getenv func(string) string) string {
	if dir := getenv(RootVariable); filepath.IsAbs(dir) {
		return dir
	}
	if uid == 0 {
		return "/run/govmm"
	}
	if dir := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "govmm")
	}
	return fmt.Sprintf("/tmp/govmm-%d", uid)
}

// RunningError is a machine that cannot be run because it runs already.
type RunningError struct {
	Name string
	PID  int
}

// Error tells which process has the name.
func (e *RunningError) Error() string {
	return fmt.Sprintf("a machine named %q runs already, as process %d", e.Name, e.PID)
}

// Dir is the state directory of a machine of this process.
type Dir struct {
	root, path string
	pid        *os.File // locked
}

// Create makes the state directory of a machine below root, which is made as
// well if need be. What a killed process left behind under the name is removed.
//
// The error is a *RunningError when the name is in use. Any other one is a
// directory that cannot be made, or that is not this user's alone.
func Create(root, name string) (_ *Dir, err error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	unlock, err := lockRoot(root, true)
	if err != nil {
		return nil, err
	}
	defer unlock()

	path := filepath.Join(root, name)
	if err := clearStale(path, name); err != nil {
		return nil, err
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		return nil, err
	}
	d := &Dir{root: root, path: path}
	if d.pid, err = writePID(filepath.Join(path, pidFile)); err != nil {
		return nil, errors.Join(err, os.RemoveAll(path))
	}
	return d, nil
}

// Path is the directory's absolute path.
func (d *Dir) Path() string { return d.path }

// Close removes the directory and gives the name back. Closing again does
// nothing.
func (d *Dir) Close() error {
	if d.pid == nil {
		return nil
	}
	unlock, err := lockRoot(d.root, false)
	if err == nil {
		defer unlock()
		err = os.RemoveAll(d.path)
	}
	if errors.Is(err, os.ErrNotExist) {
		err = nil // somebody has cleaned up the whole root
	}
	err = errors.Join(err, d.pid.Close())
	d.pid = nil
	return err
}

// checkName refuses what cannot be a directory's name.
func checkName(name string) error {
	switch {
	case name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00"):
		return fmt.Errorf("%q cannot be the name of a directory", name)
	case len(name) > unix.NAME_MAX:
		return fmt.Errorf("the name %.20q... has %d bytes, and a directory's at most %d", name, len(name), unix.NAME_MAX)
	}
	return nil
}

// writePID makes the file with this process's number and locks it.
func writePID(path string) (_ *os.File, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if err := control(f, func(fd int) error {
		return unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK})
	}); err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if _, err := fmt.Fprintf(f, "%d\n", os.Getpid()); err != nil {
		return nil, err
	}
	return f, nil
}

// judge tells of a state directory whether its machine runs, and in which
// process. The root is locked.
func judge(path string) (pid int, running bool, err error) {
	f, err := os.OpenFile(filepath.Join(path, pidFile), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := control(f, func(fd int) error {
		return unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, &lock)
	}); err != nil {
		return 0, false, fmt.Errorf("lock of %s: %w", f.Name(), err)
	}
	buf := make([]byte, 32)
	n, err := f.Read(buf)
	if n > 0 {
		pid, err = strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	}
	// A stale file may hold anything.
	if running = lock.Type != unix.F_UNLCK; running && err != nil {
		return 0, true, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return pid, running, nil
}

// lockRoot locks the root directory until unlock is called. It makes it first
// if create is set.
func lockRoot(root string, create bool) (unlock func(), err error) {
	if create {
		if err := os.MkdirAll(root, 0o700); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(root, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	err = checkOwner(f)
	if err == nil {
		err = control(f, func(fd int) error { return flock(fd) })
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { f.Close() }, nil
}

// flock waits for the lock, signals or not.
func flock(fd int) error {
	for {
		if err := unix.Flock(fd, unix.LOCK_EX); err != unix.EINTR {
			return os.NewSyscallError("flock", err)
		}
	}
}

// checkOwner refuses a root in which somebody else could put a socket of their
// own in place of a machine's: /tmp is everybody's.
func checkOwner(root *os.File) error {
	info, err := root.Stat()
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d, not to this one (%d)", root.Name(), st.Uid, os.Geteuid())
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("%s can be written to by others (mode %04o); take that away with chmod go-w", root.Name(), mode)
	}
	return nil
}

// control calls f with a file's descriptor.
func control(file *os.File, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}
