package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// escapeByte is ^] (GS), which leaves the console as it does in virsh.
const escapeByte = 0x1d

// terminal is the user's terminal while it is a guest's console: in raw mode
// when it is one, and always restored.
type terminal struct {
	raw     bool
	restore func()
}

// openTerminal puts in into raw mode if it is a terminal. restore must be
// called before the process ends; it may be called more than once.
func openTerminal(in *os.File) (*terminal, error) {
	if !isTerminal(in) {
		return &terminal{restore: func() {}}, nil
	}
	fd := int(in.Fd())
	saved, err := term.MakeRaw(fd)
	if err != nil {
		return nil, fmt.Errorf("cannot put the terminal into raw mode: %w", err)
	}
	return &terminal{raw: true, restore: sync.OnceFunc(func() {
		// Nothing can be done about a terminal that has gone away.
		_ = term.Restore(fd, saved)
	})}, nil
}

// isTerminal reports whether keys rather than a script's bytes come from f.
func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// escapeReader passes the user's keys on until the escape key comes.
type escapeReader struct {
	r      io.Reader
	escape func()
}

// Read reads keys. When ^] is among them, the keys before it are returned, and
// escape is called and the input is at its end.
func (e *escapeReader) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if i := bytes.IndexByte(p[:n], escapeByte); i >= 0 {
		e.escape()
		return i, io.EOF
	}
	return n, err
}
