package bochs

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/govmm/govmm/block"
)

// MaxCache is the most that is kept of an image's bitmaps, in bytes: enough for
// 64 GiB of a disk.
const MaxCache = 16 << 20

const minCached = 16 // bitmaps

// bitmap tells which sectors of an extent have been written.
type bitmap struct {
	place int64 // in the store, in bytes
	words []atomic.Uint64
	used  atomic.Bool // lately
	dirty bool        // has what the store has not; under bitmaps.mu
}

// run is how many sectors from one on are alike, up to the one at end.
func (b *bitmap) run(from, end int64) (written bool, n int64) {
	written = b.words[from/64].Load()>>(from%64)&1 != 0
	for at := from; at < end; at += 64 - at%64 {
		w := b.words[at/64].Load()
		if written {
			w = ^w
		}
		if w >>= at % 64; w != 0 {
			return written, min(at+int64(bits.TrailingZeros64(w)), end) - from
		}
	}
	return written, end - from
}

// set notes sectors as written.
func (b *bitmap) set(from, end int64) {
	for at := from; at < end; {
		n := min(64-at%64, end-at)
		b.words[at/64].Or((1<<n - 1) << (at % 64)) // 1<<64 is 0
		at += n
	}
}

// bitmaps keeps some of an image's. Any number of goroutines may look them up at a
// time; change and writeBack are for one at a time.
type bitmaps struct {
	below block.Layer
	words int // of a bitmap
	max   int

	// written counts write backs. A bitmap that was read from the store while one
	// took place may be older than the store.
	written atomic.Uint64

	mu     sync.RWMutex
	loaded map[int64]*bitmap // by their places
	ring   []*bitmap         // all of them, for the choice of the one to drop
	hand   int

	dirty []*bitmap // of the one that changes bitmaps
	buf   []byte
}

func newBitmaps(below block.Layer, g *geometry, size int64) *bitmaps {
	words := (g.extent/sectorSize + 63) / 64
	most := min(size>>g.shift+1, MaxCache/(words*8))
	return &bitmaps{below: below, words: int(words), max: int(max(most, minCached)), loaded: make(map[int64]*bitmap)}
}

// peek returns the bitmap at a place if it is in memory.
func (c *bitmaps) peek(place int64) *bitmap {
	c.mu.RLock()
	b := c.loaded[place]
	c.mu.RUnlock()
	if b != nil && !b.used.Load() {
		b.used.Store(true)
	}
	return b
}

// get returns the bitmap at a place.
func (c *bitmaps) get(place int64) (*bitmap, error) {
	if b := c.peek(place); b != nil {
		return b, nil
	}
	buf := make([]byte, c.words*8)
	for {
		before := c.written.Load()
		if err := c.below.ReadVec([][]byte{buf}, place); err != nil {
			return nil, err
		}
		b := c.fresh(place)
		for i := range b.words {
			b.words[i].Store(binary.LittleEndian.Uint64(buf[i*8:]))
		}
		if b := c.insert(b, before); b != nil {
			return b, nil
		}
	}
}

// fresh is a bitmap of an extent of which nothing has been written.
func (c *bitmaps) fresh(place int64) *bitmap {
	return &bitmap{place: place, words: make([]atomic.Uint64, c.words)}
}

// insert keeps a bitmap that was read when written was before. It returns the one
// that is kept, or nil if it has to be read again.
func (c *bitmaps) insert(b *bitmap, before uint64) *bitmap {
	c.mu.Lock()
	defer c.mu.Unlock()
	if other := c.loaded[b.place]; other != nil {
		return other
	}
	if c.written.Load() != before {
		return nil
	}
	c.loaded[b.place] = b
	if len(c.ring) < c.max {
		c.ring = append(c.ring, b)
		return b
	}
	// At most half of them are dirty, and a second look finds none used.
	for {
		c.hand = (c.hand + 1) % len(c.ring)
		old := c.ring[c.hand]
		if old.dirty || old.used.Swap(false) {
			continue
		}
		delete(c.loaded, old.place)
		c.ring[c.hand] = b
		return b
	}
}

// change notes sectors of the extent at a place as written.
func (c *bitmaps) change(place, from, end int64) error {
	for {
		b, err := c.get(place)
		if err != nil {
			return err
		}
		if c.changeLoaded(b, from, end) {
			return nil
		}
	}
}

// changeLoaded is false if the bitmap has been dropped meanwhile.
func (c *bitmaps) changeLoaded(b *bitmap, from, end int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.loaded[b.place] != b {
		return false
	}
	b.set(from, end)
	if !b.dirty {
		b.dirty = true
		c.dirty = append(c.dirty, b)
	}
	return true
}

// full reports whether it is time for writeBack.
func (c *bitmaps) full() bool { return len(c.dirty) >= c.max/2 }

// writeBack writes the changed bitmaps. What could not be written stays for the
// next time.
func (c *bitmaps) writeBack() error {
	if len(c.dirty) == 0 {
		return nil
	}
	if c.buf == nil {
		c.buf = make([]byte, c.words*8)
	}
	slices.SortFunc(c.dirty, func(a, b *bitmap) int { return cmp.Compare(a.place, b.place) })
	done, err := 0, error(nil)
	for _, b := range c.dirty {
		for i := range b.words {
			binary.LittleEndian.PutUint64(c.buf[i*8:], b.words[i].Load())
		}
		if err = c.below.WriteVec([][]byte{c.buf}, b.place); err != nil {
			break
		}
		done++
	}
	// The count goes up after the writing and while nobody can drop a bitmap.
	c.mu.Lock()
	c.written.Add(1)
	for _, b := range c.dirty[:done] {
		b.dirty = false
	}
	c.mu.Unlock()
	c.dirty = slices.Delete(c.dirty, 0, done)
	return err
}
