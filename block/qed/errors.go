package qed

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

var (
	// ErrFormat is a store that is no QED image, or one with a header that
	// makes no sense.
	ErrFormat = errors.New("not a valid QED image")
	// ErrUnsupported is a sound image that uses what this package does not have.
	ErrUnsupported = errors.New("not supported by this version")
	// ErrCorrupt is an image whose tables make no sense.
	ErrCorrupt = errors.New("the image is corrupt")
)

func badHeader(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

// badEntry is what a request fails with that meets an impossible entry. It is
// EIO to the guest.
func badEntry(table string, offset int64, entry uint64) error {
	return fmt.Errorf("%w: %s table, offset %#x: %#x is no cluster of the file (copy it with `qemu-img convert` or repair it with `qemu-img check -r all`): %w",
		ErrCorrupt, table, offset, entry, unix.EIO)
}
