package main

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// terminal is the user's terminal, which is in raw mode while it is a guest's
// console.
type terminal struct {
	file *os.File

	mu    sync.Mutex
	saved *term.State // what to go back to; nil while not in raw mode
	done  bool        // restored for good
}

// descriptor calls f with the file's descriptor. File.Fd would make that
// blocking, also for other processes that have it.
func descriptor(file *os.File, f func(fd int)) {
	if conn, err := file.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { f(int(fd)) }) // fails only if it is closed
	}
}

// isTerminal reports whether a person rather than a file or a pipe is there.
func isTerminal(file *os.File) (yes bool) {
	descriptor(file, func(fd int) { yes = term.IsTerminal(fd) })
	return yes
}

// makeRaw puts the terminal into raw mode. In a background job it waits, as
// everything that changes the terminal does, for the job to be in the
// foreground. After restore it does nothing.
func (t *terminal) makeRaw() (err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.done || t.saved != nil {
		return nil
	}
	descriptor(t.file, func(fd int) { t.saved, err = term.MakeRaw(fd) })
	if err != nil {
		return fmt.Errorf("cannot put the terminal into raw mode: %w", err)
	}
	return nil
}

// suspend puts the terminal back as it was before makeRaw.
func (t *terminal) suspend() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leaveRaw()
}

// restore is suspend for good.
func (t *terminal) restore() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leaveRaw()
	t.done = true
}

func (t *terminal) leaveRaw() {
	if t.saved == nil {
		return
	}
	descriptor(t.file, func(fd int) {
		if inForeground(fd) {
			_ = term.Restore(fd, t.saved) // fails only for a terminal that is gone
		}
	})
	t.saved = nil
}

// raw reports whether a line feed is no more than that.
func (t *terminal) raw() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.saved != nil
}

// inForeground reports whether the terminal is ours to change. To change it in
// a background job would stop the job, and surprise the one in the foreground.
func inForeground(fd int) bool {
	group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp() // err: not our controlling terminal
}

// screen is standard error. Where the same terminal is in raw mode, it needs a
// carriage return before each line feed.
type screen struct {
	file *os.File
	tty  *terminal // nil, or the guest's console
}

// Write writes p in one piece.
func (s *screen) Write(p []byte) (int, error) {
	if s.tty == nil || !s.tty.raw() || !isTerminal(s.file) {
		return s.file.Write(p)
	}
	out := make([]byte, 0, len(p)+8)
	for _, b := range p {
		if b == '\n' {
			out = append(out, '\r')
		}
		out = append(out, b)
	}
	if _, err := s.file.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}
