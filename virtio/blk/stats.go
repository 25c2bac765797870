package blk

import (
	"sync/atomic"

	"github.com/govmm/govmm/block"
)

// Stats are what a disk has done since it was made, resets notwithstanding.
type Stats struct {
	Read, Write, Flush, Discard, WriteZeroes OpStats
	// Refused is how many requests were answered without asking the host's
	// disk, because the driver made a mistake.
	Refused uint64
	// Merged is how many reads and writes were done together with one before.
	Merged uint64
}

// OpStats are those of one operation.
type OpStats struct {
	Requests uint64 // that succeeded
	Bytes    uint64 // of these
	Errors   uint64 // failures of the host's disk, repeated ones included
}

// counters are the statistics of one queue.
type counters struct {
	ops     [block.WriteZeroes + 1]struct{ requests, bytes, errors atomic.Uint64 }
	refused atomic.Uint64
	merged  atomic.Uint64
}

// Stats returns the statistics.
func (d *Device) Stats() Stats {
	var s Stats
	into := [...]*OpStats{
		block.Read: &s.Read, block.Write: &s.Write, block.Flush: &s.Flush,
		block.Discard: &s.Discard, block.WriteZeroes: &s.WriteZeroes,
	}
	for i := range d.counters {
		c := &d.counters[i]
		for op := range c.ops {
			into[op].Requests += c.ops[op].requests.Load()
			into[op].Bytes += c.ops[op].bytes.Load()
			into[op].Errors += c.ops[op].errors.Load()
		}
		s.Refused += c.refused.Load()
		s.Merged += c.merged.Load()
	}
	return s
}
