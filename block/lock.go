package block

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sys/unix"
)

// Images are locked by the bytes QEMU locks, so that the two exclude each
// other. Every user of an image holds read locks (of the open file description,
// so they end with it) on bytes that say what it does and what it forbids:
//
//	byte 100+p   it has permission p
//	byte 200+p   it does not share permission p
//
// and looks whether somebody else holds the byte that contradicts. The locks
// are taken before looking: of two that come at once, one or both give up, and
// never do both go on.
//
//	p  permission
//	0  consistent read
//	1  write
//	2  write the same data
//	3  resize
//
// A disk has 0, and 1 when it is writable; it forbids 1 unless it is shareable.
// That is what QEMU takes for a guest's disk.
const (
	lockHeld     = 100
	lockUnshared = 200

	permRead  = 0
	permWrite = 1
	permCount = 2
)

// lockPatience is how long an image may stay in use before it is refused. A
// process that was killed keeps its locks until the kernel has torn down its
// rings, some milliseconds after its end.
const (
	lockPatience = 300 * time.Millisecond
	lockRetry    = 10 * time.Millisecond
)

// lockImage takes the locks of a guest's disk, or says who may not share it.
// Where the file system has no locks it says so in the log and goes on.
func lockImage(ctx context.Context, fd int, path string, readOnly, shareable bool, log *slog.Logger) error {
	giveUp := time.NewTimer(lockPatience)
	defer giveUp.Stop()
	again := time.NewTicker(lockRetry)
	defer again.Stop()
	for {
		err := tryLockImage(fd, path, readOnly, shareable, log)
		if !errors.Is(err, ErrInUse) {
			return err
		}
		// Without this, two who try at the same time would keep each other out.
		if e := unlockImage(fd); e != nil {
			return errors.Join(err, e)
		}
		select {
		case <-giveUp.C:
			return err
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-again.C:
		}
	}
}

func tryLockImage(fd int, path string, readOnly, shareable bool, log *slog.Logger) error {
	has := [permCount]bool{permRead: true, permWrite: !readOnly}
	forbids := [permCount]bool{permWrite: !shareable}
	for p := range permCount {
		for _, lock := range []struct {
			take bool
			at   int64
		}{{has[p], lockHeld}, {forbids[p], lockUnshared}} {
			if !lock.take {
				continue
			}
			switch err := lockByte(fd, lock.at+int64(p)); {
			case err == nil:
			case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EACCES):
				return inUse(path, readOnly)
			case errors.Is(err, unix.ENOLCK), errors.Is(err, unix.EINVAL), unsupported(err):
				log.Warn("image cannot be locked here; nothing keeps a second writer away", "image", path, "error", err)
				return nil
			default:
				return fmt.Errorf("%s: lock: %w", path, err)
			}
		}
	}
	for p := range permCount {
		for _, conflict := range []struct {
			look bool
			at   int64
		}{{has[p], lockUnshared}, {forbids[p], lockHeld}} {
			if !conflict.look {
				continue
			}
			taken, err := otherHolds(fd, conflict.at+int64(p))
			if err != nil {
				return fmt.Errorf("%s: lock: %w", path, err)
			}
			if taken {
				return inUse(path, readOnly)
			}
		}
	}
	return nil
}

func inUse(path string, readOnly bool) error {
	if readOnly {
		return fmt.Errorf("%s: %w, which writes to it (a disk shared with a writer needs <shareable/> in both)", path, ErrInUse)
	}
	return fmt.Errorf("%s: %w (disks that several machines write to need <shareable/> in each of them)", path, ErrInUse)
}

// lockByte takes a read lock on one byte for this open file.
func lockByte(fd int, at int64) error {
	l := unix.Flock_t{Type: unix.F_RDLCK, Start: at, Len: 1}
	for {
		if err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &l); err != unix.EINTR {
			return err
		}
	}
}

// unlockImage gives the locks back. They would end with the open file, but the
// kernel may keep that for a moment after close, while it tears a ring down.
func unlockImage(fd int) error {
	l := unix.Flock_t{Type: unix.F_UNLCK}
	for {
		err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &l)
		switch {
		case err == nil, errors.Is(err, unix.ENOLCK), errors.Is(err, unix.EINVAL), unsupported(err):
			return nil
		case err != unix.EINTR:
			return err
		}
	}
}

// otherHolds reports whether another open file has a lock on a byte.
func otherHolds(fd int, at int64) (bool, error) {
	l := unix.Flock_t{Type: unix.F_WRLCK, Start: at, Len: 1}
	for {
		switch err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, &l); err {
		case nil:
			return l.Type != unix.F_UNLCK, nil
		case unix.EINTR:
		default:
			return false, err
		}
	}
}
