package block

// Backend is the host end of one disk. Its methods may be called from any
// goroutine.
type Backend interface {
	// Size is the disk's size in bytes, a multiple of SectorSize.
	Size() int64

	// ReadOnly reports whether everything that would change the disk fails
	// with ErrReadOnly.
	ReadOnly() bool

	// Topology is what the host knows about good request sizes.
	Topology() Topology

	// WriteCache reports whether a completed write may still be lost when the
	// host fails, until the next Flush. It is what the guest is shown as the
	// disk's volatile write cache.
	WriteCache() bool

	// SetWriteCache turns the volatile write cache on or off, for guests that
	// do so themselves. Writes submitted after its return follow the new
	// setting; when it turns the cache off, everything completed before is
	// durable on its return. It waits for the host's disk, so it is not for a
	// vCPU thread.
	SetWriteCache(on bool) error

	// Do carries out one request on the calling goroutine and returns its
	// error, which it also leaves in r.Err.
	Do(r *Request) error

	// NewQueue makes a queue of its own for one submitter.
	NewQueue(o QueueOptions) (Queue, error)

	// OnResize sets the function that is called, with the new size in bytes,
	// after the disk has grown or shrunk. It replaces the one set before; nil
	// removes it. A call to the old one may still be running on return.
	OnResize(f func(size int64))

	// Close closes the queues, whose submitters must have stopped, waits for
	// everything in flight, and gives back all that the back end holds. Later
	// requests fail with ErrClosed. Later calls return the same error.
	Close() error
}

// Briefer is a Backend whose requests may be so short that a vCPU's own thread
// can do them: where a cache has the data, that takes less time than waking
// another thread.
type Briefer interface {
	// Brief reports whether most requests are, so that Submit and Kick of an
	// inline queue may be called on such a thread. It does not change.
	Brief() bool
}

// Queue takes requests from one submitter and completes them in any order.
//
// Submit and Kick are the submitter's: they must not run concurrently with each
// other, or with Drain and Close. They may be called from the Completed
// function, by a submitter whose own lock keeps them apart. Drain and Close may
// not, as they wait for it.
type Queue interface {
	// Submit hands over a request, which belongs to the queue until it is
	// given to Completed. It may be held back until Kick. Errors, those in the
	// request itself included, come with the completion.
	Submit(r *Request)

	// Kick starts what was submitted.
	Kick()

	// Drain starts what was submitted and waits until all of it has been
	// given to Completed and Completed has returned.
	Drain()

	// Close drains the queue and releases what it holds. Requests submitted
	// later complete with ErrClosed.
	Close() error
}

// QueueOptions say how one submitter wants its requests done.
type QueueOptions struct {
	// Completed is given the requests that are done, with their Err set; at
	// least one, and as many as have come together, so that one interrupt can
	// stand for all of them. The calls of one queue never overlap. The slice
	// is the queue's; the requests are the caller's again, and may be
	// submitted anew from a later call of Submit. Required.
	Completed func(done []*Request)

	// Inline allows Submit and Kick to do I/O that is expected to be short on
	// the caller's goroutine, and to call Completed there. That saves the
	// change to another thread when the host has the data in its page cache.
	// It is for a goroutine that serves a virtqueue, which holds no lock its
	// Completed function takes. A device that submits from a vCPU thread
	// leaves it false: then Submit and Kick do not wait for the disk, and
	// Completed is called from another goroutine.
	Inline bool

	// Depth is how many requests may be in flight; more wait in the queue.
	// 0 is DefaultDepth, the most is MaxDepth.
	Depth int
}

// Numbers of requests in flight in one queue.
const (
	DefaultDepth = 128
	MaxDepth     = 1024
)

// Topology describes a disk's units, all in bytes. Back ends take requests of
// any alignment; those that keep to the units are faster.
type Topology struct {
	// LogicalBlockSize is the unit the host addresses the disk in, at least
	// SectorSize. Smaller or misaligned writes cost a read before the write. A
	// guest is normally shown SectorSize whatever stands here, or the partition
	// table of an existing image would not be found.
	LogicalBlockSize int

	// PhysicalBlockSize is the unit the disk writes in without reading first.
	PhysicalBlockSize int

	// MinimumIO and OptimalIO are the smallest and the best request size for
	// throughput, 0 when unknown.
	MinimumIO int
	OptimalIO int

	// DiscardGranularity is the unit in which Discard can give space back, 0
	// when it gives none back.
	DiscardGranularity int
}
