package blk

import (
	"bytes"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/blocktest"
	"github.com/govmm/govmm/virtio/queue/queuetest"
)

// TestErrorPolicy fails each operation in each way under each policy.
func TestErrorPolicy(t *testing.T) {
	data := bytes.Repeat([]byte{0x5A}, 512)
	operations := map[block.Op]struct {
		kind uint32
		data []byte
		room int
		ok   uint32 // used, when it is done
		bad  uint32 // and when not
	}{
		block.Read:        {kind: typeIn, room: 512, ok: 513, bad: 0},
		block.Write:       {kind: typeOut, data: data, ok: 1, bad: 1},
		block.Flush:       {kind: typeFlush, ok: 1, bad: 1},
		block.Discard:     {kind: typeDiscard, data: segment(0, 1, 0), ok: 1, bad: 1},
		block.WriteZeroes: {kind: typeWriteZeroes, data: segment(0, 1, 0), ok: 1, bad: 1},
	}
	want := func(p block.ErrorPolicy, op block.Op, errno unix.Errno) block.ErrorAction {
		switch {
		case p == block.PolicyStop:
			return block.StopOnError
		case p == block.PolicyIgnore:
			return block.IgnoreError
		case p == block.PolicyEnospace && op != block.Read && errno == unix.ENOSPC:
			return block.StopOnError
		}
		return block.ReportError
	}
	for p := block.PolicyEnospace; p <= block.PolicyReport; p++ {
		for op, o := range operations {
			for _, errno := range []unix.Errno{unix.EIO, unix.ENOSPC} {
				t.Run(p.String()+"/"+op.String()+"/"+errno.Error(), func(t *testing.T) {
					r := newRig(t, setup{Options: Options{ErrorPolicy: p}})
					r.faulty.Add(blocktest.Rule{Op: op, Err: errno, Times: 1})
					s := r.send(o.kind, 0, o.data, o.room)
					e := await(t, r.errors, "the host error")
					action := want(p, op, errno)
					if e.Op != op || !errors.Is(e.Err, errno) || e.Action != action || e.Offset != 0 {
						t.Errorf("OnError gets %+v, want action %d", e, action)
					}
					if op != block.Flush && e.Length != 512 {
						t.Errorf("OnError gets a length of %d", e.Length)
					}
					status, used := byte(statusOK), o.ok
					switch action {
					case block.ReportError:
						status, used = statusIOErr, o.bad
					case block.StopOnError:
						r.device.Pause()
						if _, ok := r.Used(); ok {
							t.Fatal("the request is answered, not kept")
						}
						if n := r.device.Kept(); n != 1 {
							t.Errorf("%d requests kept", n)
						}
						r.device.Resume()
					}
					if a := r.wait(s); a.status != status || a.used != used {
						t.Errorf("status %d, %d bytes used; want %d, %d", a.status, a.used, status, used)
					}
					nothing(t, r.errors, "second host error")
					if n := r.device.Kept(); n != 0 {
						t.Errorf("%d requests kept at the end", n)
					}
				})
			}
		}
	}
}

// TestQuotaStops checks that a full quota is as a full disk.
func TestQuotaStops(t *testing.T) {
	r := newRig(t, setup{})
	r.faulty.Add(blocktest.Rule{Op: block.Write, Err: unix.EDQUOT, Times: 1})
	s := r.send(typeOut, 0, make([]byte, 512), 0)
	if e := await(t, r.errors, "the host error"); e.Action != block.StopOnError {
		t.Errorf("action %d", e.Action)
	}
	r.device.Resume() // without Pause
	if a := r.wait(s); a.status != statusOK {
		t.Errorf("status %d", a.status)
	}
}

// order records the offsets of what reaches a disk, in a queue that does one
// request after the other.
type order struct {
	*blocktest.Memory
	err     error // of all, while not nil
	offsets []int64
}

type orderQueue struct {
	*order
	block.Queue
	completed func([]*block.Request)
	pending   []*block.Request
}

func (o *order) NewQueue(opts block.QueueOptions) (block.Queue, error) {
	q, err := o.Memory.NewQueue(opts)
	return &orderQueue{order: o, Queue: q, completed: opts.Completed}, err
}

func (q *orderQueue) Submit(r *block.Request) { q.pending = append(q.pending, r) }

func (q *orderQueue) Kick() {
	for _, r := range q.pending {
		q.offsets = append(q.offsets, r.Offset)
		if r.Err = q.err; r.Err == nil {
			_ = q.Do(r)
		}
	}
	// Backwards, as a disk may.
	for i := len(q.pending) - 1; i >= 0; i-- {
		q.completed(q.pending[i : i+1])
	}
	q.pending = nil
}

func (q *orderQueue) Drain() {}

// TestKeptInOrder fails several requests, two of which were merged, and looks
// at the order in which they are done again.
func TestKeptInOrder(t *testing.T) {
	disk := &order{Memory: blocktest.NewMemory(make([]byte, diskSize), false), err: unix.ENOSPC}
	r := newRig(t, setup{Options: Options{Backend: disk}})
	r.disk = disk.Memory
	sectors := []uint64{50, 51, 8, 20, 2}
	requests := map[uint16]sent{}
	for i, sector := range sectors {
		s := sent{driver: r.Driver, room: []queuetest.Buffer{r.Writable(1)}}
		s.id = r.Add(r.Readable(header(typeOut, sector)), r.Readable(bytes.Repeat([]byte{byte(i + 1)}, 512)), s.room[0])
		requests[s.id] = s
	}
	r.Kick()
	// Those that failed together are done one by one only when the machine goes
	// on, and are not told of before.
	for _, want := range []int64{2, 20, 8} {
		if e := await(t, r.errors, "the host errors"); e.Action != block.StopOnError || e.Offset != want*512 || e.Length != 512 {
			t.Errorf("OnError gets %+v", e)
		}
	}
	// One that comes after the machine should stop waits.
	late := r.send(typeIn, 50, nil, 512)
	requests[late.id] = late
	r.device.Pause()
	if n := r.device.Kept(); n != len(sectors) {
		t.Fatalf("%d requests kept, want %d", n, len(sectors))
	}
	if _, ok := r.Used(); ok {
		t.Fatal("a request is answered while the device is stopped")
	}
	disk.err, disk.offsets = nil, nil
	r.device.Pause() // twice is as once
	r.device.Resume()
	for range requests {
		u := r.Wait()
		a := r.answer(requests[u.ID], u)
		if a.status != statusOK || u.ID == late.id && a.data[0] != 1 {
			t.Errorf("status %d, data %x", a.status, a.data)
		}
	}
	r.device.Pause() // orders what follows after the serving
	for i, sector := range append(sectors, 50) {
		if i >= len(disk.offsets) || disk.offsets[i] != int64(sector)*512 {
			t.Fatalf("done again at %v, want the order of %v", disk.offsets, sectors)
		}
	}
	for i, sector := range sectors {
		if got := r.content(int64(sector)*512, 1)[0]; got != byte(i+1) {
			t.Errorf("sector %d holds %d, want %d", sector, got, i+1)
		}
	}
	if s := r.device.Stats(); s.Write.Requests != 5 || s.Write.Errors != 3 || s.Merged != 1 {
		t.Errorf("statistics %+v", s)
	}
}

// TestMergedFailure fails one of several merged requests: the others succeed.
func TestMergedFailure(t *testing.T) {
	r := newRig(t, setup{Options: Options{ErrorPolicy: block.PolicyReport}})
	r.faulty.Add(blocktest.Rule{Op: block.Write, From: 11 * 512, To: 12 * 512, Err: unix.EIO})
	requests := map[uint16]int{}
	var all []sent
	for i := range 4 {
		s := sent{driver: r.Driver, room: []queuetest.Buffer{r.Writable(1)}}
		s.id = r.Add(r.Readable(header(typeOut, uint64(10+i))), r.Readable(bytes.Repeat([]byte{0xAB}, 512)), s.room[0])
		requests[s.id] = i
		all = append(all, s)
	}
	r.Kick()
	for range all {
		u := r.Wait()
		i := requests[u.ID]
		want := byte(statusOK)
		if i == 1 {
			want = statusIOErr
		}
		if a := r.answer(all[i], u); a.status != want {
			t.Errorf("request %d: status %d, want %d", i, a.status, want)
		}
	}
	if e := await(t, r.errors, "the host error"); e.Offset != 11*512 || e.Length != 512 {
		t.Errorf("OnError gets %+v", e)
	}
	nothing(t, r.errors, "host error")
}

// TestSegmentFailure fails one segment of several.
func TestSegmentFailure(t *testing.T) {
	r := newRig(t, setup{Options: Options{ErrorPolicy: block.PolicyStop}})
	r.faulty.Add(blocktest.Rule{Op: block.WriteZeroes, From: 512, To: 1024, Err: unix.EIO, Times: 2})
	segments := append(append(segment(0, 1, 0), segment(1, 1, 0)...), segment(2, 1, 0)...)
	s := r.send(typeWriteZeroes, 0, segments, 0)
	for range 2 { // it fails again when it is done again
		await(t, r.errors, "the host error")
		r.device.Pause()
		if n := r.device.Kept(); n != 1 {
			t.Errorf("%d requests kept", n)
		}
		if _, ok := r.Used(); ok {
			t.Fatal("the request is answered")
		}
		r.device.Resume()
	}
	if a := r.wait(s); a.status != statusOK {
		t.Errorf("status %d", a.status)
	}
	if !bytes.Equal(r.content(0, 1536), make([]byte, 1536)) {
		t.Error("the sectors are not zero")
	}
	if n := r.faulty.Count(block.WriteZeroes); n != 5 {
		t.Errorf("%d operations, want 5", n)
	}
}

// TestShrunkDisk reads what the disk has lost after the check of the request:
// no policy is for that.
func TestShrunkDisk(t *testing.T) {
	r := newRig(t, setup{Options: Options{ErrorPolicy: block.PolicyStop}})
	let := make(chan struct{})
	r.faulty.Add(blocktestHold(block.Read, let))
	s := r.send(typeIn, diskSize/512-1, nil, 512)
	r.faulty.WaitHeld(1)
	r.disk.Resize(diskSize / 2)
	close(let)
	if a := r.wait(s); a.status != statusIOErr {
		t.Errorf("status %d", a.status)
	}
	nothing(t, r.errors, "host error")
}
