package image

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/nbd"
)

// Source is an image.
type Source struct {
	// Name is the path of a file or of a block device, or an export of an NBD
	// server: nbd://HOST[:PORT]/EXPORT or nbd+unix:///EXPORT?socket=PATH.
	Name string
	// Format is the name of one of [Formats].
	Format string
	// Secret is the passphrase of an encrypted image, and of encrypted ones
	// behind it; nil if there is none.
	Secret []byte
	// BackingFormat is the format of the files behind images that do not record
	// it.
	BackingFormat string
}

// OpenOptions say how to open an image.
type OpenOptions struct {
	ReadOnly bool
	// ForceShare reads an image that is in use. What is read may be nonsense.
	ForceShare bool
	Cache      Cache
	// Log takes what is worth knowing and is no error. Nil discards it.
	Log *slog.Logger
}

// Image is an image that is open, as a disk.
type Image struct {
	block.Layer
	source Source
	format *Format
	store  *store
	// backing is the image behind this one, nil if there is none or it is not
	// known to this package.
	backing *Image
}

// Name is as in the image's [Source].
func (i *Image) Name() string { return i.source.Name }

// maxChain is the most images that may lie behind each other.
const maxChain = 200

// Open opens an image and those behind it.
func Open(ctx context.Context, s Source, o OpenOptions) (*Image, error) {
	return (&opener{options: o}).open(ctx, s, nil)
}

// opener opens an image and those behind it.
type opener struct {
	options OpenOptions
	// shared is an image that is open already, nil if there is none. It takes
	// the place of its file in the chain and stays open.
	shared *Image
}

// open opens an image. above are the stores of those in front of it.
func (o *opener) open(ctx context.Context, s Source, above []*store) (_ *Image, err error) {
	format, err := FindFormat(s.Format)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	readOnly := o.options.ReadOnly || len(above) > 0
	st, err := openStore(ctx, s.Name, storeOptions{
		readOnly: readOnly, forceShare: o.options.ForceShare, cache: o.options.Cache, log: o.options.Log,
	})
	if err != nil {
		return nil, err
	}
	i := &Image{source: s, format: format, store: st}
	i.Layer, err = format.open(ctx, st.Layer, openOptions{
		readOnly: readOnly, fixed: !st.regular(), secret: s.Secret, log: o.options.Log,
		backing: func(ctx context.Context, name, format string) (block.Layer, error) {
			behind, err := o.behind(ctx, s, st, name, format, above)
			if err != nil {
				return nil, err
			}
			i.backing = behind
			if behind == o.shared {
				return borrowed{behind.Layer}, nil
			}
			return behind.Layer, nil
		},
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", s.Name, err), st.Close())
	}
	return i, nil
}

// behind opens the image behind another one.
func (o *opener) behind(ctx context.Context, s Source, st *store, name, format string, above []*store) (*Image, error) {
	next, err := backingSource(s, st.path, name, format)
	if err != nil {
		return nil, err
	}
	above = append(above[:len(above):len(above)], st)
	if err := checkChain(next.Name, above); err != nil {
		return nil, err
	}
	if o.shared != nil && sameFile(next.Name, o.shared.store.info) {
		return o.shared, nil
	}
	return o.open(ctx, next, above)
}

// backingSource is the image behind another one, whose file has a path.
func backingSource(s Source, path, name, format string) (Source, error) {
	full, err := backingPath(path, name)
	if err != nil {
		return Source{}, err
	}
	if format == "" {
		format = s.BackingFormat
	}
	if format == "" {
		return Source{}, fmt.Errorf("the image does not record the format of its backing file %q, which is never guessed: say it (--backing-format FMT)", name)
	}
	return Source{Name: full, Format: format, Secret: s.Secret, BackingFormat: s.BackingFormat}, nil
}

// backingPath is where a backing file is. A relative name is looked for beside the
// image.
func backingPath(path, name string) (string, error) {
	if _, ok, err := nbd.ParseURI(name); ok || err != nil {
		return name, err
	}
	if before, _, ok := strings.Cut(name, ":"); ok && !strings.Contains(before, "/") {
		return "", fmt.Errorf("%q is a source with a protocol that is not possible; files, block devices and exports (nbd://HOST/EXPORT) are", name)
	}
	if filepath.IsAbs(name) {
		return name, nil
	}
	if path == "" {
		return "", fmt.Errorf("%q is relative, and the image is no file that it could be beside; an absolute path is possible", name)
	}
	return filepath.Join(filepath.Dir(path), name), nil
}

// checkChain refuses a file that is behind itself.
func checkChain(name string, above []*store) error {
	if len(above) >= maxChain {
		return fmt.Errorf("more than %d images lie behind each other", maxChain)
	}
	for _, st := range above {
		if sameFile(name, st.info) {
			return fmt.Errorf("the backing files make a loop: %s is behind itself", st.name)
		}
	}
	return nil
}

func sameFile(name string, info os.FileInfo) bool {
	other, err := os.Stat(name)
	return err == nil && info != nil && os.SameFile(other, info)
}

// borrowed is a disk that somebody else closes.
type borrowed struct{ block.Layer }

func (borrowed) Close() error { return nil }

// Probe tells in which format an image seems to be, for showing it alone: a
// guest can make its own raw disk look like any other.
func Probe(ctx context.Context, name string, forceShare bool) (string, error) {
	st, err := openStore(ctx, name, storeOptions{readOnly: true, forceShare: forceShare})
	if err != nil {
		return "", err
	}
	head := make([]byte, min(st.Size(), 512))
	if err := errors.Join(st.ReadVec([][]byte{head}, 0), st.Close()); err != nil {
		return "", err
	}
	formats := Formats() // raw is the first, and anything is raw
	for _, f := range formats[1:] {
		if f.probe(head) {
			return f.Name, nil
		}
	}
	return formats[0].Name, nil
}

// sameNames reports whether two names are of one file.
func sameNames(a, b string) bool {
	info, err := os.Stat(a)
	return err == nil && sameFile(b, info)
}
