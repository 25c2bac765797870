// Package storetest has a store for the tests of image formats.
package storetest

import (
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/internal/vec"
	"golang.org/x/sys/unix"
)

// Store is a file in memory, up to Max bytes long, that can lose what was not
// flushed.
type Store struct {
	mu sync.RWMutex

	Data   []byte
	Max    int64
	Sealed bool // ReadOnly
	Fixed  bool // Resize fails

	Durable []byte // at the last flush; nil if that is of no interest
	Fail    error  // of all writes, if not nil

	pending []change
}

// change is one that may get lost: of data at an offset, or of the length.
type change struct {
	offset int64
	data   []byte
	length int64 // if data is nil
}

// New makes a store of zeroes.
func New(size, most int64) *Store { return &Store{Data: make([]byte, size), Max: most} }

// Size implements [block.Layer].
func (s *Store) Size() int64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return int64(len(s.Data))
}

// ReadOnly implements [block.Layer].
func (s *Store) ReadOnly() bool { return s.Sealed }

func (s *Store) inside(offset, n int64) bool {
	return offset >= 0 && n >= 0 && offset <= int64(len(s.Data)) && n <= int64(len(s.Data))-offset
}

// ReadVec implements [block.Layer].
func (s *Store) ReadVec(v [][]byte, offset int64) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.inside(offset, vec.Total(v)) {
		return block.ErrOutOfRange
	}
	for _, b := range v {
		offset += int64(copy(b, s.Data[offset:]))
	}
	return nil
}

// TryReadVec implements [block.TryReader].
func (s *Store) TryReadVec(v [][]byte, offset int64) bool { return s.ReadVec(v, offset) == nil }

// WriteVec implements [block.Layer].
func (s *Store) WriteVec(v [][]byte, offset int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.Sealed:
		return block.ErrReadOnly
	case s.Fail != nil:
		return s.Fail
	case !s.inside(offset, vec.Total(v)):
		return block.ErrOutOfRange
	}
	for _, b := range v {
		s.note(change{offset: offset, data: b})
		offset += int64(copy(s.Data[offset:], b))
	}
	return nil
}

// note keeps a change for the time of a crash, by the sector.
func (s *Store) note(c change) {
	if s.Durable == nil {
		return
	}
	if c.data == nil {
		s.pending = append(s.pending, c)
		return
	}
	for len(c.data) > 0 {
		n := min(int64(len(c.data)), block.SectorSize-c.offset%block.SectorSize)
		s.pending = append(s.pending, change{offset: c.offset, data: slices.Clone(c.data[:n])})
		c.offset, c.data = c.offset+n, c.data[n:]
	}
}

// WriteZeroes implements [block.Layer].
func (s *Store) WriteZeroes(offset, length int64, _ bool) error {
	if s.Size() < offset || s.Size()-offset < length {
		return block.ErrOutOfRange
	}
	return s.WriteVec([][]byte{make([]byte, length)}, offset)
}

// Discard implements [block.Layer].
func (s *Store) Discard(int64, int64) error { return nil }

// Flush implements [block.Layer].
func (s *Store) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Durable != nil {
		s.Durable, s.pending = slices.Clone(s.Data), nil
	}
	return nil
}

// Resize implements [block.Resizer].
func (s *Store) Resize(size int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Sealed {
		return block.ErrReadOnly
	}
	if s.Fixed || size > s.Max {
		return unix.ENOSPC
	}
	s.note(change{length: size})
	s.Data = resized(s.Data, size)
	return nil
}

func resized(p []byte, size int64) []byte {
	if size <= int64(len(p)) {
		return p[:size:size]
	}
	return append(p, make([]byte, size-int64(len(p)))...)
}

// Map implements [block.Mapper].
func (s *Store) Map(offset, length int64) (block.Extent, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.inside(offset, length) || length == 0 {
		return block.Extent{}, block.ErrOutOfRange
	}
	p := s.Data[offset:][:length]
	zero := p[0] == 0
	n := slices.IndexFunc(p, func(b byte) bool { return (b == 0) != zero })
	if n < 0 {
		n = len(p)
	}
	return block.Extent{Length: int64(n), Zero: zero, Allocated: !zero}, nil
}

// Close implements [block.Layer].
func (s *Store) Close() error { return nil }

// Crash is a store as the host may leave it when it fails: with what was flushed,
// and any of the later changes, in order.
func (s *Store) Crash(rng *rand.Rand) *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	data := slices.Clone(s.Durable)
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
	return &Store{Data: data, Max: s.Max}
}
