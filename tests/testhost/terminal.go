package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/govmm/govmm/tests/testhost/host"
	"golang.org/x/term"
)

// errEscape is why the machine was ended from its terminal.
var errEscape = errors.New("ended by Ctrl-] three times")

// openTerminal puts our terminal in raw mode and returns it for a machine,
// with what restores it. Standard input that is no terminal is passed on as
// if typed.
func openTerminal(cancel context.CancelCauseFunc) (*host.Terminal, func(), error) {
	fd := int(os.Stdin.Fd())
	if !term.IsTerminal(fd) {
		return &host.Terminal{Input: os.Stdin, Size: host.Size{Rows: 24, Cols: 80}}, func() {}, nil
	}
	state, err := term.MakeRaw(fd)
	if err != nil {
		return nil, nil, err
	}
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, syscall.SIGWINCH)
	resize := make(chan host.Size)
	go func() {
		for range changed {
			resize <- windowSize(fd)
		}
	}()
	restore := func() {
		signal.Stop(changed)
		term.Restore(fd, state) // the terminal may be gone
	}
	input := &escapeReader{r: os.Stdin, escape: func() { cancel(errEscape) }}
	return &host.Terminal{Input: input, Size: windowSize(fd), Resize: resize}, restore, nil
}

func windowSize(fd int) host.Size {
	cols, rows, err := term.GetSize(fd)
	if err != nil {
		return host.Size{Rows: 24, Cols: 80}
	}
	return host.Size{Rows: uint16(rows), Cols: uint16(cols)}
}

// escapeReader calls escape when it has read Ctrl-] three times in a row: in
// raw mode no other key would get the user out of a machine that hangs.
type escapeReader struct {
	r      io.Reader
	escape func()
	row    int
}

func (e *escapeReader) Read(p []byte) (int, error) {
	const escapeKey = 0x1d
	n, err := e.r.Read(p)
	for _, c := range p[:n] {
		if c != escapeKey {
			e.row = 0
			continue
		}
		if e.row++; e.row == 3 {
			e.escape()
		}
	}
	return n, err
}
