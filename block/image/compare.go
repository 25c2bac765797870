package image

import (
	"bytes"
	"context"
	"errors"
	"math"
	"sync/atomic"

	"github.com/govmm/govmm/block"
)

// CompareOptions say what to compare.
type CompareOptions struct {
	A, B Source
	// Strict takes images of different sizes for different. Without it, what one
	// is longer by has to be zeroes.
	Strict     bool
	Cache      Cache
	ForceShare bool
	Progress   *Progress
}

// Difference is what Compare found.
type Difference struct {
	// Sizes says that the sizes differ.
	Sizes bool
	// Offset is that of the first sector that differs, in bytes; -1 if none does.
	Offset int64
	// Short is the name of the shorter image, if the sectors beyond its end have
	// been compared with zeroes.
	Short string
}

// CompareError is an image that could not be opened or read.
type CompareError struct {
	Opening bool
	Err     error
}

func (e *CompareError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *CompareError) Unwrap() error { return e.Err }

// Compare compares the disks in two images. Errors are CompareErrors.
func Compare(ctx context.Context, o CompareOptions) (_ Difference, err error) {
	opening := OpenOptions{ReadOnly: true, ForceShare: o.ForceShare, Cache: o.Cache}
	a, err := Open(ctx, o.A, opening)
	if err != nil {
		return Difference{}, &CompareError{Opening: true, Err: err}
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	b, err := Open(ctx, o.B, opening)
	if err != nil {
		return Difference{}, &CompareError{Opening: true, Err: err}
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	d := Difference{Sizes: a.Size() != b.Size(), Offset: -1}
	if d.Sizes {
		if o.Strict {
			return d, nil
		}
		d.Short = a.Name()
		if b.Size() < a.Size() {
			d.Short = b.Name()
		}
	}
	c := &comparer{disks: [2]*Image{a, b}}
	c.first.Store(math.MaxInt64)
	s := &sweep{
		size: max(a.Size(), b.Size()), progress: o.Progress,
		extent: c.extent, skip: func(e extent) bool { return e.zero }, visit: c.visit,
		// All before it have been handed out, and are compared to the end.
		stop: func(offset int64) bool { return offset > c.first.Load() },
	}
	if err := s.run(ctx); err != nil {
		return d, &CompareError{Err: err}
	}
	if at := c.first.Load(); at != math.MaxInt64 {
		d.Offset = at
	}
	return d, nil
}

// comparer compares two disks.
type comparer struct {
	disks [2]*Image
	first atomic.Int64 // offset of a sector that differs
}

// extent is zero if both disks say so.
func (c *comparer) extent(offset, length int64) (extent, error) {
	zero := true
	for _, d := range c.disks {
		if offset >= d.Size() {
			continue
		}
		length = min(length, d.Size()-offset)
		e, err := d.extent(offset, length)
		if err != nil {
			return extent{}, err
		}
		length = e.length
		zero = zero && e.zero
	}
	return extent{length: length, zero: zero, held: true}, nil
}

func (c *comparer) visit(_ context.Context, p *piece, buf []byte) error {
	other := make([]byte, len(buf))
	for i, q := range [][]byte{buf, other} {
		d := c.disks[i]
		n := max(0, min(int64(len(q)), d.Size()-p.offset))
		clear(q[n:])
		if n == 0 {
			continue
		}
		if err := d.ReadVec([][]byte{q[:n]}, p.offset); err != nil {
			return err
		}
	}
	if bytes.Equal(buf, other) {
		return nil
	}
	at := 0
	for bytes.Equal(buf[at:min(at+block.SectorSize, len(buf))], other[at:min(at+block.SectorSize, len(buf))]) {
		at += block.SectorSize
	}
	for found := p.offset + int64(at); ; {
		first := c.first.Load()
		if found >= first || c.first.CompareAndSwap(first, found) {
			return nil
		}
	}
}
