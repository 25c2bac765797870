package net

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// spillSize holds any frame, and one byte that tells that it was longer.
const spillSize = HeaderSize + MaxFrame + 1

// noHeader is what a bare descriptor's frames get.
var noHeader [HeaderSize]byte

// fileQueue is a queue over a file descriptor that carries one frame a read
// and a write.
type fileQueue struct {
	end  *endpoint
	file *os.File
	conn syscall.RawConn
	fd   int
	// bare descriptors carry Ethernet frames alone. The header is made up when
	// receiving, and when sending it must ask for nothing.
	bare    bool
	enabled atomic.Bool
	rx, tx  half
}

// half is one direction of a fileQueue. Its functions are made once, because
// making one for each frame would allocate.
type half struct {
	vec   vector
	spill []byte // made when first needed

	transfer func(fd uintptr) // readv or writev of vec, to n and errno
	n        int
	errno    syscall.Errno

	park  func(ready func(fd uintptr) bool) error
	ready func(fd uintptr) bool
	poll  unix.PollFd
	woken bool // by the poller, in this wait

	setDeadline func(time.Time) error

	frames, bytes, dropped, errors atomic.Uint64
}

// newFileQueue takes over a nonblocking descriptor, also when it fails.
func newFileQueue(end *endpoint, fd int, bare bool) (*fileQueue, error) {
	file := os.NewFile(uintptr(fd), end.name)
	conn, err := file.SyscallConn()
	if err == nil {
		// Fails if the poller does not know this kind of file.
		err = file.SetDeadline(time.Time{})
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("net: %s: cannot wait for frames: %w", end.name, err)
	}
	q := &fileQueue{end: end, file: file, conn: conn, fd: fd, bare: bare}
	q.rx.init(unix.SYS_READV, unix.POLLIN)
	q.rx.park, q.rx.setDeadline = conn.Read, file.SetReadDeadline
	q.tx.init(unix.SYS_WRITEV, unix.POLLOUT)
	q.tx.park, q.tx.setDeadline = conn.Write, file.SetWriteDeadline
	return q, nil
}

func (h *half) init(call uintptr, event int16) {
	h.transfer = func(fd uintptr) {
		// Not a RawSyscall: a page of guest memory may have to come from disk.
		n, _, errno := unix.Syscall(call, fd, uintptr(unsafe.Pointer(&h.vec.iov)), uintptr(h.vec.n))
		for errno == unix.EINTR {
			n, _, errno = unix.Syscall(call, fd, uintptr(unsafe.Pointer(&h.vec.iov)), uintptr(h.vec.n))
		}
		h.n, h.errno = int(n), errno
	}
	h.ready = func(fd uintptr) bool {
		// The poller tells of changes since this wait began, so what is ready
		// already must be looked for. What it tells of need not be.
		if h.woken {
			return true
		}
		h.woken = true
		h.poll = unix.PollFd{Fd: int32(fd), Events: event}
		n, _, _ := unix.RawSyscall(unix.SYS_POLL, uintptr(unsafe.Pointer(&h.poll)), 1, 0)
		return n != 0
	}
}

// do transfers the vector.
func (h *half) do(q *fileQueue) (n int, errno syscall.Errno, err error) {
	if q.conn.Control(h.transfer) != nil {
		return 0, 0, ErrClosed // only a closed file is never called back
	}
	return h.n, h.errno, nil
}

// wait returns nil when something can be transferred, or after wake.
func (h *half) wait(q *fileQueue) error {
	if err := q.state(); err != nil {
		return err
	}
	h.woken = false
	err := h.park(h.ready)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = h.setDeadline(time.Time{}) // the wake is used up
	}
	if state := q.state(); state != nil {
		return state
	}
	if err != nil {
		return q.end.fail(fmt.Errorf("cannot wait for frames: %w", err))
	}
	return nil
}

// past is a deadline for whoever waits now.
var past = time.Unix(1, 0)

// wake ends the wait that is running, or the next one. On a closed file, it has
// ended.
func (h *half) wake() { _ = h.setDeadline(past) }

// state is why the queue cannot be used, or nil.
func (q *fileQueue) state() error {
	if err := q.end.state(); err != nil {
		return err
	}
	if !q.enabled.Load() {
		return ErrDisabled
	}
	return nil
}

// Send implements Queue.
func (q *fileQueue) Send(frame [][]byte) error {
	if err := q.state(); err != nil {
		return err
	}
	tx := &q.tx
	header := int(q.end.header.Load())
	n := size(frame)
	if n < header+MinFrame || n > header+MaxFrame {
		tx.errors.Add(1)
		return nil
	}
	skip := 0
	if q.bare {
		var b [HeaderSize]byte
		gather(b[:header], frame)
		if h, _ := ParseHeader(b[:header]); h.Flags&HeaderNeedsCsum != 0 || h.GSOType != GSONone {
			tx.errors.Add(1)
			return nil
		}
		skip = header
	}
	rest := tx.vec.addSome(frame, skip, n)
	if len(rest) > 0 {
		if tx.spill == nil {
			tx.spill = make([]byte, spillSize)
		}
		// Only in a bare queue, and with a thousand empty or tiny slices, can
		// there be a part of the header left to skip.
		k := max(0, skip-(n-size(rest)))
		tx.vec.add(tx.spill[k:gather(tx.spill, rest)])
	}
	_, errno, err := tx.do(q)
	tx.vec.reset()
	if err != nil {
		return err
	}
	switch errno {
	case 0:
		tx.frames.Add(1)
		tx.bytes.Add(uint64(n - header))
		return nil
	case unix.EAGAIN:
		return ErrAgain
	case unix.EINVAL, unix.EMSGSIZE, unix.E2BIG:
		tx.errors.Add(1)
		return nil
	case unix.EIO, unix.ENOBUFS, unix.ENOMEM: // EIO: the interface is down
		tx.dropped.Add(1)
		return nil
	}
	return q.end.failed("send", errno)
}

// Receive implements Queue.
func (q *fileQueue) Receive(buf [][]byte) (n int, rest []byte, err error) {
	if err := q.state(); err != nil {
		return 0, nil, err
	}
	rx := &q.rx
	if rx.spill == nil {
		rx.spill = make([]byte, spillSize)
	}
	header := int(q.end.header.Load())
	spill := rx.spill
	made := 0 // bytes of header that do not come from the descriptor
	if q.bare {
		made = header
		k := scatter(buf, noHeader[:made])
		spill = spill[copy(spill, noHeader[k:made]):]
	}
	later := rx.vec.addSome(buf, made, header+MaxFrame)
	direct := rx.vec.bytes
	rx.vec.add(spill)
	got, errno, err := rx.do(q)
	rx.vec.reset()
	switch {
	case err != nil:
		return 0, nil, err
	case errno == unix.EAGAIN:
		return 0, nil, ErrAgain
	case errno != 0:
		return 0, nil, q.end.failed("receive", errno)
	case got == 0:
		return 0, nil, q.end.fail(errPeerGone)
	}
	got += made
	if got < header+MinFrame || got > header+MaxFrame {
		rx.errors.Add(1)
		return 0, nil, ErrAgain
	}
	rx.frames.Add(1)
	rx.bytes.Add(uint64(got - header))
	// The part of a made header that is in buf counts as direct.
	direct += made - (len(rx.spill) - len(spill))
	n = min(got, direct)
	rest = rx.spill[:got-n]
	if len(rest) > 0 && len(later) > 0 {
		k := scatter(later, rest)
		n, rest = n+k, rest[k:]
	}
	return n, rest, nil
}

// WaitSend implements Queue.
func (q *fileQueue) WaitSend() error { return q.tx.wait(q) }

// WaitReceive implements Queue.
func (q *fileQueue) WaitReceive() error { return q.rx.wait(q) }

// Wake implements Queue.
func (q *fileQueue) Wake() {
	q.rx.wake()
	q.tx.wake()
}

// FD implements Queue.
func (q *fileQueue) FD() int {
	if q.bare {
		return -1
	}
	return q.fd
}

// addTo adds the queue's counters to s.
func (q *fileQueue) addTo(s *Stats) {
	s.RxFrames += q.rx.frames.Load()
	s.RxBytes += q.rx.bytes.Load()
	s.RxDropped += q.rx.dropped.Load()
	s.RxErrors += q.rx.errors.Load()
	s.TxFrames += q.tx.frames.Load()
	s.TxBytes += q.tx.bytes.Load()
	s.TxDropped += q.tx.dropped.Load()
	s.TxErrors += q.tx.errors.Load()
}
