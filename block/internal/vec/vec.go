// Package vec has what image formats do with vectors of memory.
package vec

import "math"

// Total is the number of bytes in vec, the greatest int64 if there are more.
func Total(vec [][]byte) (n int64) {
	for _, b := range vec {
		if int64(len(b)) > math.MaxInt64-n {
			return math.MaxInt64
		}
		n += int64(len(b))
	}
	return n
}

// Zero clears n bytes of vec from byte skip on.
func Zero(vec [][]byte, skip, n int64) {
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

// AppendPart appends n bytes of vec from byte skip on to list.
func AppendPart(list, vec [][]byte, skip, n int64) [][]byte {
	for _, b := range vec {
		if skip >= int64(len(b)) {
			skip -= int64(len(b))
			continue
		}
		b = b[skip:]
		b = b[:min(n, int64(len(b)))]
		list = append(list, b)
		skip = 0
		if n -= int64(len(b)); n == 0 {
			break
		}
	}
	return list
}
