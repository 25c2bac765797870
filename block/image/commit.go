package image

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/govmm/govmm/block"
)

// CommitOptions say how to merge an image into one behind it.
type CommitOptions struct {
	Source
	// Base is the name of the image behind it to merge into, which may have
	// others in front of it. Empty is the one right behind it.
	Base string
	// Drop leaves the image as it is. Without it, it is emptied if its format can
	// be and the one right behind it is the base.
	Drop     bool
	Cache    Cache
	Workers  int
	Progress *Progress
	Log      *slog.Logger
}

// Commit writes what an image and those between it and its base have to the base,
// which is made longer if it has to be. Images in between are of no use
// afterwards.
func Commit(ctx context.Context, o CommitOptions) error {
	base, depth, err := o.findBase(ctx)
	if err != nil {
		return err
	}
	options := OpenOptions{Cache: o.Cache, Log: o.Log}
	to, err := Open(ctx, base, options)
	if err != nil {
		return fmt.Errorf("backing file: %w", err)
	}
	err = o.merge(ctx, to, depth)
	if err == nil {
		err = to.Flush()
	}
	if err := errors.Join(err, to.Close()); err != nil {
		return err
	}
	if o.Drop || depth > 1 {
		return nil
	}
	return o.empty(ctx)
}

// findBase finds the base and how many images are in front of it.
func (o *CommitOptions) findBase(ctx context.Context) (Source, int, error) {
	chain, err := ReadInfo(ctx, o.Source, InfoOptions{Chain: true, Log: o.Log})
	if err != nil {
		return Source{}, 0, err
	}
	if len(chain) == 1 {
		return Source{}, 0, fmt.Errorf("%s has no backing file", o.Name)
	}
	for depth, i := range chain {
		if depth == 0 || o.Base != "" && !sameNames(o.Base, i.Source.Name) {
			continue
		}
		return i.Source, depth, nil
	}
	return Source{}, 0, fmt.Errorf("%s is not behind %s", o.Base, o.Name)
}

// merge writes what is in front of a base to it.
func (o *CommitOptions) merge(ctx context.Context, to *Image, depth int) (err error) {
	opener := &opener{options: OpenOptions{ReadOnly: true, Cache: o.Cache, Log: o.Log}, shared: to}
	from, err := opener.open(ctx, o.Source, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	if from.Size() > to.Size() {
		r, ok := to.Layer.(block.Resizer)
		if !ok {
			return fmt.Errorf("%s has %d bytes, of which %s has no more than %d", o.Name, from.Size(), to.Name(), to.Size())
		}
		if err := r.Resize(from.Size()); err != nil {
			return fmt.Errorf("%s: %w", to.Name(), err)
		}
	}
	c := &copier{from: from, to: to.Layer, unit: DefaultSparse}
	s := &sweep{
		size: from.Size(), workers: o.Workers, progress: o.Progress,
		extent: from.extent,
		skip:   func(e extent) bool { return e.depth >= depth },
		visit:  c.visit,
	}
	return s.run(ctx)
}

// empty makes the image as it was when it was created.
func (o *CommitOptions) empty(ctx context.Context) (err error) {
	format, err := FindFormat(o.Format)
	if err != nil || format.empty == nil {
		return err
	}
	st, err := openStore(ctx, o.Name, storeOptions{cache: CacheWriteback, log: o.Log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	if err := format.empty(ctx, st.Layer, openOptions{fixed: !st.regular(), secret: o.Secret, log: o.Log}); err != nil {
		return fmt.Errorf("%s: its data has been written to the backing file, but it cannot be emptied: %w", o.Name, err)
	}
	return nil
}
