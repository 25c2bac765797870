package queue

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Doorbell is how a driver notifies a queue: an event file descriptor, which
// the kernel rings without leaving the guest's run loop when it is bound to the
// notification register (ioeventfd). Rings add up until somebody waits.
//
// A waiting goroutine blocks in the kernel and holds a thread. That is on
// purpose: from a ring to the answer takes 5 microseconds so, and 10 to 17 by
// way of the Go runtime's poller, which has to wake a thread that looks for
// work first. A locked thread makes no difference (BenchmarkDoorbell).
type Doorbell struct {
	fd     int
	closed atomic.Bool
	users  sync.RWMutex // read-held while the descriptor is in use
}

// NewDoorbell makes a doorbell. It takes one file descriptor.
func NewDoorbell() (*Doorbell, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	return &Doorbell{fd: fd}, nil
}

// FD is the event file descriptor, in blocking mode, for ioeventfd and vhost.
// It is valid until Close.
func (d *Doorbell) FD() int { return d.fd }

// Ring wakes who waits, or the next one who will. It does not block, and does
// nothing when the doorbell is closed.
func (d *Doorbell) Ring() {
	d.users.RLock()
	defer d.users.RUnlock()
	if !d.closed.Load() {
		d.add()
	}
}

// add rings. Its only failure would be a count of 2^64.
func (d *Doorbell) add() {
	one := [8]byte{1}
	for {
		if _, err := unix.Write(d.fd, one[:]); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// Wait blocks until the doorbell has rung since the last call. It returns false
// when the doorbell is closed.
func (d *Doorbell) Wait() bool {
	d.users.RLock()
	defer d.users.RUnlock()
	var count [8]byte
	for !d.closed.Load() {
		_, err := unix.Read(d.fd, count[:])
		if d.closed.Load() {
			d.add() // for others who wait
			return false
		}
		if !errors.Is(err, unix.EINTR) {
			return err == nil
		}
	}
	return false
}

// Close wakes everybody who waits and gives back the file descriptor, once
// nobody uses it. Closing twice does nothing.
func (d *Doorbell) Close() error {
	if d.closed.Swap(true) {
		return nil
	}
	d.add()
	d.users.Lock()
	defer d.users.Unlock()
	return os.NewSyscallError("close", unix.Close(d.fd))
}
