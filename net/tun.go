package net

import (
	"errors"
	"fmt"
	"io/fs"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tunDevice is the clone device: each open of it becomes one queue of a tap.
const tunDevice = "/dev/net/tun"

// openTun attaches one more queue to the tap interface called name, making the interface if
// flags and privileges allow. It returns the name the kernel chose.
func openTun(name string, flags uint16) (fd int, actual string, err error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return -1, "", err
	}
	fd, err = unix.Open(tunDevice, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, "", tunOpenError(err)
	}
	ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR | flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		unix.Close(fd)
		return -1, "", err
	}
	return fd, ifr.Name(), nil
}

func tunOpenError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("%s: %w; load the kernel module (modprobe tun), or in a container pass the device in", tunDevice, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w; run as root, or get access to the device", tunDevice, err)
	}
	return fmt.Errorf("%s: %w", tunDevice, err)
}

// tunIfreq does an ioctl whose argument is a struct ifreq with flags.
func tunIfreq(fd int, request uint, flags uint16) error {
	ifr, err := unix.NewIfreq("")
	if err != nil {
		return err
	}
	ifr.SetUint16(flags)
	return unix.IoctlIfreq(fd, request, ifr)
}

// tunAttached tells whether the descriptor still has its interface.
func tunAttached(fd int) bool {
	ifr, err := unix.NewIfreq("")
	return err == nil && unix.IoctlIfreq(fd, unix.TUNGETIFF, ifr) == nil
}

func tunSetHeaderSize(fd, n int) error {
	return unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, n)
}

func tunSetOffloads(fd int, o Offload) error {
	return unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, int(o))
}

// tunOffloads finds out what the kernel can do: USO came with Linux 6.2. It
// leaves all offloads off.
func tunOffloads(fd int) (Offload, error) {
	const always = Csum | TSO4 | TSO6 | TSOECN | UFO
	for _, o := range []Offload{always | USO4 | USO6, always, always &^ UFO, Csum} {
		if tunSetOffloads(fd, o) == nil {
			return o, tunSetOffloads(fd, 0)
		}
	}
	return 0, tunSetOffloads(fd, 0)
}

func tunSetCarrier(fd int, up bool) error {
	var carrier int32
	if up {
		carrier = 1
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETCARRIER, uintptr(unsafe.Pointer(&carrier)))
	if errno != 0 {
		return errno
	}
	return nil
}
