package block

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// unsupported reports whether the host lacks an operation, so that another way
// to the same end is worth trying.
func unsupported(err error) bool {
	return err == unix.EOPNOTSUPP || err == unix.ENOSYS || err == unix.ENOTTY || err == unix.ENODEV
}

func fallocate(fd int, mode uint32, off, n int64) error {
	for {
		if err := unix.Fallocate(fd, mode, off, n); err != unix.EINTR {
			return err
		}
	}
}

// discard gives the space of a range back to the host, as far as it can.
func (d *Raw) discard(off, n int64) error {
	if n == 0 {
		return nil
	}
	var err error
	if d.device {
		// Devices discard whole blocks; what sticks out at the ends stays.
		unit := int64(d.topology.LogicalBlockSize)
		end := (off + n) / unit * unit
		off = (off + unit - 1) / unit * unit
		if off >= end {
			return nil
		}
		span := [2]uint64{uint64(off), uint64(end - off)}
		d.shareEdge()
		err = ioctlPointer(d.fd, unix.BLKDISCARD, unsafe.Pointer(&span))
		d.unshareEdge()
	} else {
		d.shareEdge()
		err = fallocate(d.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
		d.unshareEdge()
	}
	if unsupported(err) {
		return nil
	}
	return err
}

// writeZeroes clears a range by the cheapest means the host has. A file that
// ends before the range needs nothing there: its size is kept, and reading
// beyond its end gives zeroes.
func (d *Raw) writeZeroes(r *Request) error {
	off, n := r.Offset, r.total
	if d.device {
		// Whole blocks by the device, the ends by writing.
		unit := int64(d.topology.LogicalBlockSize)
		from, to := (off+unit-1)/unit*unit, (off+n)/unit*unit
		if from >= to {
			return d.zeroByWriting(off, n)
		}
		if err := d.zeroByWriting(off, from-off); err != nil {
			return err
		}
		if err := d.zeroByWriting(to, off+n-to); err != nil {
			return err
		}
		off, n = from, to-from
	}
	if n == 0 {
		return nil
	}
	if err := d.zeroByHost(off, n, r.Unmap); !unsupported(err) {
		return err
	}
	return d.zeroByWriting(off, n)
}

// zeroByHost has the file system or the device clear a range. Block devices
// take the same two calls as files: with PUNCH_HOLE the device may unmap, with
// ZERO_RANGE the space stays allocated.
func (d *Raw) zeroByHost(off, n int64, unmap bool) error {
	d.shareEdge()
	defer d.unshareEdge()
	if unmap {
		err := fallocate(d.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
		if !unsupported(err) {
			return err
		}
	}
	err := fallocate(d.fd, unix.FALLOC_FL_ZERO_RANGE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	if d.device && unsupported(err) {
		span := [2]uint64{uint64(off), uint64(n)}
		err = ioctlPointer(d.fd, unix.BLKZEROOUT, unsafe.Pointer(&span))
	}
	return err
}

// zeroByWriting writes zeroes in chunks of a bounded size, not beyond the
// length that a file has.
func (d *Raw) zeroByWriting(off, n int64) error {
	if n <= 0 {
		return nil
	}
	length, err := fileLength(d.fd, d.device)
	if err != nil {
		return err
	}
	end := min(off+n, length)
	if off >= end {
		return nil
	}
	zeroes := make([]byte, min(end-off, 1<<20))
	w := Request{Op: Write, Vec: [][]byte{nil}}
	for ; off < end; off += w.total {
		w.Offset, w.moved = off, 0
		w.Vec[0] = zeroes[:min(end-off, int64(len(zeroes)))]
		w.total = int64(len(w.Vec[0]))
		if d.direct != nil {
			err = d.directWrite(&w)
		} else {
			err = d.write(d.fd, &w)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
