package bochs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/internal/storetest"
)

const maxStore = 64 << 20

// newImage creates an image in a store.
func newImage(tb testing.TB, size int64) *storetest.Store {
	tb.Helper()
	s := storetest.New(0, maxStore)
	if err := Create(tb.Context(), s, CreateOptions{Size: size}); err != nil {
		tb.Fatal(err)
	}
	return s
}

// shaped is an image of another layout than Create makes.
func shaped(rng *rand.Rand, size int64) *storetest.Store {
	h := header{version: version1 << rng.IntN(2), headerSize: uint32(512 << rng.IntN(2)), extent: 512 << rng.IntN(8), size: uint64(size)}
	h.bitmap = max(h.extent/sectorSize/8, 1) + uint32(rng.IntN(600))
	h.catalog = uint32(size/int64(h.extent)) + 1 + uint32(rng.IntN(200))
	p := append(h.encode(), make([]byte, h.headerSize-headerSize)...)
	return &storetest.Store{Data: append(p, bytes.Repeat([]byte{0xFF}, int(h.catalog)*entrySize)...), Max: maxStore}
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
func pieces(rng *rand.Rand, p []byte) (list [][]byte) {
	for len(p) > 0 && len(list) < 8 {
		n := 1 + rng.IntN(len(p))
		list, p = append(list, p[:n]), p[n:]
	}
	return append(list, p)
}

// TestModel compares an image with an array through random operations.
func TestModel(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 1))
		size := int64(1+rng.IntN(4<<20)) &^ 511
		model := make([]byte, size)
		s, options := newImage(t, size), Options{}
		if seed%2 == 1 {
			s = shaped(rng, size)
		}
		if seed%3 == 2 { // a device: of a fixed length, with something in it
			s.Data = append(s.Data, noise(rng, 20<<20)...)
			s.Fixed, options.Fixed = true, true
		}
		d := open(t, s, options)
		for step := range 300 {
			offset := rng.Int64N(int64(len(model)) + 1)
			n := min(int64(len(model))-offset, 1+rng.Int64N(int64(1)<<(1+rng.IntN(18))))
			switch op := rng.IntN(20); {
			case op < 8:
				p := noise(rng, n)
				copy(model[offset:], p)
				if err := d.WriteVec(pieces(rng, p), offset); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
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
			case op < 15:
				if more := min(512*rng.Int64N(64), d.maxSize()-d.Size()); more >= 0 {
					model = append(model, make([]byte, more)...)
					if err := d.Resize(int64(len(model))); err != nil {
						t.Fatal(err)
					}
				}
			case op < 16:
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				r, err := Check(t.Context(), s, false)
				if err != nil || !r.Sound() || r.Leaked != 0 && !s.Fixed {
					t.Fatalf("seed %d, step %d: %v, %v", seed, step, r, err)
				}
				d = open(t, s, options)
			default:
				got := make([]byte, n)
				if list := pieces(rng, got); !d.TryReadVec(list, offset) {
					if err := d.ReadVec(list, offset); err != nil {
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
// told to flush written. What was flushed is there, and the catalog makes sense.
func TestCrash(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 2))
		size := int64(2 << 20)
		s := newImage(t, size)
		if seed%2 == 1 {
			s = shaped(rng, size)
		}
		if seed%3 == 0 { // an image that another process has left longer than it is
			s.Data = append(s.Data, noise(rng, 100_000)...)
		}
		s.Durable = slices.Clone(s.Data)
		d := open(t, s, Options{})
		d.bitmaps.max = minCached
		flushed := make([]byte, size)
		// A sector may have any content that was written since the last flush.
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
		after := s.Crash(rng)
		d = open(t, after, Options{})
		got := read(t, d, 0, size)
		for at := int64(0); at < size; at += 512 {
			if got[at] != flushed[at] && !bytes.Contains(may[at], got[at:at+1]) {
				t.Fatalf("seed %d: at %d is %#x, flushed was %#x, later %#x", seed, at, got[at], flushed[at], may[at])
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if r, err := Check(t.Context(), after, true); err != nil || !r.Sound() {
			t.Fatalf("seed %d: %v, %v", seed, r, err)
		}
	}
}

// TestParallel writes to parts of sectors and extents that are new to all.
func TestParallel(t *testing.T) {
	const size, unit = 2 << 20, 256
	s := newImage(t, size)
	d := open(t, s, Options{})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			p := bytes.Repeat([]byte{byte(w + 100)}, unit)
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
			}
		})
	}
	wg.Wait()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, s, Options{})
	for at := int64(0); at < size; at += unit {
		if got := read(t, d, at, 1)[0]; got != byte(at/unit%8+100) {
			t.Fatalf("at %d is %d", at, got)
		}
	}
}

func TestWriteFails(t *testing.T) {
	s := newImage(t, 1<<20)
	d := open(t, s, Options{})
	p := bytes.Repeat([]byte{1}, 4096)
	if err := d.WriteVec([][]byte{p}, 0); err != nil {
		t.Fatal(err)
	}
	s.Fail = unix.EIO
	for range 200 {
		if err := d.WriteVec([][]byte{p}, 8192); !errors.Is(err, unix.EIO) {
			t.Fatal(err)
		}
	}
	if err := d.Flush(); !errors.Is(err, unix.EIO) {
		t.Fatal(err)
	}
	s.Fail = nil
	if err := d.WriteVec([][]byte{p[:100]}, 8192+200); err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 4096)
	copy(want[200:], p[:100])
	if got := read(t, d, 8192, 4096); !bytes.Equal(got, want) {
		t.Error("the rest of a sector has what a failed write left")
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := Check(t.Context(), s, false); err != nil || !r.Sound() || r.Leaked != 0 || r.Extents != 2 {
		t.Errorf("%v, %v", r, err)
	}
	// A store that is full.
	s.Max = s.Size()
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
	put := func(at int, v uint32) func([]byte) {
		return func(p []byte) { binary.LittleEndian.PutUint32(p[at:], v) }
	}
	for name, test := range map[string]struct {
		change func([]byte)
		want   string
	}{
		"magic":            {func(p []byte) { p[0] = 'b' }, `"bochs Virtual HD Image" where`},
		"type":             {func(p []byte) { copy(p[32:], "redolog") }, `"Redolog" should be`},
		"subtype":          {func(p []byte) { copy(p[48:], "Undoable") }, `"Undoable"`},
		"version":          {put(64, 0x30000), "version 0x30000"},
		"short header":     {put(68, 511), "a header of 511 bytes"},
		"long header":      {put(68, math.MaxUint32), "a header of 4294967295 bytes"},
		"no catalog":       {put(72, 0), "a catalog of 0 entries"},
		"long catalog":     {put(72, 1<<20+1), "a catalog of 1048577 entries"},
		"catalog cut":      {put(72, 513), "the catalog ends at 2564"},
		"no bitmap":        {put(76, 0), "bitmaps of 0 bytes"},
		"long bitmap":      {put(76, math.MaxUint32), "bitmaps of 4294967295 bytes"},
		"short bitmap":     {put(80, 8192), "bitmaps of 1 bytes for extents of 8192"},
		"no extent":        {put(80, 0), "extents of 0 bytes"},
		"odd extent":       {put(80, 4095), "extents of 4095 bytes"},
		"long extent":      {put(80, 16<<20), "extents of 16777216 bytes"},
		"large":            {put(92, 1), "a catalog for 2097152"},
		"larger than ever": {put(92, math.MaxUint32), "a catalog for 2097152"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newImage(t, 1<<20)
			test.change(s.Data)
			before := slices.Clone(s.Data)
			_, err := Open(t.Context(), s, Options{})
			if err == nil || !strings.Contains(err.Error(), test.want) || !errors.Is(err, ErrFormat) {
				t.Errorf("%v", err)
			}
			if !bytes.Equal(s.Data, before) {
				t.Error("the image was changed")
			}
		})
	}
	for _, n := range []int64{0, 511} {
		if _, err := Open(t.Context(), storetest.New(n, n), Options{}); !errors.Is(err, ErrFormat) {
			t.Error(err)
		}
	}
}

// TestCatalog meets entries that make no sense: such an image is read as far as it
// does, and not written.
func TestCatalog(t *testing.T) {
	for name, entry := range map[string]uint32{"beyond": 2, "far": absent - 1, "shared": 0} {
		s := newImage(t, 1<<20)
		d := open(t, s, Options{})
		p := bytes.Repeat([]byte{7}, 512)
		if err := errors.Join(d.WriteVec([][]byte{p}, 0), d.WriteVec([][]byte{p}, 4096), d.Close()); err != nil {
			t.Fatal(err)
		}
		binary.LittleEndian.PutUint32(s.Data[headerSize+4:], entry)
		if _, err := Open(t.Context(), s, Options{}); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "read-only") {
			t.Errorf("%s: %v", name, err)
		}
		d = open(t, s, Options{ReadOnly: true})
		if got := read(t, d, 0, 512); !bytes.Equal(got, p) {
			t.Errorf("%s: the first extent differs", name)
		}
		err := d.ReadVec([][]byte{p}, 4096)
		if name != "shared" && (!errors.Is(err, ErrCorrupt) || !errors.Is(err, unix.EIO)) {
			t.Errorf("%s: %v", name, err)
		}
		if r, err := Check(t.Context(), s, true); err != nil || r.Sound() || r.Invalid+r.Shared != 1 {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
}

func TestReadOnly(t *testing.T) {
	s := newImage(t, 1<<20)
	before := slices.Clone(s.Data)
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
	if err := errors.Join(d.Flush(), d.Close()); err != nil || !bytes.Equal(s.Data, before) {
		t.Error("a read-only image was changed", err)
	}
}

func TestSizes(t *testing.T) {
	for _, size := range []int64{-512, 1, MaxSize + 512} {
		if err := Create(t.Context(), storetest.New(0, maxStore), CreateOptions{Size: size}); err == nil {
			t.Errorf("an image of %d bytes", size)
		}
	}
	i, err := ReadInfo(newImage(t, MaxSize))
	if err != nil || i != (Info{Size: MaxSize, MaxSize: MaxSize, ExtentSize: MaxExtentSize}) {
		t.Errorf("%+v, %v", i, err)
	}
	d := open(t, newImage(t, 1<<20), Options{})
	for _, size := range []int64{0, 1<<20 - 512, 1<<20 + 1, 2<<20 + 512} {
		if err := d.Resize(size); err == nil {
			t.Errorf("resized to %d", size)
		}
	}
}

// TestAllocations promises that requests whose bitmaps are in memory allocate
// nothing.
func TestAllocations(t *testing.T) {
	d := open(t, newImage(t, 4<<20), Options{})
	list := [][]byte{make([]byte, 4096), make([]byte, 4096)}
	if err := d.WriteVec([][]byte{make([]byte, 4<<20)}, 0); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func() error{
		"read":  func() error { return d.ReadVec(list, 65536-4096) },
		"write": func() error { return d.WriteVec(list, 65536-4096) },
		"flush": d.Flush,
	} {
		if err := f(); err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() {
			if err := f(); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestBitmapRun(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	c := &bitmaps{words: 4}
	for range 200 {
		b := c.fresh(0)
		var model [256]bool
		for range rng.IntN(6) {
			from := rng.Int64N(256)
			end := from + rng.Int64N(257-from)
			b.set(from, end)
			for i := from; i < end; i++ {
				model[i] = true
			}
		}
		from := rng.Int64N(256)
		end := from + 1 + rng.Int64N(256-from)
		want := from
		for want < end && model[want] == model[from] {
			want++
		}
		if written, n := b.run(from, end); written != model[from] || n != want-from {
			t.Fatalf("from %d to %d: %v, %d, not %v, %d", from, end, written, n, model[from], want-from)
		}
	}
}

// FuzzImage opens any bytes as an image, and reads and writes what opens.
func FuzzImage(f *testing.F) {
	s := newImage(f, 1<<20)
	d := open(f, s, Options{})
	if err := errors.Join(d.WriteVec([][]byte{bytes.Repeat([]byte{1}, 9000)}, 5000), d.Close()); err != nil {
		f.Fatal(err)
	}
	f.Add(s.Data, uint64(5000), uint16(9000), false)
	f.Add(shaped(rand.New(rand.NewPCG(1, 1)), 1<<16).Data, uint64(5000), uint16(9000), true)
	f.Fuzz(func(t *testing.T, image []byte, offset uint64, length uint16, fixed bool) {
		const most = 1 << 20
		if len(image) > most {
			return
		}
		s := &storetest.Store{Data: bytes.Clone(image), Max: most, Fixed: fixed}
		for _, readOnly := range []bool{true, false} {
			d, err := Open(t.Context(), s, Options{ReadOnly: readOnly, Fixed: fixed})
			if err != nil {
				continue
			}
			at := offset
			if d.Size() > 0 {
				at %= uint64(d.Size())
			}
			p := bytes.Repeat([]byte{0xA5}, int(max(0, min(int64(length), d.Size()-int64(at)))))
			list := [][]byte{p}
			if d.ReadVec(list, int64(at)) == nil && d.TryReadVec(list, int64(at)) {
				clear(p)
			}
			_ = d.WriteVec(list, int64(at))
			_ = d.WriteZeroes(int64(at), int64(len(p)), true)
			_ = d.Resize(min(d.Size()+4096, d.maxSize()))
			if len(p) > 0 {
				_, _ = d.Map(int64(at), int64(len(p)))
			}
			_ = d.Flush()
			_ = d.Close()
		}
		if s.Size() > most {
			t.Error("the store grew beyond its limit")
		}
		_, _ = Check(t.Context(), s, true)
	})
}

func BenchmarkImage(b *testing.B) {
	d := open(b, newImage(b, 16<<20), Options{})
	p := make([]byte, 4096)
	if err := d.WriteVec([][]byte{make([]byte, 16<<20)}, 0); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	list := [][]byte{p}
	for n := int64(0); b.Loop(); n++ {
		if err := d.ReadVec(list, n*12288%(16<<20-4096)); err != nil {
			b.Fatal(err)
		}
	}
}
