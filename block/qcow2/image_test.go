package qcow2

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/block"
)

const maxStore = 256 << 20

// newImage creates an image in a store.
func newImage(tb testing.TB, o CreateOptions) *store {
	tb.Helper()
	s := newStore(0, maxStore)
	if err := Create(tb.Context(), s, o); err != nil {
		tb.Fatal(err)
	}
	return s
}

func open(tb testing.TB, below block.Layer, o Options) *Image {
	tb.Helper()
	d, err := Open(tb.Context(), below, o)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func read(tb testing.TB, d block.Layer, offset, n int64) []byte {
	tb.Helper()
	p := bytes.Repeat([]byte{0xEE}, int(n))
	if err := d.ReadVec([][]byte{p}, offset); err != nil {
		tb.Fatal(err)
	}
	return p
}

func noise(rng *rand.Rand, n int64) []byte {
	p := make([]byte, (n+7)&^7)
	for i := 0; i < len(p); i += 8 {
		binary.LittleEndian.PutUint64(p[i:], rng.Uint64())
	}
	return p[:n]
}

// pieces cuts p as a guest's memory may be.
func pieces(rng *rand.Rand, p []byte) (vec [][]byte) {
	for len(p) > 0 && len(vec) < 8 {
		n := 1 + rng.IntN(len(p))
		vec, p = append(vec, p[:n]), p[n:]
	}
	return append(vec, p)
}

// withBacking opens a raw backing file for an image.
func withBacking(data []byte) func(context.Context, string, string) (block.Layer, error) {
	return func(context.Context, string, string) (block.Layer, error) {
		return &store{data: data, readOnly: true}, nil
	}
}

// TestModel compares an image with an array through random operations.
func TestModel(t *testing.T) {
	for i, shape := range shapes {
		for seed := range uint64(3) {
			if shape.ClusterSize > 64<<10 && seed != uint64(i%3) {
				continue // they take long
			}
			t.Run(fmt.Sprintf("%s/%d", shape.name(), seed), func(t *testing.T) {
				t.Parallel()
				withModel(t, rand.New(rand.NewPCG(seed, uint64(i))), shape, seed)
			})
		}
	}
}

func withModel(t *testing.T, rng *rand.Rand, o CreateOptions, seed uint64) {
	o.Size = int64(1+rng.IntN(6<<20)) &^ 511
	model := make([]byte, o.Size)
	options := Options{Cache: 8 << 10}
	if seed == 1 && o.Preallocation == PreallocationOff {
		backing := noise(rng, int64(1+rng.IntN(4<<20))&^511)
		copy(model, backing)
		o.Backing, o.BackingFormat, options.Backing = "backing", "raw", withBacking(backing)
	}
	s := newStore(0, maxStore)
	if seed == 2 { // a device: of a fixed length, with something in it
		s.data, s.fixed = noise(rng, 40<<20), true
		o.Fixed, options.Fixed = true, true
	}
	if err := Create(t.Context(), s, o); err != nil {
		t.Fatal(err)
	}
	d := open(t, s, options)
	for step := range 300 {
		size := int64(len(model))
		offset := rng.Int64N(size)
		n := min(size-offset, 1+rng.Int64N(int64(1)<<(1+rng.IntN(18))))
		var err error
		switch op := rng.IntN(24); {
		case op < 8:
			p := noise(rng, n)
			copy(model[offset:], p)
			err = d.WriteVec(pieces(rng, p), offset)
		case op < 11:
			clear(model[offset:][:n])
			err = d.WriteZeroes(offset, n, op == 8)
		case op < 13:
			before := bytes.Clone(model[offset:][:n])
			err = d.Discard(offset, n)
			got := read(t, d, offset, n)
			for i := range got {
				if got[i] != before[i] && got[i] != 0 {
					t.Fatalf("step %d: discard leaves %#x at %d", step, got[i], offset+int64(i))
				}
			}
			copy(model[offset:], got)
		case op < 15:
			err = d.Flush()
		case op < 16:
			offset -= offset % d.ClusterSize()
			n = min(d.ClusterSize(), size-offset)
			p := bytes.Repeat([]byte{byte(step)}, int(n))
			copy(model[offset:], p)
			err = d.WriteCompressed(offset, p)
		case op < 17:
			now := min(8<<20, size+512*int64(rng.IntN(64)-16))
			if now > 0 {
				model = append(model[:min(now, size)], make([]byte, max(0, now-size))...)
				err = d.Resize(now)
			}
		case op < 18:
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			r, err := Check(t.Context(), s, RepairNothing)
			if err != nil || !r.Sound() || r.Wrong != 0 || r.Leaked != 0 {
				t.Fatalf("step %d: %v, %v", step, r, err)
			}
			d = open(t, s, options)
		default:
			got := make([]byte, n)
			if vec := pieces(rng, got); !d.TryReadVec(vec, offset) {
				err = d.ReadVec(vec, offset)
			}
			if i := differ(got, model[offset:][:n]); i >= 0 {
				t.Fatalf("step %d: of %d bytes at %d, number %d is %#x, not %#x", step, n, offset, i, got[i], model[offset+int64(i)])
			}
		}
		if err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
	}
	if !bytes.Equal(read(t, d, 0, int64(len(model))), model) {
		t.Error("the disk differs at the end")
	}
	mapped(t, d, model)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// differ is where two slices differ first, or -1.
func differ(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}

// mapped checks that what Map calls zeroes is so.
func mapped(t *testing.T, d *Image, model []byte) {
	for pos := int64(0); pos < int64(len(model)); {
		e, err := d.Map(pos, int64(len(model))-pos)
		if err != nil || e.Length <= 0 {
			t.Fatalf("Map: %+v, %v", e, err)
		}
		if e.Zero && slices.ContainsFunc(model[pos:pos+e.Length], func(b byte) bool { return b != 0 }) {
			t.Fatalf("Map calls %d bytes at %d zeroes", e.Length, pos)
		}
		pos += e.Length
	}
}

// TestParallel writes to parts of clusters that are new to all, while others
// discard and flush.
func TestParallel(t *testing.T) {
	const size, unit = 8 << 20, 1024
	for _, o := range []CreateOptions{{ClusterSize: 8192}, {ClusterSize: 8192, Backing: "b", BackingFormat: "raw"}, {ClusterSize: 32768, ExtendedL2: true}, {ClusterSize: 512}} {
		o.Size = size
		s := newImage(t, o)
		d := open(t, s, Options{Cache: 4 << 10, Backing: withBacking(bytes.Repeat([]byte{7}, size))})
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				p := bytes.Repeat([]byte{byte(w + 100)}, unit)
				for round := range 2 {
					for at := int64(w) * unit; at < size; at += 8 * unit {
						if err := d.WriteVec([][]byte{p}, at); err != nil {
							t.Error(err)
						}
						if w == 0 && at%(1<<18) == 0 {
							if err := d.Flush(); err != nil {
								t.Error(err)
							}
						}
						if err := d.ReadVec([][]byte{p}, at); err != nil || p[0] != byte(w+100) || p[unit-1] != byte(w+100) {
							t.Error("another's data is read", err)
						}
						// Whole clusters that all have written to in the first round.
						if o.ClusterSize == unit/2 && round == 0 && at%3 == 0 {
							if err := d.Discard(at, unit); err != nil {
								t.Error(err)
							}
						}
					}
				}
			})
		}
		wg.Wait()
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := Check(t.Context(), s, RepairNothing)
		if err != nil || !r.Sound() || r.Leaked != 0 || r.Clusters != size/int64(o.ClusterSize) {
			t.Errorf("%+v: %v, %v", o, r, err)
		}
		d = open(t, s, Options{ReadOnly: true, Backing: withBacking(nil)})
		for at := int64(0); at < size; at += unit {
			if got := read(t, d, at, unit); got[0] != byte(at/unit%8+100) || got[unit-1] != got[0] {
				t.Fatalf("%+v: %#x at %d", o, got[0], at)
			}
		}
	}
}

// TestAllocations promises that requests whose tables are in memory allocate
// nothing.
func TestAllocations(t *testing.T) {
	for _, o := range []CreateOptions{{}, {ClusterSize: 16384, ExtendedL2: true}} {
		o.Size = 4 << 20
		d := open(t, newImage(t, o), Options{})
		vec := [][]byte{make([]byte, 4096), make([]byte, 4096)}
		if err := d.WriteVec([][]byte{make([]byte, 4<<20)}, 0); err != nil {
			t.Fatal(err)
		}
		if err := d.Flush(); err != nil {
			t.Fatal(err)
		}
		for name, f := range map[string]func() error{
			"read":  func() error { return d.ReadVec(vec, 65536-4096) },
			"write": func() error { return d.WriteVec(vec, 65536-4096) },
			"flush": d.Flush,
			"try": func() error {
				if !d.TryReadVec(vec, 65536) {
					return errors.New("not at hand")
				}
				return nil
			},
		} {
			if n := testing.AllocsPerRun(100, func() {
				if err := f(); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%s: %v allocations", name, n)
			}
		}
	}
}

// TestFull has a store that is full. What the guest discards makes room again, and
// nothing is lost.
func TestFull(t *testing.T) {
	s := newImage(t, CreateOptions{Size: 4 << 20, ClusterSize: 4096})
	s.max = 1 << 20
	d := open(t, s, Options{})
	p := bytes.Repeat([]byte{1}, 4096)
	full := int64(0)
	for ; full < 4<<20; full += 4096 {
		if err := d.WriteVec([][]byte{p}, full); errors.Is(err, unix.ENOSPC) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if full < 800<<10 || full > 1<<20 {
		t.Fatalf("full after %d bytes", full)
	}
	if err := errors.Join(d.Discard(0, 64<<10), d.WriteVec([][]byte{p[:512]}, full)); err != nil {
		t.Error("after a discard:", err)
	}
	if got := read(t, d, full, 4096); got[0] != 1 || !bytes.Equal(got[512:], make([]byte, 4096-512)) {
		t.Error("the rest of a cluster has what was there before")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := Check(t.Context(), s, RepairNothing); err != nil || !r.Sound() || r.Leaked != 0 {
		t.Errorf("%v, %v", r, err)
	}
}

// TestWriteFails has writes fail: nothing gets lost, and what was given out for
// them is used again.
func TestWriteFails(t *testing.T) {
	s := newImage(t, CreateOptions{Size: 1 << 20, ClusterSize: 4096})
	d := open(t, s, Options{})
	p := bytes.Repeat([]byte{1}, 4096)
	if err := d.WriteVec([][]byte{p}, 0); err != nil {
		t.Fatal(err)
	}
	s.fail = unix.EIO
	for range 200 {
		if err := d.WriteVec([][]byte{p}, 8192); !errors.Is(err, unix.EIO) {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := d.Flush(); !errors.Is(err, unix.EIO) {
			t.Fatal(err)
		}
	}
	s.fail = nil
	if err := d.WriteVec([][]byte{p[:512]}, 8192); err != nil {
		t.Fatal(err)
	}
	if got := read(t, d, 8192, 4096); !bytes.Equal(got[512:], make([]byte, 4096-512)) || got[0] != 1 {
		t.Error("the rest of a cluster has what a failed write left")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := Check(t.Context(), s, RepairNothing); err != nil || !r.Sound() || r.Leaked != 0 || r.Clusters != 2 {
		t.Errorf("%v, %v", r, err)
	}
}

// TestResizeLimits asks for sizes that are not possible.
func TestResizeLimits(t *testing.T) {
	d := open(t, newImage(t, CreateOptions{Size: 1 << 20, ClusterSize: 512}), Options{})
	for _, size := range []int64{-512, 1<<20 + 1, 128<<30 + 512} {
		if err := d.Resize(size); err == nil {
			t.Errorf("resized to %d", size)
		}
	}
	if err := d.Resize(1 << 30); err != nil || d.Size() != 1<<30 {
		t.Error(err)
	}
}
