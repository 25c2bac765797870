// Command images puts what the examples boot into a directory: Debian's kernel
// for virtual machines as vmlinuz, and a small initramfs with a shell as
// initrd.img. Files that are up to date are left alone.
//
//	images [-o DIR]
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/govmm/govmm/tests/initramfs"
	"github.com/govmm/govmm/tests/testhost/host"
)

func main() {
	dir := flag.String("o", "/var/lib/govmm/examples", "the `directory` to write to")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *dir); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string) error {
	kernel, err := host.CloudKernel(ctx)
	if err != nil {
		return err
	}
	image, err := os.ReadFile(kernel.Image)
	if err != nil {
		return err
	}
	files, err := initramfs.ShellImage(ctx, kernel.Modules)
	if err != nil {
		return err
	}
	var initrd bytes.Buffer
	if err := initramfs.BuildGzip(&initrd, files...); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := update(filepath.Join(dir, "vmlinuz"), image); err != nil {
		return err
	}
	return update(filepath.Join(dir, "initrd.img"), initrd.Bytes())
}

// update writes a file unless it has that content already. A machine that has
// the old one open goes on with it.
func update(name string, content []byte) error {
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, content) {
		return nil
	}
	next := name + ".new"
	if err := os.WriteFile(next, content, 0o644); err != nil {
		return err
	}
	return os.Rename(next, name)
}
