package qcow

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/govmm/govmm/block"
)

const (
	pageSize    = 4096 // bytes
	pageEntries = pageSize / entrySize
)

// MaxCache is the most that is kept of an image's tables, in bytes: enough for
// 4 GiB of a disk with clusters of 4 KiB, the usual ones.
const MaxCache = 8 << 20

// page is a piece of the store with entries of tables.
type page struct {
	offset  int64
	entries [pageEntries]uint64
	used    atomic.Bool // lately
}

// tables keeps pages of the tables, which do not change.
type tables struct {
	below block.Layer
	end   int64 // of the store

	mu    sync.RWMutex
	pages map[int64]*page
	ring  []*page // all of them, for the choice of the one to drop
	hand  int
}

func newTables(below block.Layer, end int64) *tables {
	return &tables{below: below, end: end, pages: make(map[int64]*page)}
}

// peek returns the page at an offset of the store if it is in memory.
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
	if err := t.below.ReadVec([][]byte{buf[:min(pageSize, t.end-offset)]}, offset); err != nil {
		return nil, err
	}
	p := &page{offset: offset}
	for i := range p.entries {
		p.entries[i] = binary.BigEndian.Uint64(buf[i*entrySize:])
	}
	return t.insert(p), nil
}

// insert keeps a page, or returns the one that somebody else has read.
func (t *tables) insert(p *page) *page {
	t.mu.Lock()
	defer t.mu.Unlock()
	if other := t.pages[p.offset]; other != nil {
		return other
	}
	t.pages[p.offset] = p
	if len(t.ring) < MaxCache/pageSize {
		t.ring = append(t.ring, p)
		return p
	}
	for {
		t.hand = (t.hand + 1) % len(t.ring)
		old := t.ring[t.hand]
		if old.used.Swap(false) {
			continue
		}
		delete(t.pages, old.offset)
		t.ring[t.hand] = p
		return p
	}
}
