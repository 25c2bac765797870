package initramfs

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"
)

func sample(t *testing.T) []File {
	t.Helper()
	host := filepath.Join(t.TempDir(), "tool")
	if err := os.WriteFile(host, []byte("#!tool"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(host, 0o751); err != nil {
		t.Fatal(err)
	}
	return append(Devices(),
		Regular("/init", 0o755, []byte("old")),
		Regular("etc/deep/er/file", 0o640, []byte("contents")),
		Directory("tmp", 0o1777),
		Symlink("/bin/sh", "tool"),
		HostFile("/bin/tool", host),
		Regular("/init", 0o755, []byte("new")),
	)
}

func TestBuild(t *testing.T) {
	var b bytes.Buffer
	if err := Build(&b, sample(t)...); err != nil {
		t.Fatal(err)
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(b.Bytes())))
	if err != nil {
		t.Fatal(err)
	}
	want := []struct {
		name string
		mode uint64
		data string
		dev  [2]uint64
	}{
		{"bin", unix.S_IFDIR | 0o755, "", [2]uint64{}},
		{"bin/sh", unix.S_IFLNK | 0o777, "tool", [2]uint64{}},
		{"bin/tool", unix.S_IFREG | 0o751, "#!tool", [2]uint64{}},
		{"dev", unix.S_IFDIR | 0o755, "", [2]uint64{}},
		{"dev/console", unix.S_IFCHR | 0o600, "", [2]uint64{5, 1}},
		{"dev/null", unix.S_IFCHR | 0o666, "", [2]uint64{1, 3}},
		{"etc", unix.S_IFDIR | 0o755, "", [2]uint64{}},
		{"etc/deep", unix.S_IFDIR | 0o755, "", [2]uint64{}},
		{"etc/deep/er", unix.S_IFDIR | 0o755, "", [2]uint64{}},
		{"etc/deep/er/file", unix.S_IFREG | 0o640, "contents", [2]uint64{}},
		{"init", unix.S_IFREG | 0o755, "new", [2]uint64{}},
		{"tmp", unix.S_IFDIR | 0o1777, "", [2]uint64{}},
	}
	if len(records) != len(want) {
		t.Fatalf("%d entries, want %d", len(records), len(want))
	}
	for i, w := range want {
		r := records[i]
		data, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
		if err != nil {
			t.Fatal(err)
		}
		if r.Name != w.name || r.Mode != w.mode || string(data) != w.data || [2]uint64{r.Rmajor, r.Rminor} != w.dev {
			t.Errorf("entry %d: %s %#o %q %d:%d, want %+v", i, r.Name, r.Mode, data, r.Rmajor, r.Rminor, w)
		}
		if r.MTime != 0 || r.UID != 0 || r.GID != 0 {
			t.Errorf("%s has a time or an owner", r.Name)
		}
	}
}

func TestBuildRepeats(t *testing.T) {
	var a, b, zipped bytes.Buffer
	files := sample(t)
	if err := Build(&a, files...); err != nil {
		t.Fatal(err)
	}
	// The two contents of /init stay in order; all else may be in any.
	last := len(files) - 1
	for i := range last / 2 {
		files[i], files[last-1-i] = files[last-1-i], files[i]
	}
	if err := Build(&b, files...); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("the same files made two different archives")
	}
	if err := BuildGzip(&zipped, files...); err != nil {
		t.Fatal(err)
	}
	zr, err := gzip.NewReader(&zipped)
	if err != nil {
		t.Fatal(err)
	}
	if unzipped, err := io.ReadAll(zr); err != nil || !bytes.Equal(unzipped, a.Bytes()) {
		t.Errorf("the gzip form holds another archive (%v)", err)
	}
}

func TestBuildErrors(t *testing.T) {
	for _, test := range []struct {
		file File
		want string
	}{
		{Regular("/", 0o644, nil), "no name"},
		{HostFile("/bin/x", "/no/such/file"), "bin/x"},
		{HostFile("/bin/x", t.TempDir()), "bin/x"},
	} {
		err := Build(io.Discard, test.file)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("error %v, want %q", err, test.want)
		}
	}
}

func TestWriteFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "image")
	if err := WriteFile(name, sample(t)...); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(name, HostFile("/x", "/no/such/file")); err == nil {
		t.Error("an image without one of its files was written")
	}
	left, err := os.ReadDir(filepath.Dir(name))
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	var b bytes.Buffer
	if err := Build(&b, sample(t)...); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, b.Bytes()) {
		t.Errorf("the file is not the archive (%v)", err)
	}
}

func TestGoProgram(t *testing.T) {
	program, err := GoProgram(t.Context(), testInit)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "init")
	if err := os.WriteFile(file, program, 0o755); err != nil {
		t.Fatal(err)
	}
	if dynamic, err := needsLibraries(file); err != nil || dynamic {
		t.Errorf("the program is not static (%v)", err)
	}
	if _, err := GoProgram(t.Context(), "github.com/govmm/govmm/tests/nosuch"); err == nil || !strings.Contains(err.Error(), "nosuch") {
		t.Errorf("a package that does not exist: error %v", err)
	}
}
