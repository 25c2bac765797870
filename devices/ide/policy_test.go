package ide

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/blocktest"
)

// newFaulty is a rig with a disk with an error policy.
func newFaulty(t *testing.T, p block.ErrorPolicy) (r *rig, content []byte, faulty *blocktest.Faulty, errs chan block.IOError) {
	content = pattern(1 << 20)
	faulty = blocktest.NewFaulty(blocktest.NewMemory(content, false))
	t.Cleanup(func() { _ = faulty.Close() })
	errs = make(chan block.IOError, 100)
	r = newRig(t, [Channels][Units]DriveOptions{{DiskOptions{
		Backend: faulty, Errors: ErrorOptions{Policy: p, OnError: func(e block.IOError) { errs <- e }},
	}}})
	return r, content, faulty, errs
}

func TestPolicy(t *testing.T) {
	for _, c := range []struct {
		policy block.ErrorPolicy
		op     block.Op
		err    error
		want   block.ErrorAction
	}{
		{block.PolicyReport, block.Read, errDisk, block.ReportError},
		{block.PolicyReport, block.Write, unix.ENOSPC, block.ReportError},
		{block.PolicyIgnore, block.Read, errDisk, block.IgnoreError},
		{block.PolicyIgnore, block.Flush, errDisk, block.IgnoreError},
		{block.PolicyStop, block.Read, errDisk, block.StopOnError},
		{block.PolicyStop, block.Write, errDisk, block.StopOnError},
		{block.PolicyStop, block.Flush, errDisk, block.StopOnError},
		{block.PolicyEnospace, block.Write, errDisk, block.ReportError},
		{block.PolicyEnospace, block.Write, unix.ENOSPC, block.StopOnError},
		{block.PolicyEnospace, block.Write, unix.EDQUOT, block.StopOnError},
		{block.PolicyEnospace, block.Read, unix.ENOSPC, block.ReportError},
	} {
		t.Run(c.policy.String()+" "+c.op.String()+" "+c.err.Error(), func(t *testing.T) {
			r, content, faulty, errs := newFaulty(t, c.policy)
			faulty.Add(blocktest.Rule{Op: c.op, Err: c.err, Times: 1})
			data := bytes.Repeat([]byte{0xEE}, 512)
			r.poke(dataAt, data)
			r.table(prd{dataAt, 512})
			switch c.op {
			case block.Read:
				r.command(cmdReadDMA, 1, 1)
				r.startDMA(true)
			case block.Write:
				r.command(cmdWriteDMA, 1, 1)
				r.startDMA(false)
			default:
				r.command(cmdFlushCache, 0, 0)
			}
			r.drain()
			if e := <-errs; e.Op != c.op || e.Action != c.want {
				t.Fatalf("told of %+v", e)
			}
			switch c.want {
			case block.ReportError:
				r.status(statusReady | statusERR)
				return
			case block.IgnoreError:
				r.ok()
				return
			}
			if r.c.Kept() != 1 || r.altStatus() != statusBSY || r.asserted() {
				t.Fatalf("%d kept, status %#x, interrupt %v", r.c.Kept(), r.altStatus(), r.asserted())
			}
			r.c.Pause()
			r.c.Resume()
			r.ok()
			if r.c.Kept() != 0 {
				t.Error("still kept")
			}
			switch c.op {
			case block.Read:
				if !bytes.Equal(r.peek(dataAt, 512), sectors(content, 1, 1)) {
					t.Error("reads something else in the second attempt")
				}
			case block.Write:
				if !bytes.Equal(sectors(content, 1, 1), data) {
					t.Error("writes something else in the second attempt")
				}
			}
		})
	}
}

// TestBadSector reads up to the bad one, although all were to be read at once.
func TestBadSector(t *testing.T) {
	r, content, faulty, errs := newFaulty(t, block.PolicyReport)
	faulty.Add(blocktest.Rule{Op: block.Read, From: 12 * 512, To: 13 * 512, Err: errDisk})
	r.command(cmdReadSectors, 10, 8)
	for i := range 2 {
		r.status(statusReady | statusDRQ)
		if !bytes.Equal(r.readData(512), sectors(content, 10+i, 1)) {
			t.Errorf("sector %d is wrong", 10+i)
		}
	}
	r.failed(errorUNC)
	if low, n := r.in(regLow), r.in(regCount); low != 12 || n != 6 {
		t.Errorf("sector %d is bad, %d left", low, n)
	}
	if e := <-errs; e.Offset != 12*512 || e.Length != 512 || len(errs) != 0 {
		t.Errorf("told of %+v", e)
	}
}

// TestResetKept forgets a request that was kept.
func TestResetKept(t *testing.T) {
	r, content, faulty, errs := newFaulty(t, block.PolicyStop)
	faulty.Add(blocktest.Rule{Op: block.Write, Err: errDisk, Times: 1})
	old := bytes.Clone(sectors(content, 1, 1))
	r.command(cmdWriteSectors, 1, 1)
	r.writeData(make([]byte, 512))
	r.drain()
	<-errs
	r.c.Pause()
	r.control(controlSRST)
	r.control(0)
	r.signature(statusReady, 0, 0)
	r.c.Resume()
	r.drain()
	if r.c.Kept() != 0 || !bytes.Equal(sectors(content, 1, 1), old) {
		t.Error("the write was done after the reset")
	}
}

// TestPause holds requests back that come while the machine is paused.
func TestPause(t *testing.T) {
	r, _, faulty, _ := newFaulty(t, block.PolicyReport)
	release := make(chan struct{})
	faulty.Add(blocktest.Rule{Op: block.Read, Hold: release, Times: 1})
	r.command(cmdReadVerify, 0, 0) // two requests
	faulty.WaitHeld(1)
	paused := make(chan struct{})
	go func() {
		defer close(paused)
		r.c.Pause()
	}()
	ch := r.c.channels[0]
	r.eventually(func() bool {
		ch.mu.Lock()
		defer ch.mu.Unlock()
		return ch.paused
	})
	close(release)
	<-paused
	if n := faulty.Count(block.Read); n != 1 || r.c.Kept() != 1 {
		t.Errorf("%d requests, %d kept", n, r.c.Kept())
	}
	r.c.Resume()
	r.ok()
	if n := faulty.Count(block.Read); n != 2 {
		t.Errorf("%d requests", n)
	}
	if s := r.c.Stats(0, 0); s.Read.Requests != 2 || s.Read.Bytes != 256*512 {
		t.Errorf("statistics %+v", s)
	}
}

// TestCacheFailure turns the write cache off while the disk cannot flush.
func TestCacheFailure(t *testing.T) {
	content := pattern(1 << 20)
	disk := failingCache{blocktest.NewMemory(content, false)}
	defer disk.Close()
	r := newRig(t, [Channels][Units]DriveOptions{{DiskOptions{Backend: disk, Errors: report}}})
	r.out(regError, featureWriteCacheOff)
	r.command(cmdSetFeatures, 0, 0)
	r.failed(errorABRT)
	if w := r.identify(cmdIdentify); w[85]&set82WriteCache != 0 {
		t.Error("the write cache is shown as on")
	}
}

type failingCache struct{ *blocktest.Memory }

func (failingCache) SetWriteCache(bool) error { return errDisk }
