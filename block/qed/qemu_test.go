package qed

import (
	"bytes"
	"context"
	"errors"
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

// openFile opens an image of the host, with its backing file beside it.
func openFile(tb testing.TB, path string, o Options) *Image {
	tb.Helper()
	f, err := block.OpenFile(tb.Context(), block.Options{Path: path})
	if err != nil {
		tb.Fatal(err)
	}
	o.Backing = func(ctx context.Context, name string) (block.Layer, error) {
		return block.OpenFile(ctx, block.Options{Path: filepath.Join(filepath.Dir(path), name), ReadOnly: true})
	}
	d, err := Open(tb.Context(), f, o)
	if err != nil {
		tb.Fatal(errors.Join(err, f.Close()))
	}
	return d
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

// TestQEMU has QEMU and this package change an image by turns, at random. Each
// finds in it what the other left, and qemu-img check is content.
func TestQEMU(t *testing.T) {
	seeds := uint64(10)
	if testing.Short() {
		seeds = 4
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			byTurns(t, rand.New(rand.NewPCG(seed, 3)))
		})
	}
}

func byTurns(t *testing.T, rng *rand.Rand) {
	dir := t.TempDir()
	path, raw := filepath.Join(dir, "image"), filepath.Join(dir, "raw")
	size := int64(1+rng.IntN(16)) << 19
	model := make([]byte, size)
	o := CreateOptions{Size: size, ClusterSize: 4096 << rng.IntN(5), TableSize: 2 << rng.IntN(4)} // QEMU opens none of 1
	if rng.IntN(2) == 1 {
		o.Backing = "backing"
		backing := noise(rng, int64(1+rng.IntN(8))<<19)
		if err := os.WriteFile(filepath.Join(dir, o.Backing), backing, 0o600); err != nil {
			t.Fatal(err)
		}
		copy(model, backing)
	}
	if rng.IntN(2) == 1 {
		createFile(t, path, o)
	} else {
		args := []string{"create", "-q", "-f", "qed", "-o", fmt.Sprintf("cluster_size=%d,table_size=%d", o.ClusterSize, o.TableSize)}
		if o.Backing != "" {
			args = append(args, "-F", "raw", "-b", o.Backing)
		}
		qemu(t, "qemu-img", append(args, path, fmt.Sprint(size))...)
	}
	for range 3 {
		d := openFile(t, path, Options{})
		if !bytes.Equal(read(t, d, 0, size), model) {
			t.Fatal("other data is read than QEMU left")
		}
		var commands []string
		for range 20 {
			offset := rng.Int64N(size/512) * 512
			n := min(size-offset, 512*(1+rng.Int64N(1<<rng.IntN(9))))
			zero, pattern := rng.IntN(3) == 0, byte(1+rng.IntN(255))
			ours := len(commands) == 0 && rng.IntN(12) != 0
			if !ours && o.Backing != "" {
				// A write of QEMU's to a part of a cluster of zeroes lets the rest
				// of the backing file's come to light.
				offset &^= int64(o.ClusterSize - 1)
				n = min(size-offset, max(n&^int64(o.ClusterSize-1), int64(o.ClusterSize)))
			}
			p := bytes.Repeat([]byte{pattern}, int(n))
			var err error
			switch {
			case ours && zero:
				err = d.WriteZeroes(offset, n, true)
			case ours:
				err = d.WriteVec([][]byte{p}, offset)
			case zero:
				commands = append(commands, "-c", fmt.Sprintf("write -z %d %d", offset, n))
			default:
				commands = append(commands, "-c", fmt.Sprintf("write -P %d %d %d", pattern, offset, n))
			}
			if err != nil {
				t.Fatal(err)
			}
			if zero {
				clear(p)
			}
			copy(model[offset:], p)
		}
		if rng.IntN(4) == 0 && size < 16<<20 {
			old := size
			size += int64(rng.IntN(1<<20)) &^ 511
			model = append(model, make([]byte, size-old)...)
			if o.Backing != "" || rng.IntN(2) == 0 { // QEMU grows none over a backing file
				if err := d.Resize(size); err != nil {
					t.Fatal(err)
				}
			} else {
				commands = append(commands, "-c", fmt.Sprintf("truncate %d", size))
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		qemu(t, "qemu-img", "check", "-q", "-f", "qed", path)
		if commands != nil {
			if out := qemu(t, "qemu-io", append(commands, "-f", "qed", path)...); strings.Contains(out, "failed") {
				t.Fatal(out)
			}
		}
		qemu(t, "qemu-img", "convert", "-f", "qed", "-O", "raw", path, raw)
		got, err := os.ReadFile(raw)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(model) {
			t.Fatalf("QEMU reads %d bytes of %d", len(got), len(model))
		}
		for at := range got {
			if got[at] != model[at] {
				t.Fatalf("cluster size %d, size %d: QEMU reads %#x at %d, not %#x; after %q", o.ClusterSize, size, got[at], at, model[at], commands)
			}
		}
	}
}
