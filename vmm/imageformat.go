package vmm

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/qed"
	"github.com/govmm/govmm/domcfg"
)

// isFormat reports whether a type of driver is an image format, other than the
// bytes of the source as they are.
func isFormat(driver string) bool { return driver == "qed" }

// openFormat opens the image in a disk's source, which is the caller's after an
// error.
func openFormat(ctx context.Context, source block.Layer, d *domcfg.Disk, o block.Options) (block.Layer, error) {
	image, err := qed.Open(ctx, source, qed.Options{
		ReadOnly: o.ReadOnly,
		Fixed:    d.Type != domcfg.DiskFile,
		Log:      o.Log,
		Backing: func(ctx context.Context, name string) (block.Layer, error) {
			return openBackingFile(ctx, d, o, name)
		},
	})
	if err != nil {
		return nil, err
	}
	return image, nil
}

// openBackingFile opens the raw file that an image names as its backing file, in
// the way of its disk but read-only. A relative name is looked for beside the
// image.
func openBackingFile(ctx context.Context, d *domcfg.Disk, o block.Options, name string) (block.Layer, error) {
	if before, _, ok := strings.Cut(name, ":"); ok && !strings.Contains(before, "/") {
		return nil, fmt.Errorf("%q is a source with a protocol, as QEMU has them, which is not possible; files and block devices are", name)
	}
	if !filepath.IsAbs(name) {
		if o.Path == "" {
			return nil, fmt.Errorf("%q is relative, and the image is no file that it could be beside; an absolute path is possible", name)
		}
		name = filepath.Join(filepath.Dir(o.Path), name)
	}
	o.Path, o.ReadOnly, o.Shareable = name, true, false
	f, err := block.OpenFile(ctx, o)
	if err != nil {
		return nil, err
	}
	return f, nil
}
