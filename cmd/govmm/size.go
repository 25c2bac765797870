package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/govmm/govmm/vmm"
)

// resizer is what followSize needs of a machine.
type resizer interface {
	ResizeConsole(ctx context.Context, device string, columns, rows uint16) error
}

// shownConsole is the console of a machine that has a size and is joined to
// standard output; "" if there is none.
func shownConsole(m *vmm.Machine) string {
	for _, c := range m.Chardevs() {
		if c.Resizable && c.Type == "stdio" {
			return c.Alias
		}
	}
	return ""
}

// followSize gives a console of the machine the size of the terminal that shows
// it, now and whenever that changes, until ctx is done or stop is called. On what
// is no terminal it does nothing.
func followSize(ctx context.Context, m resizer, console string, shown *os.File, log *slog.Logger) (stop func()) {
	if console == "" || !isTerminal(shown) {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	// A job in the background is not told of a change, but that it goes on.
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, unix.SIGWINCH, unix.SIGCONT)
	resize := func() {
		columns, rows := terminalSize(shown)
		if columns == 0 || rows == 0 {
			return // it does not know, as a serial line
		}
		err := m.ResizeConsole(ctx, console, columns, rows)
		if err != nil && ctx.Err() == nil && !errors.Is(err, vmm.ErrNotRunning) {
			log.Warn("the guest does not know the size of the terminal", "device", console, "error", err)
		}
	}
	resize()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-changed:
				resize()
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		signal.Stop(changed)
		cancel()
		<-done
	}
}

// terminalSize is the size of a terminal in characters, 0 if it has none.
func terminalSize(file *os.File) (columns, rows uint16) {
	descriptor(file, func(fd int) {
		if w, h, err := term.GetSize(fd); err == nil {
			columns, rows = uint16(w), uint16(h) // the kernel has 16 bits for each
		}
	})
	return columns, rows
}
