package ide

import (
	"sync/atomic"

	"github.com/govmm/govmm/block"
)

// Stats are what a drive has asked of the host's disk since it was made, resets
// notwithstanding.
type Stats struct {
	Read, Write, Flush, Discard OpStats
}

// OpStats are those of one operation.
type OpStats struct {
	Requests uint64 // that succeeded, or whose failure was ignored
	Bytes    uint64 // of these
	Errors   uint64 // failures of the host's disk, repeated ones included
}

// counters are the statistics of one drive.
type counters struct {
	ops [block.WriteZeroes + 1]struct{ requests, bytes, errors atomic.Uint64 }
}

// Stats returns the statistics of the drive at a place, all zero where there is
// none.
func (c *Controller) Stats(channel, unit int) Stats {
	var s Stats
	d := c.drive(channel, unit)
	if d == nil {
		return s
	}
	into := [...]*OpStats{block.Read: &s.Read, block.Write: &s.Write, block.Flush: &s.Flush, block.Discard: &s.Discard}
	for op, o := range into {
		n := &d.counters.ops[op]
		*o = OpStats{Requests: n.requests.Load(), Bytes: n.bytes.Load(), Errors: n.errors.Load()}
	}
	return s
}
