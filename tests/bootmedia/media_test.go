package bootmedia

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestMedia(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range Media() {
		if seen[m.Name] {
			t.Errorf("two media are named %s", m.Name)
		}
		seen[m.Name] = true
		if m.Invalid != (len(m.Markers) == 0) {
			t.Errorf("%s: invalid %v with %d markers", m.Name, m.Invalid, len(m.Markers))
		}
		if (m.Attach == Network) != (m.BootFile != "") {
			t.Errorf("%s: boot file %q", m.Name, m.BootFile)
		}
		for _, marker := range m.Markers {
			if _, err := regexp.Compile(marker); err != nil {
				t.Errorf("%s: %v", m.Name, err)
			}
		}
	}
	if _, err := Find("no-such-medium"); err == nil || !strings.Contains(err.Error(), "no-such-medium") {
		t.Errorf("Find: %v", err)
	}
}

// The second call finds what the first has made, and other parts make another
// medium.
func TestBuildCache(t *testing.T) {
	dir := t.TempDir()
	first, err := Build(t.Context(), dir, "odd-floppy")
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(first)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Build(t.Context(), dir, "odd-floppy")
	if err != nil || again != first {
		t.Fatalf("%s, then %s, %v", first, again, err)
	}
	after, err := os.Stat(again)
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("made twice: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "odd-floppy", "making-*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	p := plan{file: "x", key: []string{"a", "b"}}
	for _, other := range []plan{{file: "x", key: []string{"ab"}}, {file: "x", key: []string{"b", "a"}}, {file: "y", key: p.key}} {
		if p.hash() == other.hash() {
			t.Errorf("%v and %v have the same hash", p, other)
		}
	}
}

// A missing program is an error that names its package, and leaves nothing.
func TestBuildWithoutTools(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for name, pkg := range map[string]string{"sector-disk": "gcc", "sector-cd": "xorriso"} {
		dir := t.TempDir()
		if _, err := Build(t.Context(), dir, name); err == nil || !strings.Contains(err.Error(), "install the package "+pkg) {
			t.Errorf("%s: %v", name, err)
		}
		if left, err := filepath.Glob(filepath.Join(dir, "*", "making-*")); err != nil || len(left) != 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	}
	if _, err := stamp(filepath.Join(t.TempDir(), "boot.img"), "grub-pc-bin"); err == nil || !strings.Contains(err.Error(), "install the package grub-pc-bin") {
		t.Errorf("stamp: %v", err)
	}
	if _, err := Build(t.Context(), t.TempDir(), "nothing"); err == nil {
		t.Error("made an unknown medium")
	}
}

func TestBuildStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	if _, err := Build(ctx, dir, "sector-disk"); !errors.Is(err, context.Canceled) {
		t.Errorf("Build: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "sector-disk", "*")); err != nil || !slices.Equal(left, []string{filepath.Join(dir, "sector-disk", "lock")}) {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestBootSectorLayout(t *testing.T) {
	program, err := assemble(t.Context(), t.TempDir(), "boot")
	if err != nil {
		t.Fatal(err)
	}
	if program[0x1fe] != 0x55 || program[0x1ff] != 0xaa {
		t.Errorf("signature % x", program[0x1fe:0x200])
	}
	for i, b := range program[probeOffset : labelOffset+labelSize] {
		if b != 0 {
			t.Fatalf("byte %#x of the parameters is not free", probeOffset+i)
		}
	}
	for i, b := range program[0x1b8:0x1fe] {
		if b != 0 {
			t.Fatalf("byte %#x of the partition table is not free", 0x1b8+i)
		}
	}
	if _, err := bootSector(program, strings.Repeat("x", labelSize), 1<<20, sectorSize); err == nil {
		t.Error("took a label that is too long")
	}
}

func TestInvalid(t *testing.T) {
	for name, want := range map[string]struct {
		size int64
		mode fs.FileMode
	}{
		"empty-disk": {0, 0}, "directory": {-1, fs.ModeDir}, "odd-floppy": {oddFloppySize, 0}, "garbage-cd": {garbageSize, 0},
	} {
		file, err := Build(t.Context(), t.TempDir(), name)
		if err != nil {
			t.Error(err)
			continue
		}
		info, err := os.Lstat(file)
		if err != nil || info.Mode().Type() != want.mode || want.size >= 0 && info.Size() != want.size {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func TestParseTargets(t *testing.T) {
	const text = `Debian-Security|main|trixie-security|http://security.example/debian-security/
Debian|main|trixie-updates|http://mirror.example/debian/
Debian|contrib|trixie|http://mirror.example/debian/
Debian|main|trixie|http://mirror.example/debian/
`
	if suite, uri := parseTargets(text); suite != "trixie" || uri != "http://mirror.example/debian/" {
		t.Errorf("%q %q", suite, uri)
	}
	for _, text := range []string{"", "\n", "|||\n", "Debian|main|\n", "Ubuntu|main|noble|http://mirror.example/\n"} {
		if suite, uri := parseTargets(text); suite != "" || uri != "" {
			t.Errorf("%q: %q %q", text, suite, uri)
		}
	}
}
