package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/govmm/govmm/tests/guest"
	"github.com/govmm/govmm/tests/initramfs"
	"github.com/govmm/govmm/tests/testhost/host"
)

// assets are the files that are run and booted.
type assets struct {
	Govmm       string
	Gokvm       string // is not there if it cannot be built
	Starter     string // of package starter
	Tiny, First string // of tests/guest, for the Linux boot protocol
	Kernel      string // Debian's for virtual machines
	Small       string // an initramfs with guestbench alone
	Drivers     string // and one with the drivers of virtio devices
}

// assetsIn names the files in a directory.
func assetsIn(dir string) assets {
	in := func(name string) string { return filepath.Join(dir, name) }
	return assets{in("govmm"), in("gokvm"), in("starter"), in("tiny"), in("first"), in("vmlinuz"), in("small.img"), in("drivers.img")}
}

// build makes the files. An empty govmm is built from the source, with its
// symbols if it is to be profiled.
func (a assets) build(ctx context.Context, govmm string, symbols bool) error {
	images, err := guest.Build(ctx, "")
	if err != nil {
		return err
	}
	cloud, err := host.CloudKernel(ctx)
	if err != nil {
		return err
	}
	if govmm == "" {
		if err := goBuild(ctx, "", a.Govmm, "github.com/govmm/govmm/cmd/govmm", symbols); err != nil {
			return err
		}
	} else if err := copyFile(a.Govmm, govmm); err != nil {
		return err
	}
	if err := goBuild(ctx, "", a.Starter, "github.com/govmm/govmm/tests/bench/starter", symbols); err != nil {
		return err
	}
	for to, from := range map[string]string{a.Tiny: images.Kernel.BzImage, a.First: images.First.BzImage, a.Kernel: cloud.Image} {
		if err := copyFile(to, from); err != nil {
			return err
		}
	}
	init, err := initramfs.GoProgram(ctx, "github.com/govmm/govmm/tests/bench/guestbench")
	if err != nil {
		return err
	}
	modules, err := initramfs.Modules(cloud.Modules, "virtio_pci", "virtio_mmio", "virtio_blk", "virtio_net")
	if err != nil {
		return err
	}
	files := append(initramfs.Devices(), initramfs.Regular("/init", 0o755, init))
	if err := initramfs.WriteFile(a.Small, files...); err != nil {
		return err
	}
	return initramfs.WriteFile(a.Drivers, append(files, modules...)...)
}

// peersModule is the module that names the peers written in Go, so that they are
// no dependencies of ours.
const peersModule = "tests/bench/peers"

// buildGokvm builds gokvm from the Go module proxy or the module cache.
func (a assets) buildGokvm(ctx context.Context) error {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/govmm/govmm").Output()
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	return goBuild(ctx, filepath.Join(strings.TrimSpace(string(root)), peersModule), a.Gokvm, "github.com/bobuhiro11/gokvm", false)
}

// measurable leaves out what cannot be measured without gokvm if that is not
// there.
func (a assets) measurable(groups []group) []group {
	if _, err := os.Stat(a.Gokvm); err == nil {
		return groups
	}
	groups = slices.Clone(groups)
	for i := range groups {
		groups[i].vmms = slices.DeleteFunc(slices.Clone(groups[i].vmms), func(v vmm) bool { return v == gokvm })
	}
	return groups
}

// goBuild builds a program, in the module that is in or above a directory.
func goBuild(ctx context.Context, dir, to, what string, symbols bool) error {
	flags := "-s -w"
	if symbols {
		flags = ""
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags="+flags, "-o", to, what)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s: %w\n%s", what, err, out)
	}
	return nil
}

// copyTo copies the files to another directory, which may be faster to read.
func (a assets) copyTo(dir string) (assets, error) {
	to := assetsIn(dir)
	for _, f := range [][2]string{
		{to.Govmm, a.Govmm}, {to.Gokvm, a.Gokvm}, {to.Tiny, a.Tiny}, {to.First, a.First},
		{to.Kernel, a.Kernel}, {to.Small, a.Small}, {to.Drivers, a.Drivers},
	} {
		err := copyFile(f[0], f[1])
		if err != nil && (f[1] != a.Gokvm || !errors.Is(err, fs.ErrNotExist)) {
			return to, err
		}
	}
	return to, nil
}

func copyFile(to, from string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, info.Mode().Perm())
}
