package block

import (
	"sync/atomic"
	"time"
)

// Limits of what is done on the submitter's goroutine. They were chosen by
// measuring: handing a request to another thread and back costs 10 to 30 µs
// when that thread sleeps, while 4 KiB in the page cache take 1 to 3 µs and
// 4 KiB on a fast disk 70 µs. Where everything takes longer, as on a nested or
// a busy host, longer is also short: see record.
const (
	// inlineBytes is the largest such request, in bytes.
	inlineBytes = 64 << 10

	// shortWrite is how long a write to the page cache should take. It takes
	// longer when the host makes writers wait for its disk.
	shortWrite = 30 * time.Microsecond

	// shortAlone is how long a request of O_DIRECT should take that comes alone.
	shortAlone = 200 * time.Microsecond

	// aloneBytes is the largest read that is done when it is alone and its data
	// in the page cache. Copying 1 MiB takes longer than handing it over, but
	// nobody has anything else to do meanwhile.
	aloneBytes = 1 << 20

	// returnGap is the time within which a submitter that was kept from its
	// work comes back with more. A guest needs longer to see a completion and
	// make the next request.
	returnGap = 2 * time.Microsecond

	// About one request in slowOnes may take longer than it should.
	slowOnes = 8

	// retryAfter is how many requests go elsewhere before one is tried again.
	retryAfter = 64
)

// inlineDisk is a disk some of whose requests are done on the submitter's
// goroutine.
type inlineDisk interface {
	Do(r *Request) error
	WriteCache() bool
	// Brief reports whether data goes through the page cache. Otherwise it is
	// read and written directly.
	Brief() bool
	// tryRead does a read of up to aloneBytes if that takes no waiting. When it
	// is false, the request is as it was before.
	tryRead(r *Request) bool
}

// inliner decides which requests are done on the submitter's goroutine, and
// does them. It belongs to the submitter.
//
// Four kinds are: reads whose data is in the page cache; large ones of these if
// there is no other; writes to the page cache while they are short; and an
// O_DIRECT request that is the only one, if the disk is fast and the guest does
// not seem to have more. The last saves a third of the latency of a guest that
// does one request at a time, and would halve the speed of one that does two.
type inliner struct {
	disk  inlineDisk // nil: nothing is done inline
	write record
	alone record
	large record    // a slow one is one that was not all in the page cache
	last  time.Time // when the last lone request was done
}

// record remembers whether requests of a kind have been slow lately, and how
// long those take that are handed to another thread.
type record struct {
	slow    int // grows by slowOnes with a slow one, shrinks by 1 with another
	skipped int
	handed  atomic.Int64 // average of late, ns; 0 before the first
}

// observe takes the time that a request took which found its queue empty and
// was handed over. It is called from any goroutine; one of two at a time may
// get lost.
func (a *record) observe(d time.Duration) {
	const weight = 8
	old := a.handed.Load()
	if old == 0 {
		old = int64(d)
	}
	a.handed.Store(max(old+(int64(d)-old)/weight, 1))
}

// limit is how long a request may take that is done inline: as long as is short
// on a fast host, or so long that handing it over costs a third more.
func (a *record) limit(short time.Duration) time.Duration {
	return max(short, time.Duration(a.handed.Load()*3/4))
}

// good reports whether few have been slow, or one should be tried again.
func (a *record) good() bool {
	if a.slow <= 4*slowOnes {
		return true
	}
	a.skipped = (a.skipped + 1) % retryAfter
	return a.skipped == 0
}

func (a *record) add(slow bool) {
	if slow {
		a.slow = min(a.slow+slowOnes, 5*slowOnes)
	} else {
		a.slow = min(max(a.slow-1, 0), 4*slowOnes) // a good try is enough
	}
}

// recordOf is the record of a request's kind, nil for those that are never done
// inline or need none.
func (i *inliner) recordOf(r *Request) *record {
	switch {
	case i.disk == nil || (r.Op != Read && r.Op != Write) || r.Bytes() > inlineBytes:
		return nil
	case !i.disk.Brief():
		return &i.alone
	case r.Op == Write:
		return &i.write
	}
	return nil
}

// leaves notes that a request is handed over which found the queue empty.
func (i *inliner) leaves(r *Request) {
	if i.recordOf(r) != nil {
		r.handed = time.Now()
	}
}

// returns notes that a request has been done elsewhere.
func (i *inliner) returns(r *Request) {
	if r.handed.IsZero() {
		return
	}
	took := time.Since(r.handed)
	r.handed = time.Time{}
	if a := i.recordOf(r); a != nil {
		a.observe(took)
	}
}

// submit does a request that the page cache can take or give. When it is false,
// the request is still to be done.
func (i *inliner) submit(r *Request) (done bool) {
	if i.disk == nil || !i.disk.Brief() {
		return false
	}
	switch r.Op {
	case Read:
		return r.Bytes() <= inlineBytes && i.disk.tryRead(r)
	case Write:
		if !i.disk.WriteCache() || r.Bytes() > inlineBytes || !i.write.good() {
			return false
		}
		start := time.Now()
		_ = i.disk.Do(r) // which leaves the error in r
		i.write.add(time.Since(start) > i.write.limit(shortWrite))
		return true
	}
	return false
}

// kick does a request that is alone in its queue.
func (i *inliner) kick(r *Request) (done bool) {
	if i.disk != nil && i.disk.Brief() {
		if r.Op != Read || r.Bytes() <= inlineBytes || r.Bytes() > aloneBytes || !i.large.good() {
			return false
		}
		done = i.disk.tryRead(r)
		i.large.add(!done)
		return done
	}
	if i.disk == nil || (r.Op != Read && r.Op != Write) ||
		!i.disk.WriteCache() || r.Bytes() > inlineBytes {
		return false
	}
	start := time.Now()
	if start.Sub(i.last) < returnGap || !i.alone.good() {
		return false
	}
	_ = i.disk.Do(r)
	i.last = time.Now()
	i.alone.add(i.last.Sub(start) > i.alone.limit(shortAlone))
	return true
}
