package block

import (
	"errors"
	"fmt"
)

// Errors of requests and of Open, found with errors.Is in what they return.
var (
	// ErrOutOfRange is a request that is not wholly on the disk.
	ErrOutOfRange = errors.New("beyond the end of the disk")
	// ErrReadOnly is a request that would change a read-only disk.
	ErrReadOnly = errors.New("the disk is read-only")
	// ErrClosed is a request that came after Close.
	ErrClosed = errors.New("the disk is closed")
	// ErrInUse is an image that another process has open, in this way or one
	// that excludes it.
	ErrInUse = errors.New("is in use by another process")
	// ErrNoDirectIO is an image that cannot be opened with cache="none".
	ErrNoDirectIO = errors.New("no O_DIRECT")
)

// RequestError is a request that failed. It wraps the host's error number or
// one of this package's errors.
type RequestError struct {
	Path   string // of the image
	Op     Op
	Offset int64 // in bytes; 0 for Flush
	Length int64 // in bytes; 0 for Flush
	Err    error
}

func (e *RequestError) Error() string {
	if e.Op == Flush {
		return fmt.Sprintf("%s: flush: %v", e.Path, e.Err)
	}
	return fmt.Sprintf("%s: %v of %d bytes at offset %d: %v", e.Path, e.Op, e.Length, e.Offset, e.Err)
}

// Unwrap gives the cause.
func (e *RequestError) Unwrap() error { return e.Err }

// fail makes the error of a request, nil for nil.
func fail(path string, r *Request, err error) error {
	if err == nil {
		return nil
	}
	return &RequestError{Path: path, Op: r.Op, Offset: r.Offset, Length: r.total, Err: err}
}
