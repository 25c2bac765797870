package bochs

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

var (
	// ErrFormat is a store that is no growing image of Bochs, or one with a
	// header that makes no sense.
	ErrFormat = errors.New("not a valid growing image of Bochs")
	// ErrCorrupt is an image whose catalog makes no sense.
	ErrCorrupt = errors.New("the image is corrupt")
)

func badHeader(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

// badEntry is what a request fails with that meets an impossible entry. It is
// EIO to the guest.
func badEntry(index int64, entry uint32) error {
	return fmt.Errorf("%w: entry %d of the catalog, %d, is no extent of the file: %w", ErrCorrupt, index, entry, unix.EIO)
}
