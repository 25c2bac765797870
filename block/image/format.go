package image

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/govmm/govmm/block"
)

// Format is an image format. What a format cannot do is nil in it.
type Format struct {
	// Name is the word for it, as in <driver type=>.
	Name string
	// Options are those of CreateOptions that it has.
	Options []Option
	// Creates reports whether images of it can be made.
	Creates bool
	// Compresses reports whether what is written can be compressed.
	Compresses bool

	// zeroed says that a new image reads as zeroes.
	zeroed bool
	// ordered says that it is best written by one at a time, in order: clusters lie in
	// the order in which they are written, and a file system has one write to a file
	// at a time anyway.
	ordered bool

	probe   func(head []byte) bool
	open    func(ctx context.Context, below block.Layer, o openOptions) (block.Layer, error)
	create  func(ctx context.Context, below block.Layer, o createOptions) error
	details func(below block.Layer) (Details, error)
	check   func(ctx context.Context, below block.Layer, o openOptions, repair Repair) (CheckResult, error)
	// empty makes an image as it was when it was created.
	empty func(ctx context.Context, below block.Layer, o openOptions) error
}

// Formats is the table of the formats that there are.
func Formats() []*Format {
	return []*Format{rawFormat(), qcow2Format(), qedFormat(), bochsFormat(), qcowFormat(), luksFormat(1), luksFormat(2)}
}

// FormatNames are their names.
func FormatNames() (names []string) {
	for _, f := range Formats() {
		names = append(names, f.Name)
	}
	return names
}

// FindFormat finds a format by its name.
func FindFormat(name string) (*Format, error) {
	for _, f := range Formats() {
		if f.Name == name {
			return f, nil
		}
	}
	return nil, fmt.Errorf("%q is no format of images that govmm has; %s are", name, strings.Join(FormatNames(), ", "))
}

// openOptions are what all formats need to open an image.
type openOptions struct {
	readOnly bool
	// fixed is a store whose end does not tell where the image ends.
	fixed bool
	// secret is the passphrase of an encrypted image, nil if there is none.
	secret []byte
	// backing opens the file behind an image by the name and the format that the
	// image has for it; an empty format is one that it does not record.
	backing func(ctx context.Context, name, format string) (block.Layer, error)
	log     *slog.Logger
}

// createOptions are what all formats need to make an image.
type createOptions struct {
	path          string // of a file or a block device, else empty
	fixed         bool   // the store does not become longer or shorter
	size          int64
	backing       string
	backingFormat string
	secret        []byte
	values        *values
}

// needSecret is what opening or making an encrypted image without a passphrase
// fails with.
func needSecret(format string) error {
	return fmt.Errorf("an image of format %s is encrypted: it needs a passphrase (--secret FILE)", format)
}

// compressor is an image that can be written compressed.
type compressor interface {
	// ClusterSize is in bytes.
	ClusterSize() int64
	// WriteCompressed writes a cluster, or what is left of the disk at its end.
	WriteCompressed(offset int64, cluster []byte) error
}
