package qcow2

import (
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/govmm/govmm/block"
	"golang.org/x/sys/unix"
)

// store is a file in memory, up to max bytes long, that can lose what was not
// flushed.
type store struct {
	mu       sync.RWMutex
	data     []byte
	max      int64
	readOnly bool
	fixed    bool // as a device is

	durable []byte // at the last flush; nil if that is of no interest
	pending []loss
	fail    error // of all writes, if not nil
}

// loss is a change that may get lost: of data at an offset, or of the length.
type loss struct {
	offset int64
	data   []byte
	length int64 // if data is nil
}

func newStore(size, max int64) *store { return &store{data: make([]byte, size), max: max} }

func (s *store) Size() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return int64(len(s.data))
}

func (s *store) ReadOnly() bool { return s.readOnly }

func (s *store) inside(offset, n int64) bool {
	return offset >= 0 && n >= 0 && offset <= int64(len(s.data)) && n <= int64(len(s.data))-offset
}

func (s *store) ReadVec(vec [][]byte, offset int64) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.inside(offset, total(vec)) {
		return block.ErrOutOfRange
	}
	for _, b := range vec {
		offset += int64(copy(b, s.data[offset:]))
	}
	return nil
}

func (s *store) TryReadVec(vec [][]byte, offset int64) bool { return s.ReadVec(vec, offset) == nil }

func (s *store) WriteVec(vec [][]byte, offset int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.readOnly:
		return block.ErrReadOnly
	case s.fail != nil:
		return s.fail
	case !s.inside(offset, total(vec)):
		return block.ErrOutOfRange
	}
	for _, b := range vec {
		s.note(loss{offset: offset, data: b})
		offset += int64(copy(s.data[offset:], b))
	}
	return nil
}

// note keeps a change for the time of a crash, by the sector.
func (s *store) note(c loss) {
	if s.durable == nil {
		return
	}
	if c.data == nil {
		s.pending = append(s.pending, c)
		return
	}
	for len(c.data) > 0 {
		n := min(int64(len(c.data)), block.SectorSize-c.offset%block.SectorSize)
		s.pending = append(s.pending, loss{offset: c.offset, data: slices.Clone(c.data[:n])})
		c.offset, c.data = c.offset+n, c.data[n:]
	}
}

func (s *store) WriteZeroes(offset, length int64, _ bool) error {
	if s.Size() < offset || s.Size()-offset < length {
		return block.ErrOutOfRange
	}
	return s.WriteVec([][]byte{make([]byte, length)}, offset)
}

func (s *store) Discard(int64, int64) error { return nil }

func (s *store) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.durable != nil {
		s.durable, s.pending = slices.Clone(s.data), nil
	}
	return nil
}

func (s *store) Resize(size int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.readOnly:
		return block.ErrReadOnly
	case size > s.max || s.fixed && size > int64(len(s.data)):
		return unix.ENOSPC
	case s.fixed:
		return nil
	}
	s.note(loss{length: size})
	s.data = resized(s.data, size)
	return nil
}

func resized(p []byte, size int64) []byte {
	if size <= int64(len(p)) {
		return p[:size:size]
	}
	return append(p, make([]byte, size-int64(len(p)))...)
}

func (s *store) Map(offset, length int64) (block.Extent, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.inside(offset, length) || length == 0 {
		return block.Extent{}, block.ErrOutOfRange
	}
	p := s.data[offset:][:length]
	zero := p[0] == 0
	n := slices.IndexFunc(p, func(b byte) bool { return (b == 0) != zero })
	if n < 0 {
		n = len(p)
	}
	return block.Extent{Length: int64(n), Zero: zero, Allocated: !zero}, nil
}

func (s *store) Close() error { return nil }

// crash is a store as the host may leave it when it fails: with what was flushed,
// and any of the later changes, in order.
func (s *store) crash(rng *rand.Rand) *store {
	s.mu.Lock()
	defer s.mu.Unlock()
	data := slices.Clone(s.durable)
	kept := rng.Float64()
	for _, c := range s.pending {
		if rng.Float64() > kept {
			continue
		}
		if c.data == nil {
			data = resized(data, c.length)
			continue
		}
		if end := c.offset + int64(len(c.data)); end > int64(len(data)) {
			data = resized(data, end)
		}
		copy(data[c.offset:], c.data)
	}
	return &store{data: data, max: s.max}
}
