package host

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/govmm/govmm/tests/initramfs"
	"golang.org/x/sys/unix"
)

// cacheVersion is part of the cache directory's name; it changes with what is
// kept there and how.
const cacheVersion = "v1"

// The machine's first process, and the directories (below the module's root)
// that it is made of.
const initPackage = "github.com/govmm/govmm/tests/testhost/init"

var initSources = []string{"tests/testhost/init", "tests/testhost/wire", "tests/testhost/host", "tests/initramfs"}

// outerModules are the modules the machine's kernel loads at boot: what its
// root needs first, then what a virtual machine monitor uses on a host.
func outerModules() []string {
	return []string{
		"virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay",
		"kvm_amd", "kvm_intel",
		"tun", "macvlan", "macvtap", "ipvlan", "vhost_net", "vhost_vsock",
		"bridge", "veth", "dummy numdummies=0", "virtio_net",
		"virtio_blk", "loop max_loop=8", "nbd", "crc32c_intel", "crc32c_generic", "ext4", "fuse",
		"vfio_pci", "vfio_iommu_type1", "nvme",
	}
}

// Kernel is an unpacked Debian kernel package.
type Kernel struct {
	Release string // as uname -r says it
	Image   string // path of the bzImage
	Modules string // path of its module directory, .../lib/modules/RELEASE
}

// paths is what a run needs from the cache.
type paths struct {
	outer, cloud Kernel
	vmlinux      string // the outer kernel, uncompressed if possible
	initrd       string
}

// cache is the directory where kernels and images are kept.
type cache struct{ dir string }

func openCache() (cache, error) {
	base, err := os.UserCacheDir()
	if err != nil {
		return cache{}, fmt.Errorf("testhost: no cache directory: %w", err)
	}
	dir := filepath.Join(base, "govmm", "testhost", cacheVersion)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return cache{}, fmt.Errorf("testhost: %w", err)
	}
	return cache{dir}, nil
}

// kernel returns a kernel that is in the cache.
func (c cache) kernel(flavour string) (Kernel, error) {
	dir := filepath.Join(c.dir, flavour)
	release, err := os.ReadFile(filepath.Join(dir, "release"))
	if err != nil {
		return Kernel{}, err
	}
	k := Kernel{Release: strings.TrimSpace(string(release))}
	k.Image = filepath.Join(dir, "boot", "vmlinuz-"+k.Release)
	k.Modules = filepath.Join(dir, "lib", "modules", k.Release)
	return k, nil
}

// lookup returns what is in the cache, or an error if some of it is missing.
func (c cache) lookup() (paths, error) {
	var p paths
	var err error
	if p.outer, err = c.kernel(flavourGeneric); err != nil {
		return p, err
	}
	if p.cloud, err = c.kernel(flavourCloud); err != nil {
		return p, err
	}
	hash, err := sourceHash()
	if err != nil {
		return p, err
	}
	p.vmlinux = filepath.Join(c.dir, flavourGeneric, "vmlinux")
	p.initrd = filepath.Join(c.dir, "initrd-"+p.outer.Release+"-"+hash)
	for _, file := range []string{p.vmlinux, p.initrd} {
		if _, err := os.Stat(file); err != nil {
			return p, err
		}
	}
	return p, nil
}

// prepare returns the cache's contents, after filling it if need be. Only one
// process fills it at a time; runs that find it full never wait.
func (c cache) prepare(ctx context.Context) (paths, error) {
	if p, err := c.lookup(); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return p, err
	}
	lock, err := os.OpenFile(filepath.Join(c.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return paths{}, fmt.Errorf("testhost: %w", err)
	}
	defer lock.Close() // unlocks
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return paths{}, fmt.Errorf("testhost: lock %s: %w", lock.Name(), err)
	}
	if err := c.fill(ctx); err != nil {
		return paths{}, err
	}
	return c.lookup()
}

// fill makes what is missing. Everything appears under its name by a rename,
// complete.
func (c cache) fill(ctx context.Context) error {
	for flavour, meta := range metaPackages() {
		if _, err := c.kernel(flavour); err == nil {
			continue
		}
		if err := c.fetchKernel(ctx, flavour, meta); err != nil {
			return err
		}
	}
	p, err := c.lookup()
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	c.dropOldImages()
	return makeInitrd(ctx, p)
}

// makeInitrd builds the machine's initramfs. It is not compressed: unpacking
// would be emulated, reading it from the page cache is not.
func makeInitrd(ctx context.Context, p paths) error {
	program, err := initramfs.GoProgram(ctx, initPackage)
	if err != nil {
		return err
	}
	modules, err := initramfs.Modules(p.outer.Modules, outerModules()...)
	if err != nil {
		return err
	}
	files := append(initramfs.Devices(), initramfs.Regular("init", 0o755, program))
	return initramfs.WriteFile(p.initrd, append(files, modules...)...)
}

// dropOldImages removes images of earlier sources. Those made lately are kept:
// a machine may be about to boot from one.
func (c cache) dropOldImages() {
	images, _ := filepath.Glob(filepath.Join(c.dir, "initrd-*")) // the pattern is good
	for _, image := range images {
		if info, err := os.Stat(image); err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			os.Remove(image) // if not now, then the next time
		}
	}
}

// sourceHash covers the source of what is put into the image.
func sourceHash() (string, error) {
	_, self, _, _ := runtime.Caller(0)
	if !filepath.IsAbs(self) {
		return "", errors.New("testhost: built with -trimpath, so its source cannot be found; build it without")
	}
	root := filepath.Join(filepath.Dir(self), "..", "..", "..")
	sum := sha256.New()
	for _, dir := range initSources {
		err := filepath.WalkDir(filepath.Join(root, dir), func(file string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go") {
				return err
			}
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			fmt.Fprintf(sum, "%s %d\n", file, len(text))
			sum.Write(text)
			return nil
		})
		if err != nil {
			return "", fmt.Errorf("testhost: its source was at %s when it was built and is needed to make the machine's init: %v", root, err)
		}
	}
	return fmt.Sprintf("%x", sum.Sum(nil)[:8]), nil
}
