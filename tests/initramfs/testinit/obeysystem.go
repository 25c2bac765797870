package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/govmm/govmm/tests/initramfs/early"
	"golang.org/x/sys/unix"
)

func oneReport(w *words) (string, error) {
	name := w.text()
	if err := w.end(); err != nil {
		return "", err
	}
	for _, r := range reports() {
		if r.name == name {
			return "", r.report()
		}
	}
	return "", fmt.Errorf("no fact is named %q", name)
}

func cat(w *words) (string, error) {
	name := w.text()
	if err := w.end(); err != nil {
		return "", err
	}
	return early.Text(name)
}

func list(w *words) (string, error) {
	dir := w.text()
	if err := w.end(); err != nil {
		return "", err
	}
	files, err := os.ReadDir(dir)
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = f.Name()
	}
	return strings.Join(names, " "), err
}

func readlink(w *words) (string, error) {
	name := w.text()
	if err := w.end(); err != nil {
		return "", err
	}
	return os.Readlink(name)
}

func random(w *words) (string, error) {
	name, length := w.text(), w.number()
	if err := w.end(); err != nil {
		return "", err
	}
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	p := make([]byte, length)
	if _, err := io.ReadFull(f, p); err != nil {
		return "", err
	}
	return hex.EncodeToString(p), nil
}

// touch writes to every page of some memory.
func touch(w *words) (string, error) {
	length := w.number()
	if err := w.end(); err != nil {
		return "", err
	}
	p, err := aligned(int(length))
	if err != nil {
		return "", err
	}
	for i := 0; i < len(p); i += os.Getpagesize() {
		p[i] = 1
	}
	return "", unix.Munmap(p)
}

func powerOff(w *words) (string, error) {
	if err := w.end(); err != nil {
		return "", err
	}
	return "", early.PowerOff()
}
