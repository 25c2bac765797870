package bootloader

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// How long a program has to end after it was told to, and how long what it leaves
// in pipes may take to arrive after it has ended.
const (
	killDelay  = 2 * time.Second
	drainDelay = time.Second
)

// maxStderr is how much of standard error, its end, is kept for the message.
const maxStderr = 2 << 10

// execute runs the program on a terminal of its own and returns what it wrote to
// fifo. With an error, what it wrote until then.
func execute(ctx context.Context, opts Options, args []string, fifo string) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if opts.Timeout > 0 {
		timed, stop := context.WithTimeoutCause(ctx, opts.Timeout,
			fmt.Errorf("it has not chosen within %v: %w", opts.Timeout, context.DeadlineExceeded))
		defer stop()
		ctx = timed
	}
	answer, err := openFIFO(fifo, cancel)
	if err != nil {
		return nil, err
	}
	defer answer.close()
	term, err := openTerminal(opts.Terminal)
	if err != nil {
		return nil, err
	}
	defer term.close()

	stderr := &tail{copy: term.output}
	cmd := exec.CommandContext(ctx, opts.Path, args...)
	cmd.Env = append(os.Environ(), "TERM=vt100") // what programs for Xen expect
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = term.slave, term.slave, stderr
	// The terminal is the session's, so that the session ends with it, and with us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	cmd.Cancel = func() error { return killSession(cmd.Process.Pid, unix.SIGTERM) }
	cmd.WaitDelay = killDelay
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	answer.start()
	if err := term.start(); err != nil {
		cancel(err)
	}
	endSession(cmd.Process.Pid)
	err = cmd.Wait()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // a process that left the session still has standard error open
	}
	text := answer.finish()
	term.finish()

	if err == nil && len(text) <= maxAnswer {
		return text, nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if text := stderr.text(); text != "" {
		err = fmt.Errorf("%w: it wrote: %s", err, text)
	}
	return text[:min(len(text), maxAnswer)], err
}

// killSession signals the processes of a group, whose leader has not been waited
// for: the number cannot be another's.
func killSession(pid int, signal unix.Signal) error {
	err := unix.Kill(-pid, signal)
	if errors.Is(err, unix.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// endSession waits for the leader of a session to end and kills what it leaves.
func endSession(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	_ = killSession(pid, unix.SIGKILL)
}

// fifoReader reads an answer as it is written. A FIFO, unlike a file, cannot be
// filled without end.
type fifoReader struct {
	reader *os.File
	// writer keeps the reader from coming to an end before the program has opened
	// the FIFO.
	writer   *os.File
	tooLong  context.CancelCauseFunc
	finished chan struct{}
	text     []byte
}

func openFIFO(name string, tooLong context.CancelCauseFunc) (*fifoReader, error) {
	if err := unix.Mkfifo(name, 0o600); err != nil {
		return nil, &fs.PathError{Op: "mkfifo", Path: name, Err: err}
	}
	reader, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	writer, err := os.OpenFile(name, os.O_WRONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		_ = reader.Close()
		return nil, err
	}
	return &fifoReader{reader: reader, writer: writer, tooLong: tooLong, finished: make(chan struct{})}, nil
}

func (f *fifoReader) start() {
	go func() {
		defer close(f.finished)
		f.text, _ = io.ReadAll(io.LimitReader(f.reader, maxAnswer+1))
		if len(f.text) > maxAnswer {
			f.tooLong(fmt.Errorf("its answer is longer than %d bytes", maxAnswer))
		}
	}()
}

// finish returns what was written, once nobody can write any more. A process that
// left the session and kept the FIFO open is not waited for.
func (f *fifoReader) finish() []byte {
	_ = f.writer.Close()
	_ = f.reader.SetReadDeadline(time.Now().Add(drainDelay))
	<-f.finished
	return f.text
}

func (f *fifoReader) close() {
	_ = f.writer.Close()
	_ = f.reader.Close()
}

// tail keeps the end of what is written to it, and passes it on.
type tail struct {
	copy io.Writer
	mu   sync.Mutex
	end  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	t.end = append(t.end, p...)
	if over := len(t.end) - maxStderr; over > 0 {
		t.end = append(t.end[:0], t.end[over:]...)
	}
	t.mu.Unlock()
	return t.copy.Write(p)
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.end))
}
