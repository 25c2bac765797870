package main

import (
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Requests of drives (Linux, include/uapi/linux/hdreg.h and cdrom.h).
const (
	hdioGetIdentity   = 0x030D // the 512 bytes of IDENTIFY DEVICE
	cdromEject        = 0x5309
	cdromDriveStatus  = 0x5326
	cdromCurrentSlot  = 0x7FFFFFFF
	cdromStatusLoaded = 4 // CDS_DISC_OK
)

// identify reads, of the words of IDENTIFY DEVICE (ATA/ATAPI-7, section 6.17), the
// serial number (10 to 19), firmware revision (23 to 26) and model (27 to 46). The
// kernel has put the bytes of a word in order.
func identify(w *words) (answer string, err error) {
	err = drive(w, func(fd uintptr) error {
		var words [512]byte
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, hdioGetIdentity, uintptr(unsafe.Pointer(&words))); errno != 0 {
			return fmt.Errorf("HDIO_GET_IDENTITY: %w", errno)
		}
		text := func(first, last int) string { return strings.TrimSpace(string(words[first*2 : last*2+2])) }
		answer = strings.Join([]string{text(10, 19), text(23, 26), text(27, 46)}, " ")
		return nil
	})
	return answer, err
}

func eject(w *words) (string, error) {
	return "", drive(w, func(fd uintptr) error { return unix.IoctlSetInt(int(fd), cdromEject, 0) })
}

func inserted(w *words) (answer string, err error) {
	err = drive(w, func(fd uintptr) error {
		status, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, cdromDriveStatus, cdromCurrentSlot)
		if errno != 0 {
			return fmt.Errorf("CDROM_DRIVE_STATUS: %w", errno)
		}
		answer = "no"
		if status == cdromStatusLoaded {
			answer = "yes"
		}
		return nil
	})
	return answer, err
}

// drive opens a drive, also one without a medium, for a request.
func drive(w *words, request func(fd uintptr) error) error {
	name := w.text()
	if err := w.end(); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := request(f.Fd()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
