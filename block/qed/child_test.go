package qed

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
const childRole = "GOVMM_QED_TEST_CHILD"

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
	d, err := Open(context.Background(), f, Options{})
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
// there, and the image is in order for QEMU and for the next that opens it.
func TestKilled(t *testing.T) {
	for round := range 4 {
		path := filepath.Join(t.TempDir(), "image")
		createFile(t, path, CreateOptions{Size: crashSize, ClusterSize: 4096, TableSize: 2})
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
		other := path + ".qemu"
		image, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if image[offsetFeatures]&featureNeedCheck == 0 {
			t.Error("the image of a killed process does not ask for a check")
		}
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
		if r := checked(t, path); r.Invalid != 0 || !r.Sound() {
			t.Error(r)
		}
		// Leaks in front of clusters in use remain, of which QEMU tells with
		// exit code 3.
		report := qemuCheck(t, other)
		if strings.Contains(report, "ERROR") || strings.Contains(report, "corrupt") {
			t.Error(report)
		}
	}
}

func checked(t *testing.T, path string) CheckResult {
	t.Helper()
	f, err := block.OpenFile(t.Context(), block.Options{Path: path, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := Check(t.Context(), f, false)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// qemuCheck returns what qemu-img check says, which may be of leaks.
func qemuCheck(t *testing.T, path string) string {
	t.Helper()
	program, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Fatal(err, "(package qemu-utils)")
	}
	cmd := exec.CommandContext(t.Context(), program, "check", "-f", "qed", path)
	out, _ := cmd.CombinedOutput() // the code is looked at
	if code := cmd.ProcessState.ExitCode(); code != 0 && code != 3 {
		t.Errorf("qemu-img check: exit code %d\n%s", code, out)
	}
	return string(out)
}
