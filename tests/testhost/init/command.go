package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"github.com/govmm/govmm/tests/testhost/wire"
	"golang.org/x/sys/unix"
)

// Exit statuses a shell gives to a command it cannot run.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
	exitSignal        = 128 // plus the signal's number
)

// receive waits for the host's request.
func receive(in *wire.Reader) (wire.Request, error) {
	var request wire.Request
	kind, payload, err := in.Next()
	if err != nil {
		return request, fmt.Errorf("receive the request: %w", err)
	}
	if kind != wire.Start {
		return request, fmt.Errorf("the host's first frame is of kind %d, not a request", kind)
	}
	if err := json.Unmarshal(payload, &request); err != nil {
		return request, fmt.Errorf("receive the request: %w", err)
	}
	if len(request.Args) == 0 {
		return request, errors.New("the request names no command")
	}
	return request, nil
}

// execute runs the command to its end, then ends all it left running, and
// returns when all output has been sent.
func execute(request wire.Request, in *wire.Reader, out *wire.Writer) (wire.Status, error) {
	for resource, limit := range map[int]uint64{
		unix.RLIMIT_MEMLOCK: unix.RLIM_INFINITY,
		unix.RLIMIT_NOFILE:  65536,
		unix.RLIMIT_CORE:    0,
	} {
		if err := unix.Setrlimit(resource, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
			return wire.Status{}, fmt.Errorf("resource limit %d: %w", resource, err)
		}
	}
	if err := os.Chdir(request.Dir); err != nil {
		return refuse(out, exitNotFound, err)
	}
	path, err := lookPath(request)
	if errors.Is(err, os.ErrPermission) {
		return refuse(out, exitNotExecutable, err)
	}
	if err != nil {
		return refuse(out, exitNotFound, err)
	}

	streams := openPipes
	if request.TTY != nil {
		streams = func(in *wire.Reader, out *wire.Writer) (*streamSet, error) {
			return openTerminal(*request.TTY, in, out)
		}
	}
	s, err := streams(in, out)
	if err != nil {
		return wire.Status{}, err
	}
	process, err := os.StartProcess(path, request.Args, &os.ProcAttr{
		Env:   request.Env,
		Files: s.child[:],
		Sys:   &syscall.SysProcAttr{Setsid: true, Setctty: request.TTY != nil},
	})
	s.closeChild()
	if err != nil {
		return refuse(out, exitNotExecutable, err)
	}
	exit, err := reap(process.Pid)
	if err != nil {
		return wire.Status{}, err
	}
	s.copies.Wait()
	return wire.Status{Exit: exit}, nil
}

// refuse says on the command's standard error why it was not run.
func refuse(out *wire.Writer, exit int, reason error) (wire.Status, error) {
	_, err := fmt.Fprintf(out.Stream(wire.Stderr), "testhost: %v\n", reason)
	return wire.Status{Exit: exit}, err
}

// lookPath finds the command by the PATH it will have.
func lookPath(request wire.Request) (string, error) {
	for _, entry := range request.Env {
		if len(entry) > 5 && entry[:5] == "PATH=" {
			if err := os.Setenv("PATH", entry[5:]); err != nil {
				return "", err
			}
		}
	}
	path, err := exec.LookPath(request.Args[0])
	if errors.Is(err, exec.ErrDot) { // PATH holds the current directory
		err = nil
	}
	return path, err
}

// reap waits for process pid, then kills what is left, and collects every
// process that ends meanwhile, as the first process must.
func reap(pid int) (exit int, err error) {
	left := false
	for {
		var ws unix.WaitStatus
		got, err := unix.Wait4(-1, &ws, 0, nil)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.ECHILD && left:
			return exit, nil
		case err != nil:
			return 0, fmt.Errorf("wait: %w", err)
		}
		if got != pid {
			continue
		}
		exit = ws.ExitStatus()
		if ws.Signaled() {
			exit = exitSignal + int(ws.Signal())
		}
		left = true
		if err := unix.Kill(-1, unix.SIGKILL); err != nil && err != unix.ESRCH {
			return 0, fmt.Errorf("kill the command's children: %w", err)
		}
	}
}

// streamSet is the command's three standard streams, and the copying from
// them to the host.
type streamSet struct {
	child  [3]*os.File
	copies sync.WaitGroup
}

func (s *streamSet) closeChild() {
	for i, f := range s.child {
		if i == 0 || f != s.child[0] { // a terminal is all three
			f.Close()
		}
	}
}

// openPipes gives the command no input and two pipes.
func openPipes(_ *wire.Reader, out *wire.Writer) (*streamSet, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	s := &streamSet{child: [3]*os.File{0: null}}
	for i, kind := range []wire.Kind{1: wire.Stdout, 2: wire.Stderr} {
		if kind == 0 {
			continue
		}
		r, w, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		s.child[i] = w
		s.copies.Go(func() {
			_, err := io.Copy(out.Stream(kind), r)
			warn(err)
		})
	}
	return s, nil
}

// openTerminal gives the command a pseudo-terminal whose other end is the
// host's.
func openTerminal(size wire.Size, in *wire.Reader, out *wire.Writer) (*streamSet, error) {
	fd, err := unix.Open("/dev/pts/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a terminal: %w", err)
	}
	master := os.NewFile(uintptr(fd), "/dev/pts/ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, fmt.Errorf("unlock the terminal: %w", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, fmt.Errorf("name of the terminal: %w", err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("open a terminal: %w", err)
	}
	if err := setSize(fd, size); err != nil {
		return nil, err
	}
	s := &streamSet{child: [3]*os.File{slave, slave, slave}}
	s.copies.Go(func() {
		// Reading the master fails with EIO when the last user of the
		// terminal is gone.
		if _, err := io.Copy(out.Stream(wire.Stdout), master); err != nil && !errors.Is(err, unix.EIO) {
			warn(err)
		}
	})
	go func() { // lasts as long as the machine
		if err := typeInput(in, master); err != nil {
			warn(err)
		}
	}()
	return s, nil
}

// typeInput does at the terminal what the host's user does at his.
func typeInput(in *wire.Reader, master *os.File) error {
	for {
		kind, payload, err := in.Next()
		if err != nil {
			return fmt.Errorf("terminal input: %w", err)
		}
		switch kind {
		case wire.Input:
			if _, err := master.Write(payload); err != nil {
				return fmt.Errorf("terminal input: %w", err)
			}
		case wire.Resize:
			var size wire.Size
			if err := json.Unmarshal(payload, &size); err != nil {
				return fmt.Errorf("terminal size: %w", err)
			}
			if err := setSize(int(master.Fd()), size); err != nil {
				return err
			}
		default:
			return fmt.Errorf("terminal input: the host sent a frame of kind %d", kind)
		}
	}
}

func setSize(fd int, size wire.Size) error {
	ws := unix.Winsize{Row: size.Rows, Col: size.Cols}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &ws); err != nil {
		return fmt.Errorf("terminal size: %w", err)
	}
	return nil
}
