package queue

import (
	"encoding/binary"
	"errors"
	"io"
)

// ErrShort is a chain with fewer bytes than its device needs.
var ErrShort = errors.New("descriptor chain is too short")

// span is a run of bytes in the buffers of a chain.
type span struct {
	chain *Chain
	bufs  [][]byte // that are not used up
	skip  int      // bytes of the first that are
	left  int      // bytes to the end, which may lie within the last buffer
}

// Len is how many bytes are left.
func (s *span) Len() int { return s.left }

// Skip passes over n bytes: what a back end has read or written by way of
// Iovecs. It is ErrShort, and passes over nothing, when there are not as many.
func (s *span) Skip(n int) error {
	if uint(n) > uint(s.left) {
		return ErrShort
	}
	for n > 0 {
		n -= s.advance(min(n, len(s.head())))
	}
	return nil
}

// Iovecs returns the bytes that are left as they lie in guest memory, for
// vectored I/O. Nothing is used up. The slices are not to be changed, and are
// valid until the chain is pushed; no element is empty.
func (s *span) Iovecs() [][]byte {
	if s.left == 0 {
		return nil
	}
	n, end := 0, -s.skip // as many buffers as reach the end
	for ; end < s.left; n++ {
		end += len(s.bufs[n])
	}
	if s.skip == 0 && end == s.left {
		return s.bufs[:n:n]
	}
	c := s.chain
	start := len(c.pieces)
	c.pieces = append(c.pieces, s.bufs[:n]...)
	list := c.pieces[start:]
	// The end first: both may be in one buffer.
	last := &list[n-1]
	*last = (*last)[:len(*last)-(end-s.left)]
	list[0] = list[0][s.skip:]
	return list[:n:n]
}

// split takes the first n bytes off.
func (s *span) split(n int) (span, error) {
	front := *s
	if err := s.Skip(n); err != nil {
		return span{}, err
	}
	front.left = n
	return front, nil
}

// head is the contiguous memory at the front, empty at the end.
func (s *span) head() []byte {
	if s.left == 0 {
		return nil
	}
	b := s.bufs[0][s.skip:]
	return b[:min(len(b), s.left)]
}

// advance uses up n bytes of the head, and returns n.
func (s *span) advance(n int) int {
	s.skip += n
	s.left -= n
	if s.skip == len(s.bufs[0]) {
		s.bufs, s.skip = s.bufs[1:], 0
	}
	return n
}

// take is for a small number that usually lies in one buffer: its memory, or
// nil when it does not.
func (s *span) take(n int) []byte {
	b := s.head()
	if len(b) < n {
		return nil
	}
	s.advance(n)
	return b[:n]
}

// Reader reads the device-readable part of a chain from front to back. How the
// driver has divided it into buffers does not show. The memory is the guest's,
// which may change it: what is checked must be read once only.
type Reader struct{ span }

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) > 0 && r.left == 0 {
		return 0, io.EOF
	}
	done := 0
	for done < len(p) && r.left > 0 {
		done += r.advance(copy(p[done:], r.head()))
	}
	return done, nil
}

// ReadFull fills p. It is ErrShort, and reads nothing, when there is not as
// much.
func (r *Reader) ReadFull(p []byte) error {
	if len(p) > r.left {
		return ErrShort
	}
	_, err := r.Read(p)
	return err
}

// WriteTo implements io.WriterTo, straight from guest memory.
func (r *Reader) WriteTo(w io.Writer) (int64, error) {
	var done int64
	for r.left > 0 {
		b := r.head()
		n, err := w.Write(b)
		done += int64(r.advance(min(max(n, 0), len(b))))
		if err == nil && n < len(b) {
			err = io.ErrShortWrite
		}
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// Split takes the first n bytes off as a reader of their own. It is ErrShort
// when there are not as many.
func (r *Reader) Split(n int) (Reader, error) {
	front, err := r.split(n)
	return Reader{front}, err
}

// Uint8 reads a byte, or is ErrShort.
func (r *Reader) Uint8() (uint8, error) {
	var p [1]byte
	err := r.small(p[:])
	return p[0], err
}

// Uint16 reads a little-endian number, or is ErrShort and reads nothing.
func (r *Reader) Uint16() (uint16, error) {
	var p [2]byte
	err := r.small(p[:])
	return binary.LittleEndian.Uint16(p[:]), err
}

// Uint32 is Uint16 for 32 bits.
func (r *Reader) Uint32() (uint32, error) {
	var p [4]byte
	err := r.small(p[:])
	return binary.LittleEndian.Uint32(p[:]), err
}

// Uint64 is Uint16 for 64 bits.
func (r *Reader) Uint64() (uint64, error) {
	var p [8]byte
	err := r.small(p[:])
	return binary.LittleEndian.Uint64(p[:]), err
}

func (r *Reader) small(p []byte) error {
	if b := r.take(len(p)); b != nil {
		copy(p, b)
		return nil
	}
	return r.ReadFull(p)
}
