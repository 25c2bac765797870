package vmm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/qcow2"
	"github.com/govmm/govmm/block/qed"
	"github.com/govmm/govmm/domcfg"
)

// maxChain is how many backing files there may be one behind the other.
const maxChain = 200

// isFormat reports whether a type of driver is an image format, other than the
// bytes of the source as they are.
func isFormat(driver string) bool { return driver == "qed" || driver == "qcow2" }

// openFormat opens the image in a disk's source, which is the caller's after an
// error.
func openFormat(ctx context.Context, source block.Layer, d *domcfg.Disk, o block.Options) (block.Layer, error) {
	c := imageChain{options: o, path: o.Path}
	if o.Path != "" {
		info, err := os.Stat(o.Path)
		if err != nil {
			return nil, err
		}
		c.files = []os.FileInfo{info}
	}
	return c.open(ctx, source, driverOf(d).Type, o.ReadOnly, d.Type != domcfg.DiskFile)
}

// imageChain is an image with those that it is over.
type imageChain struct {
	options block.Options // of the disk
	path    string        // of the last image, empty if that is no file
	files   []os.FileInfo // that are open
	depth   int           // backing files
}

// open opens the image in a source, which is the caller's after an error.
func (c imageChain) open(ctx context.Context, source block.Layer, format string, readOnly, fixed bool) (block.Layer, error) {
	var image block.Layer
	var err error
	switch format {
	case "qed":
		image, err = qed.Open(ctx, source, qed.Options{
			ReadOnly: readOnly, Fixed: fixed, Log: c.options.Log,
			Backing: func(ctx context.Context, name string) (block.Layer, error) { return c.backing(ctx, name, "raw") },
		})
	case "qcow2":
		image, err = qcow2.Open(ctx, source, qcow2.Options{ReadOnly: readOnly, Fixed: fixed, Log: c.options.Log, Backing: c.backing})
	default:
		err = fmt.Errorf("the image format %q is not in this version; raw, qcow2 and qed are", format)
	}
	if err != nil {
		return nil, err // a nil image must not become an interface
	}
	return image, nil
}

// backing opens the file that the last image names as its backing file, in the way
// of the disk but read-only. A relative name is looked for beside the image.
func (c imageChain) backing(ctx context.Context, name, format string) (block.Layer, error) {
	if before, _, ok := strings.Cut(name, ":"); ok && !strings.Contains(before, "/") {
		return nil, fmt.Errorf("%q is a source with a protocol, as QEMU has them, which is not possible; files and block devices are", name)
	}
	if !filepath.IsAbs(name) {
		if c.path == "" {
			return nil, fmt.Errorf("%q is relative, and the image is no file that it could be beside; an absolute path is possible", name)
		}
		name = filepath.Join(filepath.Dir(c.path), name)
	}
	if c.depth++; c.depth > maxChain {
		return nil, fmt.Errorf("%s: more than %d backing files, one behind the other", name, maxChain)
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(c.files, func(o os.FileInfo) bool { return os.SameFile(o, info) }) {
		return nil, fmt.Errorf("%s is behind itself: the backing files form a loop", name)
	}
	o := c.options
	o.Path, o.ReadOnly, o.Shareable = name, true, false
	f, err := block.OpenFile(ctx, o)
	if err != nil {
		return nil, err
	}
	if format == "raw" {
		return f, nil
	}
	c.path, c.files = name, append(slices.Clip(c.files), info)
	image, err := c.open(ctx, f, format, true, false)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), f.Close())
	}
	return image, nil
}
