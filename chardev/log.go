package chardev

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// OpenLog opens a file for Options.Tee, the copy of what the guest sends
// (<log file=>). It is made with mode 0600 when it does not exist, and truncated
// unless told to append. It must be closed after the back end.
func OpenLog(path string, appendTo bool) (*os.File, error) {
	return openOutputFile(path, appendTo)
}

// openOutputFile opens a file to write output to.
func openOutputFile(path string, appendTo bool) (*os.File, error) {
	// O_NONBLOCK keeps a FIFO from blocking the start of the machine; for a
	// regular file it means nothing.
	flags := os.O_WRONLY | os.O_CREATE | unix.O_NONBLOCK | unix.O_NOCTTY
	if appendTo {
		flags |= os.O_APPEND
	} else {
		flags |= os.O_TRUNC
	}
	file, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w%s", err, openAdvice(err))
	}
	return file, nil
}
