package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/govmm/govmm/tests/initramfs/traffic"
	"golang.org/x/sys/unix"
)

// exchangePort sends the stream of a seed through a port and receives that of
// the next seed.
func exchangePort(w *words) (string, error) {
	name, length, seed := w.text(), w.number(), w.number()
	if err := w.end(); err != nil {
		return "", err
	}
	port, err := appears(func() (*os.File, error) { return openPort(name) })
	if err != nil {
		return "", err
	}
	defer port.Close()
	return "", traffic.Exchange(port, length, seed, seed+1)
}

// openPort opens the port that the host gave a name. There is no udev that
// would make links of the names.
func openPort(name string) (*os.File, error) {
	files, err := filepath.Glob("/sys/class/virtio-ports/*/name")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || strings.TrimSpace(string(text)) != name {
			continue
		}
		// Blocking, so that two threads may wait in it.
		device := "/dev/" + filepath.Base(filepath.Dir(file))
		fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", device, err)
		}
		return os.NewFile(uintptr(fd), device), nil
	}
	return nil, fmt.Errorf("no port is named %s: %w", name, os.ErrNotExist)
}

// appears opens a port that need not be there yet: the host tells of ports one
// by one, when the driver already runs.
func appears(open func() (*os.File, error)) (*os.File, error) {
	const interval, limit = 10 * time.Millisecond, 10 * time.Second
	again, late := time.NewTicker(interval), time.NewTimer(limit)
	defer again.Stop()
	defer late.Stop()
	for {
		f, err := open()
		if !errors.Is(err, os.ErrNotExist) {
			return f, err
		}
		select {
		case <-again.C:
		case <-late.C:
			return nil, err
		}
	}
}

// login does at a terminal what a login does: it asks for a name, and for a
// password, which is not shown; then it repeats lines in capitals until one
// says exit.
func login(w *words) (string, error) {
	device := w.text()
	if err := w.end(); err != nil {
		return "", err
	}
	terminal, err := appears(func() (*os.File, error) { return os.OpenFile(device, os.O_RDWR|unix.O_NOCTTY, 0) })
	if err != nil {
		return "", err
	}
	defer terminal.Close()
	lines := bufio.NewScanner(terminal)
	ask := func(prompt string) string {
		fmt.Fprint(terminal, prompt) // an error shows when reading
		lines.Scan()
		return lines.Text()
	}
	name := ask("guest login: ")
	shown, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		return "", err
	}
	if err := quietTerminal(int(terminal.Fd())); err != nil {
		return "", err
	}
	password := ask("Password: ")
	if err := unix.IoctlSetTermios(int(terminal.Fd()), unix.TCSETS, shown); err != nil {
		return "", err
	}
	fmt.Fprintf(terminal, "\nWelcome %s\n", name)
	for {
		line := ask("# ")
		if line == "exit" || lines.Err() != nil {
			return name + " " + password, lines.Err()
		}
		fmt.Fprintln(terminal, strings.ToUpper(line))
	}
}
