package net

import (
	"fmt"
	"sync/atomic"

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
	file *descriptor
	// bare descriptors carry Ethernet frames alone. The header is made up when
	// receiving, and when sending it must ask for nothing.
	bare    bool
	enabled atomic.Bool
	rx, tx  half
}

// half is one direction of a fileQueue.
type half struct {
	vec   vector
	spill []byte // made when first needed

	frames, bytes, dropped, errors atomic.Uint64
}

// newFileQueue takes over a nonblocking descriptor, also when it fails.
func newFileQueue(end *endpoint, fd int, bare bool) (*fileQueue, error) {
	file, err := newDescriptor(fd)
	if err != nil {
		return nil, fmt.Errorf("net: %s: %w", end.name, err)
	}
	return &fileQueue{end: end, file: file, bare: bare}, nil
}

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
	_, errno, err := q.file.transfer(unix.SYS_WRITEV, &tx.vec)
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
	got, errno, err := q.file.transfer(unix.SYS_READV, &rx.vec)
	rx.vec.reset()
	switch {
	case err != nil:
		return 0, nil, err
	case errno == unix.EAGAIN:
		return 0, nil, ErrAgain
	case errno == unix.EINVAL, errno == unix.ENOMEM:
		// A frame that the kernel has no virtio_net_hdr for, or no memory. It is
		// lost, and the next one may be better.
		rx.errors.Add(1)
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

// Wait implements Queue.
func (q *fileQueue) Wait(events Events, others []unix.PollFd) (Events, error) {
	if events != 0 {
		if err := q.state(); err != nil {
			clearEvents(others)
			return 0, err
		}
	}
	ready, err := q.file.poll(events.poll(), others)
	if events == 0 {
		return 0, err
	}
	if state := q.end.state(); state != nil {
		q.Wake() // this wake may have been somebody else's, who is to see it too
	}
	if state := q.state(); state != nil {
		return 0, state
	}
	if err != nil {
		return 0, q.end.fail(fmt.Errorf("cannot wait for frames: %w", err))
	}
	return events.ready(ready), nil
}

// Wake implements Queue.
func (q *fileQueue) Wake() { q.file.wake() }

// FD implements Queue.
func (q *fileQueue) FD() int {
	if q.bare {
		return -1
	}
	return q.file.fd
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
