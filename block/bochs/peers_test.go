package bochs

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/govmm/govmm/block"
)

// runProgram runs a program of a package.
func runProgram(tb testing.TB, from, program string, args ...string) {
	tb.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		tb.Fatalf("%v (package %s)", err, from)
	}
	if out, err := exec.CommandContext(tb.Context(), path, args...).CombinedOutput(); err != nil {
		tb.Fatalf("%s %v: %v\n%s", program, args, err, out[max(0, len(out)-500):])
	}
}

// cylinder is what the sizes of Bochs' disks are multiples of, in bytes.
const cylinder = 16 * 63 * 512

func openFile(tb testing.TB, path string) *Image {
	tb.Helper()
	f, err := block.OpenFile(tb.Context(), block.Options{Path: path})
	if err != nil {
		tb.Fatal(err)
	}
	d, err := Open(tb.Context(), f, Options{})
	if err != nil {
		tb.Fatal(errors.Join(err, f.Close()))
	}
	return d
}

// TestPeers changes images that Bochs' tool and this package have made, at random.
// QEMU and that tool find in them what is written.
func TestPeers(t *testing.T) {
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 3))
		dir := t.TempDir()
		path, flat := filepath.Join(dir, "image"), filepath.Join(dir, "flat")
		model := noise(rng, cylinder*int64(1+rng.IntN(16)))
		clear(model[:rng.IntN(len(model))])
		if seed%2 == 0 {
			if err := os.WriteFile(flat, model, 0o600); err != nil {
				t.Fatal(err)
			}
			runProgram(t, "bximage", "bximage", "-func=convert", "-imgmode=growing", "-q", flat, path)
		} else {
			clear(model)
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := block.OpenFile(t.Context(), block.Options{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(Create(t.Context(), f, CreateOptions{Size: int64(len(model))}), f.Close()); err != nil {
				t.Fatal(err)
			}
		}
		for round := range 2 {
			d := openFile(t, path)
			if !bytes.Equal(read(t, d, 0, int64(len(model))), model) {
				t.Fatalf("seed %d, round %d: other data is read than was written", seed, round)
			}
			for range 20 {
				offset := rng.Int64N(int64(len(model)))
				n := min(int64(len(model))-offset, 1+rng.Int64N(1<<rng.IntN(18)))
				p := noise(rng, n)
				err := d.WriteVec([][]byte{p}, offset)
				if rng.IntN(4) == 0 {
					clear(p)
					err = errors.Join(err, d.WriteZeroes(offset, n, true))
				}
				if err != nil {
					t.Fatal(err)
				}
				copy(model[offset:], p)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			for reader, convert := range map[string]func(out string){
				"bximage": func(out string) {
					runProgram(t, "bximage", "bximage", "-func=convert", "-imgmode=flat", "-q", path, out)
				},
				"QEMU": func(out string) {
					runProgram(t, "qemu-utils", "qemu-img", "convert", "-f", "bochs", "-O", "raw", path, out)
				},
			} {
				out := filepath.Join(dir, fmt.Sprint(reader, round))
				convert(out)
				got, err := os.ReadFile(out)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, model) {
					t.Fatalf("seed %d, round %d: %s reads other data", seed, round, reader)
				}
			}
		}
	}
}
