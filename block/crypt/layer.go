package crypt

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/govmm/govmm/block"
)

// Options say where in a store the encrypted bytes are.
type Options struct {
	// Offset is where they begin, in bytes.
	Offset int64
	// Size is how many there are. 0 is all up to the end of the store, also
	// after it has grown.
	Size int64
	// FirstSector is the number that the sector at Offset has, in units of
	// SectorSize.
	FirstSector uint64
	// ReadOnly refuses writing, also where the store allows it.
	ReadOnly bool
}

// Layer is a disk whose bytes lie encrypted in the store below.
//
// Reads go straight into the caller's memory and are decrypted there, unless
// they are not of whole sectors. Writes are encrypted into buffers of the
// layer's own, which it keeps. Large requests are spread over idle cores.
type Layer struct {
	below    block.Layer
	cipher   *Cipher
	offset   int64
	fixed    bool // the size does not follow that of the store below
	first    uint64
	readOnly bool

	size    atomic.Int64
	buffers buffers
	helpers *helpers

	// edge is held shared by writes of whole sectors, and alone by those that
	// keep part of a sector, which is read, changed and written back.
	edge sync.RWMutex
}

var (
	_ block.Layer     = (*Layer)(nil)
	_ block.Resizer   = (*Layer)(nil)
	_ block.TryReader = (*Layer)(nil)
	_ block.Briefer   = (*Layer)(nil)
	_ block.Shaper    = (*Layer)(nil)
)

// NewLayer puts a cipher over a store, which belongs to the layer from then on:
// its Close closes it. After an error the store is still the caller's.
func NewLayer(below block.Layer, c *Cipher, o Options) (*Layer, error) {
	l := &Layer{below: below, cipher: c, offset: o.Offset, first: o.FirstSector, fixed: o.Size != 0,
		readOnly: o.ReadOnly || below.ReadOnly()}
	room := below.Size() - o.Offset
	if o.Offset < 0 || room < 0 || o.Size < 0 || o.Size > room {
		return nil, fmt.Errorf("encrypted data at %d, %d bytes long: %w", o.Offset, o.Size, block.ErrOutOfRange)
	}
	if o.Size != 0 {
		room = o.Size
	}
	l.size.Store(l.wholeSectors(room))
	l.helpers = newHelpers()
	return l, nil
}

// wholeSectors rounds down to what can be encrypted.
func (l *Layer) wholeSectors(n int64) int64 { return n &^ int64(l.cipher.size-1) }

// Size implements [block.Layer].
func (l *Layer) Size() int64 { return l.size.Load() }

// ReadOnly implements [block.Layer].
func (l *Layer) ReadOnly() bool { return l.readOnly }

// Topology implements [block.Shaper]: whole sectors are written without being
// read first.
func (l *Layer) Topology() block.Topology {
	t := block.Topology{LogicalBlockSize: SectorSize, PhysicalBlockSize: SectorSize}
	if s, ok := l.below.(block.Shaper); ok {
		t = s.Topology()
	}
	t.PhysicalBlockSize = max(t.PhysicalBlockSize, l.cipher.size)
	t.DiscardGranularity = 0
	return t
}

// Brief implements [block.Briefer].
func (l *Layer) Brief() bool {
	b, ok := l.below.(block.Briefer)
	return ok && b.Brief()
}

// tryBytes is the most that is decrypted where it is asked for, in bytes: some
// 20 µs of it.
const tryBytes = 16 << 10

// TryReadVec implements [block.TryReader].
func (l *Layer) TryReadVec(vec [][]byte, offset int64) bool {
	below, ok := l.below.(block.TryReader)
	if !ok {
		return false
	}
	n, err := l.check(vec, offset)
	if err != nil || n == 0 || n > tryBytes || !l.whole(vec, offset) || !below.TryReadVec(vec, l.offset+offset) {
		return false
	}
	p := piece{cipher: l.cipher, decrypts: true, vec: vec, to: n, sector: l.sector(offset)}
	p.do()
	return true
}

// ReadVec implements [block.Layer].
func (l *Layer) ReadVec(vec [][]byte, offset int64) error {
	n, err := l.check(vec, offset)
	if n == 0 || err != nil {
		return err
	}
	if !l.whole(vec, offset) {
		return l.readParts(vec, offset, n)
	}
	if err := l.below.ReadVec(vec, l.offset+offset); err != nil {
		return err
	}
	l.helpers.split(piece{cipher: l.cipher, decrypts: true, vec: vec, to: n, sector: l.sector(offset)})
	return nil
}

// readParts reads what begins or ends within sectors, or is cut within them by
// the memory it goes to.
func (l *Layer) readParts(vec [][]byte, offset, n int64) error {
	b := l.buffers.get()
	defer l.buffers.put(b)
	for moved := int64(0); moved < n; {
		w := l.window(offset+moved, offset+n)
		if err := l.load(b.mem[:w.to-w.from], b, w.from); err != nil {
			return err
		}
		block.Scatter(vec, moved, b.mem[w.pos-w.from:w.end-w.from])
		moved += w.end - w.pos
	}
	return nil
}

// WriteVec implements [block.Layer].
func (l *Layer) WriteVec(vec [][]byte, offset int64) error {
	n, err := l.check(vec, offset)
	if err == nil && l.readOnly {
		err = block.ErrReadOnly
	}
	if n == 0 || err != nil {
		return err
	}
	b := l.buffers.get()
	defer l.buffers.put(b)
	if l.aligned(offset) && l.aligned(n) {
		l.edge.RLock()
		defer l.edge.RUnlock()
	} else {
		l.edge.Lock()
		defer l.edge.Unlock()
	}
	whole := l.whole(vec, offset)
	for moved := int64(0); moved < n; {
		w := l.window(offset+moved, offset+n)
		p := b.mem[:w.to-w.from]
		if whole {
			l.helpers.split(piece{cipher: l.cipher, vec: vec, from: moved, to: moved + int64(len(p)), dst: p, sector: l.sector(w.from)})
		} else {
			if err := l.loadEdges(p, b, w); err != nil {
				return err
			}
			block.Gather(p[w.pos-w.from:w.end-w.from], vec, moved)
			l.encrypt(b.one(p), w)
		}
		if err := l.below.WriteVec(b.one(p), l.offset+w.from); err != nil {
			return err
		}
		moved += w.end - w.pos
	}
	return nil
}

// WriteZeroes implements [block.Layer]. Zeroes are encrypted as all else is, so
// no space is given back.
func (l *Layer) WriteZeroes(offset, length int64, _ bool) error {
	if err := l.checkRange(offset, length); err != nil {
		return err
	}
	if l.readOnly {
		return block.ErrReadOnly
	}
	if length == 0 {
		return nil
	}
	b := l.buffers.get()
	defer l.buffers.put(b)
	for end := offset + length; offset < end; {
		w := l.window(offset, end)
		if err := l.zeroWindow(b, w); err != nil {
			return err
		}
		offset = w.end
	}
	return nil
}

func (l *Layer) zeroWindow(b *buffer, w window) error {
	if w.pos == w.from && w.end == w.to {
		l.edge.RLock()
		defer l.edge.RUnlock()
	} else {
		l.edge.Lock()
		defer l.edge.Unlock()
	}
	p := b.mem[:w.to-w.from]
	if err := l.loadEdges(p, b, w); err != nil {
		return err
	}
	clear(p[w.pos-w.from : w.end-w.from])
	l.encrypt(b.one(p), w)
	return l.below.WriteVec(b.one(p), l.offset+w.from)
}

// Discard implements [block.Layer] by doing nothing: see the package's
// description.
func (l *Layer) Discard(offset, length int64) error {
	if err := l.checkRange(offset, length); err != nil {
		return err
	}
	if l.readOnly {
		return block.ErrReadOnly
	}
	return nil
}

// Flush implements [block.Layer].
func (l *Layer) Flush() error { return l.below.Flush() }

// Resize implements [block.Resizer], where the store below can be resized and
// the container does not say its size. What is new is written, as it would read
// as noise otherwise: this takes as long as that does.
func (l *Layer) Resize(size int64) error {
	below, ok := l.below.(block.Resizer)
	switch {
	case l.readOnly:
		return block.ErrReadOnly
	case !ok || l.fixed:
		return fmt.Errorf("the size of this encrypted disk is fixed: %w", errors.ErrUnsupported)
	case size < 0 || size > math.MaxInt64-l.offset || !l.aligned(size):
		return fmt.Errorf("%d bytes are not a size for a disk of sectors of %d bytes", size, l.cipher.size)
	}
	old := l.size.Load()
	if err := below.Resize(l.offset + size); err != nil {
		return err
	}
	l.size.Store(size)
	if size <= old {
		return nil
	}
	if err := l.WriteZeroes(old, size-old, false); err != nil {
		l.size.Store(old)
		return errors.Join(err, below.Resize(l.offset+old))
	}
	return nil
}

// Refresh looks at the size again, after something else has changed that of the
// store below.
func (l *Layer) Refresh() error {
	if r, ok := l.below.(interface{ Refresh() error }); ok {
		if err := r.Refresh(); err != nil {
			return err
		}
	}
	if room := l.below.Size() - l.offset; !l.fixed && room >= 0 {
		l.size.Store(l.wholeSectors(room))
	}
	return nil
}

// Close implements [block.Layer].
func (l *Layer) Close() error {
	l.helpers.stop()
	return l.below.Close()
}

// check is what every transfer begins with. It gives the number of bytes.
func (l *Layer) check(vec [][]byte, offset int64) (int64, error) {
	var n int64
	for _, b := range vec {
		if int64(len(b)) > math.MaxInt64-n {
			return 0, block.ErrOutOfRange
		}
		n += int64(len(b))
	}
	return n, l.checkRange(offset, n)
}

func (l *Layer) checkRange(offset, n int64) error {
	if size := l.size.Load(); offset < 0 || n < 0 || offset > size || n > size-offset {
		return block.ErrOutOfRange
	}
	return nil
}

// sector is the number of the sector at an offset.
func (l *Layer) sector(offset int64) uint64 { return l.first + uint64(offset)/SectorSize }

func (l *Layer) aligned(n int64) bool { return n&int64(l.cipher.size-1) == 0 }

// whole reports whether a transfer is of whole sectors, none of which is cut.
func (l *Layer) whole(vec [][]byte, offset int64) bool {
	if !l.aligned(offset) {
		return false
	}
	for _, b := range vec {
		if !l.aligned(int64(len(b))) {
			return false
		}
	}
	return true
}

// load reads and decrypts whole sectors into p, which is part of b.
func (l *Layer) load(p []byte, b *buffer, offset int64) error {
	vec := b.one(p)
	if err := l.below.ReadVec(vec, l.offset+offset); err != nil {
		return err
	}
	l.helpers.split(piece{cipher: l.cipher, decrypts: true, vec: vec, to: int64(len(p)), sector: l.sector(offset)})
	return nil
}

// encrypt encrypts a window in its buffer.
func (l *Layer) encrypt(vec [][]byte, w window) {
	l.helpers.split(piece{cipher: l.cipher, vec: vec, to: w.to - w.from, sector: l.sector(w.from)})
}

// loadEdges reads the first and the last sector of a window, where only a part
// of them is to be written.
func (l *Layer) loadEdges(p []byte, b *buffer, w window) error {
	size := l.cipher.size
	if w.pos > w.from {
		if err := l.load(p[:size], b, w.from); err != nil {
			return err
		}
	}
	if w.end < w.to && (len(p) > size || w.pos == w.from) {
		return l.load(p[len(p)-size:], b, w.to-int64(size))
	}
	return nil
}
