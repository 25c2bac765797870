package qed

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

// scratch is room for a part of a vector, and for what is copied.
type scratch struct {
	vec [][]byte
	buf []byte
	one [1][]byte
}

// part is n bytes of vec from byte skip on.
func (s *scratch) part(vec [][]byte, skip, n int64) [][]byte {
	s.vec = s.vec[:0]
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
			break
		}
	}
	return s.vec
}

func (d *Image) borrow() *scratch { return d.scratch.Get().(*scratch) }

// giveBack keeps s without the memory of its user.
func (d *Image) giveBack(s *scratch) {
	clear(s.vec)
	d.scratch.Put(s)
}
