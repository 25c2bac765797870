package net

import (
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// descriptor is a file descriptor, and an event that wakes who waits for it.
// Neither is closed while it is in use.
//
// The Go poller has no part in it: it would have a thread wake up for each frame
// that arrives, also when nobody waits for one.
type descriptor struct {
	fd, event int
	users     sync.RWMutex // read-held while they are in use
	closed    bool         // written with users held
}

// newDescriptor takes over a nonblocking descriptor, also when it fails.
func newDescriptor(fd int) (*descriptor, error) {
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("eventfd", err)
	}
	return &descriptor{fd: fd, event: event}, nil
}

// acquire keeps the descriptor open until release. It returns false when it is
// closed.
func (d *descriptor) acquire() bool {
	d.users.RLock()
	if d.closed {
		d.users.RUnlock()
		return false
	}
	return true
}

func (d *descriptor) release() { d.users.RUnlock() }

// transfer is readv or writev.
func (d *descriptor) transfer(call uintptr, v *vector) (n int, errno syscall.Errno, err error) {
	if !d.acquire() {
		return 0, 0, ErrClosed
	}
	defer d.release()
	for {
		// Not a RawSyscall: a page of guest memory may have to come from disk.
		n, _, errno := unix.Syscall(call, uintptr(d.fd), uintptr(unsafe.Pointer(&v.iov)), uintptr(v.n))
		if errno != unix.EINTR {
			return int(n), errno, nil
		}
	}
}

// poll waits for events of the descriptor and of others, or wake. It may return
// for no reason. Without events, it does not look at the descriptor: a broken
// one is always ready.
func (d *descriptor) poll(events int16, others []unix.PollFd) (ready int16, err error) {
	if !d.acquire() {
		return 0, ErrClosed
	}
	defer d.release()
	var room [8]unix.PollFd
	all := append(room[:0], unix.PollFd{Fd: int32(d.event), Events: unix.POLLIN}, unix.PollFd{Fd: -1})
	if events != 0 {
		all[1] = unix.PollFd{Fd: int32(d.fd), Events: events}
	}
	all = append(all, others...)
	if n, err := unix.Poll(all, -1); n < 0 {
		clearEvents(others)
		if err == unix.EINTR {
			return 0, nil
		}
		return 0, os.NewSyscallError("poll", err)
	}
	if all[0].Revents != 0 {
		var count [8]byte
		_, _ = unix.Read(d.event, count[:]) // somebody else may have been faster
	}
	copy(others, all[2:])
	return all[1].Revents, nil
}

// wake ends the poll that is running, or the next one.
func (d *descriptor) wake() {
	if !d.acquire() {
		return
	}
	defer d.release()
	one := [8]byte{1}
	for {
		if _, err := unix.Write(d.event, one[:]); err != unix.EINTR {
			return // it can only be that there are 2^64 wakes already
		}
	}
}

// close ends all polls and closes the descriptor when nobody uses it any more.
func (d *descriptor) close() error {
	d.wake()
	d.users.Lock()
	defer d.users.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	unix.Close(d.event)
	return os.NewSyscallError("close", unix.Close(d.fd))
}
