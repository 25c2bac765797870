package qed

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/govmm/govmm/block"
)

const (
	pageSize    = 4096 // bytes
	pageEntries = pageSize / entrySize
)

// MaxCache is the most that is kept of an image's tables, in bytes: enough for
// 128 GiB of a disk with clusters of 64 KiB.
const MaxCache = 16 << 20

const minCachePages = 16

// page is a piece of a table.
type page struct {
	offset  int64
	entries [pageEntries]atomic.Uint64
	used    atomic.Bool // lately
	dirty   bool        // has what the file has not; under tables.mu
}

// tables keeps pages of the tables. Any number of goroutines may look up entries
// at a time; set and writeBack are for one at a time.
type tables struct {
	below block.Layer
	max   int // pages

	// written counts write backs. A page that was read from the file while one
	// took place may be older than the file.
	written atomic.Uint64

	mu    sync.RWMutex
	pages map[int64]*page
	ring  []*page // all of them, for the choice of the one to drop
	hand  int

	dirty []*page // of the one that changes entries
	buf   []byte
}

func newTables(below block.Layer, max int) *tables {
	return &tables{below: below, max: max, pages: make(map[int64]*page)}
}

// peek returns the page at an offset of the file if it is in memory.
func (t *tables) peek(offset int64) *page {
	t.mu.RLock()
	p := t.pages[offset]
	t.mu.RUnlock()
	if p != nil && !p.used.Load() {
		p.used.Store(true)
	}
	return p
}

// get returns the page at an offset, which is a multiple of pageSize.
func (t *tables) get(offset int64) (*page, error) {
	if p := t.peek(offset); p != nil {
		return p, nil
	}
	buf := make([]byte, pageSize)
	for {
		before := t.written.Load()
		if err := t.below.ReadVec([][]byte{buf}, offset); err != nil {
			return nil, err
		}
		p := &page{offset: offset}
		for i := range p.entries {
			p.entries[i].Store(binary.LittleEndian.Uint64(buf[i*entrySize:]))
		}
		if p := t.insert(p, before); p != nil {
			return p, nil
		}
	}
}

// insert keeps a page that was read when written was before. It returns the one
// that is kept, or nil if it has to be read again.
func (t *tables) insert(p *page, before uint64) *page {
	t.mu.Lock()
	defer t.mu.Unlock()
	if other := t.pages[p.offset]; other != nil {
		return other
	}
	if t.written.Load() != before {
		return nil
	}
	t.pages[p.offset] = p
	if len(t.ring) < t.max {
		t.ring = append(t.ring, p)
		return p
	}
	// At most half of the pages are dirty, and a second look finds none used.
	for {
		t.hand = (t.hand + 1) % len(t.ring)
		old := t.ring[t.hand]
		if old.dirty || old.used.Swap(false) {
			continue
		}
		delete(t.pages, old.offset)
		t.ring[t.hand] = p
		return p
	}
}

// set changes the entry of a table at an offset of the file.
func (t *tables) set(offset int64, entry uint64) error {
	at := offset &^ (pageSize - 1)
	for {
		p, err := t.get(at)
		if err != nil {
			return err
		}
		if t.change(p, (offset-at)/entrySize, entry) {
			return nil
		}
	}
}

// change is false if the page has been dropped meanwhile.
func (t *tables) change(p *page, index int64, entry uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pages[p.offset] != p {
		return false
	}
	p.entries[index].Store(entry)
	if !p.dirty {
		p.dirty = true
		t.dirty = append(t.dirty, p)
	}
	return true
}

// full reports whether it is time for writeBack.
func (t *tables) full() bool { return len(t.dirty) >= t.max/2 }

// writeBack makes durable what the changed entries point to, and then writes
// the pages. What could not be written stays for the next time.
func (t *tables) writeBack() error {
	if len(t.dirty) == 0 {
		return nil
	}
	if err := t.below.Flush(); err != nil {
		return err
	}
	if t.buf == nil {
		t.buf = make([]byte, pageSize)
	}
	slices.SortFunc(t.dirty, func(a, b *page) int { return cmp.Compare(a.offset, b.offset) })
	done, err := 0, error(nil)
	for _, p := range t.dirty {
		for i := range p.entries {
			binary.LittleEndian.PutUint64(t.buf[i*entrySize:], p.entries[i].Load())
		}
		if err = t.below.WriteVec([][]byte{t.buf}, p.offset); err != nil {
			break
		}
		done++
	}
	// The count goes up after the writing and while nobody can drop the pages.
	t.mu.Lock()
	t.written.Add(1)
	for _, p := range t.dirty[:done] {
		p.dirty = false
	}
	t.mu.Unlock()
	t.dirty = slices.Delete(t.dirty, 0, done)
	return err
}
