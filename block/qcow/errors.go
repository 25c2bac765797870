package qcow

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

var (
	// ErrFormat is a store that is no qcow image of version 1, or one with a header
	// that makes no sense.
	ErrFormat = errors.New("not a valid qcow image of version 1")
	// ErrCorrupt is an image whose tables or compressed clusters make no sense.
	ErrCorrupt = errors.New("the image is corrupt")
	// ErrEncrypted is an image that is encrypted, or is not, against what is said
	// of it.
	ErrEncrypted = errors.New("encryption")
)

func badHeader(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

// badEntry is what a request fails with that meets an impossible entry. It is
// EIO to the guest.
func badEntry(table string, offset int64, entry uint64) error {
	return fmt.Errorf("%w: %s table, offset %#x: %#x is not in the file: %w", ErrCorrupt, table, offset, entry, unix.EIO)
}
