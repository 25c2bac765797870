package bootmedia

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// plan is how a medium is made.
type plan struct {
	file string   // the medium, in the directory where it is made; "." is the directory
	key  []string // what it is made of: texts, and the stamps of files
	make func(ctx context.Context, dir string) error
}

// planVersion is part of every key; it must change with the code that makes
// media.
const planVersion = "1"

// Build makes the medium of that name, or finds it made of the same things by
// an earlier call, and returns its path: a file, or a directory for media of
// the network. It is kept in dir, which is govmm/bootmedia in the user's cache
// directory if empty. Nobody may write to it: machines that do get a copy or an
// overlay. Several processes may build at once.
//
// An error names the package that is missing. The medium debian-disk can be made
// by root only, and takes about a minute and a download of 70 MB; the others
// take seconds.
func Build(ctx context.Context, dir, name string) (string, error) {
	if _, err := Find(name); err != nil {
		return "", err
	}
	path, err := build(ctx, dir, name)
	if err != nil {
		return "", fmt.Errorf("bootmedia: %s: %w", name, err)
	}
	return path, nil
}

func build(ctx context.Context, dir, name string) (string, error) {
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(base, "govmm", "bootmedia")
	}
	p, err := planFor(ctx, dir, name)
	if err != nil {
		return "", err
	}
	home := filepath.Join(dir, name)
	final := filepath.Join(home, p.hash())
	made := filepath.Join(final, p.file)
	if _, err := os.Lstat(made); err == nil {
		return made, nil
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(home, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close() // unlocks
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if _, err := os.Lstat(made); err == nil { // by who had the lock before
		return made, nil
	}
	dropOld(home)
	work, err := os.MkdirTemp(home, "making-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o755); err != nil {
		return "", err
	}
	if err := p.make(ctx, work); err != nil {
		return "", err
	}
	return made, os.Rename(work, final)
}

// dropOld removes media made of other things, and what is left of those whose
// making was killed. Those made lately are kept: a machine may be running from
// one.
func dropOld(home string) {
	entries, err := os.ReadDir(home)
	if err != nil {
		return // then there is nothing to remove
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && e.IsDir() && time.Since(info.ModTime()) > 24*time.Hour {
			os.RemoveAll(filepath.Join(home, e.Name())) // if not now, then the next time
		}
	}
}

func (p plan) hash() string {
	h := sha256.New()
	for _, k := range append([]string{planVersion, p.file}, p.key...) {
		fmt.Fprintf(h, "%d %s\n", len(k), k)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

// planFor returns the plan of a medium. Media that are made from another one
// have it built first.
func planFor(ctx context.Context, dir, name string) (plan, error) {
	switch name {
	case "sector-disk", "sector-disk-2":
		return sectorDisk(name), nil
	case "sector-floppy":
		return sectorFloppy(name, floppy1440), nil
	case "sector-floppy-2880":
		return sectorFloppy(name, floppy2880), nil
	case "sector-cd":
		return sectorCD(name)
	case "sector-cd-floppy":
		return sectorFloppyCD(name)
	case "grub-disk":
		return linuxDisk(ctx, name)
	case "memtest-disk":
		return memtestDisk()
	case "isolinux-cd":
		return isolinuxCD(ctx, name)
	case "pxe-nbp":
		return pxeProgram(), nil
	case "ipxe-linux":
		return ipxeLinux(ctx, name)
	case "debian-disk":
		return debianDisk()
	case "empty-disk", "directory", "odd-floppy", "garbage-cd":
		return invalid(name), nil
	case "truncated-cd", "bad-catalog-cd":
		whole, err := build(ctx, dir, "sector-cd")
		if err != nil {
			return plan{}, err
		}
		return damagedCD(name, whole), nil
	}
	return plan{}, errors.New("no plan for it")
}

// stamp tells whether a file is still the same. An error names the package that
// has the file.
func stamp(file, pkg string) (string, error) {
	info, err := os.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("no %s; install the package %s", file, pkg)
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %d %d", file, info.Size(), info.ModTime().UnixNano()), nil
}

// packaged is a file of a package.
type packaged struct{ file, pkg string }

func stamps(files ...packaged) ([]string, error) {
	var all []string
	for _, f := range files {
		s, err := stamp(f.file, f.pkg)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}
