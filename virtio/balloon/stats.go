package balloon

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/govmm/govmm/devices/clock"
	"github.com/govmm/govmm/virtio/queue"
)

// ErrNoStats is the answer while there is no driver in the guest that gives
// statistics.
var ErrNoStats = errors.New("no driver in the guest gives memory statistics")

// Tag says what a statistic is (section 5.5.6.4). Amounts are in bytes.
type Tag uint16

// Tags. Those from OOMKills on are given by Linux from 6.12.
const (
	SwappedIn Tag = iota
	SwappedOut
	MajorFaults
	MinorFaults
	Free
	Total
	Available // without swapping, an estimate
	Caches
	HugePageAllocations
	HugePageFailures
	OOMKills
	AllocationStalls
	AsyncScans
	DirectScans
	AsyncReclaims
	DirectReclaims
	tagCount
)

var tagNames = [tagCount]string{
	"swapped-in", "swapped-out", "major-faults", "minor-faults", "free", "total", "available", "caches",
	"huge-page-allocations", "huge-page-failures", "oom-kills", "allocation-stalls",
	"async-scans", "direct-scans", "async-reclaims", "direct-reclaims",
}

// String is a short name, such as "major-faults".
func (t Tag) String() string {
	if t < tagCount {
		return tagNames[t]
	}
	return fmt.Sprintf("tag-%d", uint16(t))
}

// Stats is how the guest uses its memory, as it says itself.
type Stats struct {
	At      time.Duration // on the machine's clock
	values  [tagCount]uint64
	present uint32 // bit n: the guest has given the statistic with tag n
}

// Get returns a statistic, if the guest has given it.
func (s Stats) Get(t Tag) (value uint64, ok bool) {
	if t >= tagCount || s.present>>t&1 == 0 {
		return 0, false
	}
	return s.values[t], true
}

// All are the statistics that the guest has given, by tag.
func (s Stats) All() iter.Seq2[Tag, uint64] {
	return func(yield func(Tag, uint64) bool) {
		for t := range tagCount {
			if v, ok := s.Get(t); ok && !yield(t, v) {
				return
			}
		}
	}
}

// A statistic is an entry of 10 bytes: tag le16, value le64. Of a longer list,
// the first maxEntries are looked at.
const (
	entrySize  = 10
	maxEntries = 64
)

// parse takes a driver's list. Tags may come in any order, and others than we
// know are to be ignored.
func (s *Stats) parse(r *queue.Reader) {
	var e [entrySize]byte
	for range maxEntries {
		if r.ReadFull(e[:]) != nil {
			return
		}
		if t := Tag(binary.LittleEndian.Uint16(e[:])); t < tagCount {
			s.values[t] = binary.LittleEndian.Uint64(e[2:])
			s.present |= 1 << t
		}
	}
}

// stats asks the driver for statistics. The driver gives a buffer, which the
// device keeps. Giving it back is the question, and the next buffer the answer.
type stats struct {
	clock clock.Clock

	mu       sync.Mutex
	timer    clock.Timer
	interval time.Duration // of the questions; 0 is none
	queue    *queue.Queue  // nil without a driver
	held     *queue.Chain
	primed   bool   // the first buffer has come
	open     *round // nil when nothing is asked
	latest   *Stats
}

// round is a question, and when done is closed its answer.
type round struct {
	done  chan struct{}
	stats Stats
	err   error
}

func (s *stats) init(c clock.Clock) {
	s.clock = c
	s.timer = c.NewTimer(s.due)
}

// start takes a driver's queue.
func (s *stats) start(q *queue.Queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = q
	s.schedule()
}

// stop forgets the driver.
func (s *stats) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer.Stop()
	s.queue, s.held, s.primed, s.latest = nil, nil, false, nil
	s.finish(Stats{}, ErrNoStats)
}

// finish answers an open question. mu is held.
func (s *stats) finish(answer Stats, err error) {
	if s.open != nil {
		s.open.stats, s.open.err = answer, err
		close(s.open.done)
		s.open = nil
	}
}

// schedule arms the timer for the next question. mu is held.
func (s *stats) schedule() {
	s.timer.Stop()
	if s.interval > 0 && s.queue != nil {
		s.timer.Set(s.clock.Now() + s.interval)
	}
}

// due is called by the clock.
func (s *stats) due() {
	s.mu.Lock()
	q := s.queue
	if q != nil && s.interval > 0 {
		s.ask()
		s.schedule()
	}
	s.mu.Unlock()
	if q != nil {
		q.Flush()
	}
}

// ask makes sure that a question is open. mu is held; the caller flushes the
// queue.
func (s *stats) ask() *round {
	if s.open == nil {
		s.open = &round{done: make(chan struct{})}
		s.giveBack()
	}
	return s.open
}

// giveBack returns the buffer to the driver. mu is held.
func (s *stats) giveBack() {
	if s.held != nil {
		s.queue.Push(s.held, 0)
		s.held = nil
	}
}

// receive takes a buffer of the driver. What is in the first one is no answer,
// and not initialised by old drivers. A driver that gives several gets all back
// but the last.
func (s *stats) receive(_ *queue.Queue, c *queue.Chain) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queue == nil {
		return nil
	}
	s.giveBack()
	s.held = c
	if !s.primed {
		s.primed = true
		if s.open != nil {
			s.giveBack()
		}
		return nil
	}
	if s.open == nil {
		return nil
	}
	answer := &Stats{At: s.clock.Now()}
	answer.parse(c.Reader())
	s.latest = answer
	s.finish(*answer, nil)
	return nil
}

// Stats asks the guest for statistics and waits for them. A guest may never
// answer: then the context ends the wait. The error is ErrNoStats when there is
// nobody to ask, also when the guest's driver goes away meanwhile.
func (d *Device) Stats(ctx context.Context) (Stats, error) {
	s := &d.stats
	s.mu.Lock()
	q := s.queue
	if q == nil {
		s.mu.Unlock()
		return Stats{}, fmt.Errorf("%s: %w", d.name, ErrNoStats)
	}
	question := s.ask()
	s.mu.Unlock()
	q.Flush()
	select {
	case <-question.done:
	case <-ctx.Done():
		return Stats{}, fmt.Errorf("%s: the guest gives no memory statistics: %w", d.name, ctx.Err())
	}
	if question.err != nil {
		return Stats{}, fmt.Errorf("%s: %w", d.name, question.err)
	}
	return question.stats, nil
}

// LastStats are the statistics that the guest gave last, if any, on a question
// of either kind.
func (d *Device) LastStats() (Stats, bool) {
	d.stats.mu.Lock()
	defer d.stats.mu.Unlock()
	if d.stats.latest == nil {
		return Stats{}, false
	}
	return *d.stats.latest, true
}

// SetStatsInterval makes the device ask for statistics each time the interval
// has passed; 0 ends that.
func (d *Device) SetStatsInterval(interval time.Duration) error {
	if interval < 0 {
		return fmt.Errorf("%s: the interval of statistics is negative", d.name)
	}
	s := &d.stats
	s.mu.Lock()
	defer s.mu.Unlock()
	s.interval = interval
	s.schedule()
	return nil
}
