package fatdir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of a tree.
const (
	// MaxNames is the most names in a tree.
	MaxNames = 100_000
	maxDepth = 64

	maxFileSize      = math.MaxUint32 // what a directory entry can say
	maxDirectorySize = 2 << 20
)

// node is a file or a directory.
type node struct {
	name     string // on the host, below its parent
	parent   *node
	dir      bool
	size     int64 // of a file
	modified time.Time
	dev, ino uint64 // of a file, to know it again

	children []*node
	names    []names // of the children

	first    uint32 // cluster; 0 for an empty file, and for the root with FAT12 and FAT16
	clusters uint32
	content  []byte // of a directory
}

// path is the node's path below the root.
func (n *node) path() string {
	if n.parent == nil {
		return "."
	}
	return path.Join(n.parent.path(), n.name)
}

// scanner builds the tree.
type scanner struct {
	root  *os.Root
	log   *slog.Logger
	count int
}

// scan reads the directory at n and all below.
func (s *scanner) scan(n *node, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: directories are nested more than %d deep", n.path(), maxDepth)
	}
	entries, err := s.list(n)
	if err != nil {
		return err
	}
	for _, name := range entries {
		child := &node{name: name, parent: n}
		why, err := s.look(child)
		if err != nil {
			return err
		}
		if why != "" {
			s.log.Warn("left out of the FAT disk", "file", child.path(), "reason", why)
			continue
		}
		n.children = append(n.children, child)
		if child.dir {
			if err := s.scan(child, depth+1); err != nil {
				return err
			}
		}
	}
	n.names, err = nameAll(n.children)
	if err != nil {
		return fmt.Errorf("%s: %w", n.path(), err)
	}
	return nil
}

// list returns the names in a directory, sorted, without reading more of them
// than a tree may have.
func (s *scanner) list(n *node) ([]string, error) {
	d, err := s.root.Open(n.path())
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.Readdirnames(MaxNames - s.count + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if s.count += len(entries); s.count > MaxNames {
		return nil, fmt.Errorf("more than %d files and directories", MaxNames)
	}
	slices.Sort(entries)
	return entries, nil
}

// look finds out what a node is. It says why it is left out, if it is.
func (s *scanner) look(n *node) (why string, err error) {
	name := n.path()
	info, err := s.root.Lstat(name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return "it is gone", nil
		}
		return "", err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		info, err = s.root.Stat(name)
		switch {
		case err != nil:
			return "a symbolic link that leads out of the directory, or nowhere", nil
		case info.IsDir():
			return "a symbolic link to a directory", nil
		}
	}
	n.modified = info.ModTime()
	switch {
	case info.IsDir():
		n.dir = true
		return "", nil
	case !info.Mode().IsRegular():
		return "neither a file nor a directory", nil
	case info.Size() > maxFileSize:
		return "", fmt.Errorf("%s has %d bytes; FAT has files up to 4 GiB - 1", name, info.Size())
	}
	n.size = info.Size()
	n.dev, n.ino = identity(info)
	return "", nil
}

func identity(info fs.FileInfo) (dev, ino uint64) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Dev), st.Ino
	}
	return 0, 0
}

// walk calls f for n and all below, parents first.
func walk(n *node, f func(*node)) {
	f(n)
	for _, c := range n.children {
		walk(c, f)
	}
}

// openFile opens a file of the tree, if it is still the same.
func openFile(root *os.Root, n *node) (*os.File, error) {
	// O_NONBLOCK, as there may be a FIFO by now.
	f, err := root.OpenFile(n.path(), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		if dev, ino := identity(info); !info.Mode().IsRegular() || dev != n.dev || ino != n.ino {
			err = fmt.Errorf("%s is not the file any more that it was", n.path())
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
