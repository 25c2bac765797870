// Package script runs the program that an administrator has for connecting a
// guest's network interface, as /etc/qemu-ifup is. It gets the interface's name as
// its only argument, has a limited time, and is waited for with all that it has
// started: nothing of it is left, whether it succeeds, fails or hangs.
package script

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultTimeout is how long a script may take.
const DefaultTimeout = 30 * time.Second

// drainDelay is how long output is waited for that a process which has left the
// script's session may still write.
const drainDelay = time.Second

// maxOutput is how much of what a script writes, its end, is kept for the message,
// in bytes.
const maxOutput = 2 << 10

// Options describe a run.
type Options struct {
	Path      string        // of the program
	Interface string        // its argument
	Timeout   time.Duration // 0 for DefaultTimeout
}

// Run runs a script to its end, or to that of its time or of ctx; then it is
// killed with its session. Any exit status but 0 is an error, with the end of what
// the script wrote.
func Run(ctx context.Context, o Options) error {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.Timeout,
		fmt.Errorf("it has not ended within %v, and was killed: %w", o.Timeout, context.DeadlineExceeded))
	defer cancel()
	if err := run(ctx, o); err != nil {
		return fmt.Errorf("script %s %s: %w", o.Path, o.Interface, err)
	}
	return nil
}

func run(ctx context.Context, o Options) error {
	var out tail
	cmd := exec.CommandContext(ctx, o.Path, o.Interface)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return kill(cmd.Process.Pid) }
	cmd.WaitDelay = drainDelay
	switch err := cmd.Start(); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf(`%w; write one, or <script path=""/> to run none`, err)
	case err != nil:
		return err
	}
	endSession(cmd.Process.Pid)
	err := cmd.Wait()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // a process that has left the session still has its output open
	}
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	if text := out.text(); text != "" {
		err = fmt.Errorf("%w: it wrote: %s", err, text)
	}
	return err
}

// kill ends the processes of a group, whose leader has not been waited for: the
// number cannot be another's.
func kill(pid int) error {
	err := unix.Kill(-pid, unix.SIGKILL)
	if errors.Is(err, unix.ESRCH) {
		return nil
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
	_ = kill(pid)
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	end []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, p...)
	if over := len(t.end) - maxOutput; over > 0 {
		t.end = append(t.end[:0], t.end[over:]...)
	}
	return len(p), nil
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.end))
}
