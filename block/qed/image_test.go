package qed

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/govmm/govmm/block"
	"golang.org/x/sys/unix"
)

const maxStore = 64 << 20

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
func withBacking(data []byte) func(context.Context, string) (block.Layer, error) {
	return func(context.Context, string) (block.Layer, error) {
		return &store{data: data, readOnly: true}, nil
	}
}

// TestModel compares an image with an array through random operations.
func TestModel(t *testing.T) {
	for seed := range uint64(24) {
		rng := rand.New(rand.NewPCG(seed, 1))
		size := int64(1+rng.IntN(6<<20)) &^ 511
		model := make([]byte, size)
		o := CreateOptions{Size: size, ClusterSize: 4096 << rng.IntN(3), TableSize: 1 << rng.IntN(2)}
		options := Options{}
		if seed%2 == 1 {
			backing := noise(rng, int64(1+rng.IntN(4<<20))&^511)
			copy(model, backing)
			o.Backing, options.Backing = "backing", withBacking(backing)
		}
		s := newImage(t, o)
		if seed%3 == 2 { // a device: of a fixed length, with something in it
			s.data = append(s.data, noise(rng, 20<<20)...)
			s.fixed, options.Fixed = true, true
		}
		d := open(t, s, options)
		for step := range 300 {
			offset := rng.Int64N(int64(len(model)))
			n := min(int64(len(model))-offset, 1+rng.Int64N(int64(1)<<(1+rng.IntN(18))))
			switch op := rng.IntN(20); {
			case op < 8:
				p := noise(rng, n)
				copy(model[offset:], p)
				if err := d.WriteVec(pieces(rng, p), offset); err != nil {
					t.Fatal(err)
				}
			case op < 12:
				clear(model[offset:][:n])
				if err := d.WriteZeroes(offset, n, op == 8); err != nil {
					t.Fatal(err)
				}
			case op < 13:
				if err := d.Discard(offset, n); err != nil {
					t.Fatal(err)
				}
			case op < 14:
				if err := d.Flush(); err != nil {
					t.Fatal(err)
				}
			case op < 15 && len(model) < 8<<20:
				model = append(model, make([]byte, 512*rng.IntN(64))...)
				if err := d.Resize(int64(len(model))); err != nil {
					t.Fatal(err)
				}
			case op < 16:
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				if binary.LittleEndian.Uint64(s.data[offsetFeatures:])&featureNeedCheck != 0 {
					t.Fatal("a closed image needs a check")
				}
				r, err := Check(t.Context(), s, false)
				if err != nil || !r.Sound() || r.Leaked != 0 && !s.fixed {
					t.Fatalf("seed %d, step %d: %v, %v", seed, step, r, err)
				}
				d = open(t, s, options)
			default:
				got := make([]byte, n)
				if vec := pieces(rng, got); !d.TryReadVec(vec, offset) {
					if err := d.ReadVec(vec, offset); err != nil {
						t.Fatal(err)
					}
				}
				if !bytes.Equal(got, model[offset:][:n]) {
					t.Fatalf("seed %d, step %d: %d bytes at %d differ", seed, step, n, offset)
				}
			}
		}
		if !bytes.Equal(read(t, d, 0, int64(len(model))), model) {
			t.Errorf("seed %d: the disk differs at the end", seed)
		}
		mapped(t, d, model)
	}
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

// TestCrash has a host fail at random moments, with some of what it had not been
// told to flush written. What was flushed is there, and the tables make sense.
func TestCrash(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 2))
		size := int64(4 << 20)
		backing := noise(rng, 3<<20)
		o := CreateOptions{Size: size, ClusterSize: 4096, TableSize: 1}
		options := Options{}
		flushed := make([]byte, size)
		if seed%2 == 1 {
			o.Backing, options.Backing = "backing", withBacking(backing)
			copy(flushed, backing)
		}
		s := newImage(t, o)
		s.durable = slices.Clone(s.data)
		d := open(t, s, options)
		d.tables.max = minCachePages
		// A byte at an offset may be any that was written since the last flush.
		may := make(map[int64][]byte)
		now := slices.Clone(flushed)
		for range 1 + rng.IntN(120) {
			offset := rng.Int64N(size/512) * 512
			n := min(size-offset, 512*int64(1+rng.IntN(40)))
			p := noise(rng, n)
			var err error
			switch rng.IntN(6) {
			case 0:
				err = d.Flush()
				copy(flushed, now)
				clear(may)
				n = 0
			case 1:
				clear(p)
				err = d.WriteZeroes(offset, n, true)
			default:
				err = d.WriteVec([][]byte{p}, offset)
			}
			if err != nil {
				t.Fatal(err)
			}
			copy(now[offset:], p[:n])
			for i := int64(0); i < n; i += 512 {
				may[offset+i] = append(may[offset+i], p[i])
			}
		}
		after := s.crash(rng)
		d = open(t, after, options)
		got := read(t, d, 0, size)
		for at := int64(0); at < size; at += 512 {
			if got[at] != flushed[at] && !bytes.Contains(may[at], got[at:at+1]) {
				// New clusters come as zeroes or whole.
				t.Fatalf("seed %d: at %d is %#x, flushed was %#x, later %#x", seed, at, got[at], flushed[at], may[at])
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if r, err := Check(t.Context(), after, false); err != nil || !r.Sound() || r.Invalid != 0 {
			t.Fatalf("seed %d: %v, %v", seed, r, err)
		}
	}
}

// TestParallel writes to parts of clusters that are new to all.
func TestParallel(t *testing.T) {
	const size, unit = 8 << 20, 1024
	for _, backing := range []string{"", "backing"} {
		s := newImage(t, CreateOptions{Size: size, ClusterSize: 8192, TableSize: 1, Backing: backing})
		d := open(t, s, Options{Backing: withBacking(bytes.Repeat([]byte{7}, size))})
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				p := bytes.Repeat([]byte{byte(w + 100)}, unit)
				for at := int64(w) * unit; at < size; at += 8 * unit {
					if err := d.WriteVec([][]byte{p}, at); err != nil {
						t.Error(err)
					}
					if w == 0 && at%(1<<20) == 0 {
						if err := d.Flush(); err != nil {
							t.Error(err)
						}
					}
					if err := d.ReadVec([][]byte{p}, at); err != nil || p[0] != byte(w+100) || p[unit-1] != byte(w+100) {
						t.Error("another's data is read", err)
					}
				}
			})
		}
		wg.Wait()
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := Check(t.Context(), s, false)
		if err != nil || !r.Sound() || r.Leaked != 0 || r.Clusters != size/8192 {
			t.Errorf("%v, %v", r, err)
		}
	}
}

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
	if err := d.Flush(); !errors.Is(err, unix.EIO) {
		t.Fatal(err)
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
	if r, err := Check(t.Context(), s, false); err != nil || !r.Sound() || r.Leaked != 0 || r.Clusters != 2 {
		t.Errorf("%v, %v", r, err)
	}
	// A store that is full.
	s.max = s.Size()
	d = open(t, s, Options{})
	if err := d.WriteVec([][]byte{p}, 65536); !errors.Is(err, unix.ENOSPC) {
		t.Error(err)
	}
	if err := d.WriteVec([][]byte{p}, 0); err != nil {
		t.Error(err)
	}
}

// TestHeader opens images that are none.
func TestHeader(t *testing.T) {
	le := binary.LittleEndian
	put32 := func(at int, v uint32) func([]byte) { return func(p []byte) { le.PutUint32(p[at:], v) } }
	put64 := func(at int, v uint64) func([]byte) { return func(p []byte) { le.PutUint64(p[at:], v) } }
	for name, test := range map[string]struct {
		change func([]byte)
		want   string
		is     error
	}{
		"magic":          {put32(0, 1), "does not begin with QED", ErrFormat},
		"small clusters": {put32(4, 2048), "clusters of 2048 bytes", ErrFormat},
		"large clusters": {put32(4, 128<<20), "clusters of 134217728 bytes", ErrFormat},
		"odd clusters":   {put32(4, 65535), "clusters of 65535 bytes", ErrFormat},
		"no table":       {put32(8, 0), "tables of 0 clusters", ErrFormat},
		"long table":     {put32(8, 32), "tables of 32 clusters", ErrFormat},
		"odd table":      {put32(8, 3), "tables of 3 clusters", ErrFormat},
		"no header":      {put32(12, 0), "a header of 0 clusters", ErrFormat},
		"long header":    {put32(12, math.MaxUint32), "a header of 4294967295 clusters", ErrFormat},
		"features":       {put64(16, 8), "QED features 0x8", ErrUnsupported},
		"L1 in header":   {put64(40, 0), "the L1 table is at 0x0", ErrFormat},
		"L1 unaligned":   {put64(40, 4097), "the L1 table is at 0x1001", ErrFormat},
		"L1 beyond":      {put64(40, 1<<63), "the L1 table is at 0x8000000000000000", ErrFormat},
		"L1 cut":         {put64(40, 8192), "the L1 table is at 0x2000", ErrFormat},
		"size":           {put64(48, 513), "the disk has 513 bytes", ErrFormat},
		"large":          {put64(48, 1<<40), "the disk has 1099511627776 bytes", ErrFormat},
		"backing length": {func(p []byte) { p[16] = 5; le.PutUint32(p[60:], 2000) }, "a name of 2000 bytes", ErrFormat},
		"backing place":  {func(p []byte) { p[16] = 5; le.PutUint32(p[56:], 4095); le.PutUint32(p[60:], 9) }, "a name of 9 bytes at 4095", ErrFormat},
		"backing zeroes": {func(p []byte) { p[16] = 5; le.PutUint32(p[56:], 64); le.PutUint32(p[60:], 9) }, "a byte 0", ErrFormat},
		"backing format": {func(p []byte) { p[16] = 1; copy(p[64:], "b"); le.PutUint32(p[56:], 64); le.PutUint32(p[60:], 1) }, "-F raw -b b", ErrUnsupported},
		"no backing":     {func(p []byte) { p[16] = 5; copy(p[64:], "b"); le.PutUint32(p[56:], 64); le.PutUint32(p[60:], 1) }, `"b", is not possible here`, ErrUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			s := newImage(t, CreateOptions{Size: 1 << 20, ClusterSize: 4096, TableSize: 1})
			test.change(s.data)
			before := slices.Clone(s.data)
			_, err := Open(t.Context(), s, Options{})
			if err == nil || !strings.Contains(err.Error(), test.want) || !errors.Is(err, test.is) {
				t.Errorf("%v", err)
			}
			if !bytes.Equal(s.data, before) {
				t.Error("the image was changed")
			}
		})
	}
	for _, n := range []int64{0, 63} {
		if _, err := Open(t.Context(), newStore(n, n), Options{}); !errors.Is(err, ErrFormat) {
			t.Error(err)
		}
	}
}

// TestEntries meets tables that make no sense.
func TestEntries(t *testing.T) {
	le := binary.LittleEndian
	for name, entry := range map[string]uint64{"header": 2, "unaligned": 4096*3 + 1, "beyond": 1 << 40, "far": 1 << 63, "in the header": 0x800} {
		for _, level := range []string{"L1", "L2"} {
			s := newImage(t, CreateOptions{Size: 1 << 20, ClusterSize: 4096, TableSize: 1})
			d := open(t, s, Options{})
			p := make([]byte, 512)
			if err := errors.Join(d.WriteVec([][]byte{p}, 0), d.Close()); err != nil {
				t.Fatal(err)
			}
			at := uint64(4096)
			if level == "L2" {
				at = le.Uint64(s.data[at:])
			}
			le.PutUint64(s.data[at:], entry)
			d = open(t, s, Options{})
			for _, err := range []error{d.ReadVec([][]byte{p}, 0), d.WriteVec([][]byte{p}, 0), d.WriteZeroes(0, 512, true)} {
				if !errors.Is(err, ErrCorrupt) || !errors.Is(err, unix.EIO) || !strings.Contains(err.Error(), level) {
					t.Errorf("%s, %s: %v", level, name, err)
				}
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
			// After a crash such an entry is cleared.
			s.data[offsetFeatures] |= featureNeedCheck
			d = open(t, s, Options{})
			if got := read(t, d, 0, 512); !bytes.Equal(got, make([]byte, 512)) {
				t.Error("not zeroes")
			}
			if s.data[offsetFeatures] != 0 {
				t.Error("the image still needs a check")
			}
		}
	}
}

// TestShared has two entries for a cluster: such an image is not written after a
// crash.
func TestShared(t *testing.T) {
	s := newImage(t, CreateOptions{Size: 1 << 20, ClusterSize: 4096, TableSize: 1})
	d := open(t, s, Options{})
	if err := errors.Join(d.WriteVec([][]byte{make([]byte, 512)}, 0), d.Close()); err != nil {
		t.Fatal(err)
	}
	at := binary.LittleEndian.Uint64(s.data[4096:])
	copy(s.data[at+8:], s.data[at:at+8])
	s.data[offsetFeatures] |= featureNeedCheck
	if _, err := Open(t.Context(), s, Options{}); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "1 shared") {
		t.Error(err)
	}
	open(t, s, Options{ReadOnly: true})
}

func TestReadOnly(t *testing.T) {
	s := newImage(t, CreateOptions{Size: 1 << 20})
	s.data[offsetFeatures] |= featureNeedCheck
	before := slices.Clone(s.data)
	d := open(t, s, Options{ReadOnly: true})
	p := [][]byte{make([]byte, 512)}
	for _, err := range []error{d.WriteVec(p, 0), d.WriteZeroes(0, 1, false), d.Discard(0, 1), d.Resize(2 << 20)} {
		if !errors.Is(err, block.ErrReadOnly) {
			t.Error(err)
		}
	}
	for _, err := range []error{d.ReadVec(p, 1<<20-511), d.ReadVec(p, -1), d.WriteVec(p, 1<<20), d.WriteZeroes(1, math.MaxInt64, true)} {
		if !errors.Is(err, block.ErrOutOfRange) {
			t.Error(err)
		}
	}
	if err := errors.Join(d.Flush(), d.Close()); err != nil || !bytes.Equal(s.data, before) {
		t.Error("a read-only image was changed", err)
	}
}

func TestResizeLimits(t *testing.T) {
	d := open(t, newImage(t, CreateOptions{Size: 1 << 20, ClusterSize: 4096, TableSize: 1}), Options{})
	for _, size := range []int64{0, 1<<20 - 512, 1<<20 + 1, 1<<30 + 512} {
		if err := d.Resize(size); err == nil {
			t.Errorf("resized to %d", size)
		}
	}
	if err := d.Resize(1 << 30); err != nil || d.Size() != 1<<30 {
		t.Error(err)
	}
}

// TestAllocations promises that requests whose tables are in memory allocate
// nothing.
func TestAllocations(t *testing.T) {
	s := newImage(t, CreateOptions{Size: 4 << 20})
	d := open(t, s, Options{})
	vec := [][]byte{make([]byte, 4096), make([]byte, 4096)}
	if err := d.WriteVec([][]byte{make([]byte, 4<<20)}, 0); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func() error{
		"read":  func() error { return d.ReadVec(vec, 65536-4096) },
		"write": func() error { return d.WriteVec(vec, 65536-4096) },
		"flush": d.Flush,
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
