package floppy

import (
	"fmt"
	"sync"

	"github.com/govmm/govmm/block"
)

// medium is a disk in a drive.
type medium struct {
	*format
	readOnly bool
	queue    block.Queue
}

// access is the one request that the controller has with a disk, and what
// becomes of it. It is guarded by FDC.mu.
type access struct {
	request block.Request
	vec     [1][]byte

	quiet     sync.Cond // busy has become false
	busy      bool      // the disk has the request
	held      bool      // it is done, which is not looked at while paused
	paused    bool
	abandoned bool // by a reset: the result is of no interest
	deferred  bool // a command waits for the buffer of an abandoned request
}

func (a *access) init(mu *sync.Mutex) {
	a.quiet.L = mu
	a.request.Vec = a.vec[:]
}

// inUse reports whether the buffer is.
func (a *access) inUse() bool { return a.busy || a.held }

// submit reads or writes the first End bytes of the buffer.
func (f *FDC) submit(m *medium, op block.Op, offset int64) {
	t := &f.s.Transfer
	t.Waiting = true
	a := &f.disk
	a.request.Op, a.request.Offset = op, offset
	a.vec[0] = f.data[:t.End]
	a.busy = true
	m.queue.Submit(&a.request)
	m.queue.Kick()
}

// completed is called by the disk's queue.
func (f *FDC) completed([]*block.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := &f.disk
	a.busy = false
	a.quiet.Broadcast()
	if a.paused {
		a.held = true
		return
	}
	f.settle()
}

// settle looks at what has become of the request.
func (f *FDC) settle() {
	a := &f.disk
	a.held = false
	if !a.abandoned {
		f.diskDone(a.request.Err)
		return
	}
	a.abandoned = false
	if a.deferred {
		a.deferred = false
		f.start()
	}
}

// diskDone goes on with the command that waited for the disk.
func (f *FDC) diskDone(err error) {
	t := &f.s.Transfer
	if err != nil {
		if f.log.Allow() {
			f.log.Warn("a floppy disk does not work", "drive", driveName(int(t.Drive)), "error", err)
		}
		if !t.Kind.writes() && !t.OneByOne && t.End > sectorSize {
			t.OneByOne = true // the good sectors are the guest's
			f.next()
			return
		}
		f.fail(st1DataError, st2DataError)
		return
	}
	switch {
	case t.Kind == KindFormat:
		f.nextFormat()
	case t.Kind == KindWrite || t.Kind == KindVerify:
		f.goOn(t.End / sectorSize)
	case t.Kind.scans():
		t.Pos, t.End = sectorSize, 2*sectorSize // the guest's data comes after the disk's
		f.ready()
	default:
		f.ready()
	}
}

// abort gives up the command being executed.
func (f *FDC) abort() {
	a := &f.disk
	a.abandoned = a.inUse()
	a.deferred = false
	f.dma.SetDREQ(false)
}

// Insert puts a disk into drive i, 0 or 1, in place of the one that is there;
// the guest sees that the disk was changed. It fails, and changes nothing, when
// the disk's size fits no disk for the drive. The disk's owner closes it after
// it was taken out. Insert waits for the host's disk.
func (f *FDC) Insert(i int, b block.Backend) error {
	f.media.Lock()
	defer f.media.Unlock()
	kind := f.drives[i].kind
	if kind == DriveNone {
		return fmt.Errorf("there is no floppy drive %s", driveName(i))
	}
	fm, err := kind.fit(b.Size())
	if err != nil {
		return fmt.Errorf("floppy drive %s: %w", driveName(i), err)
	}
	m := &medium{format: fm, readOnly: b.ReadOnly()}
	if !m.readOnly {
		if err := b.SetWriteCache(false); err != nil {
			return fmt.Errorf("floppy drive %s: turn off the write cache: %w", driveName(i), err)
		}
	}
	m.queue, err = b.NewQueue(block.QueueOptions{Completed: f.completed, Depth: 1})
	if err != nil {
		return fmt.Errorf("floppy drive %s: %w", driveName(i), err)
	}
	return f.replace(i, m)
}

// Fits says why drive i takes no disk of size bytes.
func (f *FDC) Fits(i int, size int64) error {
	_, err := f.drives[i].kind.fit(size)
	return err
}

// Eject takes the disk out of drive i, 0 or 1, and returns when it is not used
// any more. Ejecting from an empty drive does nothing.
func (f *FDC) Eject(i int) error {
	f.media.Lock()
	defer f.media.Unlock()
	return f.replace(i, nil)
}

// Close takes the disks out, and returns when they are not used any more. The
// vCPUs do not run any more.
func (f *FDC) Close() error {
	err := f.Eject(0)
	if e := f.Eject(1); err == nil {
		err = e
	}
	return err
}

// replace changes the disk in a drive, under the media lock.
func (f *FDC) replace(i int, m *medium) error {
	f.mu.Lock()
	old := f.drives[i].medium
	f.drives[i].medium = m
	if old != nil || m != nil {
		f.s.Drives[i].Changed = true
	}
	f.mu.Unlock()
	if old == nil {
		return nil
	}
	if err := old.queue.Close(); err != nil {
		return fmt.Errorf("floppy drive %s: %w", driveName(i), err)
	}
	return nil
}

// Medium is the geometry of the disk in drive i, 0 or 1; ok is false when there
// is none.
func (f *FDC) Medium(i int) (g Geometry, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.drives[i].medium
	if m == nil {
		return Geometry{}, false
	}
	return m.Geometry, true
}

// Pause returns when the controller does not touch the guest's memory or its
// disks any more, until Resume. The vCPUs do not run.
func (f *FDC) Pause() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.disk.paused = true
	for f.disk.busy {
		f.disk.quiet.Wait()
	}
}

// Resume goes on after a Pause.
func (f *FDC) Resume() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.disk.paused = false
	if f.disk.held {
		f.settle()
	}
}
