package soft

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// events are eventfds that are not closed while somebody uses them.
type events struct {
	users  sync.RWMutex
	closed bool // written with users held
	fd     [eventCount]int
}

// The events of a port.
const (
	woken = iota // by Wake
	rxReady
	txReady
	eventCount
)

func (e *events) open() error {
	for i := range e.fd {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
		if err != nil {
			for _, fd := range e.fd[:i] {
				unix.Close(fd)
			}
			return os.NewSyscallError("eventfd", err)
		}
		e.fd[i] = fd
	}
	return nil
}

// set makes an event ready until it is taken.
func (e *events) set(which int) {
	e.users.RLock()
	defer e.users.RUnlock()
	if e.closed {
		return
	}
	one := [8]byte{1}
	for {
		if _, err := unix.Write(e.fd[which], one[:]); err != unix.EINTR {
			return // it can only be that it has been set 2^64 times
		}
	}
}

// take makes an event not ready. Somebody else may have been faster.
func (e *events) take(which int) {
	var count [8]byte
	_, _ = unix.Read(e.fd[which], count[:])
}

// poll waits until one of the events that are wanted, which it takes, or of the
// other descriptors. It may return for no reason. It returns false when the
// events are closed.
func (e *events) poll(want [eventCount]bool, others []unix.PollFd) (open bool, err error) {
	e.users.RLock()
	defer e.users.RUnlock()
	if e.closed {
		return false, nil
	}
	var room [8]unix.PollFd
	all := room[:eventCount]
	for i, fd := range e.fd {
		all[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
		if !want[i] {
			all[i].Fd = -1
		}
	}
	all = append(all, others...)
	if n, err := unix.Poll(all, -1); n < 0 {
		clearEvents(others)
		if err == unix.EINTR {
			return true, nil
		}
		return true, os.NewSyscallError("poll", err)
	}
	for i := range e.fd {
		if all[i].Revents != 0 {
			e.take(i)
		}
	}
	copy(others, all[eventCount:])
	return true, nil
}

func (e *events) close() {
	e.users.Lock()
	defer e.users.Unlock()
	if e.closed {
		return
	}
	e.closed = true
	for _, fd := range e.fd {
		unix.Close(fd)
	}
}

func clearEvents(polls []unix.PollFd) {
	for i := range polls {
		polls[i].Revents = 0
	}
}
