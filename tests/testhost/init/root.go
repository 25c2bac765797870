package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/govmm/govmm/tests/initramfs/early"
	"golang.org/x/sys/unix"
)

// 9p options: the whole path /ro is read-only and nobody changes it while a
// test runs, so the kernel may cache it as it likes. In /out the caller may
// look while we write.
const (
	rootOptions = "trans=virtio,version=9p2000.L,msize=512000,cache=loose"
	outOptions  = "trans=virtio,version=9p2000.L,msize=512000,cache=mmap"
	newRoot     = "/new"
)

// enterRoot makes the caller's file system, read-only below a tmpfs overlay,
// the root of this process, with the usual kernel file systems in it.
func enterRoot(modules string) error {
	err := early.MountAll(
		early.Mount{Source: "root", Target: "/ro", Type: "9p", Flags: unix.MS_RDONLY, Data: rootOptions},
		early.Mount{Source: "tmpfs", Target: "/rw", Type: "tmpfs", Data: "size=75%"},
	)
	if err != nil {
		return err
	}
	for _, dir := range []string{"/rw/upper", "/rw/work"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	err = early.MountAll(
		early.Mount{Source: "overlay", Target: newRoot, Type: "overlay",
			Data: "lowerdir=/ro,upperdir=/rw/upper,workdir=/rw/work"},
		early.Mount{Source: "devpts", Target: "/dev/pts", Type: "devpts", Data: "ptmxmode=666"},
		early.Mount{Source: "shm", Target: "/dev/shm", Type: "tmpfs", Data: "mode=1777"},
		early.Mount{Source: "hugetlbfs", Target: "/dev/hugepages", Type: "hugetlbfs"},
		early.Mount{Source: "cgroup2", Target: "/sys/fs/cgroup", Type: "cgroup2"},
		early.Mount{Source: "debugfs", Target: "/sys/kernel/debug", Type: "debugfs"},
		early.Mount{Source: "tmpfs", Target: newRoot + "/run", Type: "tmpfs", Data: "mode=755"},
		early.Mount{Source: "out", Target: newRoot + "/out", Type: "9p", Data: outOptions},
	)
	if err != nil {
		return err
	}
	if err := allControllers("/sys/fs/cgroup"); err != nil {
		return err
	}
	if err := deviceNodes(); err != nil {
		return err
	}
	if err := linkModules(modules); err != nil {
		return err
	}
	warn(early.LoopbackUp())
	warn(unix.Sethostname([]byte("testhost")))
	return switchRoot()
}

// allControllers lets the children of a cgroup have every controller.
func allControllers(cgroup string) error {
	list, err := os.ReadFile(filepath.Join(cgroup, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(list)) {
		if err := os.WriteFile(filepath.Join(cgroup, "cgroup.subtree_control"), []byte("+"+name), 0); err != nil {
			return fmt.Errorf("cgroup controller %s: %w", name, err)
		}
	}
	return nil
}

// deviceNodes adds to devtmpfs what udev would.
func deviceNodes() error {
	links := map[string]string{
		"/dev/fd":     "/proc/self/fd",
		"/dev/stdin":  "fd/0",
		"/dev/stdout": "fd/1",
		"/dev/stderr": "fd/2",
	}
	for name, target := range links {
		if err := os.Symlink(target, name); err != nil && !os.IsExist(err) {
			return err
		}
	}
	for _, name := range []string{"/dev/kvm", "/dev/vhost-net", "/dev/vhost-vsock", "/dev/net/tun", "/dev/fuse"} {
		if err := os.Chmod(name, 0o666); err != nil {
			warn(err) // its module is missing
		}
	}
	return nil
}

// linkModules shows the running kernel's modules where modprobe looks.
func linkModules(dir string) error {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return err
	}
	link := newRoot + "/lib/modules/" + unix.ByteSliceToString(uts.Release[:])
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(link); err != nil {
		return err
	}
	return os.Symlink(dir, link)
}

// switchRoot moves the kernel's file systems below the new root and goes
// there.
func switchRoot() error {
	for _, dir := range []string{"/proc", "/sys", "/dev"} {
		if err := os.MkdirAll(newRoot+dir, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(dir, newRoot+dir, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", dir, err)
		}
	}
	if err := os.Chdir(newRoot); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	return os.Chdir("/")
}
