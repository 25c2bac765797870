package net

import "golang.org/x/sys/unix"

// maxSlices is how many slices the kernel takes at a time (UIO_MAXIOV), less
// one that is kept for what goes by way of a spill buffer.
const maxSlices = 1023

// vector is the argument of readv and writev.
type vector struct {
	iov   [maxSlices + 1]unix.Iovec
	n     int
	bytes int
}

// add appends b, unless it is empty.
func (v *vector) add(b []byte) {
	if len(b) == 0 {
		return
	}
	v.iov[v.n].Base = &b[0]
	v.iov[v.n].SetLen(len(b))
	v.n++
	v.bytes += len(b)
}

// addSome appends slices after the first skip bytes until there are more than
// limit bytes or no room, and returns the slices it did not get to.
func (v *vector) addSome(bufs [][]byte, skip, limit int) (rest [][]byte) {
	for i, b := range bufs {
		if v.n == maxSlices || v.bytes > limit {
			return bufs[i:]
		}
		k := min(skip, len(b))
		skip -= k
		v.add(b[k:])
	}
	return nil
}

// reset forgets the slices. Addresses of guest memory must not outlive it here,
// where the garbage collector sees them.
func (v *vector) reset() {
	clear(v.iov[:v.n])
	v.n, v.bytes = 0, 0
}

// size is the number of bytes in bufs.
func size(bufs [][]byte) int {
	n := 0
	for _, b := range bufs {
		n += len(b)
	}
	return n
}

// gather copies the beginning of bufs to p and returns its length.
func gather(p []byte, bufs [][]byte) int {
	n := 0
	for _, b := range bufs {
		n += copy(p[n:], b)
	}
	return n
}

// scatter copies p to the beginning of bufs and returns how much fitted.
func scatter(bufs [][]byte, p []byte) int {
	n := 0
	for _, b := range bufs {
		n += copy(b, p[n:])
	}
	return n
}
