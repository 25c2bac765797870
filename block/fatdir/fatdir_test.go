package fatdir

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/block"
)

func openDir(t testing.TB, o Options) *Disk {
	t.Helper()
	d, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func put(t testing.TB, dir, name string, data []byte) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, data, 0o644)); err != nil {
		t.Fatal(err)
	}
}

// run runs a program of the packages mtools and dosfstools.
func run(t testing.TB, program string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%v (packages mtools and dosfstools)", err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=0", "LC_ALL=C.UTF-8", "TZ=UTC")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", program, args, err, out)
	}
	return string(out)
}

// dump copies a disk to a file, but for what is free.
func dump(t testing.TB, d *Disk) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := rand.New(rand.NewPCG(1, 2))
	for at := int64(0); at < d.Size(); {
		e, err := d.Map(at, d.Size()-at)
		if err != nil || e.Length < 1 {
			t.Fatal(e, err)
		}
		if e.Zero {
			at += e.Length
			continue
		}
		b := make([]byte, min(e.Length, 1+r.Int64N(1<<18))) // of any alignment
		if err := d.ReadVec([][]byte{b[:len(b)/3], nil, b[len(b)/3:]}, at); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(b, at); err != nil {
			t.Fatal(err)
		}
		at += int64(len(b))
	}
	if err := f.Truncate(d.Size()); err != nil {
		t.Fatal(err)
	}
	return name
}

// partition copies the partition of a dumped disk to a file of its own.
func partition(t testing.TB, d *Disk, image string) string {
	t.Helper()
	part := image + ".part"
	run(t, "dd", "if="+image, "of="+part, "bs=512", "conv=sparse", fmt.Sprintf("skip=%d", d.layout.hidden))
	if err := os.Truncate(part, d.Size()-int64(d.layout.hidden)*sectorSize); err != nil {
		t.Fatal(err)
	}
	return part
}

// tree is the content of a directory, by name.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		if err != nil || name == "." {
			return err
		}
		if e.IsDir() {
			found[name+"/"] = ""
			return nil
		}
		b, err := os.ReadFile(path)
		found[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// check has fsck.fat look at a disk, and compares what mtools reads from it.
func check(t *testing.T, d *Disk, dir string) {
	t.Helper()
	part := partition(t, d, dump(t, d))
	if out := run(t, "fsck.fat", "-n", "-v", part); !strings.Contains(out, fmt.Sprintf("%d bit entries", d.layout.bits)) {
		t.Errorf("fsck.fat does not see %d bits:\n%s", d.layout.bits, out)
	}
	back := t.TempDir()
	run(t, "mcopy", "-s", "-m", "-n", "-i", part, "::", back)
	want, got := tree(t, dir), tree(t, back)
	for name, content := range want {
		other, ok := got[name]
		if !ok {
			t.Errorf("%q is not there", name)
		} else if other != content {
			t.Errorf("%q has other content", name)
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("%q is there", name)
	}
}

// TestKinds makes a disk of each kind of FAT, and both floppies.
func TestKinds(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	for name, tt := range map[string]struct {
		floppy bool
		bits   int
		size   int64
		fill   func(dir string)
	}{
		"empty":      {false, 12, 0, func(string) {}},
		"floppy":     {true, 12, 1440 << 10, func(dir string) { put(t, dir, "drivers/a.sys", random(1<<20)) }},
		"big floppy": {true, 12, 2880 << 10, func(dir string) { put(t, dir, "a.sys", random(2<<20)) }},
		"fat12": {false, 12, 0, func(dir string) {
			for i := range 300 {
				put(t, dir, fmt.Sprintf("some directory %d/file with a long name %d.text", i%7, i), random(r.IntN(20000)))
			}
		}},
		"fat16": {false, 16, 0, func(dir string) {
			put(t, dir, "big", random(20<<20))
			put(t, dir, "a/b/c/d/e/deep", random(1))
			put(t, dir, "a/none", nil)
		}},
		"fat32": {false, 32, 0, func(dir string) {
			put(t, dir, "sparse", nil)
			if err := os.Truncate(filepath.Join(dir, "sparse"), 2200<<20); err != nil {
				t.Fatal(err)
			}
			put(t, dir, "z", random(5000))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			tt.fill(dir)
			d := openDir(t, Options{Path: dir, Floppy: tt.floppy, Zone: time.UTC})
			if d.layout.bits != tt.bits || tt.size != 0 && d.Size() != tt.size {
				t.Errorf("%d bits, %d bytes", d.layout.bits, d.Size())
			}
			if name != "fat32" {
				check(t, d, dir)
				return
			}
			// fsck.fat and mdir have enough with the tables; 2 GiB of zeroes are left out.
			part := filepath.Join(t.TempDir(), "part")
			f, err := os.Create(part)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			start := int64(d.layout.hidden) * sectorSize
			tables := make([]byte, int64(d.layout.dataStart()+64)*sectorSize-start)
			last := d.chains[len(d.chains)-1]
			tail := make([]byte, 4096*2)
			at := int64(d.layout.dataStart())*sectorSize + int64(last.first-2)*int64(d.layout.cluster)*sectorSize
			err = errors.Join(d.ReadVec([][]byte{tables}, start), d.ReadVec([][]byte{tail}, at), f.Truncate(d.Size()-start))
			_, err1 := f.WriteAt(tables, 0)
			_, err2 := f.WriteAt(tail, at-start)
			if err = errors.Join(err, err1, err2); err != nil {
				t.Fatal(err)
			}
			run(t, "fsck.fat", "-n", part)
			run(t, "mcopy", "-n", "-i", part, "::z", part+".z")
			want, _ := os.ReadFile(filepath.Join(dir, "z"))
			if got, err := os.ReadFile(part + ".z"); err != nil || !bytes.Equal(got, want) {
				t.Errorf("z has other content (%v)", err)
			}
		})
	}
}

// TestNames has names that are hard to make FAT's of.
func TestNames(t *testing.T) {
	dir := t.TempDir()
	names := []string{
		"README.TXT", "lower.txt", "Mixed.Txt", "two.dots.txt", ".hidden", "no extension at all", "trailing.tar.gz",
		"häßlich.txt", "日本語の名前.txt", "LONGFI~1.TXT", "longfilename.txt", "longfilenumber.txt", "a+b=c;d,e[f].g",
		"12345678.123", "123456789.123", "12345678.1234", "ＦＵＬＬ", strings.Repeat("n", 251) + ".txt", "thirteen char", "twentysixcharactersinall.x",
	}
	for i, n := range names {
		put(t, dir, n, []byte(strings.Repeat(n, i)))
		put(t, dir, "sub directory/"+n, []byte(n))
	}
	for i := range 150 {
		put(t, dir, fmt.Sprintf("many/many files that begin alike %d.data", i), []byte{byte(i)})
	}
	check(t, openDir(t, Options{Path: dir}), dir)
}

// TestNamesCollide has what FAT cannot tell apart, or cannot say: all is there,
// under a name that no other has.
func TestNamesCollide(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{"a", "A", "Long File Name", "long file name", "q?.txt", "q*.txt", "colon:", "end.", "end", "bad\xff", "back\\slash", "..."} {
		put(t, dir, n, []byte("content of "+n))
	}
	d := openDir(t, Options{Path: dir})
	part := partition(t, d, dump(t, d))
	run(t, "fsck.fat", "-n", part)
	back := t.TempDir()
	run(t, "mcopy", "-s", "-n", "-i", part, "::", back)
	var want, got []string
	for _, content := range tree(t, dir) {
		want = append(want, content)
	}
	for _, content := range tree(t, back) {
		got = append(got, content)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
}

// TestTimes has times from before, within and after those of FAT.
func TestTimes(t *testing.T) {
	dir := t.TempDir()
	for name, at := range map[string]time.Time{
		"now": time.Date(2024, 2, 29, 23, 59, 58, 0, time.UTC), "old": time.Unix(0, 0), "new": time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		put(t, dir, name, []byte("x"))
		if err := os.Chtimes(filepath.Join(dir, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	d := openDir(t, Options{Path: dir, Zone: time.UTC})
	out := run(t, "mdir", "-i", partition(t, d, dump(t, d)))
	for _, want := range []string{"2024-02-29  23:59", "1980-01-01   0:00", "2107-12-31  23:59"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// TestLinks leaves out what is not below the directory, and what is no file.
func TestLinks(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	put(t, outside, "secret", []byte("secret"))
	put(t, dir, "file", []byte("inside"))
	err := errors.Join(
		os.Symlink("file", filepath.Join(dir, "good")),
		os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "bad")),
		os.Symlink("../"+filepath.Base(outside)+"/secret", filepath.Join(dir, "worse")),
		os.Symlink(".", filepath.Join(dir, "loop")),
		os.Symlink("nowhere", filepath.Join(dir, "dangling")),
		unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	d := openDir(t, Options{Path: dir})
	part := partition(t, d, dump(t, d))
	back := t.TempDir()
	run(t, "mcopy", "-s", "-n", "-i", part, "::", back)
	got := tree(t, back)
	if len(got) != 2 || got["file"] != "inside" || got["good"] != "inside" {
		t.Errorf("there is %v", got)
	}
}

// TestChanges has files change under the disk.
func TestChanges(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	put(t, outside, "secret", bytes.Repeat([]byte("s"), 9000))
	old := bytes.Repeat([]byte("a"), 9000)
	for _, name := range []string{"gone", "grown", "link", "other", "shrunk"} {
		put(t, dir, name, old)
	}
	d := openDir(t, Options{Path: dir})
	path := func(name string) string { return filepath.Join(dir, name) }
	err := errors.Join(
		os.Remove(path("gone")), os.WriteFile(path("grown"), bytes.Repeat([]byte("b"), 10000), 0o600),
		os.Remove(path("link")), os.Symlink(filepath.Join(outside, "secret"), path("link")),
		os.WriteFile(path("new"), old, 0o600), os.Rename(path("new"), path("other")),
		os.Truncate(path("shrunk"), 100),
	)
	if err != nil {
		t.Fatal(err)
	}
	read := func(n *node) ([]byte, error) {
		b := make([]byte, 3*4096)
		at := int64(d.layout.dataStart())*sectorSize + int64(n.first-2)*int64(d.layout.cluster)*sectorSize
		return b, d.ReadVec([][]byte{b}, at)
	}
	for _, n := range d.chains {
		b, err := read(n)
		switch n.name {
		case "gone", "link", "other":
			if !errors.Is(err, unix.EIO) || !strings.Contains(err.Error(), n.name) {
				t.Errorf("%s: %v", n.name, err)
			}
		case "grown":
			if err != nil || !bytes.Equal(b[:9000], bytes.Repeat([]byte("b"), 9000)) || !bytes.Equal(b[9000:], make([]byte, 3288)) {
				t.Errorf("grown: %v", err)
			}
		case "shrunk":
			if err != nil || !bytes.Equal(b[:100], old[:100]) || !bytes.Equal(b[100:], make([]byte, 12188)) {
				t.Errorf("shrunk: %v", err)
			}
		}
	}
}

// TestRefused has what does not become a disk, and says why.
func TestRefused(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a/file", bytes.Repeat([]byte("x"), 3<<20))
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "b"), 0o700), os.WriteFile(filepath.Join(dir, "b/huge"), nil, 0o600), os.Truncate(filepath.Join(dir, "b/huge"), 4<<30)); err != nil {
		t.Fatal(err)
	}
	deep := t.TempDir()
	put(t, deep, strings.Repeat("d/", maxDepth+2)+"f", nil)
	for _, tt := range []struct {
		o    Options
		want string
	}{
		{Options{Path: dir + "/a", Floppy: true}, "too big for a floppy"},
		{Options{Path: dir + "/b"}, "huge has 4294967296 bytes"},
		{Options{Path: dir + "/a/file"}, "not a directory"},
		{Options{Path: dir + "/none"}, "no such file"},
		{Options{Path: deep}, "nested"},
	} {
		if _, err := Open(t.Context(), tt.o); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %q", tt.o, err, tt.want)
		}
	}
}

// TestReadOnly refuses what would change the disk, and ranges that are not on it.
func TestReadOnly(t *testing.T) {
	d := openDir(t, Options{Path: t.TempDir()})
	b := [][]byte{make([]byte, 512)}
	for name, err := range map[string]error{"write": d.WriteVec(b, 0), "zero": d.WriteZeroes(0, 512, true), "discard": d.Discard(0, 512)} {
		if !errors.Is(err, block.ErrReadOnly) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, at := range []int64{-1, d.Size() - 511, d.Size() + 1, 1<<63 - 1} {
		if err := d.ReadVec(b, at); !errors.Is(err, block.ErrOutOfRange) {
			t.Errorf("read at %d: %v", at, err)
		}
	}
	if !d.ReadOnly() || d.Flush() != nil {
		t.Error("not read-only, or cannot be flushed")
	}
}

// TestPieces reads the same bytes whatever the pieces are.
func TestPieces(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "a file of many clusters", bytes.Repeat([]byte("0123456789"), 5000))
	for _, floppy := range []bool{true, false} {
		d := openDir(t, Options{Path: dir, Floppy: floppy})
		whole := make([]byte, 400<<10)
		if err := d.ReadVec([][]byte{whole}, 0); err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(5, 6))
		for range 2000 {
			at := r.IntN(len(whole))
			b := make([]byte, min(1+r.IntN(2000), len(whole)-at))
			if err := d.ReadVec([][]byte{b}, int64(at)); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b, whole[at:at+len(b)]) {
				t.Fatalf("%d bytes at %d differ", len(b), at)
			}
		}
	}
}

// FuzzNames makes names of any text; no two in a directory are the same, and
// none has what FAT's must not.
func FuzzNames(f *testing.F) {
	f.Add("a\nA\nlong name.txt\nLONGNA~1.TXT\n...\n\xff\n.x\n")
	f.Fuzz(func(t *testing.T, text string) {
		var nodes []*node
		seen := make(map[string]bool)
		for _, name := range strings.Split(text, "\n") {
			if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") || seen[name] {
				continue
			}
			seen[name] = true
			nodes = append(nodes, &node{name: name})
		}
		all, err := nameAll(nodes)
		if err != nil {
			t.Fatal(err)
		}
		short := make(map[[11]byte]bool)
		for i, n := range all {
			if short[n.short] {
				t.Errorf("%q stands twice", n.short)
			}
			short[n.short] = true
			if n.short[0] == ' ' || len(n.long) > maxLong {
				t.Errorf("%q has the names %q and %d units", nodes[i].name, n.short, len(n.long))
			}
			for _, c := range n.short {
				if c != ' ' && !isShort(c) {
					t.Errorf("%q has the name %q", nodes[i].name, n.short)
				}
			}
		}
	})
}
