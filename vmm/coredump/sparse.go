package coredump

import (
	"bytes"
	"io"
	"os"
	"time"
)

// unixEpoch is a deadline that has passed.
var unixEpoch = time.Unix(1, 0)

// sparseFile writes to a regular file, and leaves pages out that are all zero. What is
// written begins at a page's start, each time.
type sparseFile struct {
	file *os.File
	hole int64 // bytes left out since the last write
}

// Write writes the pages that are not zero, as many of them at once as there are.
func (s *sparseFile) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		end := done
		for end < len(p) && isZero(p[end:min(end+pageSize, len(p))]) {
			end = min(end+pageSize, len(p))
		}
		s.hole += int64(end - done)
		done = end
		for end < len(p) && !isZero(p[end:min(end+pageSize, len(p))]) {
			end = min(end+pageSize, len(p))
		}
		if end == done {
			continue
		}
		if s.hole > 0 {
			if _, err := s.file.Seek(s.hole, io.SeekCurrent); err != nil {
				return done, err
			}
			s.hole = 0
		}
		if n, err := s.file.Write(p[done:end]); err != nil {
			return done + n, err
		}
		done = end
	}
	return len(p), nil
}

// finish gives the file its size when it ends in a hole.
func (s *sparseFile) finish() error {
	at, err := s.file.Seek(0, io.SeekCurrent)
	if err != nil || s.hole == 0 {
		return err
	}
	return s.file.Truncate(at + s.hole)
}

// zeroPage is only read.
var zeroPage [pageSize]byte

// isZero reports whether a page, or what there is of it, is all zero.
func isZero(page []byte) bool { return bytes.Equal(page, zeroPage[:len(page)]) }
