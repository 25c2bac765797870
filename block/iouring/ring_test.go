package iouring

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func newRing(t *testing.T, entries int) *Ring {
	t.Helper()
	r, err := New(entries)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// next waits for a completion.
func next(t *testing.T, r *Ring) Completion {
	t.Helper()
	if err := r.Wait(); err != nil {
		t.Fatal(err)
	}
	c, ok := r.Next()
	if !ok {
		t.Fatal("Wait returned without a completion")
	}
	return c
}

func iovec(p []byte) []unix.Iovec {
	v := unix.Iovec{Base: unsafe.SliceData(p)}
	v.SetLen(len(p))
	return []unix.Iovec{v}
}

func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(sqe{}); n != 64 {
		t.Errorf("an sqe is %d bytes, want 64", n)
	}
	if n := unsafe.Sizeof(cqe{}); n != 16 {
		t.Errorf("a cqe is %d bytes, want 16", n)
	}
	if n := unsafe.Sizeof(params{}); n != 120 {
		t.Errorf("params are %d bytes, want 120", n)
	}
}

func TestReadWriteSync(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := newRing(t, 4)
	fd := int(f.Fd())
	for _, step := range []struct {
		name    string
		prepare func(data uint64) error
		want    int32
	}{
		{"write", func(n uint64) error { return r.Writev(fd, iovec([]byte("hello, ring")), 5, 0, n) }, 11},
		{"sync", func(n uint64) error { return r.Fdatasync(fd, n) }, 0},
		{"read", func(n uint64) error { return r.Readv(fd, iovec(make([]byte, 100)), 5, 0, n) }, 11},
		{"read at the end", func(n uint64) error { return r.Readv(fd, iovec(make([]byte, 100)), 16, 0, n) }, 0},
		{"bad descriptor", func(n uint64) error { return r.Readv(-1, iovec(make([]byte, 1)), 0, 0, n) }, -int32(unix.EBADF)},
		{"bad flags", func(n uint64) error { return r.Readv(fd, iovec(make([]byte, 1)), 0, 1<<30, n) }, -int32(unix.EOPNOTSUPP)},
	} {
		// More steps than entries: the queues go round.
		for data := uint64(1); data < 4; data++ {
			if err := step.prepare(data); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			if err := r.Submit(); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			if got := next(t, r); got != (Completion{Data: data, Result: step.want}) {
				t.Errorf("%s: %+v, want %d of %d", step.name, got, step.want, data)
			}
		}
	}
	got := make([]byte, 16)
	if _, err := f.ReadAt(got, 0); err != nil || string(got) != "\x00\x00\x00\x00\x00hello, ring" {
		t.Errorf("the file holds %q, %v", got, err)
	}
}

func TestFullAndRetract(t *testing.T) {
	r := newRing(t, 4)
	for n := range uint64(r.Entries()) {
		if err := r.Fdatasync(-1, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Fdatasync(-1, 99); !errors.Is(err, ErrFull) {
		t.Errorf("entry beyond the last: %v", err)
	}
	if data, ok := r.Retract(); !ok || data != 3 {
		t.Errorf("retracted %d, %v, want 3", data, ok)
	}
	if err := r.Submit(); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.Retract(); ok {
		t.Error("retracted what was submitted")
	}
	for n := range uint64(3) {
		if got := next(t, r); got != (Completion{Data: n, Result: -int32(unix.EBADF)}) {
			t.Errorf("completion %+v of %d", got, n)
		}
	}
	if r.Pending() {
		t.Error("a retracted entry was done")
	}
}

func TestInterrupt(t *testing.T) {
	r := newRing(t, 1)
	ended := make(chan error)
	go func() { ended <- r.Wait() }()
	if err := r.Interrupt(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("Wait ended without an error")
	}
}

func TestNewErrors(t *testing.T) {
	if _, err := New(0); !errors.Is(err, unix.EINVAL) {
		t.Errorf("no entries: %v", err)
	}
}
