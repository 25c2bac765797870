package crypt

import (
	"sync"
	"unsafe"
)

const (
	// bufferSize is how much is encrypted and then written at once, in bytes: so
	// little that it is still in the processor's cache.
	bufferSize = 256 << 10
	// bufferAlign lets a store that is opened with O_DIRECT take the memory as it
	// is, whatever its blocks are.
	bufferAlign = 4096
	// maxFree is how many buffers are kept while nobody needs them.
	maxFree = 16
)

// buffer is aligned memory for one transfer.
type buffer struct {
	mem []byte
	vec [1][]byte
}

// one is the vector of p alone.
func (b *buffer) one(p []byte) [][]byte {
	b.vec[0] = p
	return b.vec[:]
}

// buffers keeps buffers for the next transfer. It has no more than were in use at
// one time.
type buffers struct {
	mu   sync.Mutex
	free []*buffer
}

func (s *buffers) get() *buffer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.free); n > 0 {
		b := s.free[n-1]
		s.free = s.free[:n-1]
		return b
	}
	mem := make([]byte, bufferSize+bufferAlign)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(mem))) % bufferAlign
	return &buffer{mem: mem[skip : skip+bufferSize : skip+bufferSize]}
}

func (s *buffers) put(b *buffer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.free) < maxFree {
		s.free = append(s.free, b)
	}
}

// window is the part of a transfer that one buffer holds: the sectors [from, to)
// of the disk, of which [pos, end) belong to the transfer.
type window struct {
	from, pos, end, to int64
}

// window is the first one of what is left of a transfer, the bytes [pos, end).
func (l *Layer) window(pos, end int64) window {
	mask := int64(l.cipher.size - 1)
	w := window{from: pos &^ mask, pos: pos}
	w.to = min((end+mask)&^mask, w.from+bufferSize)
	w.end = min(w.to, end)
	return w
}
