package bootloader

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// terminal joins the program's terminal to ours.
type terminal struct {
	peer          Terminal // nil without one
	output        io.Writer
	master, slave *os.File
	running       sync.WaitGroup
}

func openTerminal(peer Terminal) (*terminal, error) {
	master, slave, err := openPty()
	if err != nil {
		return nil, fmt.Errorf("no terminal for its menu: %w", err)
	}
	t := &terminal{peer: peer, output: io.Discard, master: master, slave: slave}
	if err := pty.Setsize(master, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		t.close()
		return nil, fmt.Errorf("the size of its terminal: %w", err)
	}
	if peer == nil {
		return t, nil
	}
	t.output = &screen{to: peer}
	if err := peer.SetReadDeadline(time.Time{}); err != nil {
		t.close()
		return nil, fmt.Errorf("the terminal given cannot be used: %w", err)
	}
	return t, nil
}

// openPty opens a pty whose master can be read with a deadline: it comes in
// blocking mode.
func openPty() (master, slave *os.File, err error) {
	m, slave, err := pty.Open()
	if err != nil {
		return nil, nil, err
	}
	defer m.Close()
	fd, err := unix.FcntlInt(m.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		if err = unix.SetNonblock(fd, true); err == nil {
			return os.NewFile(uintptr(fd), m.Name()), slave, nil
		}
		_ = unix.Close(fd)
	}
	_ = slave.Close()
	return nil, nil, os.NewSyscallError("fcntl", err)
}

// start begins to copy, once the program has the slave.
func (t *terminal) start() error {
	if err := t.slave.Close(); err != nil {
		return err
	}
	t.running.Go(func() { _, _ = io.Copy(t.output, t.master) })
	if t.peer != nil {
		t.running.Go(func() { _, _ = io.Copy(t.master, onlyReader{t.peer}) })
	}
	return nil
}

// finish ends the copying, after what the program wrote last.
func (t *terminal) finish() {
	now := time.Now()
	_ = t.master.SetReadDeadline(now.Add(drainDelay))
	_ = t.master.SetWriteDeadline(now)
	if t.peer != nil {
		_ = t.peer.SetReadDeadline(now)
	}
	t.running.Wait()
	if t.peer != nil {
		_ = t.peer.SetReadDeadline(time.Time{})
	}
}

func (t *terminal) close() {
	_ = t.slave.Close()
	_ = t.master.Close()
}

// screen shows what the program writes to its terminal and to standard error. It
// goes on when nobody looks any more, or the program would wait for that.
type screen struct {
	mu sync.Mutex
	to io.Writer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.to.Write(p)
	return len(p), nil
}

// onlyReader hides what else a reader could do from io.Copy.
type onlyReader struct{ io.Reader }
