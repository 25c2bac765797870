package host

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestEnvironment(t *testing.T) {
	caller := []string{
		"PATH=/bin", "HOME=/h", "LANG=C", "TERM=vt100", "GOFLAGS=-x", "GOVMM_TRACE=1", "TESTHOST_ICOUNT=2",
		"SECRET=1", "EDITOR=ed", "TESTHOST=no",
	}
	p := paths{outer: Kernel{Image: "/k", Modules: "/m"}, cloud: Kernel{Image: "/ck", Modules: "/cm"}}
	got := environment(caller, []string{"EXTRA=a=b c\n", "TERM=dumb", "=x", "none"}, p)
	want := []string{
		"EXTRA=a=b c\n", "GOFLAGS=-x", "GOVMM_TRACE=1", "HOME=/h", "LANG=C", "PATH=/bin", "TERM=dumb", "TESTHOST=1",
		"TESTHOST_CLOUD_KERNEL=/ck", "TESTHOST_CLOUD_MODULES=/cm", "TESTHOST_ICOUNT=2",
		"TESTHOST_KERNEL=/k", "TESTHOST_MODULES=/m",
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("environment\n%q, want\n%q", got, want)
	}
}

func TestArguments(t *testing.T) {
	for _, test := range []struct {
		name    string
		options Options
		want    []string // consecutive arguments
	}{
		{"default", Options{}, []string{"-accel", "tcg,thread=multi", "-cpu", "EPYC,+svm,-npt", "-smp", "2", "-m", "4096"}},
		{"size", Options{SMP: 4, MemoryMiB: 512}, []string{"-smp", "4", "-m", "512"}},
		{"tcg by name", Options{Accel: "tcg"}, []string{"-accel", "tcg,thread=multi", "-cpu", "EPYC,+svm,-npt"}},
		{"nested paging", Options{NestedPaging: true}, []string{"-cpu", "EPYC,+svm,+npt"}},
		{"kvm", Options{Accel: "kvm"}, []string{"-accel", "kvm", "-cpu", "host"}},
		{"icount", Options{Icount: "3"}, []string{"-icount", "shift=3,sleep=off"}},
		{"icount's emulation", Options{Icount: "1"}, []string{"-accel", "tcg,thread=single"}},
		{"kernel", Options{Append: "nosmt"}, []string{"-append", kernelArgs + " nosmt"}},
		{"more", Options{QEMU: []string{"-device", "edu"}}, []string{"-device", "edu"}},
		{"comma", Options{}, []string{"-virtfs", "local,path=/a,,b,mount_tag=out,security_model=none,multidevs=remap"}},
	} {
		got := test.options.arguments(paths{vmlinux: "/vmlinux", initrd: "/initrd"}, "/a,b")
		found := false
		for i := range got {
			found = found || len(got)-i >= len(test.want) && slices.Equal(got[i:i+len(test.want)], test.want)
		}
		if !found {
			t.Errorf("%s: %q lacks %q", test.name, got, test.want)
		}
	}
}

func TestTail(t *testing.T) {
	var all bytes.Buffer
	short := &tail{limit: 20, also: &all}
	for _, s := range []string{"first line\r\n", "second\r\n", "third\r\n"} {
		if n, err := short.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	if got := short.String(); got != "second\nthird" {
		t.Errorf("kept %q", got)
	}
	if all.String() != "first line\r\nsecond\r\nthird\r\n" {
		t.Errorf("passed on %q", all.String())
	}
	said := &tail{limit: 1000}
	said.Write([]byte("x: warning: TCG doesn't support requested feature\nx: bad\n"))
	if got := said.useful(); got != "x: bad" {
		t.Errorf("useful = %q", got)
	}
}

func TestImagePackage(t *testing.T) {
	for text, want := range map[string]string{
		"linux-image-amd64\n  Depends: linux-image-6.1.0-50-amd64\n": "linux-image-6.1.0-50-amd64",
		"x\n  PreDepends: linux-image-1\n  Depends: initramfs\n":     "",
		"": "",
	} {
		if got := imagePackage(text); got != want {
			t.Errorf("imagePackage(%q) = %q, want %q", text, got, want)
		}
	}
}

// makeDeb builds a package of files and returns its path.
func makeDeb(t *testing.T, files ...string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	contents := map[string]string{"DEBIAN/control": "Package: linux-image-1\nVersion: 1\nArchitecture: amd64\nMaintainer: a <a@b>\nDescription: none\n"}
	for _, file := range files {
		contents[file] = file
	}
	for file, text := range contents {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	deb := root + ".deb"
	if out, err := exec.Command("dpkg-deb", "--build", root, deb).CombinedOutput(); err != nil {
		t.Fatalf("dpkg-deb (package dpkg): %v\n%s", err, out)
	}
	return deb
}

func TestUnpackKernel(t *testing.T) {
	for _, test := range []struct {
		name  string
		files []string
		err   string
	}{
		{"lib", []string{"boot/vmlinuz-6.1-x", "lib/modules/6.1-x/a.ko"}, ""},
		{"usr/lib", []string{"boot/vmlinuz-6.1-x", "usr/lib/modules/6.1-x/a.ko"}, ""},
		{"no modules", []string{"boot/vmlinuz-6.1-x"}, "no modules in it"},
		{"no kernel", []string{"lib/modules/6.1-x/a.ko"}, "0 kernels"},
		{"two kernels", []string{"boot/vmlinuz-1", "boot/vmlinuz-2", "lib/modules/1/a.ko"}, "2 kernels"},
		{"other modules", []string{"boot/vmlinuz-1", "lib/modules/2/a.ko"}, "no modules for its kernel"},
	} {
		root := filepath.Join(t.TempDir(), "unpacked")
		release, err := unpackKernel(t.Context(), makeDeb(t, test.files...), root)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: error %v, want %q", test.name, err, test.err)
			}
			continue
		}
		if err != nil || release != "6.1-x" {
			t.Errorf("%s: release %q, %v", test.name, release, err)
		}
		if _, err := os.Stat(filepath.Join(root, "lib/modules/6.1-x/a.ko")); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if _, err := unpackKernel(t.Context(), "/dev/null", t.TempDir()); err == nil || !strings.Contains(err.Error(), "dpkg-deb") {
		t.Errorf("no package: error %v", err)
	}
}

func TestCommandCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := command(ctx, "", "dpkg-deb", "--version"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// bzImage makes an image of a payload: one setup sector, and the payload 16
// bytes into the protected-mode code.
func bzImage(payload []byte, size uint32) []byte {
	const start = 2*512 + 16
	image := make([]byte, start, start+len(payload)+4)
	image[0x1f1] = 1
	copy(image[0x202:], "HdrS")
	binary.LittleEndian.PutUint32(image[0x248:], 16)
	binary.LittleEndian.PutUint32(image[0x24c:], uint32(len(payload)+4))
	return binary.LittleEndian.AppendUint32(append(image, payload...), size)
}

// xzELF is an ELF file of 64 bytes, in name, compressed as a kernel is: with
// the filter for x86 code.
const xzELF = "/Td6WFoAAAFpIt42AgEEACEBFgANhjUf4AA/ABFdAD+RRYRsMNLvJuI7i4vj2wAAAAAAAMV0EP0AASlAUGscEpBCmQ0BAAAAAAFZWg=="

func TestDecompressImage(t *testing.T) {
	xzed, err := base64.StdEncoding.DecodeString(xzELF)
	if err != nil {
		t.Fatal(err)
	}
	good := bzImage(xzed, 64)
	outside := bytes.Clone(good)
	binary.LittleEndian.PutUint32(outside[0x248:], 1<<31)
	for _, test := range []struct {
		name  string
		image []byte
		err   string
	}{
		{"good", good, ""},
		{"short", good[:100], "not a bzImage"},
		{"no header", make([]byte, 4096), "not a bzImage"},
		{"outside", outside, "not inside the file"},
		{"lz4", bzImage([]byte("\x02\x21\x4c\x18payload"), 64), errCompression.Error()},
		{"cut", bzImage(xzed[:40], 64), "corrupt"},
		{"longer than told", bzImage(xzed, 80), "EOF"},
		{"huge", bzImage(xzed, 1<<31), "unpacks to"},
	} {
		vmlinux, err := decompressImage(test.image)
		if test.err == "" {
			if err != nil || len(vmlinux) != 64 || !bytes.HasPrefix(vmlinux, []byte("\x7fELFkernel")) {
				t.Errorf("%s: %q, %v", test.name, vmlinux, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: error %v, want %q", test.name, err, test.err)
		}
	}
}

func FuzzDecompressImage(f *testing.F) {
	xzed, err := base64.StdEncoding.DecodeString(xzELF)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(bzImage(xzed, 64))
	f.Fuzz(func(t *testing.T, image []byte) {
		if len(image) > 1<<16 {
			return
		}
		if len(image) > 4 && binary.LittleEndian.Uint32(image[len(image)-4:]) > 1<<20 {
			return // a big kernel is nothing wrong, but slow
		}
		vmlinux, err := decompressImage(image)
		if err == nil && !bytes.HasPrefix(vmlinux, []byte("\x7fELF")) {
			t.Fatal("not an ELF file, and no error")
		}
	})
}
