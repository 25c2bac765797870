package net

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// tapDevice is the character device by which a macvtap's frames are read and
// written.
type tapDevice struct {
	path   string // where devtmpfs or udev should have it
	number uint64
}

// findTapDevice finds the device of a macvtap whose name is not another's, also in
// another network namespace.
func findTapDevice(name string, index int) (tapDevice, error) {
	tap := fmt.Sprintf("tap%d", index)
	d := tapDevice{path: "/dev/" + tap}
	number, err := os.ReadFile(filepath.Join("/sys/class/net", name, tap, "dev"))
	text := string(number)
	if errors.Is(err, fs.ErrNotExist) {
		// These files show the namespace of whoever mounted them. The links by number
		// show all.
		text, err = findByNumber("/net/" + name + "/")
	}
	if err != nil {
		return d, fmt.Errorf("find its device: %w", err)
	}
	var major, minor uint32
	if _, err := fmt.Sscanf(text, "%d:%d", &major, &minor); err != nil {
		return d, fmt.Errorf("find its device: %q is no number of one: %w", text, err)
	}
	d.number = unix.Mkdev(major, minor)
	return d, nil
}

// findByNumber is the number of the character device whose place has a part.
func findByNumber(part string) (string, error) {
	const dir = "/sys/dev/char"
	links, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, l := range links {
		if to, err := os.Readlink(filepath.Join(dir, l.Name())); err == nil && strings.Contains(to, part) {
			return l.Name(), nil
		}
	}
	return "", fmt.Errorf("%s has none: %w", dir, fs.ErrNotExist)
}

// open opens the device, by a file of our own where /dev has it not: in a
// container, or when a namespace has an interface with the same number.
func (d tapDevice) open() (fd int, err error) {
	var st unix.Stat_t
	if err := unix.Stat(d.path, &st); err == nil && st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == d.number {
		return openTapDevice(d.path)
	}
	dir, err := os.MkdirTemp("", "govmm-tap-")
	if err != nil {
		return -1, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "tap")
	if err := unix.Mknod(path, unix.S_IFCHR|0o600, int(d.number)); err != nil {
		return -1, fmt.Errorf("%s is not there, and none can be made: %w", d.path, &fs.PathError{Op: "mknod", Path: path, Err: err})
	}
	return openTapDevice(path)
}

func openTapDevice(path string) (fd int, err error) {
	fd, err = unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}
