package qcow2

import "math"

// total is the number of bytes in vec.
func total(vec [][]byte) (n int64) {
	for _, b := range vec {
		if int64(len(b)) > math.MaxInt64-n {
			return math.MaxInt64
		}
		n += int64(len(b))
	}
	return n
}

// zeroVec clears n bytes of vec from byte skip on.
func zeroVec(vec [][]byte, skip, n int64) {
	for _, b := range vec {
		if skip >= int64(len(b)) {
			skip -= int64(len(b))
			continue
		}
		b = b[skip:]
		b = b[:min(n, int64(len(b)))]
		clear(b)
		skip = 0
		if n -= int64(len(b)); n == 0 {
			return
		}
	}
}

// zeroBytes is how many zeroes there are to write from.
const zeroBytes = 64 << 10

// scratch is what a request needs: a list of pieces of memory, and memory for what
// is copied.
type scratch struct {
	vec [][]byte
	buf []byte
	one [1][]byte
}

// part is n bytes of vec from byte skip on.
func (s *scratch) part(vec [][]byte, skip, n int64) [][]byte {
	s.vec = s.vec[:0]
	s.add(vec, skip, n)
	return s.vec
}

// add appends n bytes of vec from byte skip on to the list.
func (s *scratch) add(vec [][]byte, skip, n int64) {
	for _, b := range vec {
		if skip >= int64(len(b)) {
			skip -= int64(len(b))
			continue
		}
		b = b[skip:]
		b = b[:min(n, int64(len(b)))]
		s.vec = append(s.vec, b)
		skip = 0
		if n -= int64(len(b)); n == 0 {
			return
		}
	}
}

// addZeroes appends n zeroes to the list.
func (s *scratch) addZeroes(zeroes []byte, n int64) {
	for n > 0 {
		b := zeroes[:min(n, int64(len(zeroes)))]
		s.vec = append(s.vec, b)
		n -= int64(len(b))
	}
}

// bytes is memory for n bytes.
func (s *scratch) bytes(n int64) []byte {
	if int64(cap(s.buf)) < n {
		s.buf = make([]byte, n)
	}
	return s.buf[:n]
}

func (d *Image) borrow() *scratch { return d.scratch.Get().(*scratch) }

// giveBack keeps s without the memory of its user.
func (d *Image) giveBack(s *scratch) {
	clear(s.vec)
	s.vec, s.one[0] = s.vec[:0], nil
	d.scratch.Put(s)
}
