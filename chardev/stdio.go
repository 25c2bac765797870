package chardev

import (
	"fmt"
	"io"
	"os"
	"time"
)

// StdioOptions are the options of NewStdio.
type StdioOptions struct {
	Options

	// In is the guest's input; nil for none. The end of it ends the input and
	// nothing else.
	In io.Reader

	// Out takes the guest's output; nil throws it away. It exerts back
	// pressure: a terminal stopped with Ctrl-S stops the guest's output.
	Out io.Writer
}

// Stdio is the back end that joins the guest to a reader and a writer of the
// embedding program, often its standard input and output (type='stdio'). The
// connection is always up.
//
// Neither is closed by Close, and a terminal's settings are left as they are.
// An *os.File is used through a descriptor of the back end's own, so its
// O_NONBLOCK flag, which other processes may share, does not change either.
// Close interrupts a blocked read or write of an *os.File, and of anything
// that has SetReadDeadline or SetWriteDeadline; the latter keep a deadline that
// has passed. Of any other reader it does not wait for a blocked Read, whose
// goroutine ends when Read returns, and throws away what that still brings; of
// any other writer it waits for a blocked Write three quarters of a second and
// says so in its error.
type Stdio struct{ port }

// NewStdio returns a back end for opts.In and opts.Out.
func NewStdio(opts StdioOptions) (*Stdio, error) {
	var in source
	var out sink
	var closers []io.Closer
	closeAll := func() error {
		var first error
		for _, c := range closers {
			if err := c.Close(); err != nil && first == nil {
				first = err
			}
		}
		return first
	}

	switch r := opts.In.(type) {
	case nil:
	case *os.File:
		h, err := openHostFile(r, os.O_RDONLY)
		if err != nil {
			return nil, fmt.Errorf("%s: input: %w", opts.Name, err)
		}
		in = h
		closers = append(closers, h)
	default:
		in = &readerSource{r: r}
	}
	switch w := opts.Out.(type) {
	case nil:
	case *os.File:
		h, err := openHostFile(w, os.O_WRONLY)
		if err != nil {
			_ = closeAll()
			return nil, fmt.Errorf("%s: output: %w", opts.Name, err)
		}
		out = h
		closers = append(closers, h)
	default:
		out = &writerSink{w: w}
	}

	s := new(Stdio)
	s.init(opts.Options, true)
	if in != nil {
		s.input = in
		s.run = func() { s.copyInput(in, 4096) }
	}
	if out != nil {
		s.main = s.newOutput("writing output", out, blockWhenFull, true)
	}
	s.close = closeAll
	return s, nil
}

// past is a deadline that has passed.
func past() time.Time { return time.Unix(1, 0) }

// readerSource is a reader of the embedding program.
type readerSource struct{ r io.Reader }

func (s *readerSource) Read(p []byte) (int, error) { return s.r.Read(p) }

func (s *readerSource) interrupt() bool {
	d, ok := s.r.(interface{ SetReadDeadline(time.Time) error })
	return ok && d.SetReadDeadline(past()) == nil
}

// writerSink is a writer of the embedding program, or a file of ours.
type writerSink struct{ w io.Writer }

func (s *writerSink) Write(p []byte) (int, error) { return s.w.Write(p) }

func (s *writerSink) interrupt() bool {
	d, ok := s.w.(interface{ SetWriteDeadline(time.Time) error })
	return ok && d.SetWriteDeadline(past()) == nil
}
