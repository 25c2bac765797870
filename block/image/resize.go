package image

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/govmm/govmm/block"
)

// ResizeOptions say how to change the size of an image.
type ResizeOptions struct {
	Source
	// Size is a size as ParseSize reads it, or with + or - in front how much to
	// add or to take away.
	Size string
	// Shrink allows to make the image smaller, which loses what is at its end.
	Shrink bool
	Log    *slog.Logger
}

// ErrShrink is a smaller size without ResizeOptions.Shrink.
var ErrShrink = errors.New("what is at the end of the image would be lost; --shrink allows that")

// Resize changes the size of the disk in an image, and returns it.
func Resize(ctx context.Context, o ResizeOptions) (size int64, err error) {
	number, sign := o.Size, int64(0)
	if rest, ok := strings.CutPrefix(number, "+"); ok {
		number, sign = rest, 1
	} else if rest, ok := strings.CutPrefix(number, "-"); ok {
		number, sign = rest, -1
	}
	size, err = ParseSize(number)
	if err != nil {
		return 0, err
	}
	i, err := Open(ctx, o.Source, OpenOptions{Cache: CacheWriteback, Log: o.Log})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	old := i.Size()
	if sign != 0 {
		size = old + sign*size
	}
	if size <= 0 {
		return 0, fmt.Errorf("%s: the size would be %d bytes: it has to be more than 0", i.Name(), size)
	}
	size = (size + block.SectorSize - 1) &^ (block.SectorSize - 1)
	if size < old && !o.Shrink {
		return 0, fmt.Errorf("%s: from %d to %d bytes: %w", i.Name(), old, size, ErrShrink)
	}
	r, ok := i.Layer.(block.Resizer)
	if !ok {
		return 0, fmt.Errorf("%s: its size cannot be changed: %w", i.Name(), errors.ErrUnsupported)
	}
	if err := r.Resize(size); err != nil {
		return 0, fmt.Errorf("%s: %w", i.Name(), err)
	}
	if got := i.Size(); got != size {
		return 0, fmt.Errorf("%s: the size is fixed to %d bytes: %w", i.Name(), got, errors.ErrUnsupported)
	}
	return size, i.Flush()
}
