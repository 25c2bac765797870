package host

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/therootcompany/xz"
)

// The two kernels: the generic one has what a host needs (9p, vhost, macvtap,
// nbd, vfio), the cloud one is small and quick to boot as a guest.
const (
	flavourGeneric = "generic"
	flavourCloud   = "cloud"
)

// metaPackages are the packages that depend on the newest kernel of a flavour.
func metaPackages() map[string]string {
	return map[string]string{
		flavourGeneric: "linux-image-amd64",
		flavourCloud:   "linux-image-cloud-amd64",
	}
}

// fetchKernel downloads and unpacks the kernel a meta package depends on.
func (c cache) fetchKernel(ctx context.Context, flavour, meta string) error {
	tmp, err := os.MkdirTemp(c.dir, "fetch-")
	if err != nil {
		return fmt.Errorf("testhost: %w", err)
	}
	defer os.RemoveAll(tmp)
	deb, err := download(ctx, meta, tmp)
	if err != nil {
		return fmt.Errorf("testhost: cannot get the kernel package %s: %w", meta, err)
	}
	root := filepath.Join(tmp, "root")
	release, err := unpackKernel(ctx, deb, root)
	if err != nil {
		return fmt.Errorf("testhost: package %s: %w", filepath.Base(deb), err)
	}
	if flavour == flavourGeneric {
		if err := extractVmlinux(root, release); err != nil {
			return fmt.Errorf("testhost: package %s: %w", filepath.Base(deb), err)
		}
	}
	// With kmod here its modprobe can run in the machine, given an index.
	if depmod, err := exec.LookPath("depmod"); err == nil {
		if _, err := command(ctx, "", depmod, "-b", root, release); err != nil {
			return fmt.Errorf("testhost: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "release"), []byte(release+"\n"), 0o644); err != nil {
		return fmt.Errorf("testhost: %w", err)
	}
	dir := filepath.Join(c.dir, flavour)
	if err := os.RemoveAll(dir); err != nil { // half of one
		return fmt.Errorf("testhost: %w", err)
	}
	return os.Rename(root, dir)
}

// download fetches the newest linux-image package meta depends on into dir and
// returns the .deb's path. If apt's lists do not have it they are refreshed
// once.
func download(ctx context.Context, meta, dir string) (string, error) {
	deb, err := tryDownload(ctx, meta, dir)
	if err == nil || ctx.Err() != nil {
		return deb, err
	}
	if _, uerr := command(ctx, "", "apt-get", "-q", "update"); uerr != nil {
		return "", fmt.Errorf("%w; and the package lists cannot be refreshed (run apt-get update as root): %w", err, uerr)
	}
	return tryDownload(ctx, meta, dir)
}

func tryDownload(ctx context.Context, meta, dir string) (string, error) {
	text, err := command(ctx, "", "apt-cache", "depends", "--important", meta)
	if err != nil {
		return "", err
	}
	pkg := imagePackage(text)
	if pkg == "" {
		return "", fmt.Errorf("apt knows no package that %s depends on", meta)
	}
	if _, err := command(ctx, dir, "apt-get", "-q", "download", pkg); err != nil {
		return "", err
	}
	debs, err := filepath.Glob(filepath.Join(dir, pkg+"_*.deb"))
	if err != nil || len(debs) != 1 {
		return "", fmt.Errorf("apt-get download %s left %d packages", pkg, len(debs))
	}
	return debs[0], nil
}

// imagePackage finds the kernel in the output of apt-cache depends:
//
//	linux-image-amd64
//	  Depends: linux-image-6.1.0-50-amd64
func imagePackage(text string) string {
	for line := range strings.Lines(text) {
		kind, pkg, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if kind == "Depends" && strings.HasPrefix(pkg, "linux-image-") {
			return pkg
		}
	}
	return ""
}

// unpackKernel unpacks a kernel package into root and returns its release. The
// modules are at lib/modules afterwards, also from a package that has them
// below usr.
func unpackKernel(ctx context.Context, deb, root string) (string, error) {
	if _, err := command(ctx, "", "dpkg-deb", "-x", deb, root); err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(root, "lib", "modules")); err != nil {
		if err := os.MkdirAll(filepath.Join(root, "lib"), 0o755); err != nil {
			return "", err
		}
		if err := os.Rename(filepath.Join(root, "usr", "lib", "modules"), filepath.Join(root, "lib", "modules")); err != nil {
			return "", fmt.Errorf("no modules in it: %w", err)
		}
	}
	images, err := filepath.Glob(filepath.Join(root, "boot", "vmlinuz-*"))
	if err != nil || len(images) != 1 {
		return "", fmt.Errorf("%d kernels in boot, not one", len(images))
	}
	release := strings.TrimPrefix(filepath.Base(images[0]), "vmlinuz-")
	if _, err := os.Stat(filepath.Join(root, "lib", "modules", release)); err != nil {
		return "", fmt.Errorf("no modules for its kernel: %w", err)
	}
	return release, nil
}

// extractVmlinux writes root/vmlinux. QEMU enters an ELF kernel by PVH, which
// saves the emulated decompression: half of the boot. An image in a form we
// do not read is taken as it is.
func extractVmlinux(root, release string) error {
	image, err := os.ReadFile(filepath.Join(root, "boot", "vmlinuz-"+release))
	if err != nil {
		return err
	}
	vmlinux, err := decompressImage(image)
	if errors.Is(err, errCompression) {
		vmlinux, err = image, nil
	}
	if err != nil {
		return fmt.Errorf("vmlinuz: %w", err)
	}
	return os.WriteFile(filepath.Join(root, "vmlinux"), vmlinux, 0o644)
}

var errCompression = errors.New("compressed, but not with xz")

// decompressImage takes the ELF kernel out of a bzImage (Linux,
// Documentation/arch/x86/boot.rst: setup_sects at 0x1f1, header magic at
// 0x202, payload_offset at 0x248 from the protected-mode code, payload_length
// at 0x24c). The last four bytes of the payload are its unpacked size.
func decompressImage(image []byte) ([]byte, error) {
	const header = 0x250
	if len(image) < header || string(image[0x202:0x206]) != "HdrS" {
		return nil, errors.New("not a bzImage")
	}
	setupSects := uint64(image[0x1f1])
	if setupSects == 0 {
		setupSects = 4
	}
	start := (setupSects+1)*512 + uint64(binary.LittleEndian.Uint32(image[0x248:]))
	length := uint64(binary.LittleEndian.Uint32(image[0x24c:]))
	if length < 4 || start+length > uint64(len(image)) {
		return nil, errors.New("its payload is not inside the file")
	}
	payload := image[start : start+length-4]
	size := binary.LittleEndian.Uint32(image[start+length-4:])
	if !bytes.HasPrefix(payload, []byte("\xfd7zXZ\x00")) {
		return nil, errCompression
	}
	const maxKernel, maxDict = 512 << 20, 256 << 20
	if size > maxKernel {
		return nil, fmt.Errorf("unpacks to %d bytes", size)
	}
	r, err := xz.NewReader(bytes.NewReader(payload), maxDict)
	if err != nil {
		return nil, err
	}
	r.Multistream(false)
	vmlinux := make([]byte, size)
	if _, err := io.ReadFull(r, vmlinux); err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(vmlinux, []byte("\x7fELF")) {
		return nil, errors.New("its payload is not an ELF file")
	}
	return vmlinux, nil
}

// command runs a tool and returns its standard output; what it said goes into
// the error.
func command(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.String(), nil
}
