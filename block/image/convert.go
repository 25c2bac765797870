package image

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/govmm/govmm/block"
)

// DefaultSparse is how many bytes of zeroes are not written, at least.
const DefaultSparse = 4 << 10

// ConvertOptions say how to copy an image.
type ConvertOptions struct {
	From, To Source
	// Values are the words for the new image.
	Values []Value

	// Compress compresses what is written, in a format that has this.
	Compress bool
	// Sparse is how many bytes of zeroes are not written at least, a multiple of
	// 512; 0 is DefaultSparse. A negative number writes everything.
	Sparse int64
	// Workers is how many goroutines copy; 0 is DefaultWorkers, the most is
	// MaxWorkers.
	Workers int
	// OutOfOrder lets them write to the image in any order, which may be faster,
	// and leaves its clusters in another order each time.
	OutOfOrder bool
	// Offload has the host copy from file to file, without looking for zeroes.
	Offload bool

	// Existing copies to an image that is there already and has the size.
	Existing bool
	// Zeroed says that this reads as zeroes.
	Zeroed bool

	FromCache, ToCache Cache
	// ForceShare reads an image that is in use. The copy may be nonsense.
	ForceShare bool
	Progress   *Progress
	Log        *slog.Logger
}

// Convert copies an image, with what is behind it, into another one. After an
// error nothing is left of a file that was not there before.
func Convert(ctx context.Context, o ConvertOptions) (err error) {
	from, err := Open(ctx, o.From, OpenOptions{ReadOnly: true, ForceShare: o.ForceShare, Cache: o.FromCache, Log: o.Log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	for i := from; i != nil; i = i.backing {
		if sameFile(o.To.Name, i.store.info) {
			return fmt.Errorf("%s is read, and cannot be written at the same time", o.To.Name)
		}
	}
	format, err := FindFormat(o.To.Format)
	if err != nil {
		return fmt.Errorf("%s: %w", o.To.Name, err)
	}
	if o.Compress && !format.Compresses {
		return fmt.Errorf("images of format %s cannot be compressed", format.Name)
	}
	t, err := o.target(ctx, from.Size())
	if err != nil {
		return err
	}
	defer func() { err = t.close(err) }()
	to, err := format.open(ctx, keep(t.Layer), openOptions{fixed: !t.regular(), secret: o.To.Secret, log: o.Log, backing: noBacking})
	if err != nil {
		return fmt.Errorf("%s: %w", o.To.Name, err)
	}
	if err = o.copy(ctx, from, to, t, format); err == nil {
		err = to.Flush()
	}
	return errors.Join(err, to.Close())
}

// noBacking refuses an existing image with one behind it: what is not written
// would not be as in the source.
func noBacking(_ context.Context, name, _ string) (block.Layer, error) {
	return nil, fmt.Errorf("%q is behind the image, into which nothing can be copied then", name)
}

// target makes the new image, or opens the store of an existing one.
func (o *ConvertOptions) target(ctx context.Context, size int64) (*target, error) {
	if o.Existing {
		s, err := openStore(ctx, o.To.Name, storeOptions{cache: o.ToCache, log: o.Log})
		if err != nil {
			return nil, err
		}
		return &target{store: s}, nil
	}
	c := CreateOptions{Source: o.To, Size: size, Values: o.Values}
	format, v, err := c.resolve()
	if err != nil {
		return nil, err
	}
	if c.Backing != "" {
		return nil, errors.New("a copy with a backing file is not possible: it has all that its source has")
	}
	if c.Size < size {
		return nil, fmt.Errorf("the source has %d bytes, for which %d are too few", size, c.Size)
	}
	t, err := createTarget(ctx, o.To, o.ToCache, o.Log)
	if err != nil {
		return nil, err
	}
	if err := t.create(ctx, format, createOptions{size: c.Size, secret: o.To.Secret, values: v}); err != nil {
		return nil, t.close(err)
	}
	return t, nil
}

// copy copies from one open image to another.
func (o *ConvertOptions) copy(ctx context.Context, from *Image, to block.Layer, t *target, format *Format) error {
	if to.Size() < from.Size() {
		return fmt.Errorf("%s has %d bytes, %s needs %d", o.To.Name, to.Size(), o.From.Name, from.Size())
	}
	c := &copier{from: from, to: to, unit: DefaultSparse}
	c.zeroed = o.Zeroed || format.zeroed && !o.Existing && (t.regular() || format.Name != "raw")
	switch {
	case o.Sparse < 0:
		c.unit = 0
	case o.Sparse > 0:
		c.unit = int(min(o.Sparse, chunkSize))
	}
	s := &sweep{
		size: from.Size(), workers: o.Workers, progress: o.Progress,
		ordered: format.ordered && !o.OutOfOrder && !o.Compress,
		extent:  from.extent,
		skip:    func(e extent) bool { return e.zero && c.zeroed },
		visit:   c.visit,
	}
	if o.Sparse < 0 {
		s.extent = func(_, length int64) (extent, error) { return extent{length: length, held: true}, nil }
	}
	if i, ok := to.(interface{ ClusterSize() int64 }); ok {
		s.align = i.ClusterSize()
	}
	if o.Compress {
		c.compressor, _ = to.(compressor)
		s.chunk = max(chunkSize, s.align)
	}
	if o.Offload && from.format.Name == "raw" && format.Name == "raw" {
		offload, err := newOffload(from.store, t.store)
		if err != nil {
			return err
		}
		defer offload.close()
		c.offload = offload
	}
	c.ordered = s.ordered
	return s.run(ctx)
}

// copier copies the pieces of a disk.
type copier struct {
	from       block.Layer
	to         block.Layer
	unit       int  // of the search for zeroes, in bytes; 0 for none
	zeroed     bool // to reads as zeroes
	ordered    bool
	compressor compressor // nil to write as it is
	offload    *offload   // nil if the host does not copy
}

func (c *copier) visit(ctx context.Context, p *piece, buf []byte) error {
	if p.zero {
		if c.ordered {
			if err := p.turn(ctx); err != nil {
				return err
			}
		}
		return c.to.WriteZeroes(p.offset, p.length, true)
	}
	if c.offload != nil {
		if done, err := c.offload.copy(p.offset, p.length); done || err != nil {
			return err
		}
	}
	if err := c.from.ReadVec([][]byte{buf}, p.offset); err != nil {
		return err
	}
	if c.compressor != nil {
		return c.compress(buf, p.offset)
	}
	list := runs(make([]run, 0, 16), buf, c.unit)
	if c.ordered {
		if err := p.turn(ctx); err != nil {
			return err
		}
	}
	return writeRuns(c.to, buf, list, p.offset, c.zeroed)
}

// compress writes whole clusters.
func (c *copier) compress(p []byte, offset int64) error {
	for size := int(c.compressor.ClusterSize()); len(p) > 0; {
		n := min(size, len(p))
		if !isZero(p[:n]) || !c.zeroed {
			if err := c.compressor.WriteCompressed(offset, p[:n]); err != nil {
				return err
			}
		}
		p, offset = p[n:], offset+int64(n)
	}
	return nil
}
