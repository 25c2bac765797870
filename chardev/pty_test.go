package chardev

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/tests/await"
)

func newPty(t *testing.T, opts PtyOptions) (*Pty, *frontEnd) {
	t.Helper()
	p, err := OpenPty(opts)
	if err != nil {
		t.Fatal(err)
	}
	front := newFrontEnd()
	p.Attach(front)
	return p, front
}

// client opens the terminal as a terminal program does.
func client(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func expect(t *testing.T, f *os.File, want string) {
	t.Helper()
	if err := f.SetReadDeadline(time.Now().Add(await.Patience)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if n, err := io.ReadFull(f, got); err != nil || string(got) != want {
		t.Fatalf("client read %q, %v; want %q", got[:n], err, want)
	}
}

func say(t *testing.T, f *os.File, text string) {
	t.Helper()
	if _, err := f.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func TestPtyClients(t *testing.T) {
	noLeaks(t)
	p, front := newPty(t, PtyOptions{})
	if up, _ := front.carrier(); up {
		t.Error("carrier without a client")
	}
	p.Write([]byte("booting\r\n"))
	for i, greeting := range []string{"a", "b\x03\n\r\x11\x13\x00\xff", "c"} {
		c := client(t, p.Name())
		front.waitCarrier(t, true)
		if i == 0 {
			expect(t, c, "booting\r\n")
		}
		// Raw mode: bytes arrive as they are, at once, and none is echoed.
		before := front.input()
		say(t, c, greeting)
		front.waitInput(t, before+greeting)
		p.Write([]byte("login:\n"))
		expect(t, c, "login:\n")
		spoil(t, c)
		c.Close()
		front.waitCarrier(t, false)
		if _, changes := front.carrier(); changes != 2*(i+1) {
			t.Errorf("%d carrier changes after %d clients", changes, i+1)
		}
	}
	mustClose(t, p)
}

// spoil leaves line settings behind that would mangle the next client's bytes.
func spoil(t *testing.T, f *os.File) {
	t.Helper()
	err := control(f, func(fd int) {
		tio, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			t.Error(err)
			return
		}
		tio.Lflag |= unix.ECHO | unix.ICANON | unix.ISIG
		tio.Iflag |= unix.ICRNL | unix.IXON
		tio.Oflag |= unix.OPOST | unix.ONLCR
		if err := unix.IoctlSetTermios(fd, unix.TCSETS, tio); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestPtyBriefClient: what "echo hi > /dev/pts/3" writes arrives although the
// client is gone before anybody looks.
func TestPtyBriefClient(t *testing.T) {
	noLeaks(t)
	p, front := newPty(t, PtyOptions{})
	want := ""
	for _, word := range []string{"one ", "two ", "three "} {
		c := client(t, p.Name())
		say(t, c, word)
		c.Close()
		want += word
		front.waitInput(t, want)
	}
	front.waitCarrier(t, false)
	mustClose(t, p)
	if s := p.Stats(); s.In != uint64(len(want)) {
		t.Errorf("stats %+v", s)
	}
}

// TestPtyNobodyReads: the guest never waits, the last output is kept.
func TestPtyNobodyReads(t *testing.T) {
	noLeaks(t)
	p, _ := newPty(t, PtyOptions{})
	want := pattern(3*BufferSize + 77)
	for rest := want; len(rest) > 0; rest = rest[min(len(rest), 1000):] {
		part := rest[:min(len(rest), 1000)]
		if n := p.Write(part); n != len(part) {
			t.Fatalf("accepted %d of %d bytes", n, len(part))
		}
	}
	if s := p.Stats(); s.Dropped != uint64(len(want)-BufferSize) || s.Out != 0 {
		t.Errorf("stats %+v", s)
	}
	c := client(t, p.Name())
	expect(t, c, string(want[len(want)-BufferSize:]))
	c.Close()
	mustClose(t, p)
}

// TestPtyClientDoesNotRead: a client that stopped reading costs output, not
// time, and cannot hang Close.
func TestPtyClientDoesNotRead(t *testing.T) {
	noLeaks(t)
	p, front := newPty(t, PtyOptions{})
	c := client(t, p.Name())
	defer c.Close()
	front.waitCarrier(t, true)
	written := uint64(0)
	await.That(t, "the oldest dropped", func() bool {
		n := p.Write(pattern(4096))
		written += uint64(n)
		if n != 4096 {
			t.Fatalf("accepted %d bytes", n)
		}
		return p.Stats().Dropped > BufferSize
	})
	mustClose(t, p)
	if s := p.Stats(); s.Out+s.Dropped != written {
		t.Errorf("stats %+v for %d bytes written", s, written)
	}
}

// TestPtyClientResumes: a slow client gets all when it reads on in time.
func TestPtyClientResumes(t *testing.T) {
	noLeaks(t)
	p, front := newPty(t, PtyOptions{})
	c := client(t, p.Name())
	defer c.Close()
	front.waitCarrier(t, true)
	want := pattern(BufferSize)
	for at := range want {
		p.Write(want[at : at+1])
	}
	expect(t, c, string(want))
	mustClose(t, p)
}

func TestPtyCloseFlushes(t *testing.T) {
	noLeaks(t)
	p, front := newPty(t, PtyOptions{})
	c := client(t, p.Name())
	defer c.Close()
	front.waitCarrier(t, true)
	want := pattern(30000)
	got := make(chan []byte)
	go func() {
		buf, _ := io.ReadAll(c) // ends with an error when the master is closed
		got <- buf
	}()
	p.Write(want)
	mustClose(t, p)
	out := <-got
	// The kernel throws away what a client had not read when the master went.
	if !bytes.HasPrefix(want, out) {
		t.Error("client read something else than was written")
	}
	if s := p.Stats(); s.Out != uint64(len(want)) {
		t.Errorf("stats %+v, want all %d delivered", s, len(want))
	}
}

func TestPtyLink(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	link := filepath.Join(dir, "console")
	if err := os.Symlink("/dev/pts/4000", link); err != nil {
		t.Fatal(err)
	}
	p, front := newPty(t, PtyOptions{Link: link})
	c := client(t, link)
	front.waitCarrier(t, true)
	say(t, c, "x")
	front.waitInput(t, "x")
	c.Close()
	mustClose(t, p)
	if _, err := os.Lstat(link); !os.IsNotExist(err) {
		t.Errorf("link after Close: %v", err)
	}

	// A link that another machine made meanwhile stays.
	p, _ = newPty(t, PtyOptions{Link: link})
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/pts/4001", link); err != nil {
		t.Fatal(err)
	}
	mustClose(t, p)
	if to, err := os.Readlink(link); err != nil || to != "/dev/pts/4001" {
		t.Errorf("another machine's link: %q, %v", to, err)
	}
}

func TestPtyLinkRefused(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "other")
	if err := os.Symlink(file, other); err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{
		file:                             "not a link to a pty",
		other:                            "links to",
		filepath.Join(dir, "no", "link"): "no such file",
	} {
		p, err := OpenPty(PtyOptions{Options: Options{Name: "serial0"}, Link: path})
		if err == nil {
			mustClose(t, p)
		}
		if err == nil || !strings.Contains(err.Error(), says) || !strings.HasPrefix(err.Error(), "serial0: ") {
			t.Errorf("%s: %v; want %q", path, err, says)
		}
	}
	if readFile(t, file) != "keep" {
		t.Error("the file was touched")
	}
}
