package fatdir

import (
	"errors"
	"os"
	"sync"

	"github.com/govmm/govmm/block"
)

// maxOpen is how many files are kept open while nobody reads them.
const maxOpen = 16

// files are the files that are open, of which some are kept for the next read.
type files struct {
	mu     sync.Mutex
	open   map[*node]*file
	closed bool
}

// file is an open file.
type file struct {
	*os.File
	users int
}

// get opens a file, or finds it open.
func (s *files) get(root *os.Root, n *node) (*file, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, block.ErrClosed
	}
	if f := s.open[n]; f != nil {
		f.users++
		return f, nil
	}
	opened, err := openFile(root, n)
	if err != nil {
		return nil, err
	}
	f := &file{File: opened, users: 1}
	s.open[n] = f
	return f, nil
}

// put says that a file is not used any more. When more than a few are open,
// one that nobody uses is closed.
func (s *files) put(f *file) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.users--
	if len(s.open) <= maxOpen {
		return
	}
	for n, other := range s.open {
		if other.users == 0 && other != f {
			delete(s.open, n)
			_ = other.Close() // it was only read
			return
		}
	}
}

func (s *files) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var errs []error
	for _, f := range s.open {
		errs = append(errs, f.Close())
	}
	clear(s.open)
	return errors.Join(errs...)
}
