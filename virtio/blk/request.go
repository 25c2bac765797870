package blk

import (
	"errors"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/virtio/queue"
)

// A request (section 5.2.6), little-endian:
//
//	device-readable    0  type (32 bits)   reserved (32)
//	                   8  sector (64)
//	                  16  data
//	device-writable    0  data
//	                 end  status (8)
//
// How it is divided into descriptors has no meaning. Legacy drivers that have
// not negotiated VIRTIO_F_ANY_LAYOUT use one each for header and status, which
// is one way among others.
const headerSize = 16

// Types of request.
const (
	typeIn          = 0
	typeOut         = 1
	typeFlush       = 4
	typeFlushOut    = 5 // legacy: the same
	typeGetID       = 8
	typeDiscard     = 11
	typeWriteZeroes = 13
)

// Status bytes.
const (
	statusOK     = 0
	statusIOErr  = 1
	statusUnsupp = 2
)

// Mistakes of a driver that leave no way to answer it.
var (
	errNoHeader = errors.New("a request to the disk is shorter than its header")
	errNoStatus = errors.New("a request to the disk has no room for the status byte")
)

// request is a request to the disk that is not answered yet, or a segment of
// one. They are used again and again.
type request struct {
	disk     block.Request
	chain    *queue.Chain // nil in a segment
	parent   *request     // of a segment
	segments int          // of a parent, that the disk still has
	status   uint8        // of a parent, so far
	size     int64        // bytes
	cost     int64        // bytes that it counts for in inFlight
	written  uint32       // bytes of the answer when all is well
	bare     uint32       // and when not
	sequence uint64       // in the order of the driver

	own    [][]byte // memory of this request
	merged [][]byte // and of those that were merged into it
	tail   *request // the last of these
	next   *request // of these, or in a requestList
}

// requestList is a list of free requests.
type requestList struct{ first, last *request }

func (l *requestList) push(r *request) {
	r.next = l.first
	l.first = r
	if l.last == nil {
		l.last = r
	}
}

func (l *requestList) pop() *request {
	r := l.first
	if r == nil {
		return nil
	}
	if l.first = r.next; l.first == nil {
		l.last = nil
	}
	r.next = nil
	return r
}

// join puts another list in front.
func (l *requestList) join(front requestList) {
	if front.first == nil {
		return
	}
	if front.last.next = l.first; l.last == nil {
		l.last = front.last
	}
	l.first = front.first
}

// newRequest takes a free request.
func (q *requestQueue) newRequest(op block.Op, c *queue.Chain, bare uint32) *request {
	if q.free.first == nil {
		q.mu.Lock()
		q.free, q.returned = q.returned, requestList{}
		q.mu.Unlock()
	}
	r := q.free.pop()
	if r == nil {
		r = new(request)
		r.disk.Owner = r
	}
	q.sequence++
	r.sequence = q.sequence
	r.disk.Op, r.disk.Unmap = op, false
	r.disk.Offset, r.disk.Length, r.disk.Vec = 0, 0, nil
	r.chain, r.parent, r.segments, r.status = c, nil, 0, statusOK
	r.size, r.written, r.bare = 0, bare, bare
	r.own, r.tail = nil, r
	return r
}

// handle takes a request from the driver. An error is one of a driver that
// cannot be answered.
func (q *requestQueue) handle(c *queue.Chain) error {
	in, out := c.Reader(), c.Writer()
	if out.Len() == 0 {
		return errNoStatus
	}
	if in.Len() < headerSize {
		return errNoHeader
	}
	kind, _ := in.Uint32()
	_ = in.Skip(4)
	sector, _ := in.Uint64()
	data, err := out.Split(out.Len() - 1)
	if err != nil {
		return err
	}
	// A bare answer is the status byte alone. It counts as written only where
	// it is the first byte.
	bare := uint32(0)
	if data.Len() == 0 {
		bare = 1
	}
	switch kind {
	case typeIn:
		if data.Len() == 0 && in.Len() > 0 || !q.device.onDisk(sector, data.Len()) {
			q.refuse(c, statusIOErr, bare)
			return nil
		}
		r := q.newRequest(block.Read, c, bare)
		r.written = uint32(data.Len()) + 1
		q.transfer(r, sector, data.Len(), data.Iovecs())
	case typeOut:
		if in.Len() == 0 && data.Len() > 0 || q.device.readOnly || !q.device.onDisk(sector, in.Len()) {
			q.refuse(c, statusIOErr, bare)
			return nil
		}
		q.followCache()
		q.transfer(q.newRequest(block.Write, c, bare), sector, in.Len(), in.Iovecs())
	case typeFlush, typeFlushOut:
		q.release()
		q.submit(q.newRequest(block.Flush, c, bare))
	case typeGetID:
		q.identify(c, &data)
	case typeDiscard, typeWriteZeroes:
		q.segmented(kind, c, bare)
	default:
		q.refuse(c, statusUnsupp, bare)
	}
	return nil
}

// onDisk reports whether n bytes from a sector on are whole sectors of the disk.
func (d *Device) onDisk(sector uint64, n int) bool {
	sectors, count := uint64(d.capacity.Load())/block.SectorSize, uint64(n)/block.SectorSize
	return n%block.SectorSize == 0 && sector <= sectors && count <= sectors-sector
}

// transfer starts a read or a write that is on the disk.
func (q *requestQueue) transfer(r *request, sector uint64, n int, memory [][]byte) {
	r.disk.Offset = int64(sector) * block.SectorSize
	r.disk.Vec, r.own = memory, memory
	r.size = int64(n)
	if q.merge(r) {
		return
	}
	q.release()
	if n < maxMergedBytes {
		q.last = r
	} else {
		q.submit(r)
	}
}

// followCache lets a write be done in the cache mode that the driver has chosen
// before it.
func (q *requestQueue) followCache() {
	if m := &q.device.cache; !m.inForce() {
		q.kick() // it may take long
		m.apply()
	}
}

// identify answers with the serial number.
func (q *requestQueue) identify(c *queue.Chain, data *queue.Writer) {
	n := data.Len()
	if n == 0 {
		q.refuse(c, statusIOErr, 1)
		return
	}
	put, _ := data.Write(q.device.serial[:min(n, SerialLength)])
	if put == n {
		put++ // the status byte follows
	}
	q.answer(c, statusOK, uint32(put))
	q.answered = true
}

// refuse answers a request that the disk does not get to see.
func (q *requestQueue) refuse(c *queue.Chain, status uint8, bare uint32) {
	q.counters.refused.Add(1)
	q.answer(c, status, bare)
	q.answered = true
}

// answer writes the status byte, which alone is left of the writable part, and
// gives the request back. written counts from the front of that part (section
// 2.7.8.2), so it covers the status byte only if all before it was written.
func (q *requestQueue) answer(c *queue.Chain, status uint8, written uint32) {
	_ = c.Writer().PutUint8(status)
	q.queue.Push(c, written)
}
