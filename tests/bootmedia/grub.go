package bootmedia

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
)

// Files of the package grub-pc-bin.
const (
	grubDir     = "/usr/lib/grub/i386-pc"
	grubBootImg = grubDir + "/boot.img"
)

// grubModules are built into the core image, so that the file system has only
// the configuration.
var grubModules = []string{
	"biosdisk", "part_msdos", "ext2", "normal", "linux", "serial", "terminal", "configfile", "echo", "test",
}

// grubCore makes GRUB's core image, which lies between the boot record and the
// first partition. It finds its configuration in the first partition of the
// drive it was booted from.
func grubCore(ctx context.Context, dir string) ([]byte, error) {
	if _, err := stamp(grubBootImg, "grub-pc-bin"); err != nil {
		return nil, err
	}
	name := filepath.Join(dir, "core.img")
	defer os.Remove(name)
	args := []string{"-O", "i386-pc", "-d", grubDir, "-p", "(,msdos1)/boot/grub", "-o", name}
	if _, err := grubMkimage.run(ctx, dir, append(args, grubModules...)...); err != nil {
		return nil, err
	}
	core, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	// The first sector ends with the list of blocks of the others: 8 bytes first
	// sector, 2 count, 2 segment to load to (GRUB's diskboot.img). It says what is
	// so here: they follow at once.
	const blockList = sectorSize - 12
	if len(core) < sectorSize || len(core) > (firstPartition-1)*sectorSize {
		return nil, fmt.Errorf("GRUB's core image has %d bytes, which do not fit before the first partition", len(core))
	}
	if first := binary.LittleEndian.Uint64(core[blockList:]); first != 2 {
		return nil, fmt.Errorf("GRUB's core image wants to go on at sector %d, not 2", first)
	}
	return core, nil
}

// grubBootRecord is GRUB's boot.img: code of a boot record, which loads the
// sector named at 5Ch. It says sector 1, where the core image is.
func grubBootRecord() ([]byte, error) {
	const kernelSector = 0x5c
	mbr, err := os.ReadFile(grubBootImg)
	if err != nil {
		return nil, err
	}
	if len(mbr) != sectorSize || binary.LittleEndian.Uint64(mbr[kernelSector:]) != 1 {
		return nil, fmt.Errorf("%s is not a boot record for a core image in sector 1", grubBootImg)
	}
	return mbr, nil
}

// grubConfig says on COM1 what it starts, and starts it.
const grubConfig = `serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
`

// grubPlan is a disk with GRUB, a configuration, and the files that fill makes
// below /boot.
func grubPlan(key []string, config string, mib int, fill func(boot string) error) (plan, error) {
	grub, err := stamps(packaged{grubBootImg, "grub-pc-bin"})
	if err != nil {
		return plan{}, err
	}
	if _, err := grubMkimage.find(); err != nil {
		return plan{}, err
	}
	return plan{file: "disk.img", key: append(append(key, config), grub...), make: func(ctx context.Context, dir string) error {
		tree, err := os.MkdirTemp(dir, "tree-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(tree)
		if err := writeGRUBConfig(tree, config); err != nil {
			return err
		}
		if err := fill(filepath.Join(tree, "boot")); err != nil {
			return err
		}
		return ext4Disk(ctx, dir, tree, mib, "govmm-boot")
	}}, nil
}

func writeGRUBConfig(tree, config string) error {
	dir := filepath.Join(tree, "boot", "grub")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "grub.cfg"), []byte(config), 0o644)
}

// linuxDisk boots Linux by GRUB.
func linuxDisk(ctx context.Context, name string) (plan, error) {
	l, err := linuxFor(ctx, name)
	if err != nil {
		return plan{}, err
	}
	config := grubConfig + `echo "GRUB starts Linux"
linux /boot/vmlinuz ` + l.cmdline + `
initrd /boot/initrd.img
boot
`
	return grubPlan(l.key, config, 64, l.write)
}

// memtestDisk boots memtest86+ by GRUB.
func memtestDisk() (plan, error) {
	const image = "/boot/memtest86+x64.bin"
	key, err := stamps(packaged{image, "memtest86+"})
	if err != nil {
		return plan{}, err
	}
	const config = grubConfig + `echo "GRUB starts memtest"
linux /boot/memtest.bin console=ttyS0,115200
boot
`
	return grubPlan(key, config, 16, func(boot string) error {
		return copyFile(filepath.Join(boot, "memtest.bin"), image)
	})
}
