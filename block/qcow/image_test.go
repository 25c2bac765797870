package qcow

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

	"github.com/klauspost/compress/flate"
	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/block"
	"github.com/govmm/govmm/block/crypt"
	"github.com/govmm/govmm/block/internal/storetest"
)

// builder writes an image.
type builder struct {
	header
	data []byte
	l2   map[int64]int64 // offsets of tables, by the index of their entry
}

// newBuilder begins an image of a disk, with clusters of 1 KiB and tables of 128
// entries.
func newBuilder(size int64, backing string) *builder {
	b := &builder{header: header{size: uint64(size), clusterBits: 10, tableBits: 7}, l2: make(map[int64]int64)}
	if backing != "" {
		b.backingOffset, b.backingSize = headerSize, uint32(len(backing))
	}
	b.l1 = uint64(headerSize+len(backing)+7) &^ 7
	b.data = make([]byte, int64(b.l1)+(size+1<<17-1)>>17*entrySize)
	copy(b.data[headerSize:], backing)
	return b
}

// align makes the image as long as whole clusters.
func (b *builder) align() { b.data = append(b.data, make([]byte, -len(b.data)&1023)...) }

// put makes an entry for a cluster of the disk.
func (b *builder) put(number int64, entry uint64) {
	table, ok := b.l2[number>>7]
	if !ok {
		b.align()
		table = int64(len(b.data))
		b.l2[number>>7] = table
		binary.BigEndian.PutUint64(b.data[int64(b.l1)+number>>7*entrySize:], uint64(table))
		b.data = append(b.data, make([]byte, 1024)...)
	}
	binary.BigEndian.PutUint64(b.data[table+number&127*entrySize:], entry)
}

// cluster writes a cluster of the disk.
func (b *builder) cluster(number int64, p []byte, cipher *crypt.Cipher) {
	b.align()
	at := len(b.data)
	b.data = append(b.data, p...)
	if cipher != nil {
		cipher.Encrypt(b.data[at:], b.data[at:], uint64(number)*2)
	}
	b.put(number, uint64(at))
}

// pack writes a cluster of the disk compressed.
func (b *builder) pack(number int64, p []byte) {
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, 9) // the level is a valid one
	_, _ = w.Write(p)
	_ = w.Close()
	if out.Len() >= 1024 {
		b.cluster(number, p, nil)
		return
	}
	at := len(b.data)
	b.data = append(b.data, out.Bytes()...)
	b.put(number, compressed|uint64(out.Len())<<53|uint64(at))
}

// store is the whole image, as it lies in a file.
func (b *builder) store() *storetest.Store {
	be := binary.BigEndian
	be.PutUint32(b.data[0:], magic)
	be.PutUint32(b.data[4:], version)
	be.PutUint64(b.data[8:], b.backingOffset)
	be.PutUint32(b.data[16:], b.backingSize)
	be.PutUint64(b.data[24:], b.size)
	b.data[32], b.data[33] = b.clusterBits, b.tableBits
	be.PutUint32(b.data[36:], b.crypt)
	be.PutUint64(b.data[40:], b.l1)
	b.align()
	return &storetest.Store{Data: b.data, Sealed: true}
}

func noise(rng *rand.Rand, n int64) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(rng.Uint32())
	}
	return p
}

func withBacking(data []byte) func(context.Context, string) (block.Layer, error) {
	return func(context.Context, string) (block.Layer, error) {
		return &storetest.Store{Data: data, Sealed: true}, nil
	}
}

// TestModel compares random images with arrays.
func TestModel(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 1))
		size := (1 + rng.Int64N(1<<20)) &^ 511
		if size < 2 {
			continue
		}
		model := make([]byte, (size+1023)&^1023)
		var o Options
		name := ""
		if seed%2 == 1 {
			backing := noise(rng, (1+rng.Int64N(1<<20))&^511)
			copy(model[:size], backing)
			name, o.Backing = "backing", withBacking(backing)
		}
		b := newBuilder(size, name)
		var cipher *crypt.Cipher
		if seed%4 >= 2 {
			o.Passphrase = []byte("secret")
			b.crypt = cryptAES
			var err error
			if cipher, err = crypt.Legacy(o.Passphrase); err != nil {
				t.Fatal(err)
			}
		}
		for number := int64(0); number<<10 < size; number++ {
			p := model[number<<10:][:1024]
			switch rng.IntN(6) {
			case 0:
				copy(p, noise(rng, 1024))
				b.cluster(number, p, cipher)
			case 1:
				copy(p, bytes.Repeat(noise(rng, 16), 64))
				b.pack(number, p)
				if cipher != nil {
					continue
				}
			case 2:
				for ; number<<10 < size && rng.IntN(8) != 0; number++ {
					p := model[number<<10:][:1024]
					copy(p, noise(rng, 1024))
					b.cluster(number, p, cipher)
				}
			}
		}
		model = model[:size]
		d, err := Open(t.Context(), b.store(), o)
		if err != nil {
			t.Fatal(err)
		}
		if d.Size() != size {
			t.Fatalf("a size of %d, not %d", d.Size(), size)
		}
		for range 200 {
			offset := rng.Int64N(size)
			got := make([]byte, min(size-offset, 1+rng.Int64N(1<<(1+rng.IntN(18)))))
			vec := [][]byte{got[:len(got)/3], got[len(got)/3:]}
			if !d.TryReadVec(vec, offset) {
				if err := d.ReadVec(vec, offset); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(got, model[offset:][:len(got)]) {
				t.Fatalf("seed %d: %d bytes at %d differ", seed, len(got), offset)
			}
		}
		for pos := int64(0); pos < size; {
			e, err := d.Map(pos, size-pos)
			if err != nil || e.Length <= 0 {
				t.Fatalf("Map: %+v, %v", e, err)
			}
			if e.Zero && slices.ContainsFunc(model[pos:pos+e.Length], func(b byte) bool { return b != 0 }) {
				t.Fatalf("Map calls %d bytes at %d zeroes", e.Length, pos)
			}
			pos += e.Length
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestHeader opens images that are none.
func TestHeader(t *testing.T) {
	be := binary.BigEndian
	put32 := func(at int, v uint32) func([]byte) { return func(p []byte) { be.PutUint32(p[at:], v) } }
	put64 := func(at int, v uint64) func([]byte) { return func(p []byte) { be.PutUint64(p[at:], v) } }
	for name, test := range map[string]struct {
		change func([]byte)
		want   string
	}{
		"magic":             {put32(0, 1), "does not begin with QFI"},
		"version":           {put32(4, 2), "version is 2"},
		"no disk":           {put64(24, 1), "a disk of 1 bytes"},
		"huge":              {put64(24, math.MaxUint64), "a disk of"},
		"larger than L1":    {put64(24, 1<<40), "an L1 table of 67108864 bytes"},
		"small clusters":    {func(p []byte) { p[32] = 8 }, "clusters of 2^8"},
		"large clusters":    {func(p []byte) { p[32] = 17 }, "clusters of 2^17"},
		"small tables":      {func(p []byte) { p[33] = 5 }, "tables of 2^5"},
		"large tables":      {func(p []byte) { p[33] = 255 }, "tables of 2^255"},
		"encryption":        {put32(36, 2), "has the number 2"},
		"encrypted":         {put32(36, 1), "needs a passphrase"},
		"L1 in header":      {put64(40, 40), "is at 0x28"},
		"L1 unaligned":      {put64(40, 49), "is at 0x31"},
		"L1 beyond":         {put64(40, 1<<63), "is at 0x8000000000000000"},
		"backing":           {func(p []byte) { be.PutUint64(p[8:], 48); be.PutUint32(p[16:], 1); p[48] = 'b' }, `"b", is not possible here`},
		"backing length":    {func(p []byte) { be.PutUint64(p[8:], 48); be.PutUint32(p[16:], 1024) }, "a name of 1024 bytes"},
		"backing nothing":   {put64(8, 48), "a name of 0 bytes"},
		"backing beyond":    {func(p []byte) { be.PutUint64(p[8:], 1<<63); be.PutUint32(p[16:], 9) }, "a name of 9 bytes"},
		"backing zeroes":    {func(p []byte) { be.PutUint64(p[8:], 100); be.PutUint32(p[16:], 9) }, "a byte 0"},
		"backing no letter": {func(p []byte) { be.PutUint64(p[8:], 48); be.PutUint32(p[16:], 1); p[48] = 0xFF }, "not UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newBuilder(1<<20, "").store()
			test.change(s.Data)
			if _, err := Open(t.Context(), s, Options{}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v", err)
			}
		})
	}
	if _, err := Open(t.Context(), newBuilder(1<<20, "").store(), Options{Passphrase: []byte("x")}); !errors.Is(err, ErrEncrypted) {
		t.Error(err)
	}
	for _, n := range []int64{0, 47} {
		if _, err := Open(t.Context(), storetest.New(n, n), Options{}); !errors.Is(err, ErrFormat) {
			t.Error(err)
		}
	}
}

// TestEntries meets tables that make no sense.
func TestEntries(t *testing.T) {
	for name, entry := range map[string]uint64{
		"header": 47, "beyond": 1 << 40, "far": 1<<63 - 1, "packed beyond": 1<<63 | 1<<40, "packed nothing": 1<<63 | 48, "packed noise": 1<<63 | 100<<53 | 2048,
	} {
		b := newBuilder(1<<20, "")
		b.cluster(0, bytes.Repeat([]byte{7}, 1024), nil)
		b.put(1, entry)
		d, err := Open(t.Context(), b.store(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		p := make([]byte, 1024)
		if err := d.ReadVec([][]byte{p}, 0); err != nil || p[0] != 7 {
			t.Errorf("%s: %v", name, err)
		}
		if err := d.ReadVec([][]byte{p}, 1024); !errors.Is(err, ErrCorrupt) || !errors.Is(err, unix.EIO) {
			t.Errorf("%s: %v", name, err)
		}
		for _, table := range []uint64{47, 49, 1 << 40, 1 << 63} {
			binary.BigEndian.PutUint64(b.data[b.l1:], table)
			d, err := Open(t.Context(), b.store(), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := d.ReadVec([][]byte{p}, 0); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "L1") {
				t.Errorf("%#x: %v", table, err)
			}
		}
	}
}

func TestReadOnly(t *testing.T) {
	d, err := Open(t.Context(), newBuilder(1<<20, "").store(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := [][]byte{make([]byte, 512)}
	for _, err := range []error{d.WriteVec(p, 0), d.WriteZeroes(0, 1, false), d.Discard(0, 1)} {
		if !errors.Is(err, block.ErrReadOnly) {
			t.Error(err)
		}
	}
	for _, err := range []error{d.ReadVec(p, 1<<20-511), d.ReadVec(p, -1)} {
		if !errors.Is(err, block.ErrOutOfRange) {
			t.Error(err)
		}
	}
}

// TestParallel reads with a small cache from several goroutines.
func TestParallel(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	b := newBuilder(1<<20, "")
	model := make([]byte, 1<<20)
	for number := range int64(1 << 10) {
		p := model[number<<10:][:1024]
		copy(p, bytes.Repeat(noise(rng, 64), 16))
		b.pack(number, p)
	}
	d, err := Open(t.Context(), b.store(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range uint64(4) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(w, 3))
			for range 500 {
				offset := rng.Int64N(1<<20 - 5000)
				got := make([]byte, 5000)
				if err := d.ReadVec([][]byte{got}, offset); err != nil || !bytes.Equal(got, model[offset:][:5000]) {
					t.Error("other data", err)
				}
			}
		})
	}
	wg.Wait()
}

// TestAllocations promises that reads whose tables are in memory allocate nothing,
// of encrypted data likewise.
func TestAllocations(t *testing.T) {
	for _, passphrase := range [][]byte{nil, []byte("x")} {
		b := newBuilder(1<<16, "")
		for number := range int64(64) {
			b.cluster(number, make([]byte, 1024), nil)
		}
		if passphrase != nil {
			b.crypt = cryptAES
		}
		d, err := Open(t.Context(), b.store(), Options{Passphrase: passphrase})
		if err != nil {
			t.Fatal(err)
		}
		vec := [][]byte{make([]byte, 4096), make([]byte, 4096)}
		read := func() {
			if err := d.ReadVec(vec, 1024); err != nil {
				t.Fatal(err)
			}
		}
		read()
		if n := testing.AllocsPerRun(100, read); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
}

// FuzzImage opens any bytes as an image, and reads what opens.
func FuzzImage(f *testing.F) {
	b := newBuilder(1<<20, "backing")
	b.cluster(3, bytes.Repeat([]byte{7}, 1024), nil)
	b.pack(5, bytes.Repeat([]byte{8}, 1024))
	f.Add(b.store().Data, uint64(3000), uint16(5000), false)
	b.crypt = cryptAES
	f.Add(bytes.Clone(b.store().Data), uint64(3001), uint16(1000), true)
	f.Fuzz(func(t *testing.T, image []byte, offset uint64, length uint16, encrypted bool) {
		o := Options{Backing: withBacking(make([]byte, 5000))}
		if encrypted {
			o.Passphrase = []byte("x")
		}
		s := &storetest.Store{Data: image, Sealed: true}
		_, _ = ReadInfo(s)
		d, err := Open(t.Context(), s, o)
		if err != nil {
			return
		}
		if d.Size() > 0 {
			offset %= uint64(d.Size())
		}
		p := make([]byte, max(0, min(int64(length), d.Size()-int64(offset))))
		_ = d.ReadVec([][]byte{p}, int64(offset))
		_ = d.TryReadVec([][]byte{p}, int64(offset))
		if len(p) > 0 {
			if e, err := d.Map(int64(offset), int64(len(p))); err == nil && (e.Length <= 0 || e.Length > int64(len(p))) {
				t.Errorf("an extent of %d bytes", e.Length)
			}
		}
		_ = d.Close()
	})
}
