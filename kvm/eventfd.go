package kvm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// EventFD is an eventfd(2): a 64-bit counter that a signal raises by one and
// that a read takes back to zero. Its methods may be called from several
// goroutines; Close may be called at any time.
type EventFD struct {
	file *os.File // gives us the runtime's poller, and safety against reuse of the number
	fd   int
	one  [8]byte // the counter's increment; never changes

	mu  sync.Mutex // serialises readers, for buf
	buf [8]byte
}

// NewEventFD makes an eventfd with a count of zero.
func NewEventFD() (*EventFD, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	e := &EventFD{file: os.NewFile(uintptr(fd), "eventfd"), fd: fd}
	binary.NativeEndian.PutUint64(e.one[:], 1)
	return e, nil
}

// FD is the descriptor, for the kernel's side: AssignIRQFD, AssignIOEvent,
// vhost. It is valid until Close.
func (e *EventFD) FD() int { return e.fd }

// Signal adds one to the counter. It does not block and does not allocate.
func (e *EventFD) Signal() error {
	_, err := e.file.Write(e.one[:])
	return err
}

// Wait blocks, holding no thread, until the counter is not zero, and returns
// the count, leaving zero. Close ends it with an error that is os.ErrClosed.
func (e *EventFD) Wait() (uint64, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, err := e.file.Read(e.buf[:]); err != nil {
		return 0, err
	}
	return binary.NativeEndian.Uint64(e.buf[:]), nil
}

// TryWait returns the count, leaving zero, without blocking. A count of zero
// is no error. While another goroutine is in Wait it is left for that one.
func (e *EventFD) TryWait() (uint64, error) {
	if !e.mu.TryLock() {
		return 0, nil
	}
	defer e.mu.Unlock()
	conn, err := e.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	var readErr error
	closed := conn.Read(func(fd uintptr) bool {
		for {
			_, readErr = unix.Read(int(fd), e.buf[:])
			if readErr != unix.EINTR {
				return true // never wait for readiness
			}
		}
	})
	switch {
	case closed != nil: // a RawConn fails for no other reason
		return 0, fmt.Errorf("read eventfd: %w", os.ErrClosed)
	case errors.Is(readErr, syscall.EAGAIN):
		return 0, nil
	case readErr != nil:
		return 0, fmt.Errorf("read eventfd: %w", readErr)
	}
	return binary.NativeEndian.Uint64(e.buf[:]), nil
}

// Close closes our descriptor; KVM's references live on until they are
// deassigned. Closing twice does nothing.
func (e *EventFD) Close() error {
	if err := e.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}
