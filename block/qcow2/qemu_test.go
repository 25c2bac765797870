package qcow2

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/govmm/govmm/block"
)

// qemu runs a program of QEMU's.
func qemu(tb testing.TB, program string, args ...string) string {
	tb.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		tb.Fatal(err, "(package qemu-utils)")
	}
	out, err := exec.CommandContext(tb.Context(), path, args...).CombinedOutput()
	if err != nil {
		tb.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// openFile opens an image of the host, with its backing files beside it.
func openFile(tb testing.TB, path string, o Options) *Image {
	tb.Helper()
	d, err := tryOpenFile(tb.Context(), path, o)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func tryOpenFile(ctx context.Context, path string, o Options) (*Image, error) {
	f, err := block.OpenFile(ctx, block.Options{Path: path, ReadOnly: o.ReadOnly})
	if err != nil {
		return nil, err
	}
	o.Backing = func(ctx context.Context, name, format string) (block.Layer, error) {
		name = filepath.Join(filepath.Dir(path), name)
		if format == "qcow2" {
			return tryOpenFile(ctx, name, Options{ReadOnly: true})
		}
		return block.OpenFile(ctx, block.Options{Path: name, ReadOnly: true})
	}
	d, err := Open(ctx, f, o)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return d, nil
}

func createFile(tb testing.TB, path string, o CreateOptions) {
	tb.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		tb.Fatal(err)
	}
	f, err := block.OpenFile(tb.Context(), block.Options{Path: path})
	if err != nil {
		tb.Fatal(err)
	}
	if err := errors.Join(Create(tb.Context(), f, o), f.Close()); err != nil {
		tb.Fatal(err)
	}
}

// shapes are the kinds of images that the tests go through.
var shapes = []CreateOptions{
	{},
	{ClusterSize: 512},
	{ClusterSize: 512, RefcountBits: 64},
	{ClusterSize: 1024, RefcountBits: 1},
	{ClusterSize: 4096, RefcountBits: 2},
	{ClusterSize: 4096, RefcountBits: 4, LazyRefcounts: true},
	{ClusterSize: 4096, RefcountBits: 8},
	{ClusterSize: 8192, RefcountBits: 32, Compression: Zstd},
	{ClusterSize: 16384, ExtendedL2: true},
	{ClusterSize: 65536, ExtendedL2: true, Compression: Zstd, LazyRefcounts: true},
	{ClusterSize: 2 << 20},
	{ClusterSize: 2 << 20, ExtendedL2: true},
	{Version: 2},
	{Version: 2, ClusterSize: 512},
	{Version: 2, ClusterSize: 4096},
	{ClusterSize: 4096, Preallocation: PreallocationMetadata},
	{ClusterSize: 16384, ExtendedL2: true, Preallocation: PreallocationMetadata},
}

// arguments are the options for qemu-img create.
func (o CreateOptions) arguments() string {
	list := []string{"compat=1.1"}
	if o.Version == 2 {
		list[0] = "compat=0.10"
	}
	if o.ClusterSize != 0 {
		list = append(list, fmt.Sprintf("cluster_size=%d", o.ClusterSize))
	}
	if o.RefcountBits != 0 {
		list = append(list, fmt.Sprintf("refcount_bits=%d", o.RefcountBits))
	}
	if o.LazyRefcounts {
		list = append(list, "lazy_refcounts=on")
	}
	if o.ExtendedL2 {
		list = append(list, "extended_l2=on")
	}
	if o.Compression == Zstd {
		list = append(list, "compression_type=zstd")
	}
	if o.Preallocation == PreallocationMetadata {
		list = append(list, "preallocation=metadata")
	}
	return strings.Join(list, ",")
}

func (o CreateOptions) name() string {
	return strings.NewReplacer(",", " ", "compat=", "", "cluster_size=", "", "_", " ").Replace(o.arguments())
}

var seeds = flag.Uint64("seeds", 1, "how many sequences of changes each kind of image gets")

// TestQEMU has QEMU and this package change an image by turns, at random. Each
// finds in it what the other left, and qemu-img check is content.
func TestQEMU(t *testing.T) {
	for i, shape := range shapes {
		if testing.Short() && i%3 != 0 {
			continue
		}
		for seed := range *seeds {
			t.Run(fmt.Sprintf("%s/%d", shape.name(), seed), func(t *testing.T) {
				t.Parallel()
				byTurns(t, rand.New(rand.NewPCG(seed, uint64(i))), shape)
			})
		}
	}
}

// byTurns does it with one image.
func byTurns(t *testing.T, rng *rand.Rand, o CreateOptions) {
	s := &turns{t: t, rng: rng, dir: t.TempDir(), shape: o}
	s.path = filepath.Join(s.dir, "image")
	s.create()
	for range 2 {
		d := openFile(t, s.path, Options{})
		if got := read(t, d, 0, int64(len(s.model))); !bytes.Equal(got, s.model) {
			t.Fatal("other data is read than QEMU left")
		}
		var theirs []string
		s.touched, s.packed = make(map[int64]bool), false
		for range 25 {
			theirs = s.step(d, theirs)
		}
		if theirs == nil && rng.IntN(3) == 0 && (s.snapshots == 0 || o.Version != 2) {
			if err := d.Resize(s.resize()); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		qemu(t, "qemu-img", "check", "-q", "-f", "qcow2", s.path)
		if theirs != nil {
			if out := qemu(t, "qemu-io", append(theirs, "-d", "unmap", "-f", "qcow2", s.path)...); strings.Contains(out, "failed") {
				t.Fatal(out)
			}
		}
		if rng.IntN(3) == 0 && s.snapshots == 0 && o.Version != 2 { // which QEMU does not grow over a backing file
			qemu(t, "qemu-img", "resize", "-q", "--shrink", "-f", "qcow2", s.path, fmt.Sprint(s.resize()))
		}
		if rng.IntN(3) == 0 && s.snapshots < 3 && (s.shape.RefcountBits == 0 || s.shape.RefcountBits > 2) {
			s.snapshots++
			qemu(t, "qemu-img", "snapshot", "-c", fmt.Sprintf("snapshot %d", s.snapshots), s.path)
			s.kept = append(s.kept, bytes.Clone(s.model))
		}
		s.compare(theirs)
	}
	s.compareSnapshots()
}

// turns is an image that both change.
type turns struct {
	t         *testing.T
	rng       *rand.Rand
	dir, path string
	shape     CreateOptions
	model     []byte
	snapshots int
	kept      [][]byte       // of snapshots
	touched   map[int64]bool // clusters that QEMU shall change this time
	packed    bool           // QEMU shall write one compressed
}

// untouched reports whether QEMU can write the cluster at an offset compressed: it
// must not be in the image. And it is the first one of this turn, as QEMU would
// put the second one behind it also when something else is there by then.
func (s *turns) untouched(d *Image, offset int64) bool {
	if s.packed || s.shape.Preallocation != PreallocationOff {
		return false
	}
	e, err := d.Map(offset, min(d.ClusterSize(), d.Size()-offset))
	return err == nil && !e.Allocated && !s.touched[offset] && e.Length >= min(d.ClusterSize(), d.Size()-offset)
}

// create makes the image, by either side, over no backing file, a raw or a qcow2
// one.
func (s *turns) create() {
	t, rng, o := s.t, s.rng, s.shape
	o.Size = int64(1+rng.IntN(16)) << 18
	s.model = make([]byte, o.Size)
	if kind := rng.IntN(3); kind > 0 && o.Preallocation == PreallocationOff {
		o.Backing, o.BackingFormat = "backing", "raw"
		backing := noise(rng, int64(1+rng.IntN(8))<<18)
		if err := os.WriteFile(filepath.Join(s.dir, "raw"), backing, 0o600); err != nil {
			t.Fatal(err)
		}
		copy(s.model, backing)
		if kind == 1 {
			o.Backing = "raw"
		} else {
			o.BackingFormat = "qcow2"
			qemu(t, "qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", filepath.Join(s.dir, "raw"), filepath.Join(s.dir, "backing"))
		}
	}
	if rng.IntN(2) == 1 {
		createFile(t, s.path, o)
		return
	}
	args := []string{"create", "-q", "-f", "qcow2", "-o", o.arguments()}
	if o.Backing != "" {
		args = append(args, "-F", o.BackingFormat, "-b", o.Backing)
	}
	qemu(t, "qemu-img", append(args, s.path, fmt.Sprint(o.Size))...)
}

// step changes the image, or adds to the commands with which QEMU shall do it,
// after which it is QEMU's turn.
func (s *turns) step(d *Image, theirs []string) []string {
	rng, size := s.rng, int64(len(s.model))
	offset := rng.Int64N(size/512) * 512
	n := min(size-offset, 512*(1+rng.Int64N(1<<rng.IntN(10))))
	ours := len(theirs) == 0 && rng.IntN(12) != 0
	op := rng.IntN(12)
	if op == 11 || op == 10 {
		offset -= offset % d.ClusterSize()
		n = min(size-offset, d.ClusterSize())
	}
	p := bytes.Repeat([]byte{byte(1 + rng.IntN(255))}, int(n))
	var err error
	command := ""
	switch {
	case op < 2:
		if ours {
			err = d.WriteZeroes(offset, n, op == 0)
		} else {
			command = fmt.Sprintf("write -z%s %d %d", []string{" -u", ""}[op], offset, n)
		}
		clear(p)
	case op == 2 && s.shape.Version != 2: // after which QEMU may have old data in version 2
		if ours {
			err = d.Discard(offset, n)
		} else {
			command = fmt.Sprintf("discard %d %d", offset, n)
		}
		if ours && err == nil {
			// What is there now is old data or zeroes, in each cluster.
			old := s.model[offset : offset+n]
			got := read(s.t, d, offset, n)
			for i := range got {
				if got[i] != old[i] && got[i] != 0 {
					s.t.Fatalf("discard of %d bytes at %d leaves %#x at %d", n, offset, got[i], offset+int64(i))
				}
			}
			copy(p, got)
		} else {
			// Whole clusters become zeroes, others stay.
			c := d.ClusterSize()
			from, to := (offset+c-1)/c*c, (offset+n)/c*c
			if offset+n == size {
				to = size
			}
			copy(p, s.model[offset:])
			if from < to {
				clear(p[from-offset : to-offset])
			}
		}
	case op == 3 && ours:
		err = d.Flush()
		copy(p, s.model[offset:])
	case op == 11:
		switch {
		case ours:
			err = d.WriteCompressed(offset, p)
		case !s.untouched(d, offset):
			copy(p, s.model[offset:])
		default:
			s.packed = true
			command = fmt.Sprintf("write -c -P %d %d %d", p[0], offset, n)
		}
	default:
		if ours {
			if op == 4 {
				copy(p, noise(rng, n))
			}
			err = d.WriteVec(pieces(rng, p), offset)
		} else {
			command = fmt.Sprintf("write -P %d %d %d", p[0], offset, n)
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	copy(s.model[offset:], p)
	if command != "" {
		for at := offset - offset%d.ClusterSize(); at < offset+n; at += d.ClusterSize() {
			s.touched[at] = true
		}
		theirs = append(theirs, "-c", command)
	}
	return theirs
}

// resize makes the disk larger or smaller, as the image shall be, and returns its
// new size.
func (s *turns) resize() int64 {
	old := int64(len(s.model))
	size := 512 * (1 + s.rng.Int64N(8<<11))
	s.model = append(s.model[:min(old, size)], make([]byte, max(0, size-old))...)
	return size
}

// compare has QEMU check and read the image.
func (s *turns) compare(theirs []string) {
	if theirs != nil {
		qemu(s.t, "qemu-img", "check", "-q", "-f", "qcow2", s.path)
	}
	s.equal(s.model, fmt.Sprintf("after %q", theirs), "convert", "-f", "qcow2", "-O", "raw", s.path)
	r := checked(s.t, s.path)
	if !r.Sound() || r.Wrong != 0 || r.Leaked != 0 {
		s.t.Fatalf("qemu-img check is content, and Check says: %v", r)
	}
}

func (s *turns) equal(want []byte, after string, args ...string) {
	s.t.Helper()
	raw := filepath.Join(s.dir, "read")
	qemu(s.t, "qemu-img", append(args, raw)...)
	got, err := os.ReadFile(raw)
	if err != nil {
		s.t.Fatal(err)
	}
	if len(got) != len(want) {
		s.t.Fatalf("QEMU reads %d bytes of %d", len(got), len(want))
	}
	for at := range got {
		if got[at] != want[at] {
			s.t.Fatalf("QEMU reads %#x at %d, not %#x; %s", got[at], at, want[at], after)
		}
	}
}

// compareSnapshots looks whether the snapshots are as they were.
func (s *turns) compareSnapshots() {
	d := openFile(s.t, s.path, Options{ReadOnly: true})
	defer d.Close()
	list := d.Snapshots()
	if len(list) != s.snapshots {
		s.t.Fatalf("%d snapshots, want %d", len(list), s.snapshots)
	}
	for i, kept := range s.kept {
		if want := fmt.Sprintf("snapshot %d", i+1); list[i].Name != want {
			s.t.Errorf("snapshot %q, want %q", list[i].Name, want)
		}
		// QEMU reads as much of it as the disk is long by now.
		size := int64(len(s.model))
		kept = append(kept[:min(int64(len(kept)), size)], make([]byte, max(0, size-int64(len(kept))))...)
		s.equal(kept, list[i].Name, "convert", "-f", "qcow2", "-l", list[i].Name, "-O", "raw", s.path)
	}
}

func checked(t *testing.T, path string) CheckResult {
	t.Helper()
	f, err := block.OpenFile(t.Context(), block.Options{Path: path, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := Check(t.Context(), f, RepairNothing)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
