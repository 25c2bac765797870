package firmware

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/govmm/govmm/boot"
)

// Sizes of firmware images, in bytes.
const (
	// ImageMax is the largest image: below it come the I/O APIC and the local
	// APICs.
	ImageMax = 16 << 20
	// ShadowMax is how much of an image is seen below 1 MiB.
	ShadowMax = 128 << 10

	imageUnit = 64 << 10
	pageSize  = 4 << 10

	// resetVector is how far from the end of an image the processor starts.
	resetVector = 16
)

// Kind is a kind of firmware.
type Kind uint8

// The kinds.
const (
	BIOS Kind = iota // SeaBIOS
	UEFI             // OVMF
)

// place says where distributions put a kind of firmware, and in which Debian
// package it is.
type place struct {
	name, debian string
	paths        []string
}

func (k Kind) place() place {
	if k == UEFI {
		return place{"OVMF", "ovmf", []string{
			"/usr/share/ovmf/OVMF.fd",             // Debian, with room for variables
			"/usr/share/OVMF/OVMF_CODE_4M.fd",     // Debian
			"/usr/share/OVMF/OVMF_CODE.fd",        // Debian, Fedora
			"/usr/share/edk2/ovmf/OVMF_CODE.fd",   // Fedora, Red Hat
			"/usr/share/edk2/x64/OVMF_CODE.4m.fd", // Arch
			"/usr/share/edk2/x64/OVMF_CODE.fd",
			"/usr/share/edk2-ovmf/x64/OVMF_CODE.fd",
			"/usr/share/edk2-ovmf/OVMF_CODE.fd",    // Gentoo
			"/usr/share/qemu/ovmf-x86_64-code.bin", // SUSE
			"/usr/share/qemu/edk2-x86_64-code.fd",  // QEMU's own
		}}
	}
	return place{"SeaBIOS", "seabios", []string{
		"/usr/share/seabios/bios-256k.bin",  // Debian, Fedora, Gentoo
		"/usr/share/qemu/bios-256k.bin",     // SUSE, Arch, QEMU's own
		"/usr/share/qemu-kvm/bios-256k.bin", // older Red Hat
		"/usr/lib/qemu/bios-256k.bin",
		"/usr/local/share/qemu/bios-256k.bin",
		"/usr/share/seabios/bios.bin",
		"/usr/share/qemu/bios.bin",
		"/usr/share/qemu-kvm/bios.bin",
		"/usr/local/share/qemu/bios.bin",
	}}
}

func (k Kind) String() string { return k.place().name }

// Find returns the path of a firmware image of the kind that the distribution
// has installed. fsys is the root file system, such as os.DirFS("/"). If there
// is none, the error wraps fs.ErrNotExist and names the package to install.
func Find(fsys fs.FS, kind Kind) (string, error) {
	where := kind.place()
	for _, path := range where.paths {
		if info, err := fs.Stat(fsys, path[1:]); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("firmware: no %s found in %s and %d other places: install the package %q, or name an image in os/loader: %w",
		kind, where.paths[0], len(where.paths)-1, where.debian, fs.ErrNotExist)
}

// Image is a firmware image.
type Image struct {
	Path string
	Data []byte
}

// Load reads the image at an absolute path and checks what can be checked: that
// it is a regular file of a size that firmware has, with code where the
// processor starts.
func Load(fsys fs.FS, path string) (*Image, error) {
	data, err := readImage(fsys, path)
	if err != nil {
		return nil, fmt.Errorf("firmware: %w", err)
	}
	if err := checkImage(data); err != nil {
		return nil, fmt.Errorf("firmware: %s: %w", path, err)
	}
	return &Image{Path: path, Data: data}, nil
}

func readImage(fsys fs.FS, path string) ([]byte, error) {
	if !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("%q is not an absolute path", path)
	}
	name := path[1:]
	// Before it is opened: opening a FIFO would wait for its writer.
	info, err := fs.Stat(fsys, name)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("%s is a directory", path)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, ImageMax+1))
	return data, errors.Join(err, f.Close())
}

func checkImage(data []byte) error {
	size := len(data)
	switch {
	case size == 0:
		return errors.New("the file is empty")
	case size > ImageMax:
		return fmt.Errorf("the file is too large: firmware has at most %d bytes", ImageMax)
	case size%imageUnit != 0 && !(isUEFI(data) && size%pageSize == 0):
		return fmt.Errorf("the file has %d bytes, which is not a multiple of %d as firmware's size is", size, imageUnit)
	}
	start := data[size-resetVector : size-resetVector+3]
	if v := start[0]; (v == 0 || v == 0xFF) && v == start[1] && v == start[2] {
		return fmt.Errorf("not firmware: no code %d bytes before its end, where the processor starts", resetVector)
	}
	return nil
}

// isUEFI tells whether an image begins with a firmware volume (UEFI Platform
// Initialization specification, volume 3, section 3.2.1). OVMF without room for
// its variables is not a multiple of 64 KiB.
func isUEFI(data []byte) bool {
	const signatureOffset = 40
	return len(data) > signatureOffset && bytes.HasPrefix(data[signatureOffset:], []byte("_FVH"))
}

// Base is the guest-physical address of the image, which ends at 4 GiB.
func (i *Image) Base() uint64 { return boot.HighBase - uint64(len(i.Data)) }

// Shadow is the end of the image that is seen below 1 MiB, too: 128 KiB, or the
// whole of a smaller image.
func (i *Image) Shadow() []byte { return i.Data[max(len(i.Data)-ShadowMax, 0):] }

// ShadowBase is where it is seen: it ends at 1 MiB.
func (i *Image) ShadowBase() uint64 { return 1<<20 - uint64(len(i.Shadow())) }
