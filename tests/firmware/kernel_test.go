package firmware

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/govmm/govmm/boot/firmware"
	"github.com/govmm/govmm/tests/guest"
	"github.com/govmm/govmm/vmm"
)

func kernel(t *testing.T) guest.Image {
	t.Helper()
	images, err := guest.Build(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return images.Kernel
}

// testKernelExit is what the tiny kernel leaves when it found no fault.
const testKernelExit = guest.QEMUPassed >> 1

// kernelPasses waits for the end of the tiny kernel.
func (m *machine) kernelPasses() {
	m.t.Helper()
	exit, err := m.Wait(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	if exit.Cause != vmm.CauseDebugExit || exit.Code != testKernelExit {
		m.t.Errorf("ended by %v", exit)
	}
}

// With a loader and a kernel the firmware comes first, and starts the kernel
// before any disk.
func TestLoaderWithKernel(t *testing.T) {
	loader, err := firmware.Find(os.DirFS("/"), firmware.BIOS)
	if err != nil {
		t.Fatal(err)
	}
	initrd := filepath.Join(t.TempDir(), "initrd")
	if err := os.WriteFile(initrd, []byte(strings.Repeat("initrd ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	os := fmt.Sprintf("<loader>%s</loader><kernel>%s</kernel><initrd>%s</initrd><cmdline>test=boot,memory mem.mib=64</cmdline>",
		loader, kernel(t).BzImage, initrd)
	m := start(t, domain(os, video+disk("disk", "ide", "hda", medium(t, "sector-disk"), 0)))
	m.kernelPasses()
	m.prints("boot entry = ")
	m.displays("SeaBIOS")
	if text := m.console.String(); strings.Contains(text, "boot-sector") {
		t.Error("the disk was booted")
	}
}

// A program on the host looks into the disk and says what to boot.
func TestBootloader(t *testing.T) {
	dir := t.TempDir()
	program, disks, args := filepath.Join(dir, "loader"), filepath.Join(dir, "disk.img"), filepath.Join(dir, "args")
	script := fmt.Sprintf(`#!/bin/sh
echo "$@" >%s
for a; do case $a in --output=*) out=${a#--output=};; --output-directory=*) dir=${a#*=};; esac; done
cp %s "$dir/kernel"
printf 'kernel %%s\nargs test=boot\n' "$dir/kernel" >"$out"
`, args, kernel(t).BzImage)
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(disks, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	xml := domain("", disk("disk", "ide", "hda", disks, 0))
	xml = strings.Replace(xml, "<os>", "<bootloader>"+program+"</bootloader><bootloader_args>--entry=2 'a b'</bootloader_args><os>", 1)
	m := start(t, xml)
	m.kernelPasses()
	m.prints("boot entry = ")
	said, err := os.ReadFile(args)
	if err != nil {
		t.Fatal(err)
	}
	if words := string(said); !strings.Contains(words, "--entry=2 a b "+disks) {
		t.Errorf("the program was called with %s", words)
	}

	if err := os.WriteFile(program, []byte("#!/bin/sh\necho no such entry >&2\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := build(t, xml); err == nil || !strings.Contains(err.Error(), "no such entry") || !strings.Contains(err.Error(), program) {
		t.Errorf("a program that fails: %v", err)
	}
}
