package blk

import (
	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/virtio/queue"
)

// A segment of a discard or write zeroes request:
//
//	0  sector (64 bits)
//	8  num_sectors (32)   flags (32): bit 0 unmap
const (
	segmentSize  = 16
	segmentUnmap = 1 << 0
)

// segmented starts a request that carries segments. All of them are checked
// before anything is done.
func (q *requestQueue) segmented(kind uint32, c *queue.Chain, bare uint32) {
	op, feature := block.Discard, FeatureDiscard
	if kind == typeWriteZeroes {
		op, feature = block.WriteZeroes, FeatureWriteZeroes
	}
	in := c.Reader()
	n := in.Len() / segmentSize
	switch {
	case !q.features.Has(feature):
		q.refuse(c, statusUnsupp, bare)
		return
	case q.device.readOnly, n == 0, n > maxSegments, in.Len()%segmentSize != 0:
		q.refuse(c, statusIOErr, bare)
		return
	}
	parent := q.newRequest(op, c, bare)
	var parts [maxSegments]*request
	status := uint8(statusOK)
	for range n {
		part := q.newRequest(op, nil, 0)
		part.parent = parent
		parts[parent.segments] = part
		parent.segments++
		status = max(status, q.device.readSegment(in, part))
	}
	if status != statusOK {
		for _, part := range parts[:n] {
			q.free.push(part)
		}
		q.free.push(parent)
		q.refuse(c, status, bare)
		return
	}
	q.followCache()
	q.release()
	for _, part := range parts[:n] {
		q.submit(part)
	}
}

// readSegment reads a segment, and returns the status of a bad one.
func (d *Device) readSegment(in *queue.Reader, r *request) uint8 {
	limit, known := uint32(maxDiscardSectors), uint32(0)
	if r.disk.Op == block.WriteZeroes {
		limit, known = maxWriteZeroesSectors, segmentUnmap
	}
	sector, _ := in.Uint64()
	count, _ := in.Uint32()
	flags, _ := in.Uint32()
	switch {
	case flags&^known != 0:
		return statusUnsupp
	case count > limit, !d.onDisk(sector, int(count)*block.SectorSize):
		return statusIOErr
	}
	r.disk.Offset = int64(sector) * block.SectorSize
	r.disk.Length = int64(count) * block.SectorSize
	r.disk.Unmap = flags&segmentUnmap != 0
	r.size = r.disk.Length
	return statusOK
}
