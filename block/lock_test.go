package block

import (
	"bytes"
	"errors"
	"os/exec"
	"strings"
	"testing"
)

func TestLocks(t *testing.T) {
	rw, ro := Options{}, Options{ReadOnly: true}
	rwShared, roShared := Options{Shareable: true}, Options{ReadOnly: true, Shareable: true}
	file := makeImage(t, t.TempDir(), 64<<10)
	for kind, path := range map[string]string{"file": file, "device": loopDevice(t, makeImage(t, t.TempDir(), 64<<10), 512, false)} {
		for _, tt := range []struct {
			name          string
			first, second Options
			ok            bool
		}{
			{"two writers", rw, rw, false},
			{"reader beside a writer", rw, ro, false},
			{"writer beside a reader", ro, rw, false},
			{"two readers", ro, ro, true},
			{"shareable writers", rwShared, rwShared, true},
			{"shareable writer beside one that is not", rw, rwShared, false},
			{"not shareable beside one that is", rwShared, rw, false},
			{"shareable reader and writer", roShared, rwShared, true},
			{"reader beside a shareable writer", rwShared, ro, false},
		} {
			t.Run(kind+"/"+tt.name, func(t *testing.T) {
				tt.first.Path, tt.second.Path = path, path
				first, err := Open(t.Context(), tt.first)
				if err != nil {
					t.Fatal(err)
				}
				second, err := Open(t.Context(), tt.second)
				if err == nil {
					defer second.Close()
				}
				if tt.ok != (err == nil) || !tt.ok && (!errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), path)) {
					t.Errorf("the second open: %v", err)
				}
				if err := first.Close(); err != nil {
					t.Fatal(err)
				}
				if !tt.ok {
					openDisk(t, tt.second).Close()
				}
				if second != nil {
					second.Close()
				}
			})
		}
	}
}

// TestLocksExcludeQEMU opens an image with QEMU's tools while a disk has it
// open, and the other way round.
func TestLocksExcludeQEMU(t *testing.T) {
	path := makeImage(t, t.TempDir(), 1<<20)
	qemu := func(args ...string) (string, error) {
		out, err := exec.Command(args[0], append(args[1:], path)...).CombinedOutput()
		if errors.Is(err, exec.ErrNotFound) {
			t.Fatalf("this test needs %s (package qemu-utils)", args[0])
		}
		return string(out), err
	}
	const locked = "Failed to get"
	for _, tt := range []struct {
		name string
		o    Options
		args []string
		ok   bool
	}{
		{"writers", Options{}, []string{"qemu-io", "-f", "raw", "-c", "write 0 512"}, false},
		// A reader that allows writers is let in, as beside a guest of QEMU.
		{"QEMU looks beside a writer", Options{}, []string{"qemu-img", "info"}, true},
		{"readers", Options{ReadOnly: true}, []string{"qemu-img", "info"}, true},
		{"QEMU writes beside a reader", Options{ReadOnly: true}, []string{"qemu-io", "-f", "raw", "-c", "write 0 512"}, false},
		{"QEMU writes beside a shareable reader", Options{ReadOnly: true, Shareable: true}, []string{"qemu-io", "-f", "raw", "-c", "write 0 512"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.Path = path
			d := openDisk(t, tt.o)
			out, err := qemu(tt.args...)
			refused := err != nil && strings.Contains(out, locked)
			if refused == tt.ok || tt.ok && err != nil {
				t.Errorf("QEMU: %v: %s", err, out)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			if out, err := qemu(tt.args...); err != nil {
				t.Errorf("after Close: %v: %s", err, out)
			}
		})
	}

	// QEMU first: it holds the image until its standard input ends.
	cmd := exec.Command("qemu-io", "-f", "raw", path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out := &promptWriter{want: []byte("qemu-io>"), seen: make(chan struct{})}
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-out.seen
	for _, o := range []Options{{Path: path}, {Path: path, ReadOnly: true}} {
		if d, err := Open(t.Context(), o); !errors.Is(err, ErrInUse) {
			t.Errorf("beside QEMU, read-only %v: %v", o.ReadOnly, err)
			if err == nil {
				d.Close()
			}
		}
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	openDisk(t, Options{Path: path})
}

// promptWriter closes seen when want has been written.
type promptWriter struct {
	want, got []byte
	seen      chan struct{}
}

func (w *promptWriter) Write(p []byte) (int, error) {
	before := bytes.Contains(w.got, w.want)
	w.got = append(w.got, p...)
	if !before && bytes.Contains(w.got, w.want) {
		close(w.seen)
	}
	return len(p), nil
}
