package integration

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/govmm/govmm/boot/payload"
	"github.com/govmm/govmm/tests/bootmedia"
	"github.com/govmm/govmm/tests/initramfs"
	"github.com/govmm/govmm/tests/testhost/host"
)

// assetsVariable names, in the environment, the directory of the files below.
const assetsVariable = "GOVMM_INTEGRATION_ASSETS"

// The files that tests use beside the kernels.
const (
	govmmProgram = "govmm"
	cloudTest    = "cloud-test.img"   // program testinit, the cloud kernel's modules
	cloudShell   = "cloud-shell.img"  // program shellinit, the same modules
	cloudVirtio  = "cloud-virtio.img" // program testinit, the cloud kernel's virtio drivers
	genericTest  = "generic-test.img"
	genericNIC   = "generic-nic.img"      // program testinit, drivers of network cards
	genericIDE   = "generic-ide.img"      // program testinit, drivers of IDE and floppy drives
	genericDogs  = "generic-watchdog.img" // program shellinit, drivers of watchdogs
	cloudSMBIOS  = "cloud-smbios.img"     // program shellinit, and dmidecode
	cloudVmlinux = "cloud-vmlinux"        // unpacked, with the PVH note
	plainVmlinux = "cloud-vmlinux-plain"  // the same without notes
)

// asset is the path of one of the files.
func asset(name string) string { return filepath.Join(os.Getenv(assetsVariable), name) }

func cloudKernel(t *testing.T) host.Kernel {
	t.Helper()
	k, err := host.CloudKernel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func genericKernel(t *testing.T) host.Kernel {
	t.Helper()
	k, err := host.GenericKernel(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// buildAssets writes the files to dir.
func buildAssets(ctx context.Context, dir string) error {
	if err := host.Prepare(ctx); err != nil {
		return err
	}
	cloud, err := host.CloudKernel(ctx)
	if err != nil {
		return err
	}
	generic, err := host.GenericKernel(ctx)
	if err != nil {
		return err
	}
	program, err := initramfs.GoProgram(ctx, "github.com/govmm/govmm/cmd/govmm")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, govmmProgram), program, 0o755); err != nil {
		return err
	}
	if err := buildImages(ctx, dir, cloud, generic); err != nil {
		return err
	}
	if err := buildMedia(ctx, dir); err != nil {
		return err
	}
	return buildVmlinux(dir, cloud)
}

func buildImages(ctx context.Context, dir string, cloud, generic host.Kernel) error {
	for _, i := range []struct {
		name    string
		files   func(context.Context, string, ...string) ([]initramfs.File, error)
		kernel  host.Kernel
		modules []string
	}{
		{cloudTest, initramfs.TestImage, cloud, []string{"button", "evdev", "pvpanic_mmio"}},
		{cloudShell, initramfs.ShellImage, cloud, []string{"button", "evdev"}},
		{cloudVirtio, initramfs.TestImage, cloud, []string{
			"virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "virtio_balloon", "virtio_rng",
		}},
		{genericTest, initramfs.TestImage, generic, []string{"evdev"}},
		{genericNIC, initramfs.TestImage, generic, []string{"e1000", "8139cp", "af_packet"}},
		{genericIDE, initramfs.TestImage, generic, []string{"ata_piix", "sd_mod", "sr_mod", "floppy", "ext4", "crc32c_generic"}},
		{genericDogs, initramfs.ShellImage, generic, []string{"button", "evdev", "i6300esb", "ib700wdt"}},
		{cloudSMBIOS, smbiosImage, cloud, []string{"button", "evdev"}},
	} {
		files, err := i.files(ctx, i.kernel.Modules, i.modules...)
		if err != nil {
			return err
		}
		if err := initramfs.WriteFile(filepath.Join(dir, i.name), files...); err != nil {
			return err
		}
	}
	return nil
}

// smbiosImage is a shell's image with dmidecode.
func smbiosImage(ctx context.Context, modulesDir string, modules ...string) ([]initramfs.File, error) {
	files, err := initramfs.ShellImage(ctx, modulesDir, modules...)
	if err != nil {
		return nil, err
	}
	program, err := initramfs.HostProgram("dmidecode", "dmidecode")
	return append(files, program...), err
}

// buildMedia makes what firmware boots from, and links to it: a test host sees
// the same files.
func buildMedia(ctx context.Context, dir string) error {
	for _, name := range bootMedia() {
		path, err := bootmedia.Build(ctx, "", name)
		if err != nil {
			return err
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func buildVmlinux(dir string, kernel host.Kernel) error {
	unpacked, err := unpackKernel(kernel.Image)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, cloudVmlinux), unpacked, 0o644); err != nil {
		return err
	}
	if err := dropNotes(unpacked); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, plainVmlinux), unpacked, 0o644)
}

// unpackKernel returns the ELF kernel inside a bzImage (Linux,
// Documentation/arch/x86/boot.rst: setup_sects at 0x1f1, payload_offset at
// 0x248 counted from the protected-mode code, payload_length at 0x24c). The
// payload's last four bytes are its unpacked size.
func unpackKernel(file string) ([]byte, error) {
	image, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if len(image) < 0x250 || string(image[0x202:0x206]) != "HdrS" {
		return nil, fmt.Errorf("%s is not a bzImage", file)
	}
	start := (int(image[0x1f1])+1)*512 + int(binary.LittleEndian.Uint32(image[0x248:]))
	end := start + int(binary.LittleEndian.Uint32(image[0x24c:])) - 4
	if end < start || end+4 > len(image) {
		return nil, fmt.Errorf("%s: its payload is not inside the file", file)
	}
	unpacked := make([]byte, binary.LittleEndian.Uint32(image[end:]))
	r, err := payload.Open(payload.Detect(image[start:end]),
		io.NewSectionReader(bytes.NewReader(image), int64(start), int64(end-start)), int64(len(unpacked)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	defer r.Close()
	if err := r.ReadParts(context.Background(), []payload.Part{{Dst: unpacked}}); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return unpacked, nil
}

// dropNotes makes an ELF image's note segments unused ones, so that it has no
// PVH entry.
func dropNotes(image []byte) error {
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return err
	}
	const programHeaders, entrySize = 0x20, 0x36 // e_phoff, e_phentsize
	at := binary.LittleEndian.Uint64(image[programHeaders:])
	size := uint64(binary.LittleEndian.Uint16(image[entrySize:]))
	found := false
	for i, p := range f.Progs {
		if p.Type == elf.PT_NOTE {
			binary.LittleEndian.PutUint32(image[at+uint64(i)*size:], uint32(elf.PT_NULL))
			found = true
		}
	}
	if !found {
		return fmt.Errorf("the unpacked kernel has no notes")
	}
	return nil
}
