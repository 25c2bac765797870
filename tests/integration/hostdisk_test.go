package integration

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/govmm/govmm/tests/initramfs/traffic"
	"golang.org/x/sys/unix"
)

// sparse makes an image without contents.
func sparse(t *testing.T, dir, name string, size int64) string {
	t.Helper()
	file := filepath.Join(dir, name)
	f, err := os.Create(file)
	must(t, err)
	must(t, errors.Join(f.Truncate(size), f.Close()))
	return file
}

// makeExt4 makes an ext4 file system of a size in KiB, or as large as the file.
func makeExt4(t *testing.T, file string, kib int) {
	t.Helper()
	args := []string{"-q", "-F", "-t", "ext4", file}
	if kib > 0 {
		args = append(args, strconv.Itoa(kib)+"k")
	}
	e2fsprogs(t, "mke2fs", args...)
}

// checkExt4 fails for a file system with any fault, and for one that was not
// unmounted.
func checkExt4(t *testing.T, file string) {
	t.Helper()
	e2fsprogs(t, "e2fsck", "-fn", file)
}

func e2fsprogs(t *testing.T, name string, args ...string) {
	t.Helper()
	tool, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v; install the package e2fsprogs", err)
	}
	if said, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
		t.Errorf("%s %v: %v\n%s", name, args, err, said)
	}
}

// mountAt mounts a file system on a new directory.
func mountAt(t *testing.T, source, kind string, flags uintptr, data string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount(source, dir, kind, flags, data); err != nil {
		t.Fatalf("mount %s %s (this test needs root): %v", kind, source, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// directory is one whose files can be opened with O_DIRECT: that of a new ext4
// file system, of a size in bytes.
func directory(t *testing.T, size int64) string {
	t.Helper()
	return mountAt(t, loopDevice(t, emptyExt4(t, size)), "ext4", 0, "noinit_itable")
}

// loopDevice attaches a loop device to a file.
func loopDevice(t *testing.T, file string) string {
	t.Helper()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Fatalf("this test needs loop devices (modprobe loop) and root: %v", err)
	}
	defer control.Close()
	backing, err := os.OpenFile(file, os.O_RDWR, 0)
	must(t, err)
	defer backing.Close()
	for { // another process may take the free number first
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		must(t, err)
		device, err := os.OpenFile(fmt.Sprintf("/dev/loop%d", n), os.O_RDWR, 0)
		must(t, err)
		err = unix.IoctlLoopConfigure(int(device.Fd()), &unix.LoopConfig{Fd: uint32(backing.Fd())})
		if errors.Is(err, unix.EBUSY) {
			must(t, device.Close())
			continue
		}
		must(t, err)
		t.Cleanup(func() {
			if err := errors.Join(unix.IoctlSetInt(int(device.Fd()), unix.LOOP_CLR_FD, 0), device.Close()); err != nil {
				t.Errorf("detach %s: %v", device.Name(), err)
			}
		})
		return device.Name()
	}
}

// checkStream checks that a file has, at an offset, the beginning of a stream.
func checkStream(t *testing.T, file string, offset, length int64, seed uint64) {
	t.Helper()
	f, err := os.Open(file)
	must(t, err)
	defer f.Close()
	if err := traffic.Receive(io.NewSectionReader(f, offset, length), uint64(length), seed); err != nil {
		t.Errorf("%s, from %d on: %v", file, offset, err)
	}
}

// checkRange checks that a range of a file has that range of a stream.
func checkRange(t *testing.T, file string, offset, length int64, seed uint64) {
	t.Helper()
	f, err := os.Open(file)
	must(t, err)
	defer f.Close()
	p := make([]byte, 1<<20)
	for end := offset + length; offset < end; offset += int64(len(p)) {
		p = p[:min(int64(len(p)), end-offset)]
		_, err := f.ReadAt(p, offset)
		must(t, err)
		if err := traffic.Check(p, seed, uint64(offset)); err != nil {
			t.Errorf("%s: %v", file, err)
			return
		}
	}
}
