package chardev

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// hostFile is a file of the embedding program, used in one direction through a
// descriptor of our own. It is a source and a sink.
type hostFile interface {
	io.ReadWriteCloser
	interrupt() bool
}

// openHostFile makes a descriptor that can be waited on and interrupted,
// without touching the flags of f's open file description, which belong to
// everybody who shares it: a shell whose terminal was left non-blocking
// misbehaves. flag is os.O_RDONLY or os.O_WRONLY.
func openHostFile(f *os.File, flag int) (hostFile, error) {
	conn, err := f.SyscallConn() // File.Fd would change the flags
	if err != nil {
		return nil, err
	}
	var h hostFile
	ctlErr := conn.Control(func(fd uintptr) { h, err = openHostFD(int(fd), f.Name(), flag) })
	if ctlErr != nil {
		return nil, ctlErr
	}
	return h, err
}

func openHostFD(fd int, name string, flag int) (hostFile, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: name, Err: err}
	}
	kind := st.Mode & unix.S_IFMT

	// FIFOs and terminals can be opened a second time through /proc, which gives
	// an open file description of our own, with flags of our own. This fails for
	// another user's terminal (after su) and where /proc is missing.
	if kind == unix.S_IFIFO || isTerminal(fd, &st) {
		path := fmt.Sprintf("/proc/self/fd/%d", fd)
		if own, err := os.OpenFile(path, flag|unix.O_NONBLOCK|unix.O_NOCTTY, 0); err == nil {
			return deadlineFile{own}, nil
		}
	}

	own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "dup", Path: name, Err: err}
	}
	if kind == unix.S_IFREG || kind == unix.S_IFBLK || kind == unix.S_IFDIR {
		return storedFile{os.NewFile(uintptr(own), name)}, nil
	}
	if fl, err := unix.FcntlInt(uintptr(own), unix.F_GETFL, 0); err == nil && fl&unix.O_NONBLOCK != 0 {
		return deadlineFile{os.NewFile(uintptr(own), name)}, nil
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		_ = unix.Close(own)
		return nil, os.NewSyscallError("eventfd", err)
	}
	return &polledFile{
		file:   os.NewFile(uintptr(own), name),
		wake:   os.NewFile(uintptr(wake), "eventfd"),
		socket: kind == unix.S_IFSOCK,
	}, nil
}

// isTerminal reports whether fd is a terminal, other than a pty master: opening
// that again would make another pty.
func isTerminal(fd int, st *unix.Stat_t) bool {
	if st.Mode&unix.S_IFMT != unix.S_IFCHR {
		return false
	}
	if unix.Major(st.Rdev) == 5 && unix.Minor(st.Rdev) == 2 {
		return false
	}
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}

// deadlineFile is a non-blocking file that the Go runtime waits on.
type deadlineFile struct{ *os.File }

func (f deadlineFile) interrupt() bool { return f.SetDeadline(past()) == nil }

// storedFile is a regular file or a disk, which never makes anybody wait for
// another party.
type storedFile struct{ *os.File }

func (f storedFile) interrupt() bool { return true }

// polledFile is a file whose description is in blocking mode and cannot be had
// twice. Before each operation it waits until that would not block, or until
// the eventfd says stop.
type polledFile struct {
	file   *os.File
	wake   *os.File // an eventfd, never read: it stays readable once written
	socket bool
}

// polledWrite bounds a write to a terminal that reported room: it takes at
// least this much without blocking.
const polledWrite = 256

func (f *polledFile) Read(p []byte) (n int, err error) {
	for {
		err = f.when(unix.POLLIN, func(fd int) error {
			n, err = unix.Read(fd, p)
			return err
		})
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && n == 0 {
			return 0, io.EOF
		}
		return max(n, 0), err
	}
}

func (f *polledFile) Write(p []byte) (written int, err error) {
	for written < len(p) {
		rest := p[written:]
		var n int
		err = f.when(unix.POLLOUT, func(fd int) (err error) {
			if f.socket {
				n, err = unix.SendmsgN(fd, rest, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
			} else {
				n, err = unix.Write(fd, rest[:min(len(rest), polledWrite)])
			}
			return err
		})
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return written, err
		}
		written += n
	}
	return written, nil
}

// when runs op as soon as the file is ready for it. Control keeps both
// descriptors from being closed, and their numbers from being used again,
// meanwhile.
func (f *polledFile) when(event int16, op func(fd int) error) error {
	var err error
	ctlErr := control(f.file, func(fd int) {
		wakeErr := control(f.wake, func(wake int) {
			fds := []unix.PollFd{{Fd: int32(fd), Events: event}, {Fd: int32(wake), Events: unix.POLLIN}}
			_, err = unix.Poll(fds, -1)
			if err == nil && fds[1].Revents != 0 {
				err = os.ErrClosed
			}
		})
		if err = errors.Join(wakeErr, err); err == nil {
			err = op(fd)
		}
	})
	return errors.Join(ctlErr, err)
}

func (f *polledFile) interrupt() bool {
	var err error
	ctlErr := control(f.wake, func(wake int) {
		_, err = unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	})
	return ctlErr == nil && err == nil
}

func (f *polledFile) Close() error {
	return errors.Join(f.file.Close(), f.wake.Close())
}

// control calls fn with the descriptor of a file.
func control(f syscall.Conn, fn func(fd int)) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Control(func(fd uintptr) { fn(int(fd)) })
}
