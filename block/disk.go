package block

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// Disk is a [Backend] over a [Layer]. Requests that wait are done by a set of
// threads; what a [TryReader] has at hand is read where it was submitted.
type Disk struct {
	layer      Layer
	name       string
	try        TryReader // nil if the layer is none
	brief      bool
	topology   Topology
	writeCache atomic.Bool
	size       atomic.Int64
	workers    *Workers

	// open is held for reading by everything that uses the layer.
	open   sync.RWMutex
	closed bool

	mu       sync.Mutex // of what follows
	queues   map[Queue]struct{}
	closing  bool
	onResize func(int64)

	closeOnce sync.Once
	closeErr  error
}

var (
	_ Backend = (*Disk)(nil)
	_ Briefer = (*Disk)(nil)
)

// DiskOptions say how a disk uses its layer.
type DiskOptions struct {
	// Name stands in errors, usually the path of the image.
	Name string

	// WriteThrough has every write flushed before it is complete, as with
	// CacheWritethrough.
	WriteThrough bool

	// Threads is as in [Options].
	Threads int
}

// NewDisk makes a disk of a layer, which Close closes. Its size is the layer's
// without the part of a sector at the end.
func NewDisk(l Layer, o DiskOptions) *Disk {
	d := &Disk{
		layer: l, name: o.Name, workers: NewWorkers(o.Threads), queues: make(map[Queue]struct{}),
		topology: Topology{LogicalBlockSize: SectorSize, PhysicalBlockSize: SectorSize},
	}
	if s, ok := l.(Shaper); ok {
		d.topology = s.Topology()
	}
	d.try, _ = l.(TryReader)
	if b, ok := l.(Briefer); ok && d.try != nil {
		d.brief = b.Brief()
	}
	d.writeCache.Store(!o.WriteThrough)
	d.measure()
	return d
}

// measure takes over the layer's size and reports whether it is another.
func (d *Disk) measure() (size int64, changed bool) {
	size = d.layer.Size() / SectorSize * SectorSize
	return size, d.size.Swap(size) != size
}

// Layer is what the disk is made of.
func (d *Disk) Layer() Layer { return d.layer }

// Size implements [Backend].
func (d *Disk) Size() int64 { return d.size.Load() }

// ReadOnly implements [Backend].
func (d *Disk) ReadOnly() bool { return d.layer.ReadOnly() }

// Topology implements [Backend].
func (d *Disk) Topology() Topology { return d.topology }

// Brief implements [Briefer].
func (d *Disk) Brief() bool { return d.brief }

// WriteCache implements [Backend].
func (d *Disk) WriteCache() bool { return d.writeCache.Load() }

// SetWriteCache implements [Backend].
func (d *Disk) SetWriteCache(on bool) error {
	if d.writeCache.Swap(on) && !on && !d.ReadOnly() {
		return FlushAll(d)
	}
	return nil
}

// OnResize implements [Backend].
func (d *Disk) OnResize(f func(size int64)) {
	d.mu.Lock()
	d.onResize = f
	d.mu.Unlock()
}

// Resize changes the size of the layer, if it is a [Resizer], to size bytes, a
// multiple of SectorSize, and tells the OnResize function.
func (d *Disk) Resize(size int64) error {
	r, ok := d.layer.(Resizer)
	if !ok {
		return fmt.Errorf("%s: its size cannot be changed: %w", d.name, errors.ErrUnsupported)
	}
	if size <= 0 || size%SectorSize != 0 {
		return fmt.Errorf("%s: %d bytes are no size of a disk, which is a multiple of %d", d.name, size, SectorSize)
	}
	return d.resized(func() error { return r.Resize(size) })
}

// Refresh looks at the size again, after something else has changed that of the
// layer, and tells the OnResize function.
func (d *Disk) Refresh() error {
	return d.resized(func() error {
		if r, ok := d.layer.(interface{ Refresh() error }); ok {
			return r.Refresh()
		}
		return nil
	})
}

func (d *Disk) resized(change func() error) error {
	d.open.RLock()
	defer d.open.RUnlock()
	if d.closed {
		return fmt.Errorf("%s: %w", d.name, ErrClosed)
	}
	d.mu.Lock()
	err := change()
	size, changed := d.measure()
	f := d.onResize
	d.mu.Unlock()
	if changed && f != nil {
		f(size)
	}
	return err
}

// Do implements [Backend].
func (d *Disk) Do(r *Request) error {
	d.open.RLock()
	defer d.open.RUnlock()
	r.Err = fail(d.name, r, d.do(r))
	return r.Err
}

func (d *Disk) do(r *Request) error {
	if d.closed {
		return ErrClosed
	}
	if err := r.Check(d.size.Load(), d.ReadOnly()); err != nil {
		return err
	}
	switch {
	case r.Op == Flush:
		if d.ReadOnly() {
			return nil
		}
		return d.layer.Flush()
	case r.total == 0:
		return nil
	}
	switch r.Op {
	case Read:
		return d.layer.ReadVec(r.Vec, r.Offset)
	case Write:
		return d.durable(d.layer.WriteVec(r.Vec, r.Offset))
	case Discard:
		return d.durable(d.layer.Discard(r.Offset, r.total))
	default:
		return d.durable(d.layer.WriteZeroes(r.Offset, r.total, r.Unmap))
	}
}

// durable ends a change.
func (d *Disk) durable(err error) error {
	if err != nil || d.writeCache.Load() {
		return err
	}
	return d.layer.Flush()
}

// tryRead implements inlineDisk.
func (d *Disk) tryRead(r *Request) bool {
	d.open.RLock()
	defer d.open.RUnlock()
	if d.closed || r.Check(d.size.Load(), true) != nil || r.total > aloneBytes {
		return false
	}
	return d.try.TryReadVec(r.Vec, r.Offset)
}

// NewQueue implements [Backend].
func (d *Disk) NewQueue(o QueueOptions) (Queue, error) {
	var inline inlineDisk
	if o.Inline && d.try != nil {
		inline = d
	}
	q, err := d.workers.newQueue(d.Do, inline, o)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closing {
		return nil, errors.Join(fmt.Errorf("%s: %w", d.name, ErrClosed), q.Close())
	}
	dq := &diskQueue{Queue: q, disk: d}
	d.queues[dq] = struct{}{}
	return dq, nil
}

// diskQueue is a queue that its disk closes if nobody else does.
type diskQueue struct {
	Queue
	disk *Disk
}

func (q *diskQueue) Close() error {
	q.disk.mu.Lock()
	delete(q.disk.queues, q)
	q.disk.mu.Unlock()
	return q.Queue.Close()
}

// Close implements [Backend]. It closes the layer.
func (d *Disk) Close() error {
	d.closeOnce.Do(func() { d.closeErr = d.close() })
	return d.closeErr
}

func (d *Disk) close() error {
	d.mu.Lock()
	d.closing = true
	queues := d.queues
	d.queues = nil
	d.onResize = nil
	d.mu.Unlock()
	var errs []error
	for q := range queues {
		errs = append(errs, q.Close())
	}
	d.workers.Close()
	d.open.Lock()
	d.closed = true
	errs = append(errs, d.layer.Close())
	d.open.Unlock()
	return errors.Join(errs...)
}
