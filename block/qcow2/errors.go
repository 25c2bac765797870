package qcow2

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Errors of images, found with errors.Is.
var (
	// ErrFormat is a store that is no qcow2 image, or one with a header that
	// makes no sense.
	ErrFormat = errors.New("not a valid qcow2 image")
	// ErrUnsupported is a sound image that uses what this package does not have.
	ErrUnsupported = errors.New("not supported by this version")
	// ErrBackingFormat is an image that does not say its backing file's format.
	ErrBackingFormat = errors.New("the format of the backing file is not given")
	// ErrCorrupt is an image whose tables contradict each other.
	ErrCorrupt = errors.New("the image is corrupt")
)

// badHeader says what is wrong with the header.
func badHeader(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, a...))
}

// unsupported names a feature.
func unsupported(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrUnsupported, fmt.Sprintf(format, a...))
}

// corrupt says what is wrong with a table. It is EIO to the guest.
func corrupt(format string, a ...any) error {
	return fmt.Errorf("%w: %s (repair it with `qemu-img check -r all`): %w", ErrCorrupt, fmt.Sprintf(format, a...), unix.EIO)
}
