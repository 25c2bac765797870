package qcow

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
func qemu(tb testing.TB, program string, args ...string) {
	tb.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		tb.Fatal(err, "(package qemu-utils)")
	}
	out, err := exec.CommandContext(tb.Context(), path, args...).CombinedOutput()
	if err != nil || strings.Contains(string(out), "failed") {
		tb.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
}

// TestQEMU reads what QEMU has written: compressed or encrypted, over a backing file
// or not, and changed afterwards.
func TestQEMU(t *testing.T) {
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 3))
		dir := t.TempDir()
		path, raw, backing := filepath.Join(dir, "image"), filepath.Join(dir, "raw"), filepath.Join(dir, "backing")
		size := (1+rng.Int64N(4<<20))&^511 + 512
		model := make([]byte, size)
		for range 20 { // what can be compressed, and what cannot
			at := rng.Int64N(size)
			copy(model[at:], bytes.Repeat(noise(rng, 1+rng.Int64N(4000)), 1+rng.IntN(50)))
		}
		o := Options{}
		secret := []string{}
		spec := "driver=qcow,file.filename=" + path
		var commands []string
		write := func(flags string, offset, n int64) {
			pattern := byte(1 + rng.IntN(255))
			copy(model[offset:], bytes.Repeat([]byte{pattern}, int(n)))
			commands = append(commands, "-c", fmt.Sprintf("write %s -P %d %d %d", flags, pattern, offset, n))
		}
		switch seed % 4 {
		case 0:
			if err := os.WriteFile(raw, model, 0o600); err != nil {
				t.Fatal(err)
			}
			qemu(t, "qemu-img", "convert", "-f", "raw", "-O", "qcow", raw, path)
		case 1:
			clear(model)
			qemu(t, "qemu-img", "create", "-q", "-f", "qcow", path, fmt.Sprint(size))
			for number := rng.Int64N(4); number < size/4096; number += 1 + rng.Int64N(16) {
				write("-c", number*4096, 4096)
			}
		case 2:
			if err := os.WriteFile(backing, model[:size/1024*512], 0o600); err != nil {
				t.Fatal(err)
			}
			clear(model[size/1024*512:])
			qemu(t, "qemu-img", "create", "-q", "-f", "qcow", "-F", "raw", "-b", "backing", path, fmt.Sprint(size))
			o.Backing = func(ctx context.Context, name string) (block.Layer, error) {
				return block.OpenFile(ctx, block.Options{Path: filepath.Join(dir, name), ReadOnly: true})
			}
			spec += ",backing.driver=raw,backing.file.filename=" + backing
		case 3:
			o.Passphrase = []byte("secret")
			secret = []string{"--object", "secret,id=s,data=secret"}
			qemu(t, "qemu-img", append([]string{"create", "-q", "-f", "qcow", "-o", "encrypt.format=aes,encrypt.key-secret=s", path, fmt.Sprint(size)}, secret...)...)
			spec += ",encrypt.key-secret=s"
			clear(model)
		}
		for range 12 {
			offset := rng.Int64N(size/512) * 512
			n := min(size-offset, 512*(1+rng.Int64N(1<<rng.IntN(9))))
			write("", offset, n)
		}
		qemu(t, "qemu-io", append(append(secret, commands...), "--image-opts", spec)...)

		f, err := block.OpenFile(t.Context(), block.Options{Path: path, ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		d, err := Open(t.Context(), f, o)
		if err != nil {
			t.Fatal(errors.Join(err, f.Close()))
		}
		got := make([]byte, size)
		if err := d.ReadVec([][]byte{got}, 0); err != nil {
			t.Fatal(err)
		}
		if d.Size() != size || !bytes.Equal(got, model) {
			t.Fatalf("seed %d: other data is read than QEMU wrote", seed)
		}
		i, err := ReadInfo(f)
		if err != nil || i.Encrypted != (seed%4 == 3) || i.Backing != "" != (seed%4 == 2) {
			t.Errorf("seed %d: %+v, %v", seed, i, err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
