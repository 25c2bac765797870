package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/nbd"
)

// Cache is a cache mode, as in -t and -T.
type Cache uint8

// The cache modes.
const (
	// CacheUnsafe uses the host's page cache and waits for no disk: what is
	// written may be lost when the host fails.
	CacheUnsafe Cache = iota
	// CacheWriteback uses the host's page cache. At the end all is durable.
	CacheWriteback
	// CacheNone bypasses the page cache. At the end all is durable.
	CacheNone
)

// ParseCache reads the word for a cache mode.
func ParseCache(word string) (Cache, error) {
	switch word {
	case "unsafe":
		return CacheUnsafe, nil
	case "writeback":
		return CacheWriteback, nil
	case "none":
		return CacheNone, nil
	}
	return 0, fmt.Errorf("%q is no cache mode; none, writeback and unsafe are", word)
}

// store is what an image lies in.
type store struct {
	block.Layer
	name string
	path string      // of a file or a block device, else empty
	info os.FileInfo // of these
}

// regular reports whether it is a file, which is as long as its image.
func (s *store) regular() bool { return s.info != nil && s.info.Mode().IsRegular() }

// storeOptions say how to open a store.
type storeOptions struct {
	readOnly   bool
	forceShare bool
	cache      Cache
	log        *slog.Logger
}

// openStore opens a file, a block device or an export of an NBD server.
func openStore(ctx context.Context, name string, o storeOptions) (*store, error) {
	if remote, ok, err := nbd.ParseURI(name); ok || err != nil {
		if err != nil {
			return nil, err
		}
		remote.ReadOnly, remote.Log = o.readOnly, o.log
		c, err := nbd.Open(ctx, remote)
		if err != nil {
			return nil, err
		}
		return &store{Layer: &exportStore{Client: c, lazy: o.cache == CacheUnsafe}, name: name}, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, hostError(name, err)
	}
	b := block.Options{Path: name, ReadOnly: o.readOnly, Unlocked: o.forceShare, Log: o.log}
	if o.cache == CacheNone {
		b.Cache = block.CacheNone
	}
	f, err := block.OpenFile(ctx, b)
	if err != nil {
		return nil, err
	}
	return &store{Layer: &fileStore{File: f, lazy: o.cache == CacheUnsafe}, name: name, path: name, info: info}, nil
}

// hostError is an error of the host's for a file, as package block words them.
func hostError(name string, err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		err = e.Err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// fileStore is a file or a block device.
type fileStore struct {
	*block.File
	lazy bool // Flush does nothing
	kept bool // nor does Close
}

func (s *fileStore) Flush() error {
	if s.lazy {
		return nil
	}
	return s.File.Flush()
}

// Resize leaves an empty file alone that is to be empty: ext4 writes what comes
// after a truncation to nothing to the disk when the file is closed.
func (s *fileStore) Resize(size int64) error {
	if size == s.Size() {
		return nil
	}
	return s.File.Resize(size)
}

func (s *fileStore) Close() error {
	if s.kept {
		return nil
	}
	return s.File.Close()
}

// exportStore is an export of an NBD server.
type exportStore struct {
	*nbd.Client
	lazy bool // Flush does nothing
	kept bool // nor does Close
}

func (s *exportStore) Flush() error {
	if s.lazy {
		return nil
	}
	return s.Client.Flush()
}

func (s *exportStore) Close() error {
	if s.kept {
		return nil
	}
	return s.Client.Close()
}

// keep is a store that an image can be opened in and closed without closing it.
func keep(l block.Layer) block.Layer {
	switch l := l.(type) {
	case *fileStore:
		k := *l
		k.kept = true
		return &k
	case *exportStore:
		k := *l
		k.kept = true
		return &k
	}
	return l
}
