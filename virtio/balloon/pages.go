package balloon

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/govmm/govmm/virtio/queue"
)

// listSize is how many pages of a request are looked at together. Linux sends
// 256 at a time.
const listSize = 1024

// pageList is a part of the array of page frame numbers in a request.
type pageList struct {
	raw   [4 * listSize]byte
	pages [listSize]uint32
}

// read takes the next page frame numbers off a request, in order of address. It
// returns none at the end.
func (l *pageList) read(r *queue.Reader) []uint32 {
	n, _ := r.Read(l.raw[:min(len(l.raw), r.Len()&^3)]) // io.EOF is n = 0
	list := l.pages[:n/4]
	for i := range list {
		list[i] = binary.LittleEndian.Uint32(l.raw[4*i:])
	}
	slices.Sort(list)
	return list
}

// leadingRun is the number of pages that the ordered list begins with and that
// lie side by side, and how many entries of it they are: a page may be there
// twice.
func leadingRun(list []uint32) (pages uint64, entries int) {
	first, last := list[0], list[0]
	for entries = 1; entries < len(list) && list[entries]-last <= 1; entries++ {
		last = list[entries]
	}
	return uint64(last-first) + 1, entries
}

// errListTooLong is a request that takes longer than any honest one.
var errListTooLong = errors.New("the driver gives more pages to the balloon at a time than the machine has")

// inflate takes the pages of a request from the guest.
func (r *run) inflate(q *queue.Queue, c *queue.Chain) error {
	in := c.Reader()
	if uint64(in.Len())/4 > r.d.ram.size/bytesPerPage {
		return errListTooLong
	}
	outside := uint64(0)
	for list := r.pages.read(in); len(list) > 0; list = r.pages.read(in) {
		for len(list) > 0 {
			pages, entries := leadingRun(list)
			n := pages * bytesPerPage
			released, err := r.d.ram.release(uint64(list[0])*bytesPerPage, n, r.stopped)
			if err != nil {
				return fmt.Errorf("inflate the balloon: %w", err)
			}
			outside += n - released
			list = list[entries:]
		}
		if r.stopped() {
			return nil
		}
	}
	r.complain(outside, in.Len())
	q.Push(c, 0)
	return nil
}

// deflate takes notice of pages that the guest uses again: they are there when
// it touches them.
func (r *run) deflate(q *queue.Queue, c *queue.Chain) error {
	q.Push(c, 0)
	return nil
}

// report takes pages that are free in the guest. Those that hold a pattern
// other than zero must keep it (section 5.5.6.7).
func (r *run) report(q *queue.Queue, c *queue.Chain) error {
	if !r.poisoned() {
		for _, b := range c.Writer().Iovecs() {
			if _, err := r.d.ram.release(r.d.ram.address(b), uint64(len(b)), r.stopped); err != nil {
				return fmt.Errorf("take free pages: %w", err)
			}
		}
	}
	if !r.stopped() {
		q.Push(c, 0)
	}
	return nil
}

func (r *run) poisoned() bool {
	r.d.mu.Lock()
	defer r.d.mu.Unlock()
	return r.features.Has(FeaturePagePoison) && r.d.config.poison() != 0
}

// complain logs what was wrong with a request to inflate.
func (r *run) complain(outside uint64, rest int) {
	log := r.d.log
	if outside > 0 && log.Allow() {
		log.Warn("the balloon's driver gives pages that are not RAM", "pages", outside/bytesPerPage)
	}
	if rest > 0 && log.Allow() {
		log.Warn("the balloon's driver sends a part of a page frame number", "bytes", rest)
	}
}
