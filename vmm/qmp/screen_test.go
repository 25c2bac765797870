package qmp

import (
	"bytes"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestScreendump(t *testing.T) {
	r := newRig(t)
	defer r.close()
	s := r.open()
	file := filepath.Join(t.TempDir(), "shot")
	dump := func(more string) []byte {
		t.Helper()
		if got := s.ask(fmt.Sprintf(`{"execute":"screendump","arguments":{"filename":%q%s}}`, file, more)); got != `{"return":{}}` {
			t.Fatal(got)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, more := range []string{"", `,"format":"ppm"`} {
		if got := dump(more); string(got) != "P6\n2 1\n255\n\xff\x00\x00\x00\x00\xff" {
			t.Errorf("ppm: %q", got)
		}
	}
	got, err := png.Decode(bytes.NewReader(dump(`,"format":"png"`)))
	if err != nil || got.Bounds() != picture().Bounds() || got.At(1, 0) != picture().At(1, 0) {
		t.Errorf("png: %v, %v", got, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// A file that takes nothing holds nobody up.
func TestScreendumpToFIFO(t *testing.T) {
	r := newRig(t)
	s := r.open()
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	dump := fmt.Sprintf(`{"execute":"screendump","arguments":{"filename":%q}}`, fifo)
	if got := s.ask(dump); !strings.Contains(got, "no such device or address") {
		t.Errorf("without a reader: %s", got)
	}
	reader, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	writer, err := os.OpenFile(fifo, os.O_WRONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	raw, err := writer.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Write(func(fd uintptr) bool { // until it is full
		for {
			if _, err := unix.Write(int(fd), make([]byte, 1)); err != nil {
				return true
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	s.send(dump)
	go func() { _, _ = io.Copy(io.Discard, s.from) }()
	r.close() // comes to its end
}
