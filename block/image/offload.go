package image

import (
	"errors"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// offload has the host copy from one file to another, which costs no copying at
// all where the file system can share blocks.
type offload struct {
	from, to *os.File
	refused  atomic.Bool // by the host
}

// newOffload is nil where a source is no file.
func newOffload(from, to *store) (*offload, error) {
	if !from.regular() || !to.regular() {
		return nil, nil
	}
	// Descriptors of their own: these files are locked already.
	r, err := os.Open(from.path)
	if err != nil {
		return nil, err
	}
	w, err := os.OpenFile(to.path, os.O_WRONLY, 0)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &offload{from: r, to: w}, nil
}

func (o *offload) close() {
	if o != nil {
		_ = o.from.Close()
		_ = o.to.Close() // what it wrote is in the page cache of the other descriptor
	}
}

// copy is not done if the host cannot do it.
func (o *offload) copy(offset, length int64) (done bool, err error) {
	if o == nil || o.refused.Load() {
		return false, nil
	}
	for length > 0 {
		from, to := offset, offset
		n, err := unix.CopyFileRange(int(o.from.Fd()), &from, int(o.to.Fd()), &to, int(length), 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EXDEV), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL):
			o.refused.Store(true)
			return false, nil
		case err != nil:
			return false, &os.PathError{Op: "copy", Path: o.to.Name(), Err: err}
		case n == 0:
			return false, nil // the file ends within its last sector
		}
		offset, length = offset+int64(n), length-int64(n)
	}
	return true, nil
}
