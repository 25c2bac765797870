package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/vmm"
)

// console joins the machine's first console to the user's terminal.
type console struct {
	in     *os.File
	out    io.Writer
	escape func()

	terminal *terminal
	pty      *os.File
	copying  sync.WaitGroup
	once     sync.Once
	stderr   *rawWriter
}

func newConsole(in *os.File, out io.Writer, escape func()) *console {
	return &console{in: in, out: out, escape: escape}
}

// input is what the user types. Where it is a terminal, ^] calls escape; what
// comes from a file or a pipe is passed on as it is.
func (c *console) input() io.Reader {
	if !isTerminal(c.in) {
		return c.in
	}
	return &escapeReader{r: c.in, escape: c.escape}
}

func (c *console) output() io.Writer { return c.out }

// attach puts the terminal into raw mode and, when the machine's console is a
// pty, joins it to that; one of type stdio was joined when it was made. It does
// nothing when the machine has no such console.
func (c *console) attach(m *vmm.Machine, stderr *rawWriter) error {
	device, ok := m.Console()
	if !ok || device.Type != "pty" && device.Type != "stdio" {
		return nil
	}
	c.stderr = stderr
	if device.Type == "pty" {
		pty, err := os.OpenFile(device.Path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
		if err != nil {
			return fmt.Errorf("console: %w", err)
		}
		c.pty = pty
		c.copying.Go(func() { io.Copy(c.out, pty) })
		// This one may stay blocked on the terminal; it ends with the process.
		go io.Copy(pty, c.input())
	}
	t, err := openTerminal(c.in)
	if err != nil {
		c.detach()
		return err
	}
	c.terminal = t
	stderr.raw.Store(t.raw)
	return nil
}

// detach shows what the machine has printed to the end, and restores the
// terminal. It is called after the machine was closed, which ends its ptys.
func (c *console) detach() {
	c.once.Do(func() {
		if c.pty != nil {
			c.copying.Wait()
			c.pty.Close()
		}
		if c.terminal != nil {
			c.terminal.restore()
			c.stderr.raw.Store(false)
		}
	})
}

// rawWriter is standard error, where a line feed needs a carriage return while
// the terminal is in raw mode.
type rawWriter struct {
	w   io.Writer
	raw atomic.Bool
}

// Write writes p, line by line.
func (r *rawWriter) Write(p []byte) (int, error) {
	if !r.raw.Load() {
		return r.w.Write(p)
	}
	out := make([]byte, 0, len(p)+8)
	for _, b := range p {
		if b == '\n' {
			out = append(out, '\r')
		}
		out = append(out, b)
	}
	if _, err := r.w.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}
