package block

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// makeImage makes a file of size bytes in dir, full of a pattern.
func makeImage(tb testing.TB, dir string, size int64) string {
	tb.Helper()
	f, err := os.CreateTemp(dir, "disk*.img")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(pattern(size)); err != nil {
		tb.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		tb.Fatal(err)
	}
	return f.Name()
}

func pattern(size int64) []byte {
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(i>>9) ^ byte(i)
	}
	return p
}

// loopDevice attaches a loop device with the given block size to a file.
func loopDevice(tb testing.TB, file string, blockSize uint32, readOnly bool) string {
	tb.Helper()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		tb.Fatalf("this test needs loop devices (modprobe loop) and root: %v", err)
	}
	defer control.Close()
	backing, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		tb.Fatal(err)
	}
	defer backing.Close()
	config := unix.LoopConfig{Fd: uint32(backing.Fd()), Size: blockSize}
	if readOnly {
		config.Info.Flags |= unix.LO_FLAGS_READ_ONLY
	}
	// Another process may take the free number first.
	for range 100 {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			tb.Fatalf("LOOP_CTL_GET_FREE: %v", err)
		}
		path := fmt.Sprintf("/dev/loop%d", n)
		if err := unix.Mknod(path, unix.S_IFBLK|0o600, int(unix.Mkdev(7, uint32(n)))); err != nil && err != unix.EEXIST {
			tb.Fatal(err)
		}
		dev, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			tb.Fatal(err)
		}
		err = unix.IoctlLoopConfigure(int(dev.Fd()), &config)
		if errors.Is(err, unix.EBUSY) {
			dev.Close()
			continue
		}
		if err != nil {
			tb.Fatalf("LOOP_CONFIGURE: %v", err)
		}
		tb.Cleanup(func() {
			if err := unix.IoctlSetInt(int(dev.Fd()), unix.LOOP_CLR_FD, 0); err != nil {
				tb.Errorf("LOOP_CLR_FD: %v", err)
			}
			dev.Close()
		})
		return path
	}
	tb.Fatal("no free loop device")
	return ""
}

// mount mounts a file system on a new folder.
func mount(tb testing.TB, kind, data string) string {
	tb.Helper()
	dir := tb.TempDir()
	if err := unix.Mount(kind, dir, kind, 0, data); err != nil {
		tb.Fatalf("mount %s (this test needs root): %v", kind, err)
	}
	tb.Cleanup(func() {
		// The kernel takes a ring down, with the files it holds, some time
		// after its descriptor is closed.
		deadline := time.Now().Add(30 * time.Second)
		err := unix.Unmount(dir, 0)
		for ; err == unix.EBUSY && time.Now().Before(deadline); err = unix.Unmount(dir, 0) {
			runtime.Gosched()
		}
		if err != nil {
			tb.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

func openDisk(tb testing.TB, o Options) *Raw {
	tb.Helper()
	d, err := Open(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := d.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return d
}

// disk is one kind of host disk for the tests.
type disk struct {
	name string
	make func(tb testing.TB) (path string)
	size int64
}

// disks are files and devices with every alignment.
func disks() []disk {
	const size = 1 << 20
	return []disk{
		{"ext4", func(tb testing.TB) string { return makeImage(tb, tb.TempDir(), size) }, size},
		{"ext4 odd tail", func(tb testing.TB) string { return makeImage(tb, tb.TempDir(), size-512*3) }, size - 512*3},
		{"ext4 half a sector", func(tb testing.TB) string { return makeImage(tb, tb.TempDir(), size-700) }, size - 512},
		{"tmpfs", func(tb testing.TB) string { return makeImage(tb, mount(tb, "tmpfs", "size=4m"), size) }, size},
		{"loop 512", func(tb testing.TB) string {
			return loopDevice(tb, makeImage(tb, tb.TempDir(), size), 512, false)
		}, size},
		{"loop 4096", func(tb testing.TB) string {
			return loopDevice(tb, makeImage(tb, tb.TempDir(), size), 4096, false)
		}, size},
		{"file on a 4096-byte file system", func(tb testing.TB) string {
			dev := loopDevice(tb, makeImage(tb, tb.TempDir(), 32<<20), 4096, false)
			return makeImage(tb, mountExt4(tb, dev), size-512)
		}, size - 512},
	}
}

// readFile is the content of a file or device as the host sees it, cut or
// filled up to size.
func readFile(tb testing.TB, path string, size int64) []byte {
	tb.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	if int64(len(got)) > size {
		tb.Fatalf("%s has grown to %d bytes, want at most %d", filepath.Base(path), len(got), size)
	}
	return append(got, make([]byte, size-int64(len(got)))...)
}

// firstDifference says where two contents differ.
func firstDifference(tb testing.TB, got, want []byte) {
	tb.Helper()
	if bytes.Equal(got, want) {
		return
	}
	for i := range want {
		if got[i] != want[i] {
			tb.Fatalf("byte %d is %#x, want %#x", i, got[i], want[i])
		}
	}
	tb.Fatalf("%d bytes, want %d", len(got), len(want))
}

// mountExt4 makes a file system on a device and mounts it.
func mountExt4(tb testing.TB, dev string) string {
	tb.Helper()
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", dev).CombinedOutput(); err != nil {
		tb.Fatalf("mkfs.ext4 (package e2fsprogs): %v: %s", err, out)
	}
	dir := tb.TempDir()
	if err := unix.Mount(dev, dir, "ext4", 0, ""); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		// The kernel takes a ring down, with the files it holds, some time
		// after its descriptor is closed.
		deadline := time.Now().Add(30 * time.Second)
		err := unix.Unmount(dir, 0)
		for ; err == unix.EBUSY && time.Now().Before(deadline); err = unix.Unmount(dir, 0) {
			runtime.Gosched()
		}
		if err != nil {
			tb.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}
