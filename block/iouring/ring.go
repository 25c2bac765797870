// Package iouring is a small layer over Linux's io_uring: one ring, vectored
// reads and writes, and data syncs. It follows the kernel's io_uring_setup(2)
// and io_uring_enter(2).
//
// It leaves out everything a disk does not need: polling threads, registered
// files and buffers, links, sockets.
package iouring

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

// ErrFull is a submission queue without a free entry.
var ErrFull = errors.New("iouring: submission queue is full")

// params is struct io_uring_params.
type params struct {
	sqEntries, cqEntries      uint32
	flags                     uint32
	sqThreadCPU, sqThreadIdle uint32
	features                  uint32
	wqFd                      uint32
	_                         [3]uint32
	sq                        sqOffsets
	cq                        cqOffsets
}

// sqOffsets say where in the mapping the parts of the submission queue are.
type sqOffsets struct {
	head, tail, mask, entries, flags, dropped, array, _ uint32
	_                                                   uint64
}

// cqOffsets say the same of the completion queue.
type cqOffsets struct {
	head, tail, mask, entries, overflow, cqes, flags, _ uint32
	_                                                   uint64
}

// sqe is a submission queue entry.
type sqe struct {
	opcode   uint8
	flags    uint8
	ioprio   uint16
	fd       int32
	off      uint64
	addr     uint64
	len      uint32
	opFlags  uint32
	userData uint64
	_        [3]uint64
}

// cqe is a completion queue entry.
type cqe struct {
	userData uint64
	res      int32
	flags    uint32
}

const (
	opReadv  = 1
	opWritev = 2
	opFsync  = 3

	fsyncDatasync = 1 << 0

	setupClamp = 1 << 4

	featSingleMmap = 1 << 0 // both queues in one mapping, Linux 5.4
	featNoDrop     = 1 << 1 // completions are never lost, 5.5
	featStable     = 1 << 2 // what an entry points to is read when submitted, 5.5

	offSQRing = 0
	offSQEs   = 0x10000000
)

// Ring is one io_uring. Its methods may be called from one goroutine at a
// time, but for Wait, which may run beside them.
type Ring struct {
	file *os.File // the ring's descriptor, in the runtime's poller
	conn syscall.RawConn
	fd   int

	rings, entries []byte // the mappings

	sqes           []sqe
	sqHead, sqTail *uint32
	sqMask         uint32
	tail           uint32 // of what is prepared
	submitted      uint32 // the part of it that the kernel has taken
	cqes           []cqe
	cqHead, cqTail *uint32
	cqMask         uint32
	sqArray        []uint32
	ready          func(fd uintptr) bool

	// held keeps the segments of each entry where the collector and the
	// compiler see them: the entries themselves hold mere numbers.
	held []*unix.Iovec
}

// Completion is the result of one entry.
type Completion struct {
	// Data is what was given with the entry.
	Data uint64
	// Result is the number of bytes, or a negated error number.
	Result int32
}

// New makes a ring with room for entries (at most 4096) at a time. It fails
// with ENOSYS where the kernel has no io_uring or not what is needed of it
// (Linux 5.5), and with EPERM where it is not allowed.
func New(entries int) (_ *Ring, err error) {
	p := params{flags: setupClamp}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(entries), uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("io_uring_setup: %w", errno)
	}
	r := &Ring{fd: int(fd)}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	const needed = featSingleMmap | featNoDrop | featStable
	if p.features&needed != needed {
		return nil, fmt.Errorf("io_uring features %#x, need %#x: %w", p.features, needed, unix.ENOSYS)
	}
	if err := r.mmap(&p); err != nil {
		return nil, fmt.Errorf("io_uring mmap: %w", err)
	}
	// The runtime's poller takes descriptors that do not block.
	if err := unix.SetNonblock(r.fd, true); err != nil {
		return nil, fmt.Errorf("io_uring: %w", err)
	}
	r.file = os.NewFile(fd, "io_uring")
	// Without the poller there is no deadline, and Wait could not wait.
	if err := r.file.SetReadDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("io_uring: %w", err)
	}
	if r.conn, err = r.file.SyscallConn(); err != nil {
		return nil, fmt.Errorf("io_uring: %w", err)
	}
	r.ready = func(uintptr) bool { return r.Pending() }
	return r, nil
}

func (r *Ring) mmap(p *params) error {
	sqSize := uintptr(p.sq.array) + uintptr(p.sqEntries)*4
	cqSize := uintptr(p.cq.cqes) + uintptr(p.cqEntries)*unsafe.Sizeof(cqe{})
	var err error
	const prot, flags = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED | unix.MAP_POPULATE
	if r.rings, err = unix.Mmap(r.fd, offSQRing, int(max(sqSize, cqSize)), prot, flags); err != nil {
		return err
	}
	if r.entries, err = unix.Mmap(r.fd, offSQEs, int(p.sqEntries)*int(unsafe.Sizeof(sqe{})), prot, flags); err != nil {
		return err
	}
	word := func(off uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.rings[off])) }
	r.sqHead, r.sqTail, r.sqMask = word(p.sq.head), word(p.sq.tail), *word(p.sq.mask)
	r.cqHead, r.cqTail, r.cqMask = word(p.cq.head), word(p.cq.tail), *word(p.cq.mask)
	r.sqArray = unsafe.Slice(word(p.sq.array), p.sqEntries)
	r.sqes = unsafe.Slice((*sqe)(unsafe.Pointer(unsafe.SliceData(r.entries))), p.sqEntries)
	r.cqes = unsafe.Slice((*cqe)(unsafe.Pointer(&r.rings[p.cq.cqes])), p.cqEntries)
	r.held = make([]*unix.Iovec, p.sqEntries)
	r.tail = atomic.LoadUint32(r.sqTail)
	r.submitted = r.tail
	// Entries are used in their order, so the indirection never changes.
	for i := range r.sqArray {
		r.sqArray[i] = uint32(i)
	}
	return nil
}

// Entries is how many operations the ring has room for before Submit.
func (r *Ring) Entries() int { return len(r.sqes) }

// entry prepares the next submission queue entry.
func (r *Ring) entry(e sqe, iov []unix.Iovec) error {
	if r.tail-atomic.LoadUint32(r.sqHead) >= uint32(len(r.sqes)) {
		return ErrFull
	}
	r.sqes[r.tail&r.sqMask] = e
	r.held[r.tail&r.sqMask] = unsafe.SliceData(iov)
	r.tail++
	return nil
}

// Readv prepares a preadv2 with its RWF flags. The segments must stay as they
// are until Submit; the caller keeps their memory until the completion.
func (r *Ring) Readv(fd int, iov []unix.Iovec, offset int64, flags int, data uint64) error {
	return r.entry(vectored(opReadv, fd, iov, offset, flags, data), iov)
}

// Writev prepares a pwritev2, in the same way.
func (r *Ring) Writev(fd int, iov []unix.Iovec, offset int64, flags int, data uint64) error {
	return r.entry(vectored(opWritev, fd, iov, offset, flags, data), iov)
}

func vectored(op uint8, fd int, iov []unix.Iovec, offset int64, flags int, data uint64) sqe {
	return sqe{
		opcode: op, fd: int32(fd), off: uint64(offset),
		addr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(iov)))), len: uint32(len(iov)),
		opFlags: uint32(flags), userData: data,
	}
}

// Fdatasync prepares an fdatasync.
func (r *Ring) Fdatasync(fd int, data uint64) error {
	return r.entry(sqe{opcode: opFsync, fd: int32(fd), opFlags: fsyncDatasync, userData: data}, nil)
}

// Submit gives the kernel what is prepared. It does not wait for the operations,
// though some may be complete on its return. After an error (EAGAIN, EBUSY) the
// kernel has not taken the rest, which can be submitted again or retracted.
func (r *Ring) Submit() error {
	atomic.StoreUint32(r.sqTail, r.tail)
	for r.submitted != r.tail {
		n, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(r.tail-r.submitted), 0, 0, 0, 0)
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			return fmt.Errorf("io_uring_enter: %w", errno)
		case n == 0:
			return fmt.Errorf("io_uring_enter: took none of %d entries: %w", r.tail-r.submitted, unix.EAGAIN)
		default:
			r.submitted += uint32(n)
		}
	}
	return nil
}

// Retract takes back the last entry that the kernel has not taken, and gives
// its data.
func (r *Ring) Retract() (data uint64, ok bool) {
	if r.tail == r.submitted {
		return 0, false
	}
	r.tail--
	atomic.StoreUint32(r.sqTail, r.tail)
	return r.sqes[r.tail&r.sqMask].userData, true
}

// Pending reports whether there are completions to take.
func (r *Ring) Pending() bool {
	return atomic.LoadUint32(r.cqTail) != atomic.LoadUint32(r.cqHead)
}

// Next takes a completion, if there is one.
func (r *Ring) Next() (Completion, bool) {
	head := *r.cqHead
	if head == atomic.LoadUint32(r.cqTail) {
		return Completion{}, false
	}
	e := &r.cqes[head&r.cqMask]
	c := Completion{Data: e.userData, Result: e.res}
	atomic.StoreUint32(r.cqHead, head+1)
	return c, true
}

// Wait returns when there are completions, or with os.ErrClosed after
// Interrupt.
func (r *Ring) Wait() error { return r.conn.Read(r.ready) }

// Interrupt ends Wait, also later ones. Nothing must be in flight any more.
func (r *Ring) Interrupt() error { return r.file.Close() }

// Close gives back the ring. Nothing may use it any more.
func (r *Ring) Close() error {
	var errs []error
	if r.file != nil {
		if err := r.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			errs = append(errs, err)
		}
	} else {
		errs = append(errs, unix.Close(r.fd))
	}
	for _, m := range [][]byte{r.rings, r.entries} {
		if m != nil {
			errs = append(errs, unix.Munmap(m))
		}
	}
	r.rings, r.entries = nil, nil
	return errors.Join(errs...)
}
