package initramfs

import (
	"context"
	"debug/elf"
	"fmt"
	"os/exec"
	"slices"
)

const (
	testInit  = "github.com/govmm/govmm/tests/initramfs/testinit"
	shellInit = "github.com/govmm/govmm/tests/initramfs/shellinit"
)

// GuestModules are the drivers for what a virtual machine usually has. Not
// every kernel has them all as modules, or at all: see [ModuleTree.Present].
func GuestModules() []string {
	return []string{
		"virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "virtio_scsi",
		"virtio_balloon", "virtio_rng", "ata_piix", "sd_mod", "sr_mod",
		"button", "evdev", "pvpanic_mmio", "pvpanic_pci",
	}
}

// Present returns those of the names that the kernel has.
func (t *ModuleTree) Present(names ...string) []string {
	var present []string
	for _, name := range names {
		if t.Has(name) {
			present = append(present, name)
		}
	}
	return present
}

// TestImage is the image of a test's guest: the program testinit, and modules
// of the kernel whose module directory is given, which must exist. Without
// names they are those of [GuestModules] that exist.
func TestImage(ctx context.Context, modulesDir string, modules ...string) ([]File, error) {
	return image(ctx, testInit, modulesDir, modules)
}

// ShellImage is the image of the demonstration guest: the program shellinit,
// this machine's busybox (which must be static) and modules as in [TestImage].
func ShellImage(ctx context.Context, modulesDir string, modules ...string) ([]File, error) {
	files, err := image(ctx, shellInit, modulesDir, modules)
	if err != nil {
		return nil, err
	}
	busybox, err := staticBusybox()
	if err != nil {
		return nil, err
	}
	return append(files, HostFile("/bin/busybox", busybox)), nil
}

func image(ctx context.Context, program, modulesDir string, names []string) ([]File, error) {
	if len(names) == 0 {
		tree, err := OpenModules(modulesDir)
		if err != nil {
			return nil, err
		}
		names = tree.Present(GuestModules()...)
	}
	init, err := GoProgram(ctx, program)
	if err != nil {
		return nil, err
	}
	modules, err := Modules(modulesDir, names...)
	if err != nil {
		return nil, err
	}
	return append(append(Devices(), modules...), Regular("/init", 0o755, init)), nil
}

// staticBusybox finds a busybox that runs without this machine's libraries.
func staticBusybox() (string, error) {
	const install = "install the package busybox-static"
	file, err := exec.LookPath("busybox")
	if err != nil {
		return "", fmt.Errorf("initramfs: busybox not found; %s", install)
	}
	dynamic, err := needsLibraries(file)
	if err != nil {
		return "", fmt.Errorf("initramfs: %s: %w", file, err)
	}
	if dynamic {
		return "", fmt.Errorf("initramfs: %s is not a static program; %s", file, install)
	}
	return file, nil
}

// needsLibraries tells whether a program names a dynamic loader.
func needsLibraries(file string) (bool, error) {
	f, err := elf.Open(file)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }), nil
}
