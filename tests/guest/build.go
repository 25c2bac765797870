package guest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed src
var sources embed.FS

// Images are the kernels that Build makes.
type Images struct {
	Kernel Image // runs the tests
	First  Image // prints '!' on COM1 with its first three instructions and leaves by port F4h
}

// Image names the two files of one kernel.
type Image struct {
	BzImage string // for the Linux/x86 boot protocol
	ELF     string // for PVH
}

// Both variants are compiled alike: for a kernel at 1 MiB, without the
// instructions and the run-time support that a bare machine does not have.
var (
	compileFlags = []string{
		"-m64", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror",
		"-Wno-array-bounds", // low memory is addressed by numbers, which GCC takes for NULL
		"-ffreestanding", "-mgeneral-regs-only", "-mno-red-zone", "-mcmodel=small",
		"-fno-pic", "-no-pie", "-fno-stack-protector", "-fcf-protection=none",
		"-fno-asynchronous-unwind-tables", "-fno-tree-loop-distribute-patterns", "-fno-strict-aliasing",
		"-nostdlib", "-static", "-Wl,-T,kernel.lds", "-Wl,--build-id=none",
	}
	setupFlags = []string{
		"-m32", "-nostdlib", "-static", "-no-pie",
		"-Wl,--build-id=none", "-Wl,-Ttext=0", "-Wl,--oformat=binary",
	}
)

// Build compiles the kernels with gcc, or finds them compiled by an earlier
// call. The files go to a directory named after the hash of the sources in
// dir; an empty dir is govmm/guest in the user's cache directory. Several
// processes may build at the same time. An error names the package that is
// missing, or carries what the compiler said.
func Build(ctx context.Context, dir string) (*Images, error) {
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("guest: no place for the test kernel: %w", err)
		}
		dir = filepath.Join(cache, "govmm", "guest")
	}
	hash, err := sourceHash()
	if err != nil {
		return nil, err
	}
	final := filepath.Join(dir, hash)
	if _, err := os.Stat(final); err == nil {
		return imagesIn(final), nil
	}
	if err := findTools(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("guest: %w", err)
	}
	work, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return nil, fmt.Errorf("guest: %w", err)
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o755); err != nil {
		return nil, fmt.Errorf("guest: %w", err)
	}
	if err := build(ctx, work); err != nil {
		return nil, err
	}
	// The directory appears whole or not at all. Who loses a race finds the winner's.
	if err := os.Rename(work, final); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, found := os.Stat(final); found != nil {
			return nil, fmt.Errorf("guest: %w", err)
		}
	}
	return imagesIn(final), nil
}

func imagesIn(dir string) *Images {
	in := func(name string) Image {
		return Image{BzImage: filepath.Join(dir, name+".bzImage"), ELF: filepath.Join(dir, name+".elf")}
	}
	return &Images{Kernel: in("kernel"), First: in("first")}
}

func sourceHash() (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%q %q\n", compileFlags, setupFlags)
	files, err := sources.ReadDir("src")
	if err != nil {
		return "", fmt.Errorf("guest: %w", err)
	}
	for _, f := range files {
		text, err := sources.ReadFile("src/" + f.Name())
		if err != nil {
			return "", fmt.Errorf("guest: %w", err)
		}
		fmt.Fprintf(h, "%s %d\n%s", f.Name(), len(text), text)
	}
	return hex.EncodeToString(h.Sum(nil)[:12]), nil
}

func findTools() error {
	for _, tool := range []struct{ name, pkg string }{{"gcc", "gcc"}, {"as", "binutils"}, {"ld", "binutils"}} {
		if _, err := exec.LookPath(tool.name); err != nil {
			return fmt.Errorf("guest: the test kernel is built by %s, of the package %s: %w", tool.name, tool.pkg, err)
		}
	}
	return nil
}

// build writes the sources to dir, compiles them there, and leaves only the images.
func build(ctx context.Context, dir string) error {
	src := filepath.Join(dir, "src")
	tree, err := fs.Sub(sources, "src")
	if err != nil {
		return fmt.Errorf("guest: %w", err)
	}
	if err := os.CopyFS(src, tree); err != nil {
		return fmt.Errorf("guest: %w", err)
	}
	c, err := fs.Glob(tree, "*.c")
	if err != nil {
		return fmt.Errorf("guest: %w", err)
	}
	setup := filepath.Join(src, "setup.bin")
	if err := gcc(ctx, src, setup, setupFlags, "setup.S"); err != nil {
		return err
	}
	images := imagesIn(dir)
	for _, k := range []struct {
		image Image
		files []string
	}{
		{images.Kernel, append([]string{"head.S"}, c...)},
		{images.First, []string{"first.S"}},
	} {
		if err := gcc(ctx, src, k.image.ELF, compileFlags, k.files...); err != nil {
			return err
		}
		if err := writeBzImage(k.image.BzImage, setup, k.image.ELF); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(src); err != nil {
		return fmt.Errorf("guest: %w", err)
	}
	return nil
}

func gcc(ctx context.Context, dir, out string, flags []string, files ...string) error {
	cmd := exec.CommandContext(ctx, "gcc", slices.Concat(flags, []string{"-o", out}, files)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	said, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("guest: gcc %s: %w\n%s", strings.Join(files, " "), err, bytes.TrimSpace(said))
	}
	return nil
}
