package statedir

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// maxSocketPath is what sockaddr_un has room for, its final NUL taken off
// (unix(7)).
const maxSocketPath = 107

// Listen makes the control socket. The listener does not remove it: Close of the
// directory does.
func (d *Dir) Listen() (*net.UnixListener, error) {
	var l *net.UnixListener
	err := withSocketPath(d.path, func(path string) (err error) {
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // the path may have been a detour
	// Nobody else has come near it so far, as the directory's mode is 0700.
	if err := os.Chmod(filepath.Join(d.path, socketFile), 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Socket is the path of the machine's control socket. It may be longer than a
// socket's address can be; Dial knows a way.
func (e Entry) Socket() string { return filepath.Join(e.Path, socketFile) }

// Dial connects to the machine's control socket.
func (e Entry) Dial(ctx context.Context) (net.Conn, error) {
	var conn net.Conn
	err := withSocketPath(e.Path, func(path string) (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, "unix", path)
		return err
	})
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, fmt.Errorf("machine %q (process %d) has no control socket: was it started with --no-control?", e.Name, e.PID)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("machine %q (process %d): no permission to use its control socket %s", e.Name, e.PID, e.Socket())
	case errors.Is(err, unix.ECONNREFUSED):
		return nil, fmt.Errorf("machine %q (process %d) is ending, or not ready yet: %w", e.Name, e.PID, err)
	}
	return conn, err
}

// withSocketPath calls f with a path of the socket in dir that fits a socket's
// address. The detour through an open directory is valid during the call alone.
func withSocketPath(dir string, f func(path string) error) error {
	path := filepath.Join(dir, socketFile)
	if len(path) <= maxSocketPath {
		return f(path)
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	return f(fmt.Sprintf("/proc/self/fd/%d/%s", fd, socketFile))
}
