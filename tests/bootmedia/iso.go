package bootmedia

import (
	"context"
	"os"
	"path/filepath"
)

// isoPlan is a CD with nothing but a boot image, written by image to a file of
// dir. El Torito options are those of mkisofs; without -no-emul-boot the image
// is a floppy's.
func isoPlan(key, options []string, image func(ctx context.Context, dir, file string) error) (plan, error) {
	if _, err := xorriso.find(); err != nil {
		return plan{}, err
	}
	return plan{file: "cd.iso", key: append(key, options...), make: func(ctx context.Context, dir string) error {
		return writeISO(ctx, dir, append(options, "-b", "boot.img", "-c", "boot.cat"), func(tree string) error {
			return image(ctx, tree, "boot.img")
		})
	}}, nil
}

// writeISO makes dir/cd.iso of the files that fill puts into a directory.
func writeISO(ctx context.Context, dir string, options []string, fill func(tree string) error) error {
	tree, err := os.MkdirTemp(dir, "tree-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tree)
	if err := fill(tree); err != nil {
		return err
	}
	args := []string{"-as", "mkisofs", "-quiet", "-r", "-J", "-V", "GOVMM", "-o", filepath.Join(dir, "cd.iso")}
	_, err = xorriso.run(ctx, dir, append(append(args, options...), tree)...)
	return err
}

// The files of ISOLINUX.
const (
	isolinuxBin = "/usr/lib/ISOLINUX/isolinux.bin"
	ldlinux     = "/usr/lib/syslinux/modules/bios/ldlinux.c32"
)

const isolinuxConfig = `SERIAL 0 115200
DEFAULT linux
PROMPT 0
LABEL linux
  LINUX /vmlinuz
  INITRD /initrd.img
  APPEND %s
`

// isolinuxCD boots Linux by ISOLINUX.
func isolinuxCD(ctx context.Context, name string) (plan, error) {
	l, err := linuxFor(ctx, name)
	if err != nil {
		return plan{}, err
	}
	key, err := stamps(packaged{isolinuxBin, "isolinux"}, packaged{ldlinux, "syslinux-common"})
	if err != nil {
		return plan{}, err
	}
	if _, err := xorriso.find(); err != nil {
		return plan{}, err
	}
	config := l.config(isolinuxConfig)
	options := []string{
		"-b", "isolinux/isolinux.bin", "-c", "isolinux/boot.cat",
		"-no-emul-boot", "-boot-load-size", "4", "-boot-info-table",
	}
	return plan{file: "cd.iso", key: append(append(key, l.key...), config), make: func(ctx context.Context, dir string) error {
		return writeISO(ctx, dir, options, func(tree string) error {
			loader := filepath.Join(tree, "isolinux")
			if err := os.Mkdir(loader, 0o755); err != nil {
				return err
			}
			for _, f := range []string{isolinuxBin, ldlinux} {
				if err := copyFile(filepath.Join(loader, filepath.Base(f)), f); err != nil {
					return err
				}
			}
			if err := os.WriteFile(filepath.Join(loader, "isolinux.cfg"), []byte(config), 0o644); err != nil {
				return err
			}
			return l.write(tree)
		})
	}}, nil
}
