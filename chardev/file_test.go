package chardev

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/tests/await"
)

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFileTruncatesOrAppends(t *testing.T) {
	noLeaks(t)
	path := filepath.Join(t.TempDir(), "serial.log")
	for _, step := range []struct {
		add, want string
		append    bool
	}{
		{add: "first\n", want: "first\n"},
		{add: "second\n", append: true, want: "first\nsecond\n"},
		{add: "third\n", want: "third\n"},
	} {
		f, err := OpenFile(FileOptions{Path: path, Append: step.append})
		if err != nil {
			t.Fatal(err)
		}
		f.Attach(newFrontEnd())
		writeAll(t, f, []byte(step.add))
		mustClose(t, f)
		if got := readFile(t, path); got != step.want {
			t.Errorf("append %v: file holds %q, want %q", step.append, got, step.want)
		}
		if s := f.Stats(); s != (Stats{Out: uint64(len(step.add))}) {
			t.Errorf("stats %+v", s)
		}
	}
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", st.Mode())
	}
}

func TestFileTakesEverything(t *testing.T) {
	noLeaks(t)
	path := filepath.Join(t.TempDir(), "serial.log")
	f, err := OpenFile(FileOptions{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	want := pattern(20 * BufferSize)
	writeAll(t, f, want)
	mustClose(t, f)
	if readFile(t, path) != string(want) {
		t.Error("the file does not hold what was written")
	}
	if n := f.Write([]byte("late")); n != 4 {
		t.Errorf("accepted %d bytes after Close, want all", n)
	}
	if s := f.Stats(); s.Dropped != 4 {
		t.Errorf("stats %+v, want 4 dropped", s)
	}
}

func TestFileRefusals(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path string
		is   error
		says string
	}{
		{dir, unix.EISDIR, "must name a file"},
		{filepath.Join(dir, "no", "file"), unix.ENOENT, "create the directory"},
		{fifo, unix.ENXIO, "start its reader"},
		{filepath.Join(fifo, "x"), unix.ENOTDIR, "serial0: open "},
	} {
		f, err := OpenFile(FileOptions{Options: Options{Name: "serial0"}, Path: tt.path})
		if err == nil {
			mustClose(t, f)
		}
		if err == nil || !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v; want %v and %q", tt.path, err, tt.is, tt.says)
		}
	}
}

// lockedBuffer takes log messages from another goroutine.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestFileFullDisk(t *testing.T) {
	noLeaks(t)
	var log lockedBuffer
	f, err := OpenFile(FileOptions{
		Options: Options{Name: "serial0", Log: slog.New(slog.NewTextHandler(&log, nil))},
		Path:    "/dev/full",
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := uint64(1); i <= 3; i++ {
		f.Write([]byte("lost"))
		await.That(t, "the error counted", func() bool { return f.Stats().Errors == i })
	}
	mustClose(t, f)
	if s := f.Stats(); s != (Stats{Dropped: 12, Errors: 3}) {
		t.Errorf("stats %+v", s)
	}
	text := log.String()
	if strings.Count(text, "\n") != 1 || !strings.Contains(text, "no space left") || !strings.Contains(text, "serial0") {
		t.Errorf("log: %s", text)
	}
}

func TestFileFIFO(t *testing.T) {
	noLeaks(t)
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	f, err := OpenFile(FileOptions{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	writeAll(t, f, []byte("hello"))
	buf := make([]byte, 5)
	if n, err := reader.Read(buf); err != nil || string(buf[:n]) != "hello" {
		t.Fatalf("read %q, %v", buf[:n], err)
	}
	// A reader that takes nothing must not hang Close.
	accepted := fillUp(t, f)
	if err := f.Close(); err == nil || !strings.Contains(err.Error(), "output were not taken") {
		t.Errorf("Close: %v, want how much was lost", err)
	}
	if s := f.Stats(); s.Out+s.Dropped != uint64(5+accepted) || s.Dropped == 0 {
		t.Errorf("stats %+v for %d bytes accepted", s, 5+accepted)
	}
}

func TestNullCounts(t *testing.T) {
	noLeaks(t)
	n := NewNull(Options{})
	front := newFrontEnd()
	n.Attach(front)
	if up, _ := front.carrier(); !up {
		t.Error("no carrier")
	}
	if got := n.Write([]byte("into the void")); got != 13 {
		t.Errorf("accepted %d bytes", got)
	}
	n.Ready()
	mustClose(t, n)
	mustClose(t, n)
	if s := n.Stats(); s != (Stats{Out: 13}) {
		t.Errorf("stats %+v", s)
	}
}

func TestTee(t *testing.T) {
	noLeaks(t)
	want := pattern(3 * BufferSize)
	dir := t.TempDir()
	var nullLog, fileLog, ptyLog bytes.Buffer
	null := NewNull(Options{Tee: &nullLog})
	file, err := OpenFile(FileOptions{Options: Options{Tee: &fileLog}, Path: filepath.Join(dir, "out")})
	if err != nil {
		t.Fatal(err)
	}
	pty, err := OpenPty(PtyOptions{Options: Options{Tee: &ptyLog}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		b   Backend
		log *bytes.Buffer
	}{{null, &nullLog}, {file, &fileLog}, {pty, &ptyLog}} {
		tt.b.Attach(newFrontEnd())
		writeAll(t, tt.b, want)
		mustClose(t, tt.b)
		if !bytes.Equal(tt.log.Bytes(), want) {
			t.Errorf("%T: the log copy holds %d bytes, want all %d", tt.b, tt.log.Len(), len(want))
		}
	}
	if readFile(t, filepath.Join(dir, "out")) != string(want) {
		t.Error("the file differs from its log copy")
	}
}

// TestTeeBackPressure: what one of the two has no room for, neither takes.
func TestTeeBackPressure(t *testing.T) {
	noLeaks(t)
	slow := newGateSink(0)
	path := filepath.Join(t.TempDir(), "out")
	f, err := OpenFile(FileOptions{Options: Options{Tee: slow}, Path: path})
	if err != nil {
		t.Fatal(err)
	}
	front := newFrontEnd()
	f.Attach(front)
	want := pattern(BufferSize + 100)
	if n := f.Write(want); n != BufferSize {
		t.Fatalf("accepted %d bytes, want %d", n, BufferSize)
	}
	if n := f.Write(want[BufferSize:]); n != 0 {
		t.Fatalf("accepted %d bytes beside a full log copy", n)
	}
	slow.allow(1<<30, nil)
	await.That(t, "OutputReady", func() bool { return front.outputReadies() > 0 })
	writeAll(t, f, want[BufferSize:])
	mustClose(t, f)
	if readFile(t, path) != string(want) || !bytes.Equal(slow.bytes(), want) {
		t.Error("file or log copy differ from what was written")
	}
}

func TestConcurrentUse(t *testing.T) {
	noLeaks(t)
	f, err := OpenFile(FileOptions{Path: filepath.Join(t.TempDir(), "out"), Options: Options{Tee: new(bytes.Buffer)}})
	if err != nil {
		t.Fatal(err)
	}
	f.Attach(newFrontEnd())
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range 200 {
				f.Write([]byte("abc"))
				f.Ready()
				f.Stats()
			}
		})
		wg.Go(func() {
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if s := f.Stats(); s.Out+s.Dropped != 3*200*3 {
		t.Errorf("stats %+v", s)
	}
}
