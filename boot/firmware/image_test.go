package firmware

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// rom is an image of size bytes with a jump at the reset vector, and the
// signature of a firmware volume at its start if asked for.
func rom(size int, volume bool) []byte {
	b := make([]byte, size)
	if volume {
		copy(b[40:], "_FVH")
	}
	if size >= resetVector {
		b[size-resetVector] = 0xEA
	}
	return b
}

func TestFind(t *testing.T) {
	bios := &fstest.MapFile{Data: rom(64*kib, false)}
	for _, tt := range []struct {
		name string
		fsys fstest.MapFS
		kind Kind
		want string
	}{
		{"first", fstest.MapFS{"usr/share/seabios/bios-256k.bin": bios, "usr/share/seabios/bios.bin": bios}, BIOS, "/usr/share/seabios/bios-256k.bin"},
		{"smaller one", fstest.MapFS{"usr/share/seabios/bios.bin": bios}, BIOS, "/usr/share/seabios/bios.bin"},
		{"of QEMU", fstest.MapFS{"usr/share/qemu/bios-256k.bin": bios, "usr/share/seabios/bios.bin": bios}, BIOS, "/usr/share/qemu/bios-256k.bin"},
		{"not a file", fstest.MapFS{"usr/share/seabios/bios-256k.bin": {Mode: fs.ModeDir}, "usr/share/qemu-kvm/bios.bin": bios}, BIOS, "/usr/share/qemu-kvm/bios.bin"},
		{"UEFI", fstest.MapFS{"usr/share/OVMF/OVMF_CODE.fd": bios, "usr/share/seabios/bios.bin": bios}, UEFI, "/usr/share/OVMF/OVMF_CODE.fd"},
	} {
		if got, err := Find(tt.fsys, tt.kind); err != nil || got != tt.want {
			t.Errorf("%s: %s, %v, want %s", tt.name, got, err, tt.want)
		}
	}
	for kind, want := range map[Kind]string{BIOS: `no SeaBIOS found in /usr/share/seabios/bios-256k.bin`, UEFI: `install the package "ovmf"`} {
		_, err := Find(fstest.MapFS{}, kind)
		if err == nil || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: error %v", kind, err)
		}
	}
}

func TestLoad(t *testing.T) {
	for _, tt := range []struct {
		name         string
		data         []byte
		base, shadow uint64
		shadowSize   int
	}{
		{"64 KiB", rom(64*kib, false), 0xFFFF0000, 0xF0000, 64 * kib},
		{"128 KiB", rom(128*kib, false), 0xFFFE0000, 0xE0000, 128 * kib},
		{"256 KiB", rom(256*kib, false), 0xFFFC0000, 0xE0000, 128 * kib},
		{"16 MiB", rom(16*mib, false), 0xFF000000, 0xE0000, 128 * kib},
		{"UEFI", rom(3653632, true), 0xFFC84000, 0xE0000, 128 * kib},
	} {
		img, err := Load(fstest.MapFS{"bios": {Data: tt.data}}, "/bios")
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		s := img.Shadow()
		if img.Base() != tt.base || img.ShadowBase() != tt.shadow || len(s) != tt.shadowSize || s[len(s)-resetVector] != 0xEA {
			t.Errorf("%s: at %#x, shadow of %d bytes at %#x", tt.name, img.Base(), len(s), img.ShadowBase())
		}
	}
}

func TestLoadErrors(t *testing.T) {
	fsys := fstest.MapFS{
		"dir":     {Mode: fs.ModeDir},
		"fifo":    {Mode: fs.ModeNamedPipe},
		"empty":   {},
		"odd":     {Data: rom(100000, false)},
		"pages":   {Data: rom(60*kib, false)},
		"volume":  {Data: rom(100000, true)},
		"large":   {Data: rom(16*mib+64*kib, false)},
		"zeros":   {Data: make([]byte, 64*kib)},
		"erased":  {Data: []byte(strings.Repeat("\xFF", 64*kib))},
		"private": {Data: rom(64*kib, false)},
	}
	for path, want := range map[string]string{
		"/none":  "file does not exist",
		"/dir":   "/dir is a directory",
		"/fifo":  "/fifo is not a regular file",
		"/empty": "/empty: the file is empty",
		"/odd":   "/odd: the file has 100000 bytes, which is not a multiple of 65536",
		"/pages": "not a multiple of 65536", "/volume": "not a multiple of 65536",
		"/large":  "at most 16777216 bytes",
		"/zeros":  "no code 16 bytes before its end",
		"/erased": "no code 16 bytes before its end",
		"bios":    "not an absolute path",
	} {
		if _, err := Load(fsys, path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", path, err, want)
		}
	}
}

// TestInstalledBIOS loads the SeaBIOS of this machine.
func TestInstalledBIOS(t *testing.T) {
	root := os.DirFS("/")
	path, err := Find(root, BIOS)
	if err != nil {
		t.Fatal(err)
	}
	img, err := Load(root, path)
	if err != nil {
		t.Fatal(err)
	}
	if s := img.Shadow(); s[len(s)-resetVector] != 0xEA { // jmp far
		t.Errorf("%s starts with % x", path, s[len(s)-resetVector:])
	}
}
