// Package early is what the first programs of test images have in common:
// mounting the kernel's file systems, loading the modules that package
// initramfs put into the image, and ending the machine.
package early

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Mount is one file system to mount; its target is made if need be.
type Mount struct {
	Source, Target, Type string
	Flags                uintptr
	Data                 string
}

// Kernel are the file systems every program expects.
func Kernel() []Mount {
	return []Mount{
		{"proc", "/proc", "proc", 0, ""},
		{"sysfs", "/sys", "sysfs", 0, ""},
		{"devtmpfs", "/dev", "devtmpfs", 0, ""},
	}
}

// Do mounts it.
func (m Mount) Do() error {
	if err := os.MkdirAll(m.Target, 0o755); err != nil {
		return fmt.Errorf("mount %s: %w", m.Target, err)
	}
	if err := unix.Mount(m.Source, m.Target, m.Type, m.Flags, m.Data); err != nil {
		return fmt.Errorf("mount %s (%s %s): %w", m.Target, m.Type, m.Source, err)
	}
	return nil
}

// MountAll mounts all it can and returns what it could not.
func MountAll(mounts ...Mount) error {
	var errs []error
	for _, m := range mounts {
		errs = append(errs, m.Do())
	}
	return errors.Join(errs...)
}

// LoadModules loads the modules of a list written by initramfs.Modules, in its
// order, except those that want refuses (a nil want takes all). It goes on
// after a failure and returns all of them.
func LoadModules(list string, want func(name string) bool) error {
	text, err := os.ReadFile(list)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for line := range strings.Lines(string(text)) {
		file, params, _ := strings.Cut(strings.TrimSpace(line), " ")
		name := strings.TrimSuffix(file, ".ko")
		if name == "" || want != nil && !want(name) {
			continue
		}
		errs = append(errs, loadModule(filepath.Join(filepath.Dir(list), file), params))
	}
	return errors.Join(errs...)
}

func loadModule(file, params string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.FinitModule(int(f.Fd()), params, 0)
	if err != nil && err != unix.EEXIST {
		return fmt.Errorf("load %s: %w", filepath.Base(file), err)
	}
	return nil
}

// LoopbackUp brings the interface lo up.
func LoopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	return nil
}

// Drain waits until what was written to the console has been sent. A serial
// line is slow, and its driver's buffer is lost when the machine ends.
func Drain() {
	// Not every console is a terminal that can tell; then nothing is lost.
	_ = unix.IoctlSetInt(int(os.Stdout.Fd()), unix.TCSBRK, 1)
}

// PowerOff ends the machine. It returns only if the kernel refuses.
func PowerOff() error {
	Drain()
	unix.Sync()
	return unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}
