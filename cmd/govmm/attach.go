package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/vmm/statedir"
)

func (a *app) consoleCommand() *cobra.Command {
	var device string
	var force bool
	cmd := &cobra.Command{
		Use:   "console NAME",
		Short: "Attach this terminal to a machine's console",
		Long: `console attaches standard input and output to the first console of the running
machine NAME, or to the character device that --devname names: serial0,
console0, channel0 and so on, in the order of its XML. It must be of type pty,
vc, or unix with mode="bind".

A terminal is in raw mode meanwhile. Leave with ^] (Ctrl and the closing
bracket); the machine goes on. A virtio console gets the terminal's size. Two
sessions of this command do not share a console: the second one is refused, or
with --force takes it over from the first.

The console of a machine that "run" shows on its own terminal is there; with
run --console=none it is not.`,
		Example: `  govmm console vm
  govmm console vm --devname serial1 --force`,
		Args:              argsNAME(0, 0, ""),
		ValidArgsFunction: machineNames(noFiles),
		RunE: func(c *cobra.Command, args []string) error {
			return a.attach(c.Context(), args[0], device, force)
		},
	}
	cmd.Flags().StringVar(&device, "devname", "", "the character device (default: the first console)")
	cmd.Flags().BoolVar(&force, "force", false, "take the console over from another session")
	return cmd
}

// attach joins this process's standard input and output to a console, until the
// user leaves or the machine ends.
func (a *app) attach(ctx context.Context, name, device string, force bool) error {
	end, err := findConsole(ctx, name, device)
	if err != nil {
		return err
	}
	// Whoever takes the console over finds us ready to give it back.
	leave := make(chan os.Signal, 1)
	signal.Notify(leave, takeOver, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT)
	defer signal.Stop(leave)
	lock, err := end.lock(ctx, force)
	if err != nil {
		return err
	}
	defer lock.Close()
	conn, err := end.open(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if isTerminal(a.stdin) {
		tty := &terminal{file: a.stdin}
		if err := tty.makeRaw(); err != nil {
			return err
		}
		defer tty.restore()
		a.stderr.tty = tty
		fmt.Fprintf(a.stderr, "Connected to %s of %s. Leave with ^]\n", end.alias, name)
	}
	shown := ""
	if strings.HasPrefix(end.alias, "console") { // of virtio; others have no size
		shown = end.alias
	}
	defer followSize(ctx, end, shown, a.stdout, a.log)()

	ended := make(chan error, 2)
	go func() {
		if escaped, err := copyUntilEscape(conn, a.stdin); escaped || err != nil {
			ended <- err
		} // the end of a file leaves the output
	}()
	go func() {
		_, err := io.Copy(a.stdout, conn)
		if errors.Is(err, unix.EIO) {
			err = nil // so a pty ends
		}
		ended <- err
	}()
	select {
	case err = <-ended:
	case s := <-leave:
		if s == takeOver {
			return errors.New("another session has taken the console over")
		}
		return &exitCode{code: exitSignal + int(s.(unix.Signal))}
	}
	if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.EIO) {
		return nil // it ended while we wrote
	}
	return err
}

// copyUntilEscape copies until the escape key, the end or an error.
func copyUntilEscape(to io.Writer, from io.Reader) (escaped bool, err error) {
	buf := make([]byte, 4096)
	for {
		n, readErr := from.Read(buf)
		typed, _, escaped := bytes.Cut(buf[:n], []byte{escapeByte})
		if _, err := to.Write(typed); err != nil || escaped {
			return escaped, err
		}
		switch {
		case errors.Is(readErr, io.EOF):
			return false, nil
		case readErr != nil:
			return false, readErr
		}
	}
}

// remoteConsole is a console of a machine of another process.
type remoteConsole struct {
	statedir.Entry
	alias string
	kind  string // as in the XML
	path  string
}

// findConsole finds a machine's console by its alias, or the first one.
func findConsole(ctx context.Context, name, device string) (end *remoteConsole, err error) {
	err = withMachine(ctx, name, func(ctx context.Context, r remote) error {
		var all []struct{ Label, Filename string }
		if err := r.client.Execute(ctx, "query-chardev", nil, &all); err != nil {
			return err
		}
		var aliases []string
		for _, c := range all {
			aliases = append(aliases, c.Label)
			if device != "" && c.Label != device || device == "" && !isConsole(c.Label) {
				continue
			}
			end = &remoteConsole{Entry: r.Entry, alias: c.Label}
			return end.locate(c.Filename)
		}
		switch {
		case device != "":
			return fmt.Errorf("machine %q has no character device %s, only %s", name, device, cmp.Or(strings.Join(aliases, ", "), "none at all"))
		case len(all) > 0:
			return fmt.Errorf("machine %q has no console; --devname names one of %s", name, strings.Join(aliases, ", "))
		}
		return fmt.Errorf("machine %q has no console", name)
	})
	return end, err
}

// isConsole reports whether a device can be a machine's first console.
func isConsole(alias string) bool {
	return strings.HasPrefix(alias, "serial") || strings.HasPrefix(alias, "console")
}

// locate takes the host end as query-chardev names it.
func (c *remoteConsole) locate(filename string) error {
	address, listens := strings.CutSuffix(filename, ",server=on")
	c.kind, c.path, _ = strings.Cut(address, ":")
	switch {
	case c.kind == "pty", (c.kind == "unix" || c.kind == "vc") && listens:
		return nil
	case c.kind == "stdio":
		return fmt.Errorf("%s is on the terminal of govmm run (process %d); with run --console=none it is not", c.alias, c.PID)
	}
	return fmt.Errorf(`%s is of type %s, to which nobody can attach; pty, vc, and unix with mode="bind" can be`, c.alias, c.kind)
}

// open opens the host end.
func (c *remoteConsole) open(ctx context.Context) (io.ReadWriteCloser, error) {
	if c.kind == "pty" {
		return os.OpenFile(c.path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	return new(net.Dialer).DialContext(ctx, "unix", c.path)
}

// ResizeConsole implements resizer.
func (c *remoteConsole) ResizeConsole(parent context.Context, device string, columns, rows uint16) error {
	ctx, cancel := context.WithTimeout(parent, answerTime)
	defer cancel()
	client, err := connect(ctx, c.Entry)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Execute(ctx, "__com.github.govmm_resize-console",
		map[string]any{"device": device, "columns": columns, "rows": rows}, nil)
}

const (
	// takeOver asks a session to give its console to another.
	takeOver = unix.SIGUSR1

	// takeOverTime is how long it has to do so.
	takeOverTime  = 2 * time.Second
	takeOverRetry = 10 * time.Millisecond
)

// lock keeps other sessions from the console, until it is closed. The lock is one
// of fcntl(2), of which the kernel tells who has it, and which ends with the
// process.
func (c *remoteConsole) lock(ctx context.Context, force bool) (io.Closer, error) {
	path := filepath.Join(c.Path, c.alias+".lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	asked := 0
	for late := time.Now().Add(takeOverTime); ; {
		owner, err := lockFile(file)
		switch {
		case err == nil && owner == 0:
			return file, nil
		case err == nil && !force:
			err = fmt.Errorf("%s is in use by another session, process %d; --force takes it over", c.alias, owner)
		case err == nil && time.Now().After(late):
			err = fmt.Errorf("%s is in use by another session, process %d, which does not give it back", c.alias, owner)
		case err == nil && owner > 0 && owner != asked:
			asked = owner
			err = unix.Kill(owner, takeOver)
			if errors.Is(err, unix.ESRCH) {
				err = nil
			}
		}
		if err != nil {
			file.Close()
			return nil, err
		}
		select {
		case <-time.After(takeOverRetry):
		case <-ctx.Done():
			file.Close()
			return nil, context.Cause(ctx)
		}
	}
}

// lockFile locks a file, or returns the process that has it locked, -1 for one
// that cannot be seen from here.
func lockFile(file *os.File) (owner int, err error) {
	descriptor(file, func(fd int) {
		for {
			want := unix.Flock_t{Type: unix.F_WRLCK}
			err = unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &want)
			if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) {
				return
			}
			err = unix.FcntlFlock(uintptr(fd), unix.F_GETLK, &want)
			if err != nil || want.Type != unix.F_UNLCK {
				if owner = int(want.Pid); owner == 0 {
					owner = -1
				}
				return
			}
		}
	})
	return owner, err
}

var _ resizer = (*remoteConsole)(nil)
