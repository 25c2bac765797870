package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/tests/await"
)

// qemuImg runs qemu-img and returns its exit code.
func qemuImg(tb testing.TB, args ...string) (int, string) {
	tb.Helper()
	path, err := exec.LookPath("qemu-img")
	if err != nil {
		tb.Fatal(err, "(package qemu-utils)")
	}
	out, err := exec.CommandContext(tb.Context(), path, args...).CombinedOutput()
	if e := (*exec.ExitError)(nil); errors.As(err, &e) {
		return e.ExitCode(), string(out)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return 0, string(out)
}

// qemu runs qemu-img, which has to succeed.
func qemu(tb testing.TB, args ...string) string {
	tb.Helper()
	code, out := qemuImg(tb, args...)
	if code != 0 {
		tb.Fatalf("qemu-img %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

// patchy is n bytes of noise with zeroes in it, in pieces of all sizes.
func patchy(rng *rand.Rand, n int64) []byte {
	p := make([]byte, (n+7)&^7)
	for at := 0; at < len(p); {
		end := min(len(p), at+8*(1+rng.IntN(1<<rng.IntN(18))))
		if rng.IntN(2) == 0 {
			for ; at < end; at += 8 {
				binary.LittleEndian.PutUint64(p[at:], rng.Uint64())
			}
		}
		at = end
	}
	return p[:n]
}

// sparse writes a file that has holes where p has zeroes.
func sparse(tb testing.TB, path string, p []byte) {
	tb.Helper()
	f, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(int64(len(p))); err != nil {
		tb.Fatal(err)
	}
	for _, r := range runs(nil, p, 4096) {
		if !r.zero {
			if _, err := f.WriteAt(p[r.from:r.to], int64(r.from)); err != nil {
				tb.Fatal(err)
			}
		}
	}
}

// contents reads the disk in an image.
func contents(tb testing.TB, s Source) []byte {
	tb.Helper()
	i, err := Open(tb.Context(), s, OpenOptions{ReadOnly: true})
	if err != nil {
		tb.Fatal(err)
	}
	p := make([]byte, i.Size())
	if err := errors.Join(i.ReadVec([][]byte{p}, 0), i.Close()); err != nil {
		tb.Fatal(err)
	}
	return p
}

// ourFormats are those that a copy can be made in.
func ourFormats() []string { return []string{"raw", "qed", "bochs", "qcow2"} }

// theirFormats are those that QEMU makes.
func theirFormats() []string { return []string{"raw", "qed", "qcow", "qcow2"} }

// checkable are those of these that QEMU checks.
func checkable(format string) bool { return format == "qed" || format == "qcow2" }

// randomOptions are for an image that QEMU and we make.
func randomOptions(rng *rand.Rand, format string) string {
	switch format {
	case "qed":
		return []string{"", "cluster_size=4k,table_size=2", "cluster_size=128k"}[rng.IntN(3)]
	case "qcow2":
		return []string{"", "cluster_size=512", "cluster_size=2M,extended_l2=on", "compat=0.10", "compression_type=zstd,lazy_refcounts=on",
			"refcount_bits=1,preallocation=metadata"}[rng.IntN(6)]
	case "raw":
		return []string{"", "preallocation=falloc"}[rng.IntN(2)]
	}
	return ""
}

func parse(tb testing.TB, words string) []Value {
	tb.Helper()
	v, err := ParseOptions(words)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// TestConvert copies random disks from format to format, by QEMU and by this
// package. Each finds in a copy what was in the source, and in order.
func TestConvert(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	seeds := 20
	if testing.Short() {
		seeds = 6
	}
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for seed := range seeds {
		want := patchy(rng, int64(1+rng.IntN(12<<11))*512)
		theirs, ours := theirFormats(), ourFormats()
		first, second := theirs[rng.IntN(len(theirs))], ours[rng.IntN(len(ours))]
		sparse(t, path("raw"), want)
		options := randomOptions(rng, first)
		args := []string{"convert", "-f", "raw", "-O", first}
		if options != "" {
			args = append(args, "-o", options)
		}
		qemu(t, append(args, path("raw"), path("theirs"))...)
		from, to := Source{Name: path("theirs"), Format: first}, Source{Name: path("ours"), Format: second}
		options = randomOptions(rng, second)
		c := ConvertOptions{
			From: from, To: to, Values: parse(t, options), Workers: 1 + rng.IntN(MaxWorkers),
			OutOfOrder: rng.IntN(2) == 0, Sparse: []int64{0, 512, -1, 1 << 16}[rng.IntN(4)], Offload: rng.IntN(2) == 0,
			ToCache: []Cache{CacheUnsafe, CacheWriteback}[rng.IntN(2)], Compress: second == "qcow2" && rng.IntN(2) == 0,
		}
		if err := Convert(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if got := contents(t, to); !bytes.Equal(got, want) {
			t.Fatalf("seed %d: %s to %s: the copy differs (%+v)", seed, first, second, c)
		}
		qemu(t, "compare", "-f", "raw", "-F", second, path("raw"), path("ours"))
		if checkable(second) {
			qemu(t, "check", "-f", second, path("ours"))
		}
		if d, err := Compare(t.Context(), CompareOptions{A: from, B: to, Strict: true}); err != nil || d.Offset != -1 || d.Sizes {
			t.Fatalf("seed %d: compare: %+v, %v", seed, d, err)
		}
		for _, name := range []string{"theirs", "ours"} {
			if err := os.Remove(path(name)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestReproducible makes the same copy twice.
func TestReproducible(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 1))
	dir := t.TempDir()
	raw := filepath.Join(dir, "raw")
	sparse(t, raw, patchy(rng, 20<<20))
	for _, format := range ourFormats() { // compressed ones differ
		var copies [2][]byte
		for n := range copies {
			to := filepath.Join(dir, "copy")
			if err := Convert(t.Context(), ConvertOptions{From: Source{Name: raw, Format: "raw"}, To: Source{Name: to, Format: format}}); err != nil {
				t.Fatal(err)
			}
			var err error
			if copies[n], err = os.ReadFile(to); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(copies[0], copies[1]) {
			t.Errorf("two copies to %s differ", format)
		}
	}
}

// TestSparse copies a disk that is mostly holes, which stay so.
func TestSparse(t *testing.T) {
	dir := t.TempDir()
	raw := filepath.Join(dir, "raw")
	f, err := os.Create(raw)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{1}, 1<<20), 1<<40); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, format := range ourFormats() {
		to := Source{Name: filepath.Join(dir, format+".copy"), Format: format}
		if err := Convert(t.Context(), ConvertOptions{From: Source{Name: raw, Format: "raw"}, To: to}); err != nil {
			t.Fatal(err)
		}
		list, err := ReadInfo(t.Context(), to, InfoOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if i := list[0]; i.Details.Size != 1<<40+1<<20 || i.DiskSize > 4<<20 {
			t.Errorf("%s: %+v", format, i)
		}
	}
}

// TestCommit merges chains of three images, once by QEMU and once by this
// package, with the same result.
func TestCommit(t *testing.T) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 3))
		dir := t.TempDir()
		path := func(name string) string { return filepath.Join(dir, name) }
		sparse(t, path("base"), patchy(rng, int64(1+rng.IntN(4<<11))*512))
		// Each is of another size than the one behind it.
		format := []string{"qed", "qcow2"}[rng.IntN(2)]
		qemu(t, "create", "-f", format, "-b", "base", "-F", "raw", path("middle"), size(rng))
		write(t, rng, format, path("middle"))
		middle := Source{Name: path("middle"), Format: format}
		want := contents(t, middle)
		copyFile(t, path("base"), path("base2"))
		copyFile(t, path("middle"), path("middle2"))
		qemu(t, "rebase", "-u", "-f", format, "-F", "raw", "-b", "base2", path("middle2"))

		drop := seed%2 == 1
		if err := Commit(t.Context(), CommitOptions{Source: middle, Drop: drop, Cache: CacheWriteback}); err != nil {
			t.Fatal(err)
		}
		qemu(t, "commit", "-f", format, path("middle2"))
		ours, theirs := contents(t, Source{Name: path("base"), Format: "raw"}), contents(t, Source{Name: path("base2"), Format: "raw"})
		if !bytes.Equal(ours, theirs) {
			t.Fatalf("seed %d: another base than QEMU's, of %d bytes, not %d", seed, len(ours), len(theirs))
		}
		if got := contents(t, middle); !bytes.Equal(got, want) {
			t.Fatalf("seed %d: the disk is another after the merging", seed)
		}
		qemu(t, "check", "-f", format, path("middle"))
		held := false
		i, err := Open(t.Context(), middle, OpenOptions{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(i.Map(func(r Region) error { held = held || r.Present && r.Depth == 0; return nil }), i.Close()); err != nil {
			t.Fatal(err)
		}
		if held != drop {
			t.Errorf("seed %d: the image has data of its own: %v, dropped: %v", seed, held, drop)
		}
	}
}

func size(rng *rand.Rand) string {
	return []string{"1M", "2M", "3M", "5M"}[rng.IntN(4)]
}

// write has qemu-io write to an image.
func write(tb testing.TB, rng *rand.Rand, format, path string) {
	tb.Helper()
	program, err := exec.LookPath("qemu-io")
	if err != nil {
		tb.Fatal(err, "(package qemu-utils)")
	}
	args := []string{"-f", format}
	for range 1 + rng.IntN(8) {
		args = append(args, "-c", []string{"write -z 64k 128k", "write -P 7 256k 64k", "write -P 9 500k 300k", "write -P 3 1000k 10k", "write 0 1k"}[rng.IntN(5)])
	}
	if out, err := exec.CommandContext(tb.Context(), program, append(args, path)...).CombinedOutput(); err != nil {
		tb.Fatalf("%v\n%s", err, out)
	}
}

func copyFile(tb testing.TB, from, to string) {
	tb.Helper()
	p, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, p, 0o600)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// TestQcow copies images of the first qcow: encrypted ones, and one over a file whose
// format it does not record.
func TestQcow(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(10, 1))
	want := patchy(rng, 3<<20)
	base, over, locked := filepath.Join(dir, "base"), filepath.Join(dir, "over"), filepath.Join(dir, "locked")
	sparse(t, base, want)
	qemu(t, "create", "-q", "-f", "qcow", "-b", "base", "-F", "raw", over)
	qemu(t, "convert", "--object", "secret,id=s,data=pass", "-f", "raw", "-O", "qcow", "-o", "encrypt.format=aes,encrypt.key-secret=s", base, locked)
	to := Source{Name: filepath.Join(dir, "copy"), Format: "qed"}

	for _, test := range []struct {
		from Source
		want string
	}{
		{Source{Name: over, Format: "qcow"}, "--backing-format"},
		{Source{Name: over, Format: "qcow", BackingFormat: "qed"}, "not a valid QED image"},
		{Source{Name: over, Format: "qcow", BackingFormat: "raw"}, ""},
		{Source{Name: locked, Format: "qcow"}, "needs a passphrase"},
		{Source{Name: locked, Format: "qcow", Secret: []byte("pass")}, ""},
	} {
		err := Convert(t.Context(), ConvertOptions{From: test.from, To: to})
		if test.want != "" {
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%+v: %v", test, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := contents(t, to); !bytes.Equal(got, want) {
			t.Errorf("%+v: the copy differs", test)
		}
	}
	if _, err := Create(t.Context(), CreateOptions{Source: Source{Name: over, Format: "qcow"}, Size: 1 << 20}); err == nil || !strings.Contains(err.Error(), "not made") {
		t.Error(err)
	}
	sameInfo(t, Source{Name: over, Format: "qcow"}, 3<<20)
	if _, err := Open(t.Context(), Source{Name: over, Format: "qcow", BackingFormat: "raw"}, OpenOptions{}); !errors.Is(err, block.ErrReadOnly) {
		t.Error(err)
	}
}

// TestDeepCommit merges two qcow2 images into the raw one behind both.
func TestDeepCommit(t *testing.T) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 11))
		dir := t.TempDir()
		path := func(name string) string { return filepath.Join(dir, name) }
		sparse(t, path("base"), patchy(rng, 3<<20))
		qemu(t, "create", "-f", "qcow2", "-b", "base", "-F", "raw", path("middle"), size(rng))
		write(t, rng, "qcow2", path("middle"))
		qemu(t, "create", "-f", "qcow2", "-b", "middle", "-F", "qcow2", path("top"), size(rng))
		write(t, rng, "qcow2", path("top"))
		top := Source{Name: path("top"), Format: "qcow2"}
		want := contents(t, top)
		var p Progress
		if err := Commit(t.Context(), CommitOptions{Source: top, Base: path("base"), Progress: &p}); err != nil {
			t.Fatal(err)
		}
		got := contents(t, Source{Name: path("base"), Format: "raw"})
		if !bytes.Equal(got[:len(want)], want) {
			t.Errorf("seed %d: the base differs", seed)
		}
		if p.Done() != p.Total() || p.Total() != int64(len(want)) {
			t.Errorf("seed %d: %d of %d bytes are done", seed, p.Done(), p.Total())
		}
		if err := Commit(t.Context(), CommitOptions{Source: top, Base: path("elsewhere")}); err == nil || !strings.Contains(err.Error(), "is not behind") {
			t.Error(err)
		}
	}
}

// TestSnapshots lists what QEMU has made, and keeps an image that has some from being
// emptied.
func TestSnapshots(t *testing.T) {
	dir := t.TempDir()
	s := Source{Name: filepath.Join(dir, "image"), Format: "qcow2"}
	base := filepath.Join(dir, "base")
	sparse(t, base, make([]byte, 1<<20))
	qemu(t, "create", "-q", "-f", "qcow2", "-b", "base", "-F", "raw", s.Name)
	for _, name := range []string{"first", "second one"} {
		qemu(t, "snapshot", "-c", name, s.Name)
	}
	list, err := ReadInfo(t.Context(), s, InfoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if found := list[0].Details.Snapshots; len(found) != 2 || found[0].ID != "1" || found[1].Name != "second one" || found[0].Seconds == 0 {
		t.Errorf("%+v", found)
	}
	if err := Commit(t.Context(), CommitOptions{Source: s}); err == nil || !strings.Contains(err.Error(), "snapshots, which would be lost") {
		t.Error(err)
	}
}

// TestNBD copies from a server, and to one.
func TestNBD(t *testing.T) {
	program, err := exec.LookPath("qemu-nbd")
	if err != nil {
		t.Fatal(err, "(package qemu-utils)")
	}
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(12, 1))
	want := patchy(rng, 5<<20)
	served, socket := filepath.Join(dir, "served"), filepath.Join(dir, "socket")
	sparse(t, served, want)
	server := exec.Command(program, "-t", "-e", "4", "-f", "raw", "-x", "disk", "-k", socket, served)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	await.That(t, "qemu-nbd listens", func() bool { _, err := os.Stat(socket); return err == nil })

	remote := Source{Name: "nbd+unix:///disk?socket=" + socket, Format: "raw"}
	local := Source{Name: filepath.Join(dir, "local"), Format: "qcow2"}
	if err := Convert(t.Context(), ConvertOptions{From: remote, To: local}); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, local); !bytes.Equal(got, want) {
		t.Error("the copy from a server differs")
	}
	list, err := ReadInfo(t.Context(), remote, InfoOptions{})
	if err != nil || list[0].Details.Size != 5<<20 || list[0].DiskSize != -1 {
		t.Errorf("%+v, %v", list, err)
	}
	// Zeroes are written where the export had something.
	want = patchy(rng, 4<<20)
	sparse(t, filepath.Join(dir, "other"), want)
	if err := Convert(t.Context(), ConvertOptions{From: Source{Name: filepath.Join(dir, "other"), Format: "raw"}, To: remote}); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, remote); !bytes.Equal(got[:len(want)], want) {
		t.Error("the copy to a server differs")
	}
	if _, err := Resize(t.Context(), ResizeOptions{Source: remote, Size: "6M"}); err == nil || !strings.Contains(err.Error(), "cannot be changed") {
		t.Error(err)
	}
	// An image of a format has room to grow in.
	inside := Source{Name: remote.Name, Format: "qcow2"}
	if err := Convert(t.Context(), ConvertOptions{From: Source{Name: filepath.Join(dir, "other"), Format: "raw"}, To: inside}); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, inside); !bytes.Equal(got, want) {
		t.Error("the image on a server differs")
	}
}
