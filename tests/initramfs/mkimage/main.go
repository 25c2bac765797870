// Command mkimage writes a guest's initramfs to a file.
//
//	mkimage [-shell] [-gzip] -modules DIR -o FILE [MODULE...]
//
// DIR is the module directory of the guest's kernel. The modules named, or
// the usual ones of a virtual machine, go into the image with all they need.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/govmm/govmm/tests/initramfs"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "mkimage:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	shell := flag.Bool("shell", false, "the demonstration guest with a shell, not the test's guest")
	zip := flag.Bool("gzip", false, "compress the image")
	dir := flag.String("modules", "", "the kernel's module `directory`")
	output := flag.String("o", "", "the `file` to write")
	flag.Parse()
	if *dir == "" || *output == "" {
		return errors.New("-modules and -o are needed")
	}
	image := initramfs.TestImage
	if *shell {
		image = initramfs.ShellImage
	}
	files, err := image(ctx, *dir, flag.Args()...)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	build := initramfs.Build
	if *zip {
		build = initramfs.BuildGzip
	}
	if err := build(&b, files...); err != nil {
		return err
	}
	return os.WriteFile(*output, b.Bytes(), 0o644)
}
