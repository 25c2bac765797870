package chardev

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/govmm/govmm/tests/await"
)

// channel is a pair of ends: what the back end is given, and the test's sides.
type channel struct {
	in        io.Reader
	out       io.Writer
	typing    io.Writer // the test writes the guest's input here
	screen    io.Reader // and reads the guest's output here
	closeEnds func()
	flags     func() int // O_NONBLOCK of what the back end was given
}

func closer(cs ...io.Closer) func() {
	return func() {
		for _, c := range cs {
			c.Close()
		}
	}
}

func flagsOf(t *testing.T, f *os.File) func() int {
	return func() int {
		var fl int
		if err := control(f, func(fd int) { fl, _ = unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0) }); err != nil {
			t.Error(err)
		}
		return fl
	}
}

func pipes(t *testing.T) channel {
	inR, inW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return channel{inR, outW, inW, outR, closer(inR, inW, outR, outW), flagsOf(t, inR)}
}

// blockingPipes are as a shell makes them.
func blockingPipes(t *testing.T) channel {
	c := pipes(t)
	c.in.(*os.File).Fd() // sets blocking mode
	c.out.(*os.File).Fd()
	return c
}

// terminal is a terminal as a shell hands it over: blocking, and the same open
// file description for input and output.
func terminal(t *testing.T) channel {
	master, slave, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := term.MakeRaw(int(slave.Fd())); err != nil {
		t.Fatal(err)
	}
	return channel{slave, slave, master, master, closer(master, slave), flagsOf(t, slave)}
}

// ptyMasterEnd is a pty from its master side, which cannot be opened twice.
func ptyMasterEnd(t *testing.T) channel {
	c := terminal(t)
	c.in, c.typing = c.typing.(io.Reader), c.in.(io.Writer)
	c.out, c.screen = c.screen.(io.Writer), c.out.(io.Reader)
	c.flags = flagsOf(t, c.in.(*os.File))
	return c
}

// sockets are a blocking socket pair, as some programs give their children.
func sockets(t *testing.T) channel {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	a, b := os.NewFile(uintptr(fds[0]), "a"), os.NewFile(uintptr(fds[1]), "b")
	return channel{a, a, b, b, closer(a, b), flagsOf(t, a)}
}

func netPipe(*testing.T) channel {
	inR, inW := net.Pipe()
	outR, outW := net.Pipe()
	return channel{inR, outW, inW, outR, closer(inR, inW, outR, outW), func() int { return 0 }}
}

func TestStdio(t *testing.T) {
	for _, kind := range []struct {
		name string
		open func(*testing.T) channel
	}{
		{"pipes", pipes},
		{"blocking pipes", blockingPipes},
		{"terminal", terminal},
		{"pty master", ptyMasterEnd},
		{"sockets", sockets},
		{"net.Pipe", netPipe},
	} {
		t.Run(kind.name, func(t *testing.T) {
			t.Run("both ways", func(t *testing.T) { testStdioBothWays(t, kind.open(t)) })
			t.Run("close while blocked", func(t *testing.T) { testStdioCloseBlocked(t, kind.open(t)) })
		})
	}
}

func testStdioBothWays(t *testing.T, c channel) {
	defer c.closeEnds()
	noLeaks(t)
	flags := c.flags()
	s, err := NewStdio(StdioOptions{In: c.in, Out: c.out})
	if err != nil {
		t.Fatal(err)
	}
	front := newFrontEnd()
	front.room = 3
	s.Attach(front)

	want := pattern(3 * BufferSize)
	read := make(chan []byte)
	go func() {
		got := make([]byte, len(want))
		_, err := io.ReadFull(c.screen, got)
		if err != nil {
			t.Error(err)
		}
		read <- got
	}()
	go func() {
		if _, err := c.typing.Write([]byte("hello, guest")); err != nil {
			t.Error(err)
		}
	}()
	// The front end has room for three bytes; the others wait for Ready.
	front.waitInput(t, "hel")
	front.allow(4)
	s.Ready()
	front.waitInput(t, "hello, ")
	front.allow(100)
	s.Ready()
	front.waitInput(t, "hello, guest")

	writeAll(t, s, want)
	if !bytes.Equal(<-read, want) {
		t.Error("output differs from what was written")
	}
	mustClose(t, s)
	if st := s.Stats(); st != (Stats{In: 12, Out: uint64(len(want))}) {
		t.Errorf("stats %+v", st)
	}
	if c.flags() != flags {
		t.Errorf("file flags changed from %#o to %#o", flags, c.flags())
	}
}

// testStdioCloseBlocked closes while a read waits for input and a write for
// somebody to take it.
func testStdioCloseBlocked(t *testing.T, c channel) {
	defer c.closeEnds()
	noLeaks(t)
	s, err := NewStdio(StdioOptions{In: c.in, Out: c.out})
	if err != nil {
		t.Fatal(err)
	}
	s.Attach(newFrontEnd())
	fillUp(t, s)
	start := time.Now()
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "output were not taken") || strings.Contains(err.Error(), "interrupted") {
		t.Errorf("Close: %v; want only that output was lost", err)
	}
	if d := time.Since(start); d > await.Patience/2 {
		t.Errorf("Close took %v", d)
	}
}

// TestStdioCloseUnread closes while input waits for a front end without room.
func TestStdioCloseUnread(t *testing.T) {
	noLeaks(t)
	c := pipes(t)
	defer c.closeEnds()
	s, err := NewStdio(StdioOptions{In: c.in})
	if err != nil {
		t.Fatal(err)
	}
	front := newFrontEnd()
	front.room = 1
	s.Attach(front)
	if _, err := c.typing.Write([]byte("many")); err != nil {
		t.Fatal(err)
	}
	front.waitInput(t, "m")
	mustClose(t, s)
	front.allow(100)
	s.Ready()
	if got := front.input(); got != "m" {
		t.Errorf("front end was called after Close: %q", got)
	}
}

func TestStdioEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, pattern(9000), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		in   func() (io.Reader, error)
		want string
	}{
		{"regular file", func() (io.Reader, error) { return os.Open(path) }, string(pattern(9000))},
		{"/dev/null", func() (io.Reader, error) { return os.Open(os.DevNull) }, ""},
		{"strings.Reader", func() (io.Reader, error) { return strings.NewReader("abc"), nil }, "abc"},
		{"nothing", func() (io.Reader, error) { return nil, nil }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			noLeaks(t)
			in, err := tt.in()
			if err != nil {
				t.Fatal(err)
			}
			if c, ok := in.(io.Closer); ok {
				defer c.Close()
			}
			var out bytes.Buffer
			s, err := NewStdio(StdioOptions{In: in, Out: &out})
			if err != nil {
				t.Fatal(err)
			}
			front := newFrontEnd()
			s.Attach(front)
			front.waitInput(t, tt.want)
			if s.inEnded != nil {
				<-s.inEnded // the end of input ends the goroutine
			}
			writeAll(t, s, []byte("still here"))
			mustClose(t, s)
			if out.String() != "still here" {
				t.Errorf("output %q", out.String())
			}
			if up, changes := front.carrier(); !up || changes != 0 {
				t.Errorf("carrier %v after %d changes; the end of input is no hang-up", up, changes)
			}
		})
	}
}

// TestStdioStubbornReader: Close does not wait for a Read that nothing can
// interrupt, and what that still brings is thrown away.
func TestStdioStubbornReader(t *testing.T) {
	noLeaks(t)
	r, w := io.Pipe()
	s, err := NewStdio(StdioOptions{In: r})
	if err != nil {
		t.Fatal(err)
	}
	front := newFrontEnd()
	s.Attach(front)
	if _, err := w.Write([]byte("first")); err != nil {
		t.Fatal(err)
	}
	front.waitInput(t, "first")
	mustClose(t, s)
	if _, err := w.Write([]byte("late")); err != nil {
		t.Fatal(err)
	}
	<-s.inEnded
	if got := front.input(); got != "first" {
		t.Errorf("front end was called after Close: %q", got)
	}
}

func TestStdioStubbornWriter(t *testing.T) {
	noLeaks(t)
	r, w := io.Pipe()
	s, err := NewStdio(StdioOptions{Out: w})
	if err != nil {
		t.Fatal(err)
	}
	s.Write([]byte("x"))
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "cannot be interrupted") {
		t.Errorf("Close: %v", err)
	}
	r.Close()
	<-s.main.ended
}

// TestStdioBrokenPipe: a reader that left costs output, not the machine.
func TestStdioBrokenPipe(t *testing.T) {
	noLeaks(t)
	c := pipes(t)
	defer c.closeEnds()
	s, err := NewStdio(StdioOptions{Out: c.out})
	if err != nil {
		t.Fatal(err)
	}
	c.screen.(io.Closer).Close()
	s.Write([]byte("lost"))
	await.That(t, "the error counted", func() bool { return s.Stats() == Stats{Dropped: 4, Errors: 1} })
	mustClose(t, s)
}
