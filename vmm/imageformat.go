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
	"github.com/govmm/govmm/block/bochs"
	"github.com/govmm/govmm/block/nbd"
	"github.com/govmm/govmm/block/qcow"
	"github.com/govmm/govmm/block/qcow2"
	"github.com/govmm/govmm/block/qed"
	"github.com/govmm/govmm/domcfg"
)

// maxChain is how many backing files there may be one behind the other.
const maxChain = 200

// isFormat reports whether a type of driver is an image format, other than the
// bytes of the source as they are.
func isFormat(driver string) bool {
	switch driver {
	case "qcow2", "qed", "bochs", "qcow":
		return true
	}
	return false
}

// openFormat opens the image in a disk's source, which is the caller's after an
// error. The secret is that of an image whose format has encryption of its own, nil
// for one without.
func (m *Machine) openFormat(ctx context.Context, source block.Layer, d *domcfg.Disk, o block.Options, secret []byte) (block.Layer, error) {
	c := imageChain{connect: m.connectNBD, options: o, path: o.Path, secret: secret}
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
	connect func(context.Context, nbd.Options) (*nbd.Client, error)
	options block.Options // of the disk
	path    string        // of the last image, empty if that is no file
	files   []os.FileInfo // that are open
	depth   int           // backing files
	secret  []byte        // of the first image
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
	case "bochs":
		image, err = bochs.Open(ctx, source, bochs.Options{ReadOnly: readOnly, Fixed: fixed, Log: c.options.Log})
	case "qcow":
		image, err = qcow.Open(ctx, source, qcow.Options{Passphrase: c.secret, Backing: unrecorded})
	default:
		err = fmt.Errorf("the image format %q is not in this version; raw, qcow2, qed, bochs and qcow are", format)
	}
	if err != nil {
		return nil, err // a nil image must not become an interface
	}
	return image, nil
}

// unrecorded refuses the backing file of an image that cannot record its format.
func unrecorded(_ context.Context, name string) (block.Layer, error) {
	return nil, fmt.Errorf("an image of the first qcow cannot record the format of %q, which is never guessed; "+
		"`govmm img convert -f qcow --backing-format FMT -O qcow2` makes one image of both", name)
}

// backing opens the file or export that the last image names as its backing file, in
// the way of the disk but read-only. A relative name is looked for beside the image.
func (c imageChain) backing(ctx context.Context, name, format string) (block.Layer, error) {
	if c.depth++; c.depth > maxChain {
		return nil, fmt.Errorf("%s: more than %d backing files, one behind the other", name, maxChain)
	}
	remote, ok, err := nbd.ParseURI(name)
	switch {
	case err != nil:
		return nil, err
	case ok:
		return c.export(ctx, name, format, remote)
	}
	if before, _, ok := strings.Cut(name, ":"); ok && !strings.Contains(before, "/") {
		return nil, fmt.Errorf("%q is a source with a protocol that is not possible; files, block devices and exports (nbd://HOST/EXPORT) are", name)
	}
	if !filepath.IsAbs(name) {
		if c.path == "" {
			return nil, fmt.Errorf("%q is relative, and the image is no file that it could be beside; an absolute path is possible", name)
		}
		name = filepath.Join(filepath.Dir(c.path), name)
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
	c.path, c.files = name, append(slices.Clip(c.files), info)
	return c.behind(ctx, f, name, format)
}

// export opens the export that the last image names as its backing file.
func (c imageChain) export(ctx context.Context, name, format string, o nbd.Options) (block.Layer, error) {
	o.ReadOnly, o.Log = true, c.options.Log
	export, err := c.connect(ctx, o)
	if err != nil {
		return nil, err
	}
	c.path = ""
	return c.behind(ctx, export, name, format)
}

// behind opens the backing file in a layer, which it closes after an error.
func (c imageChain) behind(ctx context.Context, below block.Layer, name, format string) (block.Layer, error) {
	if format == "raw" {
		return below, nil
	}
	c.secret = nil
	image, err := c.open(ctx, below, format, true, false)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), below.Close())
	}
	return image, nil
}
