package soft

import (
	"encoding/binary"
	"fmt"
	"sync"

	hostnet "github.com/govmm/govmm/net"
)

// RingSize is the room of a Ring in bytes: some 170 frames of 1500 bytes, or
// three of the longest.
const RingSize = 256 << 10

// lengthSize is that of the length before each frame, big-endian.
const lengthSize = 4

// Ring holds frames in their order, each behind its length:
//
//	0                   4                   4+n
//	+-------------------+-------------------+---
//	| n, big-endian     | n bytes of frame  | n of the next ...
//	+-------------------+-------------------+---
//
// One goroutine puts frames in, by Put, or by Space and Filled as they come from
// a stream; another takes them out, by Frame and Next, or by Bytes and Taken as
// they go to a stream. Counters run on for ever, and are taken modulo the size.
type Ring struct {
	mu    sync.Mutex
	buf   []byte // made when first needed
	head  uint64 // of the first byte to take
	tail  uint64 // behind the last byte
	whole uint64 // where the first frame begins that is not there whole
	cut   [2][]byte
}

// Put adds a frame of n bytes. It returns false when there is no room.
func (r *Ring) Put(frame [][]byte, n int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.make()
	if uint64(lengthSize+n) > RingSize-(r.tail-r.head) {
		return false
	}
	var length [lengthSize]byte
	binary.BigEndian.PutUint32(length[:], uint32(n))
	r.append(length[:])
	for _, b := range frame {
		b = b[:min(n, len(b))]
		n -= len(b)
		r.append(b)
	}
	r.whole = r.tail
	return true
}

// append adds bytes for which there is room. mu is held.
func (r *Ring) append(b []byte) {
	k := copy(r.buf[r.tail%RingSize:], b)
	copy(r.buf, b[k:])
	r.tail += uint64(len(b))
}

func (r *Ring) make() {
	if r.buf == nil {
		r.buf = make([]byte, RingSize)
	}
}

// Space is where the next bytes of a stream go, empty when there is no room.
func (r *Ring) Space() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.make()
	at := r.tail % RingSize
	return r.buf[at:min(RingSize, at+RingSize-(r.tail-r.head))]
}

// Filled adds the first n bytes of Space, and reports whether frames are there
// that were not whole before. The error tells of a frame that is longer than any
// can be.
func (r *Ring) Filled(n int) (more bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tail += uint64(n)
	for r.tail-r.whole >= lengthSize {
		length := r.length(r.whole)
		if length > hostnet.MaxFrame {
			return more, fmt.Errorf("a frame of %d bytes is longer than %d; the peer is no network socket of QEMU's kind", length, hostnet.MaxFrame)
		}
		if r.tail-r.whole < lengthSize+length {
			break
		}
		r.whole += lengthSize + length
		more = true
	}
	return more, nil
}

// length is that of the frame at a place. mu is held.
func (r *Ring) length(at uint64) uint64 {
	var b [lengthSize]byte
	for i := range b {
		b[i] = r.buf[(at+uint64(i))%RingSize]
	}
	return uint64(binary.BigEndian.Uint32(b[:]))
}

// Empty reports whether there is no whole frame.
func (r *Ring) Empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.head == r.whole
}

// Room reports whether there is room for the longest frame.
func (r *Ring) Room() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return RingSize-(r.tail-r.head) >= lengthSize+hostnet.MaxFrame
}

// Frame returns the next frame, which stays as it is until Next. It is nil when
// there is none.
func (r *Ring) Frame() [][]byte {
	r.mu.Lock()
	if r.head == r.whole {
		r.mu.Unlock()
		return nil
	}
	return r.span(r.head+lengthSize, r.length(r.head))
}

// Next takes the frame that Frame has returned.
func (r *Ring) Next() {
	r.head += lengthSize + r.length(r.head)
	r.mu.Unlock()
}

// Bytes are all that there are, in stream order: whole frames with their
// lengths. They stay as they are until Taken, but for Reset.
func (r *Ring) Bytes() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.span(r.head, r.tail-r.head)
}

// Taken takes the first n bytes.
func (r *Ring) Taken(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.head += uint64(n)
}

// Reset empties the ring.
func (r *Ring) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.head, r.whole = r.tail, r.tail
}

// Cut takes away the frame at the end that is not whole.
func (r *Ring) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tail = r.whole
}

// span is a part of the ring. mu is held.
func (r *Ring) span(at, n uint64) [][]byte {
	i := at % RingSize
	first := min(n, RingSize-i)
	r.cut[0], r.cut[1] = r.buf[i:i+first], r.buf[:n-first]
	return r.cut[:]
}
