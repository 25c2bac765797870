package nbd

import (
	"io"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// receiveBuffer holds headers, and the data that comes along with them.
	receiveBuffer = 16 << 10
	// maxSegments is how many pieces of memory one system call takes (IOV_MAX).
	maxSegments = 1024
)

// receiver reads from a connection, headers from a buffer and data straight
// into the memory it is for.
type receiver struct {
	from     io.Reader
	raw      syscall.RawConn // nil if there is no plain socket
	progress atomic.Uint64   // counts what has come, for whoever watches

	buffer     []byte
	start, end int // of what is in the buffer

	iov   []unix.Iovec
	readv func(fd uintptr) bool // kept, or each use would allocate it
	n     int
	errno unix.Errno
}

func (r *receiver) init(from io.Reader) {
	r.from, r.buffer = from, make([]byte, receiveBuffer)
	if s, ok := from.(syscall.Conn); ok { // a socket, without TLS around it
		if raw, err := s.SyscallConn(); err == nil {
			r.raw, r.readv = raw, r.readvOnce
		}
	}
}

// next returns the next n bytes, at most receiveBuffer, valid until the
// following call.
func (r *receiver) next(n int) ([]byte, error) {
	if r.end-r.start < n {
		r.end = copy(r.buffer, r.buffer[r.start:r.end])
		r.start = 0
		for r.end < n {
			got, err := r.from.Read(r.buffer[r.end:])
			r.end += got
			r.progress.Add(1)
			if err != nil && r.end < n {
				return nil, unexpected(err)
			}
		}
	}
	b := r.buffer[r.start : r.start+n]
	r.start += n
	return b, nil
}

// fill reads n bytes into vec, which has that many from byte skip on.
func (r *receiver) fill(vec [][]byte, skip, n int64) error {
	for n > 0 {
		for skip >= int64(len(vec[0])) {
			skip -= int64(len(vec[0]))
			vec = vec[1:]
		}
		got := int64(0)
		if r.start < r.end {
			b := vec[0][skip:]
			got = int64(copy(b[:min(int64(len(b)), n)], r.buffer[r.start:r.end]))
			r.start += int(got)
		} else {
			var err error
			if got, err = r.read(vec, skip, n); err != nil {
				return err
			}
		}
		skip += got
		n -= got
	}
	return nil
}

// read receives some bytes, at least one and at most n.
func (r *receiver) read(vec [][]byte, skip, n int64) (got int64, err error) {
	if r.raw == nil {
		b := vec[0][skip:]
		c, err := r.from.Read(b[:min(int64(len(b)), n)])
		got = int64(c)
		if got > 0 {
			err = nil
		}
		r.progress.Add(1)
		return got, unexpected(err)
	}
	r.iov = r.iov[:0]
	for _, b := range vec {
		if n == 0 || len(r.iov) == maxSegments {
			break
		}
		b = b[skip:]
		skip = 0
		b = b[:min(int64(len(b)), n)]
		n -= int64(len(b))
		v := unix.Iovec{Base: unsafe.SliceData(b)}
		v.SetLen(len(b))
		r.iov = append(r.iov, v)
	}
	err = r.raw.Read(r.readv)
	clear(r.iov)
	r.progress.Add(1)
	switch {
	case err != nil:
		return 0, err
	case r.errno != 0:
		return 0, r.errno
	case r.n == 0:
		return 0, io.ErrUnexpectedEOF
	}
	return int64(r.n), nil
}

// readvOnce is false when nothing is there yet.
func (r *receiver) readvOnce(fd uintptr) bool {
	for {
		n, _, errno := unix.Syscall(unix.SYS_READV, fd, uintptr(unsafe.Pointer(unsafe.SliceData(r.iov))), uintptr(len(r.iov)))
		if errno == unix.EINTR {
			continue
		}
		r.n, r.errno = int(n), errno
		return errno != unix.EAGAIN
	}
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
