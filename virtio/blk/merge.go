package blk

// Limits of what is done by one operation of the host's disk. Sequential 4 KiB
// requests at a depth of 32, which make up 128 KiB, take about half as long when
// they are merged (BenchmarkDisk).
const (
	maxMergedBytes   = 128 << 10
	maxMergedBuffers = 1024 // as many as one system call takes (IOV_MAX)
)

// merge adds a read or write to the one before it, if it goes on where that one
// ends. A request that others were merged into stands for all of them until it
// is done; they hang on it by next.
func (q *requestQueue) merge(r *request) bool {
	l := q.last
	if l == nil || l.disk.Op != r.disk.Op || l.end() != r.disk.Offset {
		return false
	}
	if r.end()-l.disk.Offset > maxMergedBytes || len(l.disk.Vec)+len(r.own) > maxMergedBuffers {
		return false
	}
	if l.tail == l {
		l.merged = append(l.merged[:0], l.own...)
	}
	l.merged = append(l.merged, r.own...)
	l.disk.Vec = l.merged
	l.tail.next, l.tail = r, r
	q.counters.merged.Add(1)
	return true
}

// end is where on the disk the request ends, with all that was merged into it.
func (r *request) end() int64 { return r.tail.disk.Offset + r.tail.size }

// release submits what has waited for a next one.
func (q *requestQueue) release() {
	if r := q.last; r != nil {
		q.last = nil
		q.submit(r)
	}
}
