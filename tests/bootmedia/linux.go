package bootmedia

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/govmm/govmm/tests/initramfs"
	"github.com/govmm/govmm/tests/testhost/host"
)

// guestModules are the drivers that loaders' Linux has: for the disks that it
// may have come from.
var guestModules = []string{"virtio_pci", "virtio_blk", "virtio_net", "ata_piix", "sd_mod", "sr_mod", "button"}

// linuxFiles is the kernel for virtual machines with the program testinit.
type linuxFiles struct {
	kernel  string // a file
	initrd  []byte
	cmdline string
	key     []string
}

// linuxFor are the files for a medium, which the kernel's parameters name.
func linuxFor(ctx context.Context, medium string) (*linuxFiles, error) {
	kernel, err := host.CloudKernel(ctx)
	if err != nil {
		return nil, err
	}
	files, err := initramfs.TestImage(ctx, kernel.Modules, guestModules...)
	if err != nil {
		return nil, err
	}
	var initrd bytes.Buffer
	if err := initramfs.BuildGzip(&initrd, files...); err != nil {
		return nil, err
	}
	stamp, err := stamp(kernel.Image, "linux-image-cloud-amd64")
	if err != nil {
		return nil, err
	}
	return &linuxFiles{
		kernel: kernel.Image, initrd: initrd.Bytes(), cmdline: "console=ttyS0 panic=-1 medium=" + medium,
		key: []string{stamp, fmt.Sprintf("%x", sha256.Sum256(initrd.Bytes()))},
	}, nil
}

// config is a loader's configuration with the kernel's parameters in it.
func (l *linuxFiles) config(format string) string { return fmt.Sprintf(format, l.cmdline) }

// write makes vmlinuz and initrd.img.
func (l *linuxFiles) write(dir string) error {
	if err := copyFile(filepath.Join(dir, "vmlinuz"), l.kernel); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "initrd.img"), l.initrd, 0o644)
}

const ipxeScript = `#!ipxe
kernel vmlinuz initrd=initrd.img %s
initrd initrd.img
boot
`

// ipxeLinux is a directory with a script for iPXE and what it loads.
func ipxeLinux(ctx context.Context, name string) (plan, error) {
	l, err := linuxFor(ctx, name)
	if err != nil {
		return plan{}, err
	}
	script := l.config(ipxeScript)
	return plan{file: ".", key: append(l.key, script), make: func(_ context.Context, dir string) error {
		if err := os.WriteFile(filepath.Join(dir, "boot.ipxe"), []byte(script), 0o644); err != nil {
			return err
		}
		return l.write(dir)
	}}, nil
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
