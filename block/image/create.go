package image

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/nbd"
)

// CreateOptions say what image to make.
type CreateOptions struct {
	Source
	// Size is that of the disk in bytes, rounded up to sectors. Negative is that
	// of the backing file.
	Size int64
	// Backing is the name of the file behind the image, as the image will have
	// it; empty for none. Its format is Source.BackingFormat.
	Backing string
	// Unchecked does not look for the backing file.
	Unchecked bool
	// Values are the words for the format. size, backing_file and backing_fmt
	// stand for the fields above.
	Values []Value
	Log    *slog.Logger
}

// Create makes an image in a file, which need not be there, in a block device or
// in an export. What is there is lost. It returns the size of the disk.
func Create(ctx context.Context, o CreateOptions) (size int64, err error) {
	format, values, err := o.resolve()
	if err != nil {
		return 0, err
	}
	if o.Backing != "" && !o.Unchecked {
		have, err := o.backingSize(ctx)
		if err != nil {
			return 0, fmt.Errorf("backing file: %w", err)
		}
		if o.Size < 0 {
			o.Size = have
		}
	}
	if o.Size < 0 {
		return 0, errors.New("the size of the disk is missing")
	}
	if o.Size > math.MaxInt64-block.SectorSize {
		return 0, fmt.Errorf("a disk of %d bytes is too large", o.Size)
	}
	o.Size = (o.Size + block.SectorSize - 1) &^ (block.SectorSize - 1)
	t, err := createTarget(ctx, o.Source, CacheWriteback, o.Log)
	if err != nil {
		return 0, err
	}
	defer func() { err = t.close(err) }()
	return o.Size, t.create(ctx, format, createOptions{size: o.Size, backing: o.Backing, backingFormat: o.BackingFormat, secret: o.Secret, values: values})
}

// resolve finds the format, and takes over what its words say of the fields.
func (o *CreateOptions) resolve() (*Format, *values, error) {
	format, err := FindFormat(o.Format)
	if err != nil {
		return nil, nil, err
	}
	if !format.Creates {
		return nil, nil, fmt.Errorf("images of format %s can be read, but not made", format.Name)
	}
	v := newValues(o.Values)
	o.Size = v.size("size", o.Size)
	o.Backing = v.text("backing_file", o.Backing)
	o.BackingFormat = v.text("backing_fmt", o.BackingFormat)
	if err := errors.Join(v.errs...); err != nil {
		return nil, nil, err
	}
	if o.Backing != "" && o.BackingFormat == "" {
		return nil, nil, fmt.Errorf("the format of the backing file %q must be said (-F FMT): it is never guessed", o.Backing)
	}
	return format, v, nil
}

// backingSize opens the backing file to be and returns its size.
func (o *CreateOptions) backingSize(ctx context.Context) (int64, error) {
	path := o.Name
	if _, remote, _ := nbd.ParseURI(o.Name); remote {
		path = ""
	}
	s, err := backingSource(o.Source, path, o.Backing, o.BackingFormat)
	if err != nil {
		return 0, err
	}
	if mine, err := os.Stat(o.Name); err == nil && sameFile(s.Name, mine) {
		return 0, fmt.Errorf("%s cannot be its own backing file", o.Name)
	}
	i, err := Open(ctx, s, OpenOptions{ReadOnly: true, Log: o.Log})
	if err != nil {
		return 0, err
	}
	return i.Size(), i.Close()
}

// target is a store in which an image is made.
type target struct {
	*store
	fresh bool // the file was not there before
}

// createTarget opens a store, and makes the file if there is none.
func createTarget(ctx context.Context, s Source, cache Cache, log *slog.Logger) (*target, error) {
	t := &target{}
	if _, remote, err := nbd.ParseURI(s.Name); err != nil {
		return nil, err
	} else if !remote {
		f, err := os.OpenFile(s.Name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
		switch {
		case err == nil:
			t.fresh = true
			if err := f.Close(); err != nil {
				return nil, hostError(s.Name, err)
			}
		case !errors.Is(err, os.ErrExist):
			return nil, hostError(s.Name, err)
		}
	}
	var err error
	t.store, err = openStore(ctx, s.Name, storeOptions{cache: cache, log: log})
	if err != nil {
		return nil, t.abandon(s.Name, err)
	}
	return t, nil
}

// create makes an image of the store.
func (t *target) create(ctx context.Context, f *Format, o createOptions) error {
	o.path, o.fixed = t.path, !t.regular()
	if err := f.create(ctx, t.Layer, o); err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	return nil
}

// close closes the store. After an error nothing is left of a file that was not
// there before.
func (t *target) close(err error) error {
	err = errors.Join(err, t.Layer.Close())
	if err != nil {
		return t.abandon(t.name, err)
	}
	return nil
}

func (t *target) abandon(name string, err error) error {
	if t.fresh {
		err = errors.Join(err, os.Remove(name))
	}
	return err
}
