package block

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Raw is a disk whose bytes are those of a file or a block device of the host.
//
// A file whose length is not a multiple of SectorSize makes a disk that is
// rounded up to one, as in QEMU: what lies beyond the file's end reads as
// zeroes, and writing there makes the file longer.
type Raw struct {
	path     string
	fd       int
	device   bool // a block device, not a file
	readOnly bool
	direct   *direct // with CacheNone, else nil
	engine   Engine  // EngineThreads or EngineNative
	log      *slog.Logger

	size       atomic.Int64
	topology   Topology
	writeCache atomic.Bool
	noDSync    atomic.Bool // the file system has no RWF_DSYNC
	noNoWait   atomic.Bool // the file system has no RWF_NOWAIT

	workers *Workers

	// open is held for reading by everything that uses fd.
	open   sync.RWMutex
	closed bool

	mu       sync.Mutex // of what follows
	queues   map[Queue]struct{}
	closing  bool
	onResize func(int64)

	closeOnce sync.Once
	closeErr  error
}

var _ Backend = (*Raw)(nil)

func openRaw(ctx context.Context, o Options) (_ *Raw, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if o.Unlocked && !o.ReadOnly {
		return nil, fmt.Errorf("%s: only what is read can be left unlocked", o.Path)
	}
	d := &Raw{
		path: o.Path, fd: -1, readOnly: o.ReadOnly, engine: o.Engine, log: o.Log,
		queues: make(map[Queue]struct{}),
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	defer func() {
		if err != nil {
			d.release()
		}
	}()
	if err := d.openFile(o); err != nil {
		return nil, err
	}
	if !o.Unlocked {
		if err := lockImage(ctx, d.fd, d.path, d.readOnly, o.Shareable, d.log); err != nil {
			return nil, err
		}
	}
	size, err := d.measure()
	if err != nil {
		return nil, fmt.Errorf("%s: cannot find the size: %w", d.path, err)
	}
	d.size.Store(size)
	if o.Cache == CacheNone {
		if d.direct, err = newDirect(d.fd, d.path, d.device, size); err != nil {
			return nil, err
		}
	}
	d.topology = d.findTopology()
	d.writeCache.Store(o.Cache != CacheWritethrough)
	d.workers = NewWorkers(o.Threads)
	d.chooseEngine()
	return d, nil
}

// openFile opens the path and finds out what it is.
func (d *Raw) openFile(o Options) error {
	var st unix.Stat_t
	// Looking first keeps the opening of a FIFO or of some character device
	// from having an effect, or from waiting.
	if err := unix.Stat(d.path, &st); err != nil {
		return fmt.Errorf("%s: %w", d.path, err)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFBLK:
		d.device = true
	case unix.S_IFDIR:
		return fmt.Errorf("%s is a directory, neither a file nor a block device", d.path)
	default:
		return fmt.Errorf("%s: neither a file nor a block device", d.path)
	}
	flags := unix.O_CLOEXEC | unix.O_RDWR
	if d.readOnly {
		flags = unix.O_CLOEXEC | unix.O_RDONLY
	}
	if o.Cache == CacheNone {
		flags |= unix.O_DIRECT
	}
	fd, err := openRetry(d.path, flags)
	switch {
	case err == nil:
	case o.Cache == CacheNone && errors.Is(err, unix.EINVAL):
		return noDirectIO(d.path)
	case !d.readOnly && (errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)):
		return fmt.Errorf("%s: cannot be opened for writing (a disk that is only read needs <readonly/>): %w", d.path, err)
	default:
		return fmt.Errorf("%s: %w", d.path, err)
	}
	d.fd = fd
	if d.device && !d.readOnly {
		if ro, err := unix.IoctlGetInt(fd, unix.BLKROGET); err == nil && ro != 0 {
			return fmt.Errorf("%s: the block device is read-only (it needs <readonly/>): %w", d.path, unix.EROFS)
		}
	}
	return nil
}

func openRetry(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// Path is the file or device as it was given.
func (d *Raw) Path() string { return d.path }

// Engine is EngineThreads or EngineNative, whichever the queues use.
func (d *Raw) Engine() Engine { return d.engine }

// Size implements [Backend].
func (d *Raw) Size() int64 { return d.size.Load() }

// ReadOnly implements [Backend].
func (d *Raw) ReadOnly() bool { return d.readOnly }

// Topology implements [Backend].
func (d *Raw) Topology() Topology { return d.topology }

// Brief implements [Briefer]: the page cache has what was used lately.
func (d *Raw) Brief() bool { return d.direct == nil }

// WriteCache implements [Backend].
func (d *Raw) WriteCache() bool { return d.writeCache.Load() }

// SetWriteCache implements [Backend].
func (d *Raw) SetWriteCache(on bool) error {
	if d.writeCache.Swap(on) && !on && !d.readOnly {
		// Writes that began before the swap are the guest's to wait for; what
		// is complete is made durable here.
		return FlushAll(d)
	}
	return nil
}

// OnResize implements [Backend].
func (d *Raw) OnResize(f func(size int64)) {
	d.mu.Lock()
	d.onResize = f
	d.mu.Unlock()
}

// Refresh looks at the size again, after something else has made the file or
// the device longer or shorter, and tells the OnResize function of a change.
func (d *Raw) Refresh() error {
	d.open.RLock()
	defer d.open.RUnlock()
	if d.closed {
		return fmt.Errorf("%s: %w", d.path, ErrClosed)
	}
	d.mu.Lock()
	size, err := d.measure()
	if err == nil && d.direct != nil {
		err = d.direct.resized(d.fd, size)
	}
	if err != nil {
		d.mu.Unlock()
		return fmt.Errorf("%s: cannot find the size: %w", d.path, err)
	}
	changed := d.size.Swap(size) != size
	f := d.onResize
	d.mu.Unlock()
	if changed && f != nil {
		f(size)
	}
	return nil
}

// Resize makes the file size bytes long and tells the OnResize function. New
// bytes read as zeroes. A block device keeps its size; asking for more than that
// is ENOSPC.
func (d *Raw) Resize(size int64) error {
	if d.readOnly {
		return fmt.Errorf("%s: resize: %w", d.path, ErrReadOnly)
	}
	if d.device {
		if size > d.Size() {
			return fmt.Errorf("%s: the block device has no more than %d bytes: %w", d.path, d.Size(), unix.ENOSPC)
		}
		return nil
	}
	if err := d.truncate(size); err != nil {
		return fmt.Errorf("%s: resize to %d bytes: %w", d.path, size, err)
	}
	return d.Refresh()
}

func (d *Raw) truncate(size int64) error {
	d.open.RLock()
	defer d.open.RUnlock()
	if d.closed {
		return ErrClosed
	}
	for {
		if err := unix.Ftruncate(d.fd, size); err != unix.EINTR {
			return err
		}
	}
}

// Do implements [Backend].
func (d *Raw) Do(r *Request) error {
	d.open.RLock()
	defer d.open.RUnlock()
	r.Err = fail(d.path, r, d.do(r))
	return r.Err
}

func (d *Raw) do(r *Request) error {
	if d.closed {
		return ErrClosed
	}
	if err := r.Check(d.size.Load(), d.readOnly); err != nil {
		return err
	}
	switch r.Op {
	case Read:
		if d.direct != nil {
			return d.directRead(r)
		}
		return d.read(d.fd, r)
	case Write:
		if d.direct != nil {
			return d.directWrite(r)
		}
		return d.write(d.fd, r)
	case Flush:
		return d.sync()
	case Discard:
		return d.durable(d.discard(r.Offset, r.total))
	default:
		return d.durable(d.writeZeroes(r))
	}
}

// sync makes durable what was written. Read-only disks have nothing to flush.
func (d *Raw) sync() error {
	if d.readOnly {
		return nil
	}
	for {
		if err := unix.Fdatasync(d.fd); err != unix.EINTR {
			return err
		}
	}
}

// durable ends an operation that changed the disk and has no synchronous form.
func (d *Raw) durable(err error) error {
	if err != nil || d.writeCache.Load() {
		return err
	}
	return d.sync()
}

// NewQueue implements [Backend].
func (d *Raw) NewQueue(o QueueOptions) (Queue, error) {
	q, err := d.newQueue(o)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closing {
		return nil, errors.Join(fmt.Errorf("%s: %w", d.path, ErrClosed), q.Close())
	}
	rq := &rawQueue{Queue: q, raw: d}
	d.queues[rq] = struct{}{}
	return rq, nil
}

func (d *Raw) newQueue(o QueueOptions) (Queue, error) {
	if o.Completed == nil {
		return nil, errNoCompleted
	}
	var inline inlineDisk
	if o.Inline {
		inline = d
	}
	if d.engine == EngineNative {
		return newRingQueue(d, inline, o)
	}
	return d.workers.newQueue(d.Do, inline, o)
}

// rawQueue is a queue that its disk closes if nobody else does.
type rawQueue struct {
	Queue
	raw *Raw
}

func (q *rawQueue) Close() error {
	q.raw.mu.Lock()
	delete(q.raw.queues, q)
	q.raw.mu.Unlock()
	return q.Queue.Close()
}

// Close implements [Backend].
func (d *Raw) Close() error {
	d.closeOnce.Do(func() { d.closeErr = d.close() })
	return d.closeErr
}

func (d *Raw) close() error {
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
	errs = append(errs, d.release())
	d.open.Unlock()
	return errors.Join(errs...)
}

// release gives back the file, also of a half-opened disk.
func (d *Raw) release() error {
	var errs []error
	if d.direct != nil {
		errs = append(errs, d.direct.close())
	}
	if d.fd >= 0 {
		if err := unlockImage(d.fd); err != nil {
			errs = append(errs, fmt.Errorf("%s: unlock: %w", d.path, err))
		}
		if err := unix.Close(d.fd); err != nil {
			errs = append(errs, fmt.Errorf("%s: close: %w", d.path, err))
		}
		d.fd = -1
	}
	return errors.Join(errs...)
}
