package chardev

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// FileOptions are the options of OpenFile.
type FileOptions struct {
	Options

	// Path is the file, which is created with mode 0600 when it does not exist.
	// It may also be a device, or a FIFO that has a reader.
	Path string

	// Append keeps what the file holds. The default is to truncate it, as
	// libvirt's type='file' does unless told append='on'.
	Append bool
}

// File is the back end that writes output to a file (type='file'). There is no
// input. The connection is always up.
//
// A write error (ENOSPC, EIO) loses the bytes of that write, is counted and
// logged; the machine goes on, and so does the output when the cause is gone.
type File struct{ port }

// OpenFile opens the file. It fails when the path is a directory, cannot be
// created or written, or is a FIFO without a reader.
func OpenFile(opts FileOptions) (*File, error) {
	file, err := openOutputFile(opts.Path, opts.Append)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", opts.Name, err)
	}
	f := new(File)
	f.init(opts.Options, true)
	f.main = f.newOutput("writing "+opts.Path, &writerSink{w: file}, blockWhenFull, true)
	f.close = file.Close
	return f, nil
}

// openAdvice adds what to do about an error of opening a file for writing.
func openAdvice(err error) string {
	switch {
	case errors.Is(err, unix.EISDIR):
		return " (the source path must name a file, which is created if it does not exist)"
	case errors.Is(err, unix.ENOENT):
		return " (create the directory first)"
	case errors.Is(err, unix.ENXIO):
		return " (nobody reads this FIFO; start its reader first)"
	}
	return ""
}
