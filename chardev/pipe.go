package chardev

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// PipeOptions are the options of OpenPipe.
type PipeOptions struct {
	Options

	// Path names a pair of FIFOs, Path.in with input for the guest and Path.out
	// for its output, or if there is no such pair one FIFO for output.
	Path string

	// Patience is as in PtyOptions.
	Patience time.Duration
}

// Pipe is the back end at named pipes (type='pipe'), which somebody else makes.
// The connection is always up. While nobody reads, the last 64 KiB of output are
// kept, besides what an earlier reader left in the FIFO, and older output is
// dropped and counted. Writers may come and go: the input has no end.
type Pipe struct{ port }

// OpenPipe opens the FIFOs, for which nobody needs to be at their other ends.
func OpenPipe(opts PipeOptions) (_ *Pipe, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", opts.Name, err)
		}
	}()
	var in *os.File
	out, err := openFIFO(opts.Path+".out", os.O_WRONLY)
	switch {
	case err == nil:
		if in, err = openFIFO(opts.Path+".in", os.O_RDONLY); err != nil {
			_ = out.Close()
			return nil, err
		}
	case errors.Is(err, fs.ErrNotExist):
		if out, err = openFIFO(opts.Path, os.O_WRONLY); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is neither %s.out nor %s: make them with mkfifo(1)", opts.Path, opts.Path)
		}
	}
	if err != nil {
		return nil, err
	}
	p := new(Pipe)
	p.init(opts.Options, true)
	o := p.outputOptions("writing to "+out.Name(), pipeSink{someWriter{out}}, dropUnread, true)
	p.losing(&o, opts.Patience, out.Name())
	p.main = newOutput(o)
	p.close = out.Close
	if in != nil {
		source := deadlineFile{in}
		p.input, p.run = source, func() { p.copyInput(source, 4096) }
		p.close = func() error { return errors.Join(out.Close(), in.Close()) }
	}
	return p, nil
}

// openFIFO opens a FIFO without waiting for its other end. Opened for reading it
// has a writer in us, so that it never comes to its end.
func openFIFO(path string, flag int) (*os.File, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if st.Mode().Type() != fs.ModeNamedPipe {
		return nil, fmt.Errorf("%s is not a FIFO: make one with mkfifo(1)", path)
	}
	both, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil || flag == os.O_RDONLY {
		return both, err
	}
	// A reader in us would hide that there is no other.
	defer both.Close()
	return os.OpenFile(path, flag|unix.O_NONBLOCK, 0)
}

// pipeSink is the output.
type pipeSink struct{ someWriter }

func (s pipeSink) interrupt() bool { return s.SetWriteDeadline(past()) == nil }

func (s pipeSink) Write(p []byte) (int, error) {
	n, err := s.someWriter.Write(p)
	if errors.Is(err, unix.EPIPE) {
		err = errNoLink
	}
	return n, err
}

// someWriter is a non-blocking file whose Write writes as much as there is room
// for, once there is any: what a slow reader has taken is progress.
type someWriter struct{ *os.File }

// Write writes at least a byte, or returns an error.
func (w someWriter) Write(p []byte) (n int, err error) {
	raw, err := w.SyscallConn()
	if err != nil {
		return 0, err
	}
	return writeSome(raw, func(fd int) (int, error) { return unix.Write(fd, p) })
}

// writeSome calls write until that does something, when there is room.
func writeSome(raw syscall.RawConn, write func(fd int) (int, error)) (n int, err error) {
	waitErr := raw.Write(func(fd uintptr) (done bool) {
		for {
			n, err = write(int(fd))
			if !errors.Is(err, unix.EINTR) {
				return !errors.Is(err, unix.EAGAIN)
			}
		}
	})
	if waitErr != nil {
		return 0, waitErr
	}
	return max(n, 0), err
}
