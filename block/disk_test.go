package block

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// openLayered opens a file as a Disk over a Layer.
func openLayered(tb testing.TB, o Options) *Disk {
	tb.Helper()
	f, err := OpenFile(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	d := NewDisk(f, DiskOptions{Name: o.Path, WriteThrough: o.Cache == CacheWritethrough})
	tb.Cleanup(func() {
		if err := d.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return d
}

// TestDiskAgainstModel does to a Disk what TestAgainstModel does to a Raw.
func TestDiskAgainstModel(t *testing.T) {
	for _, kind := range disks() {
		for _, cache := range []Cache{CacheNone, CacheWritethrough, CacheWriteback} {
			t.Run(fmt.Sprintf("%s/%v", kind.name, cache), func(t *testing.T) {
				path := kind.make(t)
				d := openLayered(t, Options{Path: path, Cache: cache})
				if d.Size() != kind.size {
					t.Fatalf("size is %d, want %d", d.Size(), kind.size)
				}
				m := newModel(t, d, readFile(t, path, kind.size))
				m.randomly(t, 100)
				if err := FlushAll(d); err != nil {
					t.Fatal(err)
				}
				firstDifference(t, readFile(t, path, kind.size), m.want)
			})
		}
	}
}

// A write to a disk without a write cache is durable when it is complete.
func TestDiskDurable(t *testing.T) {
	const size = 1 << 20
	file := makeImage(t, t.TempDir(), size)
	want := pattern(size)
	d := openLayered(t, Options{Path: loopDevice(t, file, 4096, false), Cache: CacheWritethrough})
	if d.WriteCache() {
		t.Error("cache=writethrough has a write cache")
	}
	for i, r := range []*Request{
		{Op: Write, Offset: 4096, Vec: [][]byte{bytes.Repeat([]byte{0xAA}, 8192)}},
		{Op: WriteZeroes, Offset: 200*1024 + 512, Length: 16 << 10},
	} {
		if err := d.Do(r); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		if r.Op == Write {
			copy(want[r.Offset:], r.Vec[0])
		} else {
			clear(want[r.Offset : r.Offset+r.Length])
		}
		firstDifference(t, readFile(t, file, size), want)
	}
	if err := d.SetWriteCache(true); err != nil {
		t.Fatal(err)
	}
	if err := WriteAt(d, bytes.Repeat([]byte{0xCC}, 4096), 512<<10); err != nil {
		t.Fatal(err)
	}
	if err := d.SetWriteCache(false); err != nil {
		t.Fatal(err)
	}
	if got := readFile(t, file, size); got[512<<10] != 0xCC {
		t.Error("turning the write cache off did not make durable what was written")
	}
}

func TestDiskRefuses(t *testing.T) {
	path := makeImage(t, t.TempDir(), 64<<10)
	d := openLayered(t, Options{Path: path, ReadOnly: true})
	for _, r := range []*Request{
		{Op: Write, Vec: [][]byte{make([]byte, 512)}}, {Op: Discard, Length: 512}, {Op: WriteZeroes, Length: 512},
	} {
		if err := d.Do(r); !errors.Is(err, ErrReadOnly) {
			t.Errorf("%v of a read-only disk: %v", r.Op, err)
		}
	}
	if err := FlushAll(d); err != nil {
		t.Errorf("flush of a read-only disk: %v", err)
	}
	if err := ReadAt(d, make([]byte, 512), 64<<10); !errors.Is(err, ErrOutOfRange) {
		t.Errorf("read beyond the end: %v", err)
	}
	if err := d.Do(&Request{Op: 9}); !errors.Is(err, unix.EINVAL) {
		t.Errorf("unknown operation: %v", err)
	}
	if err := d.Resize(128 << 10); !errors.Is(err, ErrReadOnly) {
		t.Errorf("resize of a read-only disk: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if err := ReadAt(d, make([]byte, 512), 0); !errors.Is(err, ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
	if _, err := d.NewQueue(QueueOptions{Completed: func([]*Request) {}}); !errors.Is(err, ErrClosed) {
		t.Errorf("queue after Close: %v", err)
	}
	if err := d.Refresh(); !errors.Is(err, ErrClosed) {
		t.Errorf("refresh after Close: %v", err)
	}
}

func TestDiskResize(t *testing.T) {
	path := makeImage(t, t.TempDir(), 64<<10)
	for _, cache := range []Cache{CacheNone, CacheWriteback} {
		d := openLayered(t, Options{Path: path, Cache: cache, Shareable: true})
		var told []int64
		d.OnResize(func(size int64) { told = append(told, size) })
		for _, size := range []int64{128 << 10, 128 << 10, 96<<10 + 512, 64 << 10} {
			if err := d.Resize(size); err != nil {
				t.Fatal(err)
			}
			if d.Size() != size {
				t.Errorf("size is %d, want %d", d.Size(), size)
			}
			if err := WriteAt(d, make([]byte, 512), size-512); err != nil {
				t.Error(err)
			}
		}
		if err := os.Truncate(path, 32<<10); err != nil {
			t.Fatal(err)
		}
		if err := d.Refresh(); err != nil {
			t.Fatal(err)
		}
		if want := []int64{128 << 10, 96<<10 + 512, 64 << 10, 32 << 10}; fmt.Sprint(told) != fmt.Sprint(want) {
			t.Errorf("told of %v, want %v", told, want)
		}
		if err := d.Resize(64 << 10); err != nil {
			t.Fatal(err)
		}
		if err := d.Resize(1000); err == nil {
			t.Error("a size of no whole sectors was taken")
		}
	}
	dev := openLayered(t, Options{Path: loopDevice(t, path, 512, false)})
	if err := dev.Resize(1 << 20); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a device grew: %v", err)
	}
}

func TestDiskNoAllocations(t *testing.T) {
	path := makeImage(t, t.TempDir(), 1<<20)
	for _, cache := range []Cache{CacheNone, CacheWriteback} {
		for _, inline := range []bool{false, true} {
			d := openLayered(t, Options{Path: path, Cache: cache, Shareable: true})
			w := newWaiter(t, d, inline)
			mem := pages(t, 64<<10)
			var batch []*Request
			for i := range 6 {
				batch = append(batch, &Request{Op: Op(i % 3), Offset: int64(i) * 8192, Vec: [][]byte{mem[i*8192:][:4096]}})
			}
			all := func() {
				w.do(batch)
				for _, r := range batch {
					if r.Err != nil {
						t.Fatal(r.Err)
					}
				}
			}
			for range 50 {
				all()
			}
			// The pool may be emptied by a garbage collection.
			if n := testing.AllocsPerRun(50, all); n > 1 {
				t.Errorf("%v, inline %v: %v allocations for %d requests", cache, inline, n, len(batch))
			}
		}
	}
}

func TestFileMap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sparse.img")
	if err := os.WriteFile(path, pattern(64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 1<<20); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFile(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, tt := range []struct {
		offset, length int64
		want           Extent
	}{
		{0, 1 << 20, Extent{Length: 64 << 10, Allocated: true}},
		{4096, 4096, Extent{Length: 4096, Allocated: true}},
		{64 << 10, 4096, Extent{Length: 4096, Zero: true}},
		{128 << 10, 896 << 10, Extent{Length: 896 << 10, Zero: true}},
	} {
		if got, err := f.Map(tt.offset, tt.length); err != nil || got != tt.want {
			t.Errorf("%d bytes at %d: %+v, %v, want %+v", tt.length, tt.offset, got, err, tt.want)
		}
	}
	if _, err := f.Map(1<<20, 1); !errors.Is(err, ErrOutOfRange) {
		t.Errorf("beyond the end: %v", err)
	}
}
