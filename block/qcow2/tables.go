package qcow2

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
)

// MaxCache is the most that is kept of an image's L2 tables if the options do not
// say otherwise, in bytes: enough for 256 GiB of a disk with clusters of 64 KiB.
const MaxCache = 32 << 20

// minTables is the least number of L2 tables that are kept.
const minTables = 4

// table is an L2 table in memory. Everything in it is under tables.mu.
type table struct {
	index    int // of its entry in the L1 table
	words    []uint64
	used     atomic.Bool // lately
	from, to int         // the words that the container does not have yet
	fresh    bool        // the L1 table in the container does not point to it
	flushing bool        // a copy of its words is on the way to the container
}

// tables are the L1 table and the L2 tables that are in memory. The lock is never
// held during I/O.
type tables struct {
	mu       sync.RWMutex
	l1       []uint64
	l1Offset int64
	loaded   []*table // by the index in l1; nil if it is not in memory
	ring     []*table // all that are loaded, for the choice of the one to drop
	hand     int
	max      int

	dirty   []*table
	dirtyL1 []int
	frees   []span // what nothing refers to any more

	// loading is held while a table is read: that with the index n has the
	// mutex n modulo their number.
	loading [16]sync.Mutex
	// owning is held while a table is made.
	owning sync.Mutex
}

func (t *tables) init(l1 []uint64, offset int64, max int) {
	t.l1, t.l1Offset, t.max = l1, offset, max
	t.loaded = make([]*table, len(l1))
}

// touch notes that a table is in use.
func (t *table) touch() {
	if !t.used.Load() {
		t.used.Store(true)
	}
}

// insert keeps a table. The caller holds the lock.
func (t *tables) insert(n *table) {
	t.loaded[n.index] = n
	if len(t.ring) < t.max {
		t.ring = append(t.ring, n)
		return
	}
	// Most are clean, and a second look finds none used.
	for range 2 * len(t.ring) {
		t.hand = (t.hand + 1) % len(t.ring)
		old := t.ring[t.hand]
		if old.to > 0 || old.fresh || old.flushing || old.used.Swap(false) {
			continue
		}
		t.loaded[old.index] = nil
		t.ring[t.hand] = n
		return
	}
	t.ring = append(t.ring, n)
}

// remove forgets a table that another one takes the place of. The caller holds the
// lock.
func (t *tables) remove(old *table) {
	t.loaded[old.index] = nil
	for i := range t.ring {
		if t.ring[i] == old {
			last := len(t.ring) - 1
			t.ring[i] = t.ring[last]
			t.ring = t.ring[:last]
			break
		}
	}
	if t.hand >= len(t.ring) {
		t.hand = 0
	}
}

// mark notes that words of a table have changed. The caller holds the lock.
func (t *tables) mark(n *table, from, to int) {
	if n.to == 0 {
		n.from = from
		t.dirty = append(t.dirty, n)
	}
	n.from, n.to = min(n.from, from), max(n.to, to)
}

// crowded reports whether it is time to write changes.
func (t *tables) crowded() bool {
	const maxFrees = 64 << 10
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.dirty) > t.max/2 || len(t.frees) > maxFrees
}

// pending reports whether a flush would free clusters.
func (t *tables) pending() bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.frees) > 0
}

// table returns an L2 table, which is read if it is not in memory; nil if there is
// none. The caller holds no lock, so another one may take its place at any time.
func (d *Image) table(index int) (*table, error) {
	t := &d.tables
	t.mu.RLock()
	found, entry := t.loaded[index], t.l1[index]
	t.mu.RUnlock()
	if found != nil || entry == 0 {
		return found, nil
	}
	loading := &t.loading[index%len(t.loading)]
	loading.Lock()
	defer loading.Unlock()
	s := d.borrow()
	defer d.giveBack(s)
	n := &table{index: index, words: make([]uint64, d.cluster/8)}
	for {
		t.mu.RLock()
		found, entry = t.loaded[index], t.l1[index]
		t.mu.RUnlock()
		if found != nil || entry == 0 {
			return found, nil
		}
		at := int64(entry & offsetMask)
		if !d.inside(at, d.cluster) || at == 0 {
			return nil, corrupt("L1 entry %d, %#x, is no cluster of the image", index, entry)
		}
		p := s.bytes(d.cluster)
		s.one[0] = p
		if err := d.readBelow(s.one[:], d.cluster, at); err != nil {
			return nil, err
		}
		for i := range n.words {
			n.words[i] = binary.BigEndian.Uint64(p[8*i:])
		}
		t.mu.Lock()
		if t.l1[index] != entry || t.loaded[index] != nil {
			t.mu.Unlock()
			continue
		}
		n.touch()
		t.insert(n)
		t.mu.Unlock()
		return n, nil
	}
}

// inside reports whether n bytes at an offset that a table has are clusters of the
// container, behind the header.
func (d *Image) inside(at, n int64) bool {
	end := d.end.Load()
	return d.aligned(at) && at >= d.cluster && n <= end && at <= end-n
}

// owned returns an L2 table that nothing else refers to, so that it may be
// changed. It is made if there is none.
func (d *Image) owned(index int) (*table, error) {
	t := &d.tables
	for {
		t.mu.RLock()
		found, entry := t.loaded[index], t.l1[index]
		t.mu.RUnlock()
		switch {
		case entry&flagCopied == 0:
			if err := d.own(index); err != nil {
				return nil, err
			}
		case found != nil:
			return found, nil
		default:
			if _, err := d.table(index); err != nil {
				return nil, err
			}
		}
	}
}

// own makes an L2 table that has the entries of the one there was.
func (d *Image) own(index int) error {
	t := &d.tables
	t.owning.Lock()
	defer t.owning.Unlock()
	old, err := d.table(index)
	if err != nil {
		return err
	}
	t.mu.RLock()
	entry := t.l1[index]
	t.mu.RUnlock()
	if entry&flagCopied != 0 {
		return nil
	}
	at, _, err := d.refs.take(1)
	if err != nil {
		return err
	}
	n := &table{index: index, fresh: true}
	if old != nil { // which nobody changes, as it is not owned
		n.words = append(n.words, old.words...)
	} else {
		n.words = make([]uint64, d.cluster/8)
	}
	d.reserved.add(at.at)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.loaded[index] != nil {
		t.remove(t.loaded[index])
	}
	if entry != 0 {
		t.frees = append(t.frees, span{int64(entry & offsetMask), d.cluster})
	}
	t.l1[index] = uint64(at.at) | flagCopied
	t.dirtyL1 = append(t.dirtyL1, index)
	n.touch()
	t.insert(n)
	t.mark(n, 0, len(n.words))
	return nil
}
