package block

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	onRamfs := makeImage(t, mount(t, "ramfs", ""), 4096)
	readOnlyLoop := loopDevice(t, makeImage(t, dir, 1<<20), 512, true)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		o    Options
		is   error
		says string
	}{
		{"missing", t.Context(), Options{Path: filepath.Join(dir, "none.img")}, unix.ENOENT, "none.img"},
		{"folder", t.Context(), Options{Path: dir}, nil, "is a directory"},
		{"FIFO", t.Context(), Options{Path: fifo}, nil, "neither a file nor a block device"},
		{"character device", t.Context(), Options{Path: "/dev/null"}, nil, "neither a file nor a block device"},
		{"no O_DIRECT", t.Context(), Options{Path: onRamfs, Cache: CacheNone}, ErrNoDirectIO, "(ramfs); use another cache mode"},
		{"read-only device", t.Context(), Options{Path: readOnlyLoop}, nil, "<readonly/>"},
		{"canceled", canceled, Options{Path: onRamfs}, context.Canceled, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fds := openFiles(t)
			d, err := Open(tt.ctx, tt.o)
			if err == nil {
				d.Close()
				t.Fatal("opened")
			}
			if tt.is != nil && !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error is %q, want %q in it", err, tt.says)
			}
			if n := openFiles(t); n != fds {
				t.Errorf("%d files open, %d before", n, fds)
			}
		})
	}
}

// openFiles counts the descriptors of this process.
func openFiles(tb testing.TB) int {
	tb.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		tb.Fatal(err)
	}
	return len(entries)
}

func TestRefusedRequests(t *testing.T) {
	const size = 64 << 10
	path := makeImage(t, t.TempDir(), size)
	for _, engine := range []Engine{EngineThreads, EngineNative} {
		writable := openDisk(t, Options{Path: path, Engine: engine, Shareable: true})
		readOnly := openDisk(t, Options{Path: path, Engine: engine, ReadOnly: true, Shareable: true, Cache: CacheNone})
		closed, err := Open(t.Context(), Options{Path: path, Engine: engine, Shareable: true})
		if err != nil {
			t.Fatal(err)
		}
		sector := [][]byte{make([]byte, 512)}
		for _, tt := range []struct {
			name string
			d    *Raw
			r    Request
			want error
		}{
			{"read at the end", writable, Request{Op: Read, Offset: size, Vec: sector}, ErrOutOfRange},
			{"read over the end", writable, Request{Op: Read, Offset: size - 511, Vec: sector}, ErrOutOfRange},
			{"read before the start", writable, Request{Op: Read, Offset: -1, Vec: sector}, ErrOutOfRange},
			{"write far away", writable, Request{Op: Write, Offset: math.MaxInt64, Vec: sector}, ErrOutOfRange},
			{"discard too much", writable, Request{Op: Discard, Offset: 1, Length: size}, ErrOutOfRange},
			{"discard less than nothing", writable, Request{Op: Discard, Offset: 1, Length: -1}, ErrOutOfRange},
			{"zero beyond int64", writable, Request{Op: WriteZeroes, Offset: size, Length: math.MaxInt64}, ErrOutOfRange},
			{"unknown", writable, Request{Op: 77}, unix.EINVAL},
			{"nothing at the end", writable, Request{Op: Read, Offset: size}, nil},
			{"no zeroes", writable, Request{Op: WriteZeroes, Offset: size}, nil},
			{"read-only write", readOnly, Request{Op: Write, Vec: sector}, ErrReadOnly},
			{"read-only discard", readOnly, Request{Op: Discard, Length: 512}, ErrReadOnly},
			{"read-only zeroes", readOnly, Request{Op: WriteZeroes, Length: 512}, ErrReadOnly},
			{"read-only read", readOnly, Request{Op: Read, Vec: sector}, nil},
			{"read-only flush", readOnly, Request{Op: Flush, Offset: -7}, nil},
			{"closed", closed, Request{Op: Read, Vec: sector}, ErrClosed},
		} {
			for _, way := range []string{"do", "inline", "queue"} {
				t.Run(fmt.Sprintf("%v/%s/%s", engine, tt.name, way), func(t *testing.T) {
					r := tt.r
					if way == "do" {
						if tt.d == closed {
							if err := closed.Close(); err != nil {
								t.Fatal(err)
							}
						}
						if err := tt.d.Do(&r); err != r.Err {
							t.Errorf("Do returned %v and left %v", err, r.Err)
						}
					} else if tt.d == closed {
						if _, err := tt.d.NewQueue(QueueOptions{Completed: func([]*Request) {}}); !errors.Is(err, ErrClosed) {
							t.Fatalf("NewQueue after Close: %v", err)
						}
						return
					} else {
						newWaiter(t, tt.d, way == "inline").do([]*Request{&r})
					}
					if !errors.Is(r.Err, tt.want) {
						t.Fatalf("error is %v, want %v", r.Err, tt.want)
					}
					var re *RequestError
					if tt.want != nil && (!errors.As(r.Err, &re) || re.Path != path || re.Op != r.Op) {
						t.Errorf("error does not name the path and the operation: %v", r.Err)
					}
				})
			}
		}
	}
}

func TestNewQueueWithoutCompleted(t *testing.T) {
	path := makeImage(t, t.TempDir(), 4096)
	for _, engine := range []Engine{EngineThreads, EngineNative} {
		d := openDisk(t, Options{Path: path, Engine: engine, Shareable: true})
		if _, err := d.NewQueue(QueueOptions{}); err == nil {
			t.Errorf("%v: no error", engine)
		}
	}
}

// TestHostErrors makes the host fail, and looks for its error numbers.
func TestHostErrors(t *testing.T) {
	for _, engine := range []Engine{EngineThreads, EngineNative} {
		for _, cache := range []Cache{CacheNone, CacheWriteback} {
			t.Run(fmt.Sprintf("ENOSPC/%v/%v", engine, cache), func(t *testing.T) {
				path := filepath.Join(mount(t, "tmpfs", "size=1m"), "disk.img")
				if err := os.WriteFile(path, nil, 0o600); err != nil {
					t.Fatal(err)
				}
				if err := os.Truncate(path, 8<<20); err != nil {
					t.Fatal(err)
				}
				d := openDisk(t, Options{Path: path, Engine: engine, Cache: cache})
				r := &Request{Op: Write, Vec: [][]byte{pages(t, 2<<20)}}
				newWaiter(t, d, false).do([]*Request{r})
				if !errors.Is(r.Err, unix.ENOSPC) || !strings.Contains(r.Err.Error(), path) {
					t.Errorf("error is %v, want ENOSPC with the path", r.Err)
				}
			})
		}
		// A loop device cannot read where its file has been cut.
		t.Run(fmt.Sprintf("EIO/%v", engine), func(t *testing.T) {
			file := makeImage(t, t.TempDir(), 1<<20)
			d := openDisk(t, Options{Path: loopDevice(t, file, 512, false), Engine: engine, Cache: CacheNone})
			if err := os.Truncate(file, 0); err != nil {
				t.Fatal(err)
			}
			for _, mem := range [][]byte{pages(t, 8192), pages(t, 8192)[1:]} {
				r := &Request{Op: Read, Offset: 4096, Vec: [][]byte{mem[:4096]}}
				newWaiter(t, d, false).do([]*Request{r})
				if !errors.Is(r.Err, unix.EIO) {
					t.Errorf("error is %v, want EIO", r.Err)
				}
			}
		})
	}
}

// TestSparse wants holes where Discard and WriteZeroes may make them, and the
// file no longer than before.
func TestSparse(t *testing.T) {
	const size = 8 << 20
	for _, tt := range []struct {
		name string
		r    Request
		holy bool
	}{
		{"discard", Request{Op: Discard}, true},
		{"zeroes, unmap", Request{Op: WriteZeroes, Unmap: true}, true},
		{"zeroes", Request{Op: WriteZeroes}, false},
	} {
		for _, cache := range []Cache{CacheNone, CacheWriteback} {
			for kind, dir := range map[string]string{"ext4": t.TempDir(), "tmpfs": mount(t, "tmpfs", "size=16m")} {
				t.Run(fmt.Sprintf("%s/%v/%s", tt.name, cache, kind), func(t *testing.T) {
					path := makeImage(t, dir, size)
					defer os.Remove(path)
					d := openDisk(t, Options{Path: path, Cache: cache})
					r := tt.r
					r.Offset, r.Length = 1<<20, size-1<<20
					if err := d.Do(&r); err != nil {
						t.Fatal(err)
					}
					if err := FlushAll(d); err != nil {
						t.Fatal(err)
					}
					want := append(pattern(1<<20), make([]byte, size-1<<20)...)
					firstDifference(t, readFile(t, path, size), want)
					var st unix.Stat_t
					if err := unix.Stat(path, &st); err != nil {
						t.Fatal(err)
					}
					if got := st.Blocks * 512; (got < 2<<20) != tt.holy {
						t.Errorf("%d of %d bytes are allocated, holes wanted: %v", got, size, tt.holy)
					}
					if st.Size != size {
						t.Errorf("size is %d, want %d", st.Size, size)
					}
				})
			}
		}
	}
}

func TestResize(t *testing.T) {
	path := makeImage(t, t.TempDir(), 64<<10)
	for _, cache := range []Cache{CacheNone, CacheWriteback} {
		d := openDisk(t, Options{Path: path, Cache: cache, Shareable: true})
		var told []int64
		d.OnResize(func(size int64) { told = append(told, size) })
		for _, size := range []int64{128 << 10, 128 << 10, 96<<10 + 100, 64 << 10} {
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
			if err := d.Refresh(); err != nil {
				t.Fatal(err)
			}
			rounded := (size + 511) / 512 * 512
			if d.Size() != rounded {
				t.Errorf("size is %d, want %d", d.Size(), rounded)
			}
			p := make([]byte, 512)
			if err := WriteAt(d, p, rounded-512); err != nil {
				t.Error(err)
			}
			if err := ReadAt(d, p, rounded); !errors.Is(err, ErrOutOfRange) {
				t.Errorf("read beyond the new end: %v", err)
			}
		}
		if want := []int64{128 << 10, 96<<10 + 512, 64 << 10}; fmt.Sprint(told) != fmt.Sprint(want) {
			t.Errorf("told of %v, want %v", told, want)
		}
	}
	// A file cut behind the disk's back reads as zeroes.
	d := openDisk(t, Options{Path: path, Cache: CacheNone, Shareable: true})
	if err := os.Truncate(path, 1000); err != nil {
		t.Fatal(err)
	}
	p := bytes.Repeat([]byte{1}, 8192)
	if err := ReadAt(d, p, 4096); err != nil || !bytes.Equal(p, make([]byte, 8192)) {
		t.Errorf("read behind the cut: %v, %x...", err, p[:8])
	}
}

func TestTopology(t *testing.T) {
	file := makeImage(t, t.TempDir(), 1<<20)
	for _, tt := range []struct {
		path    string
		logical int
	}{
		{loopDevice(t, file, 512, false), 512},
		{loopDevice(t, file, 4096, false), 4096},
	} {
		d := openDisk(t, Options{Path: tt.path, Cache: CacheNone, Shareable: true})
		got := d.Topology()
		if got.LogicalBlockSize != tt.logical || got.PhysicalBlockSize < tt.logical || got.MinimumIO < 512 || got.DiscardGranularity == 0 {
			t.Errorf("%s: %+v, want logical block size %d", tt.path, got, tt.logical)
		}
	}
	d := openDisk(t, Options{Path: file, Shareable: true})
	if got := d.Topology(); got.LogicalBlockSize != 512 || got.PhysicalBlockSize != 4096 {
		t.Errorf("file: %+v", got)
	}
}

// TestCloseLeavesNothing counts goroutines and descriptors, also when a queue
// was left open and busy.
func TestCloseLeavesNothing(t *testing.T) {
	path := makeImage(t, t.TempDir(), 1<<20-512)
	for _, engine := range []Engine{EngineThreads, EngineNative} {
		for _, cache := range []Cache{CacheNone, CacheWriteback} {
			t.Run(fmt.Sprintf("%v/%v", engine, cache), func(t *testing.T) {
				fds, goroutines := openFiles(t), runtime.NumGoroutine()
				d, err := Open(t.Context(), Options{Path: path, Engine: engine, Cache: cache})
				if err != nil {
					t.Fatal(err)
				}
				var back int
				q, err := d.NewQueue(QueueOptions{Completed: func(done []*Request) { back += len(done) }})
				if err != nil {
					t.Fatal(err)
				}
				mem := pages(t, 4096)
				for i := range 64 {
					op := Read
					if i%16 == 0 {
						op = Flush
					}
					q.Submit(&Request{Op: op, Offset: int64(i) * 4096, Vec: [][]byte{mem}})
				}
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				if back != 64 {
					t.Errorf("%d of 64 requests came back", back)
				}
				if err := q.Close(); err != nil {
					t.Errorf("second Close of the queue: %v", err)
				}
				if err := d.Close(); err != nil {
					t.Errorf("second Close: %v", err)
				}
				if n := openFiles(t); n != fds {
					t.Errorf("%d files open, %d before", n, fds)
				}
				// A goroutine that has done its last work is counted until it is
				// scheduled once more.
				for late := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines; runtime.Gosched() {
					if time.Now().After(late) {
						t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), goroutines)
						break
					}
				}
			})
		}
	}
}

// TestSubmitAfterClose wants the completion, and not on the submitter's
// goroutine, which may hold a lock.
func TestSubmitAfterClose(t *testing.T) {
	path := makeImage(t, t.TempDir(), 1<<20)
	for _, engine := range []Engine{EngineThreads, EngineNative} {
		d := openDisk(t, Options{Path: path, Engine: engine, Shareable: true})
		w := newWaiter(t, d, false)
		if err := w.queue.Close(); err != nil {
			t.Fatal(err)
		}
		r := &Request{Op: Flush}
		w.do([]*Request{r})
		if !errors.Is(r.Err, ErrClosed) {
			t.Errorf("%v: %v", engine, r.Err)
		}
	}
}

func TestWriteCache(t *testing.T) {
	path := makeImage(t, t.TempDir(), 1<<20)
	for _, tt := range []struct {
		cache Cache
		want  bool
	}{{CacheDefault, true}, {CacheNone, true}, {CacheWriteback, true}, {CacheWritethrough, false}} {
		d := openDisk(t, Options{Path: path, Cache: tt.cache, Shareable: true})
		if d.WriteCache() != tt.want {
			t.Errorf("%v: write cache %v", tt.cache, d.WriteCache())
		}
		for _, on := range []bool{false, true, false} {
			if err := d.SetWriteCache(on); err != nil {
				t.Fatal(err)
			}
			if d.WriteCache() != on {
				t.Errorf("%v: write cache is not %v", tt.cache, on)
			}
			r := &Request{Op: Write, Vec: [][]byte{pages(t, 4096)}}
			newWaiter(t, d, true).do([]*Request{r})
			if r.Err != nil {
				t.Error(r.Err)
			}
		}
	}
}
