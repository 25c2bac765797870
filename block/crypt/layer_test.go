package crypt

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/govmm/govmm/block"
)

// file makes a store of size bytes in a file.
func file(t testing.TB, size int64, o block.Options) *block.File {
	t.Helper()
	o.Path = filepath.Join(t.TempDir(), "store")
	if err := os.WriteFile(o.Path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(o.Path, size); err != nil {
		t.Fatal(err)
	}
	f, err := block.OpenFile(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func newLayer(t testing.TB, below block.Layer, sectorSize int, o Options) *Layer {
	t.Helper()
	c, err := New("aes-xts-plain64", noise(3, 64), sectorSize)
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLayer(below, c, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.helpers.stop)
	return l
}

// cut cuts p into slices at random, some of them empty.
func cut(r *rand.Rand, p []byte) (vec [][]byte) {
	for len(p) > 0 {
		n := r.IntN(len(p) + 1)
		if r.IntN(3) == 0 {
			n = min(len(p), 512*r.IntN(9))
		}
		vec = append(vec, p[:n:n])
		p = p[n:]
	}
	return vec
}

// TestModel drives a layer and plain memory by the same operations, at any
// alignment.
func TestModel(t *testing.T) {
	const size, offset = 1 << 20, 4096
	for _, sectorSize := range []int{512, 4096} {
		t.Run(fmt.Sprint(sectorSize), func(t *testing.T) {
			below := file(t, offset+size, block.Options{})
			l := newLayer(t, below, sectorSize, Options{Offset: offset, FirstSector: 8})
			if l.Size() != size {
				t.Fatalf("size %d, want %d", l.Size(), size)
			}
			model := make([]byte, size)
			if err := l.WriteZeroes(0, size, true); err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(1, uint64(sectorSize)))
			for i := range 400 {
				at := r.IntN(size)
				n := r.IntN(min(size-at, []int{100, 5000, 600_000}[r.IntN(3)]) + 1)
				if r.IntN(3) == 0 {
					at, n = at&^4095, n&^4095
				}
				var err error
				switch op := r.IntN(4); op {
				case 0:
					clear(model[at : at+n])
					err = l.WriteZeroes(int64(at), int64(n), r.IntN(2) == 0)
				case 1:
					p := noise(uint64(i), n)
					copy(model[at:], p)
					err = l.WriteVec(cut(r, p), int64(at))
					if !bytes.Equal(p, model[at:at+n]) {
						t.Fatal("the memory that was written from is changed")
					}
				case 2:
					err = l.Discard(int64(at), int64(n))
				default:
					p := make([]byte, n)
					err = l.ReadVec(cut(r, p), int64(at))
					if !bytes.Equal(p, model[at:at+n]) {
						t.Fatalf("operation %d: %d bytes at %d read otherwise than written", i, n, at)
					}
				}
				if err != nil {
					t.Fatalf("operation %d: %v", i, err)
				}
			}
			// What lies below is encrypted as the reference does.
			raw := make([]byte, size)
			if err := below.ReadVec([][]byte{raw}, offset); err != nil {
				t.Fatal(err)
			}
			for _, at := range []int{0, 8192, size - 4096} {
				want := reference(t, "aes-xts-plain64", noise(3, 64), model[at:at+sectorSize], 8+uint64(at/512))
				if !bytes.Equal(raw[at:at+sectorSize], want) {
					t.Errorf("the sector at %d is encrypted otherwise", at)
				}
			}
		})
	}
}

// TestNeighbours has many write to parts of the same sectors at once, of which
// none may be lost.
func TestNeighbours(t *testing.T) {
	const size = 64 << 10
	l := newLayer(t, file(t, size, block.Options{}), 4096, Options{})
	var writers sync.WaitGroup
	for i := range 8 {
		writers.Go(func() {
			for at := i * 512; at < size; at += 4096 {
				if err := l.WriteVec([][]byte{bytes.Repeat([]byte{byte(i + 1)}, 512)}, int64(at)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	p := make([]byte, size)
	if err := l.ReadVec([][]byte{p}, 0); err != nil {
		t.Fatal(err)
	}
	for at := range p {
		if want := byte(at/512%8 + 1); p[at] != want {
			t.Fatalf("byte %d is %d, want %d", at, p[at], want)
		}
	}
}

func TestRefusals(t *testing.T) {
	l := newLayer(t, file(t, 8192, block.Options{}), 512, Options{Offset: 4096})
	p := make([]byte, 1024)
	for _, at := range []int64{-1, 4096 - 1023, 4096, 1 << 62} {
		for name, err := range map[string]error{
			"read":    l.ReadVec([][]byte{p}, at),
			"write":   l.WriteVec([][]byte{p}, at),
			"zeroes":  l.WriteZeroes(at, 1024, false),
			"discard": l.Discard(at, 1024),
		} {
			if !errors.Is(err, block.ErrOutOfRange) {
				t.Errorf("%s at %d: %v", name, at, err)
			}
		}
	}
	if err := l.ReadVec(nil, 4096); err != nil {
		t.Errorf("reading nothing at the end: %v", err)
	}
	ro := newLayer(t, file(t, 8192, block.Options{}), 512, Options{ReadOnly: true})
	for name, err := range map[string]error{
		"write": ro.WriteVec([][]byte{p}, 0), "zeroes": ro.WriteZeroes(0, 512, false),
		"discard": ro.Discard(0, 512), "resize": ro.Resize(4096),
	} {
		if !errors.Is(err, block.ErrReadOnly) {
			t.Errorf("%s of a read-only disk: %v", name, err)
		}
	}
	c, err := New("aes-xts-plain64", noise(3, 64), 512)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{{Offset: -1}, {Offset: 8193}, {Offset: 512, Size: 8192}, {Size: -1}} {
		if _, err := NewLayer(file(t, 8192, block.Options{}), c, o); !errors.Is(err, block.ErrOutOfRange) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestResize(t *testing.T) {
	below := file(t, 4096+8192, block.Options{})
	l := newLayer(t, below, 4096, Options{Offset: 4096})
	if err := l.WriteVec([][]byte{noise(1, 8192)}, 0); err != nil {
		t.Fatal(err)
	}
	if err := l.Resize(1 << 20); err != nil {
		t.Fatal(err)
	}
	if l.Size() != 1<<20 || below.Size() != 4096+1<<20 {
		t.Fatalf("sizes %d and %d", l.Size(), below.Size())
	}
	p := make([]byte, 1<<20)
	if err := l.ReadVec([][]byte{p}, 0); err != nil {
		t.Fatal(err)
	}
	if want := append(noise(1, 8192), make([]byte, 1<<20-8192)...); !bytes.Equal(p, want) {
		t.Error("after growing: not the old bytes and then zeroes")
	}
	for _, size := range []int64{-4096, 4095, 1<<63 - 4096} {
		if err := l.Resize(size); err == nil {
			t.Errorf("a size of %d is taken", size)
		}
	}
	if err := l.Resize(4096); err != nil || l.Size() != 4096 {
		t.Errorf("shrinking: %v, size %d", err, l.Size())
	}
	fixed := newLayer(t, file(t, 8192, block.Options{}), 512, Options{Size: 4096})
	if err := fixed.Resize(8192); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a fixed size: %v", err)
	}
}

// TestNoAllocation is about the steady state of all sizes and alignments.
func TestNoAllocation(t *testing.T) {
	l := newLayer(t, file(t, 1<<20, block.Options{}), 512, Options{})
	p := noise(1, 512<<10)
	cases := map[string][][]byte{
		"4 KiB": {p[:4096]}, "512 KiB": {p}, "split": {p[:100], p[100:1024]}, "pages": {p[:4096], p[8192:12288], p[:256<<10]},
	}
	for name, vec := range cases {
		n := testing.AllocsPerRun(20, func() {
			if err := errors.Join(l.WriteVec(vec, 512), l.ReadVec(vec, 512)); err != nil {
				t.Error(err)
			}
		})
		if n >= 1 && !dropsPooled {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestTryRead(t *testing.T) {
	l := newLayer(t, file(t, 1<<20, block.Options{}), 512, Options{})
	want := noise(9, 4096)
	if err := l.WriteVec([][]byte{want}, 8192); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4096)
	if !l.TryReadVec([][]byte{got}, 8192) {
		t.Skip("this file system has no reads that do not wait")
	}
	if !bytes.Equal(got, want) {
		t.Error("other bytes than written")
	}
	if l.TryReadVec([][]byte{got}, 1<<20) || l.TryReadVec([][]byte{got[:100]}, 0) || l.TryReadVec([][]byte{make([]byte, 32<<10)}, 0) {
		t.Error("a read that is out of range, in parts or long is not left to ReadVec")
	}
}

func BenchmarkLayer(b *testing.B) {
	l := newLayer(b, file(b, 64<<20, block.Options{}), 512, Options{})
	if err := l.WriteZeroes(0, 64<<20, false); err != nil {
		b.Fatal(err)
	}
	for _, size := range []int64{4 << 10, 64 << 10, 1 << 20} {
		vec := [][]byte{make([]byte, size)}
		for name, do := range map[string]func([][]byte, int64) error{"read": l.ReadVec, "write": l.WriteVec} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(size)
				at := int64(0)
				for b.Loop() {
					if err := do(vec, at); err != nil {
						b.Fatal(err)
					}
					at = (at + size) % (64 << 20)
				}
			})
		}
	}
}
