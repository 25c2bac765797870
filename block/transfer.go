package block

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxSegments is how many pieces of memory one system call takes (IOV_MAX).
const maxSegments = 1024

// segments fills iov with the memory of vec from byte skip on, at most
// maxSegments pieces of it.
func segments(iov []unix.Iovec, vec [][]byte, skip int64) []unix.Iovec {
	iov = iov[:0]
	for _, b := range vec {
		if skip >= int64(len(b)) {
			skip -= int64(len(b))
			continue
		}
		b = b[skip:]
		skip = 0
		v := unix.Iovec{Base: unsafe.SliceData(b)}
		v.SetLen(len(b))
		iov = append(iov, v)
		if len(iov) == maxSegments {
			break
		}
	}
	return iov
}

// vectored is preadv2 or pwritev2. These take the offset in two registers,
// the second of which is unused on 64-bit machines.
func vectored(trap uintptr, fd int, iov []unix.Iovec, offset int64, flags int) (int64, error) {
	for {
		n, _, errno := unix.Syscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(iov))),
			uintptr(len(iov)), uintptr(offset), 0, uintptr(flags))
		switch errno {
		case 0:
			return int64(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// read carries out a checked read whose moved bytes are already there.
func (d *Raw) read(fd int, r *Request) error {
	for r.moved < r.total {
		r.iov = segments(r.iov, r.Vec, r.moved)
		n, err := vectored(unix.SYS_PREADV2, fd, r.iov, r.Offset+r.moved, 0)
		if err != nil {
			return err
		}
		if end, err := d.advance(r, n); end || err != nil {
			return err
		}
	}
	return nil
}

// advance counts n bytes of a read. The end of a file reads as zeroes: the
// request is within the disk, but the file may stop short of its last sector,
// or have been cut by someone else.
func (d *Raw) advance(r *Request, n int64) (end bool, err error) {
	r.moved += n
	if r.moved == r.total {
		return true, nil
	}
	if n > 0 && !d.endsAt(r.Offset+r.moved) {
		return false, nil
	}
	if d.device {
		return true, unix.EIO
	}
	zeroFrom(r.Vec, r.moved)
	return true, nil
}

// endsAt reports whether a direct read stopped at off because the file ends
// there. The rest of such a read would not be aligned, so it is not tried.
func (d *Raw) endsAt(off int64) bool {
	if d.direct == nil || off%int64(d.direct.unit) == 0 {
		return false
	}
	length, err := fileLength(d.fd, d.device)
	return err != nil || off >= length
}

// zeroFrom clears vec from byte skip on.
func zeroFrom(vec [][]byte, skip int64) {
	for _, b := range vec {
		if skip >= int64(len(b)) {
			skip -= int64(len(b))
			continue
		}
		clear(b[skip:])
		skip = 0
	}
}

// write carries out a checked write whose moved bytes are already there.
func (d *Raw) write(fd int, r *Request) error {
	for r.moved < r.total {
		r.iov = segments(r.iov, r.Vec, r.moved)
		n, err := d.writeSegments(fd, r.iov, r.Offset+r.moved)
		if err != nil {
			return err
		}
		if n == 0 {
			return unix.EIO
		}
		r.moved += n
	}
	return nil
}

// writeSegments is one system call, durable on its return when the write cache
// is off.
func (d *Raw) writeSegments(fd int, iov []unix.Iovec, offset int64) (int64, error) {
	if d.writeCache.Load() {
		return vectored(unix.SYS_PWRITEV2, fd, iov, offset, 0)
	}
	if !d.noDSync.Load() {
		n, err := vectored(unix.SYS_PWRITEV2, fd, iov, offset, unix.RWF_DSYNC)
		if err != unix.EOPNOTSUPP {
			return n, err
		}
		d.noDSync.Store(true)
	}
	n, err := vectored(unix.SYS_PWRITEV2, fd, iov, offset, 0)
	if err == nil {
		err = d.sync()
	}
	return n, err
}

// tryRead does a read whose data is in the page cache, and nothing else. When
// it is false, the request is as it was before.
func (d *Raw) tryRead(r *Request) bool {
	if d.noNoWait.Load() {
		return false
	}
	d.open.RLock()
	defer d.open.RUnlock()
	if d.closed || r.Check(d.size.Load(), d.readOnly) != nil || r.total > aloneBytes {
		return false
	}
	r.iov = segments(r.iov, r.Vec, 0)
	n, err := vectored(unix.SYS_PREADV2, d.fd, r.iov, r.Offset, unix.RWF_NOWAIT)
	if err == unix.EOPNOTSUPP {
		d.noNoWait.Store(true)
	}
	return err == nil && n == r.total
}
