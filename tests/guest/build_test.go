package guest

import (
	"bytes"
	"context"
	"debug/elf"
	"encoding/binary"
	"os"
	"strings"
	"testing"
)

func images(t *testing.T) *Images {
	t.Helper()
	i, err := Build(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// A build in an empty directory works, and a second one finds the first's files.
func TestBuildCaches(t *testing.T) {
	dir := t.TempDir()
	first, err := Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("%v left in the cache, want one directory", entries)
	}
	t.Setenv("PATH", t.TempDir()) // no compiler any more
	second, err := Build(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if *first != *second {
		t.Errorf("built %v, then %v", *first, *second)
	}
}

func TestBuildErrors(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if _, err := Build(ctx, dir); err == nil {
		t.Error("a cancelled build succeeded")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 0 {
		t.Errorf("%v left behind by a build that failed", entries)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := Build(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "package gcc") {
		t.Errorf("without gcc: %v", err)
	}
}

// What a boot loader reads of the bzImage.
func TestBzImage(t *testing.T) {
	all := images(t)
	for name, image := range map[string]Image{"kernel": all.Kernel, "first": all.First} {
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(image.BzImage)
			if err != nil {
				t.Fatal(err)
			}
			setup := (int(b[0x1f1]) + 1) * 512
			payload := len(b) - setup
			le := binary.LittleEndian
			for _, f := range []struct {
				name      string
				got, want uint64
			}{
				{"boot_flag", uint64(le.Uint16(b[0x1fe:])), 0xaa55},
				{"magic", uint64(le.Uint32(b[0x202:])), 0x53726448},
				{"version", uint64(le.Uint16(b[0x206:])), 0x20f},
				{"loadflags", uint64(b[0x211]), 1},
				{"code32_start", uint64(le.Uint32(b[0x214:])), loadAddress},
				{"relocatable_kernel", uint64(b[0x234]), 0},
				{"xloadflags", uint64(le.Uint16(b[0x236:])), 1},
				{"cmdline_size", uint64(le.Uint32(b[0x238:])), 2047},
				{"pref_address", le.Uint64(b[0x258:]), loadAddress},
				{"syssize", uint64(le.Uint32(b[0x1f4:])) * 16, uint64(payload)},
			} {
				if f.got != f.want {
					t.Errorf("%s is %#x, want %#x", f.name, f.got, f.want)
				}
			}
			if size := le.Uint32(b[0x260:]); size < uint32(payload) {
				t.Errorf("init_size %d, below the %d bytes loaded", size, payload)
			}
		})
	}
}

// The first image says '!' with the first instructions of each entry.
func TestFirstInstructions(t *testing.T) {
	image := images(t).First
	b, err := os.ReadFile(image.BzImage)
	if err != nil {
		t.Fatal(err)
	}
	payload := b[(int(b[0x1f1])+1)*512:]
	f, err := elf.Open(image.ELF)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Entry != loadAddress+0x200 {
		t.Errorf("ELF entry %#x, want %#x", f.Entry, loadAddress+0x200)
	}
	want := []byte{0x66, 0xba, 0xf8, 0x03, 0xb0, '!', 0xee} // mov $0x3f8,%dx; mov $'!',%al; out %al,%dx
	for _, entry := range []uint32{0, 0x200, pvhEntry(t, f) - loadAddress} {
		if got := payload[entry:][:len(want)]; !bytes.Equal(got, want) {
			t.Errorf("at the entry %#x: % x, want % x", entry, got, want)
		}
	}
}

func pvhEntry(t *testing.T, f *elf.File) uint32 {
	t.Helper()
	note := f.Section(".note")
	if note == nil {
		t.Fatal("no note section")
	}
	b, err := note.Data()
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	if len(b) < 20 || le.Uint32(b[8:]) != 18 || string(b[12:16]) != "Xen\x00" {
		t.Fatalf("not a XEN_ELFNOTE_PHYS32_ENTRY: % x", b)
	}
	return le.Uint32(b[16:])
}
