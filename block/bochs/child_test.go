package bochs

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/govmm/govmm/block"
)

// childRole is the environment variable that makes this test binary the writer
// below.
const childRole = "GOVMM_BOCHS_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childRole) == "" {
		os.Exit(m.Run())
	}
	if err := writer(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const (
	crashBlock = 1536 // bytes
	crashSize  = 12 << 20
)

// writer writes numbered blocks to an image, and prints which ones after each flush,
// until it is killed.
func writer(path string) error {
	f, err := block.OpenFile(context.Background(), block.Options{Path: path})
	if err != nil {
		return err
	}
	d, err := Open(context.Background(), f, Options{})
	if err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(uint64(os.Getpid()), 4))
	out := bufio.NewWriter(os.Stdout)
	p := make([]byte, crashBlock)
	for n := uint64(1); ; {
		for range 1 + rng.IntN(20) {
			at := rng.Int64N(crashSize/crashBlock) * crashBlock
			for i := 0; i < len(p); i += 8 {
				binary.LittleEndian.PutUint64(p[i:], n)
			}
			if err := d.WriteVec([][]byte{p}, at); err != nil {
				return err
			}
			fmt.Fprintln(out, at, n)
			n++
		}
		if err := d.Flush(); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return nil // nobody listens any more
		}
	}
}

// TestKilled kills a process in the middle of its writes. What it flushed is there,
// for QEMU as well, and the image is in order.
func TestKilled(t *testing.T) {
	for round := range 3 {
		path, raw := filepath.Join(t.TempDir(), "image"), filepath.Join(t.TempDir(), "raw")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := block.OpenFile(t.Context(), block.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(Create(t.Context(), f, CreateOptions{Size: crashSize}), f.Close()); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0], path)
		cmd.Env = append(os.Environ(), childRole+"=writer")
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		last := 300 + 700*round
		lines, safe := 0, make(map[int64]uint64)
		for s := bufio.NewScanner(out); s.Scan(); lines++ {
			var at int64
			var n uint64
			if _, err := fmt.Sscan(s.Text(), &at, &n); err != nil {
				break // the last line, cut by the kill
			}
			safe[at] = n
			if lines == last {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // killed
		if lines < last {
			t.Fatalf("the writer ended after %d lines", lines)
		}
		runProgram(t, "qemu-utils", "qemu-img", "convert", "-f", "bochs", "-O", "raw", path, raw)
		theirs, err := os.ReadFile(raw)
		if err != nil {
			t.Fatal(err)
		}
		d := openFile(t, path)
		for at, n := range safe {
			// A later write may have been on its way.
			ours := binary.LittleEndian.Uint64(read(t, d, at, 8))
			if got := binary.LittleEndian.Uint64(theirs[at:]); ours < n || got != ours {
				t.Errorf("block at %d holds write %d, and %d for QEMU; write %d was flushed", at, ours, got, n)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
