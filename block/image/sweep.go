package image

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

const (
	// chunkSize is how much is read at a time, in bytes. It is of the size of a
	// processor's cache, in which it is found again when it is written.
	chunkSize = 1 << 20
	// zeroChunk is how much is made zeroes at a time.
	zeroChunk = 64 << 20
	// minAlign is the least that is looked at by itself.
	minAlign = 4 << 10

	// DefaultWorkers and MaxWorkers are numbers of goroutines.
	DefaultWorkers = 8
	MaxWorkers     = 16
)

// Progress tells how far a long work is. It may be asked at any time.
type Progress struct{ done, total atomic.Int64 }

// Done is how much is done, of Total, in bytes of the disk.
func (p *Progress) Done() int64 { return p.done.Load() }

// Total is how much there is to do, 0 while that is not known.
func (p *Progress) Total() int64 { return p.total.Load() }

// sweep has several goroutines go over a disk, from its beginning to its end.
type sweep struct {
	size    int64
	align   int64 // pieces begin and end at multiples of it, but for the last
	chunk   int64 // of data at a time; chunkSize if 0
	workers int
	ordered bool // pieces are done in their order; visit waits for the turn

	// extent says what there is at an offset, up to length bytes of it. It is
	// called by one at a time.
	extent func(offset, length int64) (extent, error)
	// skip says that there is nothing to do for an extent.
	skip func(e extent) bool
	// stop ends it at an offset; nil does not.
	stop func(offset int64) bool
	// visit does the work of a piece. buf is as long as one that is not zero.
	visit    func(ctx context.Context, p *piece, buf []byte) error
	progress *Progress

	mu    sync.Mutex
	at    int64         // what has been handed out
	ahead extent        // what is known of what follows
	last  chan struct{} // closed when that is done
}

// piece is a stretch of a disk for one goroutine.
type piece struct {
	extent
	offset int64
	before <-chan struct{} // closed when all before it are done
	after  chan struct{}
}

// turn waits until the pieces before this one are done.
func (p *piece) turn(ctx context.Context) error {
	select {
	case <-p.before:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *sweep) run(ctx context.Context) error {
	if s.workers <= 0 {
		s.workers = DefaultWorkers
	}
	if s.progress == nil {
		s.progress = new(Progress)
	}
	s.progress.total.Store(s.size)
	s.chunk = cmp.Or(s.chunk, chunkSize)
	s.align = min(max(s.align, minAlign), s.chunk)
	s.last = make(chan struct{})
	close(s.last)
	group, ctx := errgroup.WithContext(ctx)
	for range min(s.workers, MaxWorkers) {
		group.Go(func() error { return s.work(ctx) })
	}
	return group.Wait()
}

func (s *sweep) work(ctx context.Context) error {
	buf := make([]byte, s.chunk)
	for {
		p, err := s.take(ctx)
		if p == nil || err != nil {
			return err
		}
		if err := s.visit(ctx, p, buf[:min(p.length, s.chunk)]); err != nil {
			return err
		}
		if s.ordered {
			if err := p.turn(ctx); err != nil {
				return err
			}
		}
		s.progress.done.Add(p.length)
		close(p.after)
	}
}

// take hands out the next piece, nil at the end.
func (s *sweep) take(ctx context.Context) (*piece, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.at < s.size && (s.stop == nil || !s.stop(s.at)) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		left := s.size - s.at
		// What is known already need not be asked for again, which takes the host
		// a look at all of it.
		if s.ahead.length <= 0 {
			var err error
			if s.ahead, err = s.extent(s.at, left); err != nil {
				return nil, err
			}
		}
		e := s.ahead
		n, skip := e.length, s.skip(e)
		if (e.zero || skip) && n < left {
			n -= n % s.align
		}
		if n == 0 || !e.zero && !skip {
			// What is smaller than a unit is read with what is around it.
			e.zero, skip = false, false
			left = min(left, s.chunk-s.at%s.chunk)
			n = min((min(e.length, left)+s.align-1)/s.align*s.align, left)
		} else if !skip {
			n = min(n, zeroChunk)
		}
		e.length = n
		s.ahead.length -= n // may be over
		p := &piece{extent: e, offset: s.at, before: s.last}
		s.at += n
		if skip {
			s.progress.done.Add(n)
			continue
		}
		p.after = make(chan struct{})
		s.last = p.after
		return p, nil
	}
	return nil, nil
}
