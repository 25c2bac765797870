package block

import (
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// SectorSize is the unit of disk sizes in bytes, whatever the host's disk uses.
const SectorSize = 512

// Op is what a request asks for.
type Op uint8

// The operations.
const (
	// Read fills Vec from Offset on.
	Read Op = iota
	// Write writes Vec from Offset on.
	Write
	// Flush makes durable every write that completed before it was submitted.
	Flush
	// Discard says that Length bytes from Offset on are not needed any more.
	// What is read there afterwards is either the old data or zeroes. It
	// succeeds without effect where the host cannot give space back.
	Discard
	// WriteZeroes makes Length bytes from Offset on read as zeroes.
	WriteZeroes
)

var opNames = [...]string{"read", "write", "flush", "discard", "write zeroes"}

func (op Op) String() string {
	if int(op) < len(opNames) {
		return opNames[op]
	}
	return "unknown operation"
}

// changes reports whether the operation needs a writable disk.
func (op Op) changes() bool { return op == Write || op == Discard || op == WriteZeroes }

// Request is one operation on a disk. A device keeps it inside its own pooled
// request, to which Owner points, and uses it again and again: the buffers that
// a request needs on its way are kept with it.
//
// The exported fields are the submitter's. A back end changes nothing but Err,
// so a request that failed can be submitted again as it is.
type Request struct {
	// Op is what to do.
	Op Op

	// Unmap lets WriteZeroes give the space back to the host.
	Unmap bool

	// Offset is where on the disk, in bytes.
	Offset int64

	// Length is how many bytes, for Discard and WriteZeroes. It has no meaning
	// for the others.
	Length int64

	// Vec is the memory of a Read or a Write, usually the guest's. It must stay
	// mapped until the request is completed; empty slices are skipped.
	Vec [][]byte

	// Owner is the submitter's own, to find its way back from the request.
	Owner any

	// Err is the result, set when the request is completed. It is nil or wraps
	// a host error number (ENOSPC, EIO, ...) or one of this package's errors.
	// After an error, any part of a Read or Write may have been done.
	Err error

	next  *Request // in the list that holds the request
	queue *workerQueue
	iov   []unix.Iovec // of the transfer in progress
	total int64        // bytes of Vec, or Length
	moved int64        // bytes of total that are done

	handed time.Time // to another thread, when the time that takes is of interest
}

// Bytes is how many bytes of the disk the request covers. A total beyond what
// an int64 holds is given as the greatest int64.
func (r *Request) Bytes() int64 {
	switch r.Op {
	case Read, Write:
		var n int64
		for _, b := range r.Vec {
			if int64(len(b)) > math.MaxInt64-n {
				return math.MaxInt64
			}
			n += int64(len(b))
		}
		return n
	case Discard, WriteZeroes:
		return r.Length
	}
	return 0
}

// Check is for back ends: it says whether a disk of size bytes can take the
// request (ErrOutOfRange, ErrReadOnly, EINVAL for an unknown Op), and clears Err.
func (r *Request) Check(size int64, readOnly bool) error {
	r.Err, r.moved = nil, 0
	if r.Op > WriteZeroes {
		return unix.EINVAL
	}
	if readOnly && r.Op.changes() {
		return ErrReadOnly
	}
	r.total = r.Bytes()
	if r.Op == Flush {
		return nil
	}
	if r.Offset < 0 || r.total < 0 || r.Offset > size || r.total > size-r.Offset {
		return ErrOutOfRange
	}
	return nil
}

// requestList is a first-in, first-out list of requests, linked through them.
type requestList struct {
	head, tail *Request
}

func (l *requestList) empty() bool { return l.head == nil }

func (l *requestList) push(r *Request) {
	r.next = nil
	if l.head == nil {
		l.head = r
	} else {
		l.tail.next = r
	}
	l.tail = r
}

func (l *requestList) pop() *Request {
	r := l.head
	if r != nil {
		l.head = r.next
		r.next = nil
	}
	return r
}
