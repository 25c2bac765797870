package qcow2

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/govmm/govmm/block"
)

// childRole is the environment variable that makes this test binary the writer
// below.
const childRole = "GOVMM_QCOW2_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childRole) == "" {
		os.Exit(m.Run())
	}
	writer(os.Args[1])
}

const (
	crashBlock = 1536 // bytes, which neither begin nor end with a cluster
	crashSize  = 12 << 20
)

// writer writes numbered blocks to an image, and prints which ones after each
// flush, until it is killed.
func writer(path string) {
	f, err := block.OpenFile(context.Background(), block.Options{Path: path})
	if err != nil {
		panic(err)
	}
	d, err := Open(context.Background(), f, Options{Cache: 16 << 10})
	if err != nil {
		panic(err)
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
			// Cluster by cluster what was there is thrown away first.
			if rng.IntN(4) == 0 {
				if err := d.Discard(at, crashBlock); err != nil {
					panic(err)
				}
			}
			if err := d.WriteVec([][]byte{p}, at); err != nil {
				panic(err)
			}
			fmt.Fprintln(out, at, n)
			n++
		}
		if err := d.Flush(); err != nil {
			panic(err)
		}
		if err := out.Flush(); err != nil {
			os.Exit(0)
		}
	}
}

// TestKilled kills a process in the middle of its writes. What it flushed is
// there, and the image is in order for QEMU and for the next that opens it, but
// for leaks.
func TestKilled(t *testing.T) {
	for round, o := range []CreateOptions{
		{ClusterSize: 512},
		{ClusterSize: 4096},
		{ClusterSize: 4096, LazyRefcounts: true},
		{ClusterSize: 16384, ExtendedL2: true},
		{Version: 2},
	} {
		t.Run(o.name(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "image")
			o.Size = crashSize
			createFile(t, path, o)
			safe := killed(t, path, 200+70*round)
			image, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if dirty := image[atIncompatible+7]&incompatDirty != 0; dirty != o.LazyRefcounts {
				t.Errorf("the image of a killed process is marked as dirty: %v", dirty)
			}
			other := path + ".qemu"
			if err := os.WriteFile(other, image, 0o600); err != nil {
				t.Fatal(err)
			}
			d := openFile(t, path, Options{})
			for at, n := range safe {
				// A later write may have been on its way.
				if got := binary.LittleEndian.Uint64(read(t, d, at, 8)); got < n {
					t.Errorf("block at %d holds write %d, write %d was flushed", at, got, n)
				}
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if r := checked(t, path); r.Wrong != 0 || !r.Sound() {
				t.Error(r)
			}
			if o.LazyRefcounts {
				qemu(t, "qemu-img", "check", "-q", "-r", "all", other)
			}
			if report := qemuCheck(t, other); strings.Contains(report, "ERROR") || strings.Contains(report, "corrupt") {
				t.Error(report)
			}
		})
	}
}

// killed has a writer killed after it has printed so many lines, which it returns.
func killed(t *testing.T, path string, last int) map[int64]uint64 {
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
	return safe
}

// qemuCheck returns what qemu-img check says, which may be of leaks.
func qemuCheck(t *testing.T, path string) string {
	t.Helper()
	program, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Fatal(err, "(package qemu-utils)")
	}
	cmd := exec.CommandContext(t.Context(), program, "check", "-f", "qcow2", path)
	out, _ := cmd.CombinedOutput() // the code is looked at
	if code := cmd.ProcessState.ExitCode(); code != 0 && code != 3 {
		t.Errorf("qemu-img check: exit code %d\n%s", code, out)
	}
	return string(out)
}
