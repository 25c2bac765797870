package image

import (
	"bytes"

	"github.com/govmm/govmm/block"
)

// isZero reports whether all bytes are 0.
func isZero(p []byte) bool {
	return len(p) == 0 || p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}

// run is a stretch of a buffer that is all zeroes, or is not.
type run struct {
	from, to int
	zero     bool
}

// runs appends the runs of p to list, by units of size bytes. With 0 all is data.
func runs(list []run, p []byte, size int) []run {
	if size == 0 {
		return append(list, run{to: len(p)})
	}
	for at := 0; at < len(p); {
		end := min(at+size, len(p))
		zero := isZero(p[at:end])
		if n := len(list); n > 0 && list[n-1].zero == zero {
			list[n-1].to = end
		} else {
			list = append(list, run{at, end, zero})
		}
		at = end
	}
	return list
}

// writeRuns writes a buffer to a disk, which reads as zeroes already if zeroed.
func writeRuns(to block.Layer, p []byte, list []run, offset int64, zeroed bool) error {
	for _, r := range list {
		var err error
		at := offset + int64(r.from)
		switch {
		case !r.zero:
			err = to.WriteVec([][]byte{p[r.from:r.to]}, at)
		case !zeroed:
			err = to.WriteZeroes(at, int64(r.to-r.from), true)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
