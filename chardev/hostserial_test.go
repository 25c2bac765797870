package chardev

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/tests/await"
)

// newLine is a host serial port whose other end is a pty's master.
func newLine(t testing.TB) (h *HostSerial, front *breakFront, far *os.File, link string) {
	t.Helper()
	far, name, err := openMaster()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	link = filepath.Join(t.TempDir(), "ttyS0")
	if err := os.Symlink(name, link); err != nil {
		t.Fatal(err)
	}
	h, err = OpenHostSerial(HostSerialOptions{Options: Options{Name: "serial0"}, Path: link})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	front = &breakFront{newFrontEnd(), 0}
	h.Attach(front)
	front.waitCarrier(t, true)
	return h, front, far, link
}

func termios(t testing.TB, f *os.File) (got *unix.Termios) {
	t.Helper()
	err := control(f, func(fd int) {
		var err error
		if got, err = unix.IoctlGetTermios(fd, unix.TCGETS2); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestHostSerial sends every byte both ways, has the rate follow the guest's, and
// the device go away and come back.
func TestHostSerial(t *testing.T) {
	noLeaks(t)
	h, front, far, link := newLine(t)
	exchange(t, h, front.frontEnd, far, 1<<18)
	h.SetLine(LineSettings{Rate: 38400, DataBits: 8, StopBits: 2})
	h.SetModemControl(true, true)
	h.SetBreak(true)
	h.SetBreak(false)
	await.That(t, "the rate on the line", func() bool {
		got := termios(t, far)
		return got.Ospeed == 38400 && got.Cflag&unix.CSTOPB != 0
	})
	if _, err := OpenHostSerial(HostSerialOptions{Path: link}); err == nil || !strings.Contains(err.Error(), "another program uses it") {
		t.Errorf("error %v for a device in use", err)
	}
	far.Close()
	front.waitCarrier(t, false)
	far, name, err := openMaster()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(name, link); err != nil {
		t.Fatal(err)
	}
	front.waitCarrier(t, true)
	exchange(t, h, front.frontEnd, far, 1<<12)
	if got := termios(t, far); got.Ospeed != 38400 {
		t.Errorf("rate %d after the device came back", got.Ospeed)
	}
	mustClose(t, h)
}

func TestHostSerialErrors(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		dir + "/none": "no such file",
		dir:           "is a directory (the source path must name a device",
		"/dev/null":   "/dev/null: it is not a serial port",
	} {
		noLeaks(t)
		if _, err := OpenHostSerial(HostSerialOptions{Path: path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", path, err, want)
		}
	}
}

// TestSerialMarks decodes what a line discipline with PARMRK makes of a line.
func TestSerialMarks(t *testing.T) {
	for raw, want := range map[string]string{
		"plain":                    "plain",
		"a\xff\xffb":               "a\xffb",
		"a\xff\x00\x00b\x00":       "a<break>b\x00",
		"\xff\x00\x00\xff\x00\x00": "<break><break>",
		"\xff\x00x\xff\xff\x00":    "x\xff\x00",
		"a\xffb\xff\xff\xffc":      "a\xffb\xff\xffc", // not all are doubled
	} {
		for size := 1; size < 4; size++ {
			var d markDecoder
			got := ""
			for rest := raw; rest != ""; {
				n := copy(d.buf[:size], rest)
				d.in, rest = d.buf[:n], rest[n:]
				for len(d.in) > 0 {
					p := make([]byte, 2)
					n, err := d.decode(p)
					got += string(p[:n])
					if err == errBreak {
						got += "<break>"
					}
				}
			}
			if got != want {
				t.Errorf("%q in pieces of %d: %q, want %q", raw, size, got, want)
			}
		}
	}
}

func TestLineSettings(t *testing.T) {
	for line, want := range map[LineSettings]uint32{
		{115200, 8, 1, NoParity}:  unix.CS8,
		{50, 5, 2, SpaceParity}:   unix.CS5 | unix.CSTOPB | unix.PARENB | unix.CMSPAR,
		{12345, 7, 1, EvenParity}: unix.CS7 | unix.PARENB,
		{9600, 6, 1, OddParity}:   unix.CS6 | unix.PARENB | unix.PARODD,
		{9600, 8, 1, MarkParity}:  unix.CS8 | unix.PARENB | unix.PARODD | unix.CMSPAR,
		{1, 200, 1, Parity(200)}:  unix.CS8 | unix.PARENB | unix.CMSPAR,
	} {
		got := unix.Termios{Cflag: unix.B9600 | unix.CS5 | unix.CSTOPB | unix.PARENB}
		setLine(&got, line)
		if got.Cflag != want|unix.BOTHER || got.Ospeed != line.Rate || got.Ispeed != line.Rate {
			t.Errorf("%+v: flags %#o and rate %d, want %#o", line, got.Cflag, got.Ospeed, want)
		}
	}
}

func makeFIFO(t testing.TB, path string) {
	t.Helper()
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
}

// peerEnds are the host program's ends of a pair of FIFOs.
type peerEnds struct{ out, in *os.File }

func (p peerEnds) Read(b []byte) (int, error)  { return p.out.Read(b) }
func (p peerEnds) Write(b []byte) (int, error) { return p.in.Write(b) }

// TestPipe: peers come, leave and return.
func TestPipe(t *testing.T) {
	noLeaks(t)
	path := filepath.Join(t.TempDir(), "pipe")
	makeFIFO(t, path+".in")
	makeFIFO(t, path+".out")
	p, err := OpenPipe(PipeOptions{Options: Options{Name: "serial0"}, Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	front := newFrontEnd()
	p.Attach(front)
	for i := range 2 {
		// Nobody reads: the newest output is kept.
		lost := random(t, 2*BufferSize)
		writeAll(t, p, lost)
		await.That(t, "output dropped", func() bool { p.Write(lost); return p.Stats().Dropped > 0 })
		mark := fmt.Appendf(nil, "mark %d", i)
		writeAll(t, p, mark)
		in, err := os.OpenFile(path+".in", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		out, err := os.OpenFile(path+".out", os.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for buf := make([]byte, 4096); !bytes.HasSuffix(got, mark); {
			n, err := out.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, buf[:n]...)
		}
		if len(got) != BufferSize {
			t.Errorf("%d bytes were kept, want %d", len(got), BufferSize)
		}
		exchange(t, p, front, peerEnds{out, in}, 1<<20)
		in.Close()
		out.Close()
	}
	mustClose(t, p)
}

func TestPipeOneWay(t *testing.T) {
	noLeaks(t)
	path := filepath.Join(t.TempDir(), "pipe")
	makeFIFO(t, path)
	p, err := OpenPipe(PipeOptions{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.Attach(newFrontEnd())
	writeAll(t, p, []byte("hello"))
	out, err := os.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	got := make([]byte, 5)
	if n, err := out.Read(got); err != nil || string(got[:n]) != "hello" {
		t.Errorf("read %q, %v", got[:n], err)
	}
	mustClose(t, p)
}

func TestPipeErrors(t *testing.T) {
	dir := t.TempDir()
	makeFIFO(t, dir+"/half.out")
	if err := os.WriteFile(dir+"/file", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir + "/none": "make them with mkfifo(1)",
		dir + "/half": "half.in: no such file",
		dir + "/file": "is not a FIFO",
		dir:           "is not a FIFO",
	} {
		noLeaks(t)
		if _, err := OpenPipe(PipeOptions{Options: Options{Name: "serial0"}, Path: path}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", path, err, want)
		}
	}
}
