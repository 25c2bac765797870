package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/govmm/govmm/domcfg"
	"github.com/govmm/govmm/vmm"
	"github.com/govmm/govmm/vmm/qmp"
	"github.com/govmm/govmm/vmm/statedir"
)

// control is how a machine of this process is controlled by others. The zero
// value is no way.
type control struct {
	dir      *statedir.Dir
	listener *net.UnixListener
	server   *qmp.Server
	serving  chan error
	log      *slog.Logger
}

// open takes the domain's name, so that it runs once, and makes the socket. A name
// that is taken is an error. A place where neither can be made is not: the machine
// runs all the same.
func (c *control) open(name string, log *slog.Logger) error {
	c.log = log
	var err error
	if c.dir, err = statedir.Create(statedir.Root(), name); err == nil {
		c.listener, err = c.dir.Listen()
	}
	if running := (*statedir.RunningError)(nil); errors.As(err, &running) {
		return fmt.Errorf("%w; to run the domain twice at once there is --no-control", err)
	}
	if err != nil {
		log.Warn("the machine cannot be controlled from outside; --no-control would do without, "+
			statedir.RootVariable+" names another directory", "error", err)
	}
	return nil
}

// path is the state directory, "" without one.
func (c *control) path() string {
	if c.dir == nil {
		return ""
	}
	return c.dir.Path()
}

// rename gives the machine another name, if no other has it.
func (c *control) rename(name string) error {
	if c.dir == nil {
		return nil
	}
	err := c.dir.Rename(name)
	if running := (*statedir.RunningError)(nil); errors.As(err, &running) {
		return fmt.Errorf("%w: %w", vmm.ErrNameTaken, err)
	}
	return err
}

// serve answers requests for a machine until end.
func (c *control) serve(m *vmm.Machine, d *domcfg.Domain) {
	if c.listener == nil {
		return
	}
	c.server = qmp.NewServer(qmp.Options{Machine: m, Domain: d, Version: programVersion(), Log: c.log.With("part", "control")})
	c.serving = make(chan error, 1)
	go func() { c.serving <- c.server.Serve(c.listener) }()
}

// end tells clients of the machine's end and lets them go. It must come before the
// machine is closed.
func (c *control) end() {
	if c.server == nil {
		return
	}
	if err := errors.Join(c.server.Close(), <-c.serving); err != nil {
		c.log.Error("the control socket failed", "error", err)
	}
	c.server, c.listener = nil, nil
}

// close gives the domain's name back.
func (c *control) close() {
	c.end()
	if c.listener != nil {
		c.listener.Close()
	}
	if c.dir == nil {
		return
	}
	if err := c.dir.Close(); err != nil {
		c.log.Error("the state directory was not removed", "error", err)
	}
}

// answerTime is how long a command waits for the machine that it controls.
const answerTime = 10 * time.Second

// remote is a running machine of another process.
type remote struct {
	statedir.Entry
	client *qmp.Client
}

// withMachine calls f with the machine that has a name.
func withMachine(parent context.Context, name string, f func(ctx context.Context, r remote) error) error {
	e, err := statedir.Find(statedir.Root(), name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(parent, answerTime,
		fmt.Errorf("machine %q (process %d) does not answer", e.Name, e.PID))
	defer cancel()
	r := remote{Entry: e}
	if r.client, err = connect(ctx, e); err != nil {
		return err
	}
	defer r.client.Close()
	return f(ctx, r)
}

// connect opens a session with a running machine.
func connect(ctx context.Context, e statedir.Entry) (*qmp.Client, error) {
	conn, err := e.Dial(ctx)
	if err != nil {
		return nil, err
	}
	c, err := qmp.NewClient(ctx, conn)
	if err != nil && ctx.Err() == nil {
		return nil, fmt.Errorf("machine %q (process %d) is ending: %w", e.Name, e.PID, err)
	}
	return c, err
}

// argsNAME wants the NAME of a running machine and from least to most arguments
// after it, which are called more.
func argsNAME(least, most int, more string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch n := len(args) - 1; {
		case n < 0:
			return usageError(c, errors.New("NAME is missing"))
		case n < least:
			return usageError(c, fmt.Errorf("%s is missing", more))
		case n > most:
			return usageError(c, fmt.Errorf("%q is too much", args[most+1]))
		}
		return nil
	}
}

// machineNames completes the first argument with the names of running machines,
// and those from files on with the names of files.
func machineNames(files int) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) == files {
			return nil, cobra.ShellCompDirectiveDefault
		}
		var names []string
		if len(args) == 0 {
			list, _ := statedir.List(statedir.Root()) // no place to complain
			for _, e := range list {
				names = append(names, e.Name)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// noFiles is for machineNames: no argument is a file.
const noFiles = -1
