package chardev

import (
	"bytes"
	"io"
	"log/slog"
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
	change(t, f, func(tio *unix.Termios) {
		tio.Lflag |= unix.ECHO | unix.ICANON | unix.ISIG
		tio.Iflag |= unix.ICRNL | unix.IXON
		tio.Oflag |= unix.OPOST | unix.ONLCR
	})
}

// change changes the line settings of a client.
func change(t *testing.T, f *os.File, settings func(*unix.Termios)) {
	t.Helper()
	err := control(f, func(fd int) {
		tio, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if err != nil {
			t.Error(err)
			return
		}
		settings(tio)
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

// TestPtyNobodyReads: the guest does not wait, the last output is kept.
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

// TestPtyClientDoesNotRead: a client that stopped reading holds the guest up for
// a while, then costs output, and cannot hang Close. When it reads on, so does
// what it missed last.
func TestPtyClientDoesNotRead(t *testing.T) {
	noLeaks(t)
	var log bytes.Buffer
	p, front := newPty(t, PtyOptions{
		Options:  Options{Log: slog.New(slog.NewTextHandler(&log, nil))},
		Patience: 50 * time.Millisecond,
	})
	c := client(t, p.Name())
	defer c.Close()
	front.waitCarrier(t, true)
	written, refused := uint64(0), false
	send := func() bool {
		n := p.Write(pattern(4096))
		refused = refused || n < 4096
		written += uint64(n)
		return p.Stats().Dropped > BufferSize
	}
	await.That(t, "the oldest dropped", send)
	if !refused || front.outputReadies() == 0 {
		t.Errorf("the guest was held up: %v, and told to go on %d times", refused, front.outputReadies())
	}
	// It reads on: the guest waits for it again.
	before := p.Stats()
	if err := c.SetReadDeadline(time.Now().Add(await.Patience)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 2*BufferSize)
	if n, err := io.ReadAtLeast(c, got, BufferSize); err != nil {
		t.Fatalf("%d bytes kept, %v", n, err)
	}
	await.That(t, "the rest delivered", func() bool { return p.Stats().Out >= before.Out+BufferSize })
	dropped := p.Stats().Dropped
	refused = false
	await.That(t, "back pressure", func() bool { send(); return refused })
	if now := p.Stats().Dropped; now != dropped {
		t.Errorf("%d bytes dropped of a client that reads", now-dropped)
	}
	mustClose(t, p)
	if s := p.Stats(); s.Out+s.Dropped != written {
		t.Errorf("stats %+v for %d bytes written", s, written)
	}
	if text := log.String(); !strings.Contains(text, "read nothing for 50ms") {
		t.Errorf("log: %s", text)
	}
}

// TestPtyEndlessPatience: with that, nothing is dropped until the client leaves.
func TestPtyEndlessPatience(t *testing.T) {
	noLeaks(t)
	p, front := newPty(t, PtyOptions{Patience: Endless})
	if p.main.patience != 0 {
		t.Errorf("patience %v", p.main.patience)
	}
	c := client(t, p.Name())
	front.waitCarrier(t, true)
	fillUp(t, p)
	if n := p.Write([]byte("x")); n != 0 || p.Stats().Dropped != 0 {
		t.Errorf("accepted %d bytes, stats %+v", n, p.Stats())
	}
	readies := front.outputReadies()
	c.Close()
	await.That(t, "the guest told to go on", func() bool { return front.outputReadies() > readies })
	if n := p.Write([]byte("xyz")); n != 3 {
		t.Errorf("accepted %d bytes without a client", n)
	}
	mustClose(t, p)
}

// TestPtySlowClient: one that takes its time gets all there is, by way of a
// guest that waits for it.
func TestPtySlowClient(t *testing.T) {
	noLeaks(t)
	p, front := newPty(t, PtyOptions{})
	c := client(t, p.Name())
	defer c.Close()
	front.waitCarrier(t, true)
	want := pattern(1 << 20)
	got := make(chan []byte)
	go func() { got <- readSlowly(c, len(want)) }()
	writeAll(t, p, want)
	if out := <-got; !bytes.Equal(out, want) {
		t.Errorf("%d bytes of %d arrived, or others", len(out), len(want))
	}
	mustClose(t, p)
	if s := p.Stats(); s != (Stats{Out: uint64(len(want))}) {
		t.Errorf("stats %+v", s)
	}
}

// readSlowly reads n bytes, or to the end, in pieces of up to 1000 bytes of which
// every hundredth is waited for.
func readSlowly(c *os.File, n int) (got []byte) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	buf := make([]byte, 1000)
	for i := 0; len(got) < n; i++ {
		if i%100 == 0 {
			<-tick.C
		}
		m, err := c.Read(buf[:1+i*37%len(buf)])
		got = append(got, buf[:m]...)
		if err != nil {
			break
		}
	}
	return got
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

// TestPtyCloseFlushes: a client that reads gets the last output, also what is in
// the kernel when the ring is empty, and whatever its settings are.
func TestPtyCloseFlushes(t *testing.T) {
	for name, settings := range map[string]func(*unix.Termios){
		"raw":      func(*unix.Termios) {},
		"lines":    func(tio *unix.Termios) { tio.Lflag |= unix.ICANON },
		"in tens":  func(tio *unix.Termios) { tio.Cc[unix.VMIN] = 10 },
		"all told": func(tio *unix.Termios) { tio.Cc[unix.VMIN], tio.Cc[unix.VTIME] = 0, 1 },
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			p, front := newPty(t, PtyOptions{})
			c := client(t, p.Name())
			defer c.Close()
			change(t, c, settings)
			front.waitCarrier(t, true)
			want := bytes.Repeat([]byte("ninety-nine bottles of beer on the wall\n"), 2000)
			got := make(chan []byte)
			go func() { got <- readSlowly(c, len(want)) }()
			writeAll(t, p, want)
			mustClose(t, p)
			if out := <-got; !bytes.Equal(out, want) {
				t.Errorf("%d bytes of %d arrived, in order: %v", len(out), len(want), bytes.HasPrefix(want, out))
			}
			if s := p.Stats(); s != (Stats{Out: uint64(len(want))}) {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// TestPtyCloseGivesUp: what the client does not read does not hold Close up for
// long, and what nobody reads does not at all.
func TestPtyCloseGivesUp(t *testing.T) {
	for _, test := range []struct {
		name        string
		n           int
		leaves      bool
		least, most time.Duration
		logged      bool
	}{
		{name: "in the kernel", n: 100, least: ptyFlushTime, most: 5 * ptyFlushTime, logged: true},
		{name: "in the buffer", n: BufferSize, least: ptyFlushTime, most: 5 * ptyFlushTime, logged: true},
		{name: "gone", n: BufferSize, leaves: true, most: ptyFlushTime - 1},
		{name: "nothing", n: 0, most: ptyFlushTime - 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			noLeaks(t)
			var log bytes.Buffer
			p, front := newPty(t, PtyOptions{Options: Options{Log: slog.New(slog.NewTextHandler(&log, nil))}})
			c := client(t, p.Name())
			defer c.Close()
			front.waitCarrier(t, true)
			p.Write(pattern(test.n))
			if test.leaves {
				c.Close()
				front.waitCarrier(t, false)
			}
			start := time.Now()
			mustClose(t, p)
			if took := time.Since(start); took < test.least || took > test.most {
				t.Errorf("took %v, want %v to %v", took, test.least, test.most)
			}
			if logged := strings.Contains(log.String(), "the last output is lost"); logged != test.logged {
				t.Errorf("log: %s", log.String())
			}
			if s := p.Stats(); s.Out+s.Dropped != uint64(test.n) {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// TestPtyCloseClientLeaves: a client that leaves ends the wait for it.
func TestPtyCloseClientLeaves(t *testing.T) {
	noLeaks(t)
	p, front := newPty(t, PtyOptions{})
	c := client(t, p.Name())
	front.waitCarrier(t, true)
	p.Write(pattern(BufferSize))
	closed := make(chan time.Duration)
	start := time.Now()
	go func() { mustClose(t, p); closed <- time.Since(start) }()
	await.That(t, "Close begun", p.stopped)
	c.Close()
	if took := <-closed; took >= ptyFlushTime {
		t.Errorf("Close took %v", took)
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
