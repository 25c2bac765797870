package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/govmm/govmm/vmm"
)

// shutdownTimeout is less than the 90 s after which systemd kills a service that does not
// stop.
const shutdownTimeout = time.Minute

// The values of run --console.
const (
	consoleTerminal = "tty"
	consoleNone     = "none"
)

func (a *app) runCommand() *cobra.Command {
	consoles := []string{consoleTerminal, consoleNone}
	var console string
	var noControl bool
	var shutdown time.Duration
	var options vmm.Options
	cmd := &cobra.Command{
		Use:   "run FILE",
		Short: "Run a machine, its console on this terminal",
		Long: `run builds the machine that FILE ("-" is the standard input) describes and runs
it until the guest has ended.

A device of type stdio, or else the machine's first console if it is of type
pty, is joined to standard input and output. A terminal is in raw mode
meanwhile: Ctrl-C goes to the guest. Leave with ^] (Ctrl and the closing
bracket), which stops the machine at once. With --console=none a pty stays a
pty, whose path --log-level=info tells. A virtio console that is shown on a
terminal has the terminal's size.

While the machine runs, other commands (list, screenshot, ...) and clients of
QEMU's machine protocol can control it by a socket in its state directory,
/run/govmm/NAME or $XDG_RUNTIME_DIR/govmm/NAME, and a domain of the same name
is not run again. --no-control does without both.

SIGTERM ends the machine in an orderly way: its power button is pressed, again
until the guest listens to it, and the guest's end is the machine's, whatever
on_poweroff, on_reboot and on_crash say. A guest that has not ended after
--shutdown-timeout is stopped. So is at once a machine without ACPI; and every
machine by another signal, a second or more after the first (those that follow
sooner do not count). SIGINT does the same, unless it comes from Ctrl-C.

Ctrl-C where the terminal is not in raw mode, SIGQUIT and SIGHUP stop the
machine at once. The terminal is always put back as it was.

The exit code is
  0  the guest powered off (also because of SIGTERM), or was reset and
     on_reboot is destroy, or the machine was ended through its control socket
  1  wrong usage, or a file of the host could not be used
  2  the XML is not a valid domain
  3  a valid domain that this version cannot run
  4  this host cannot run it
  5  the guest crashed
and 128 plus the number of the signal that stopped the machine, or the guest
did not react to (130 after ^]).`,
		Example: `  govmm run vm.xml
  govmm run --console=none vm.xml
  govmm run --log-level=info --log-format=json vm.xml 2>log`,
		Args:              argsFILE(false),
		ValidArgsFunction: xmlFiles,
		RunE: func(c *cobra.Command, args []string) error {
			if err := oneOf("console", console, consoles); err != nil {
				return err
			}
			if shutdown < 0 {
				return usageError(c, fmt.Errorf("--shutdown-timeout=%v is less than 0", shutdown))
			}
			j := a.judge(args[0])
			if err := a.report(j); err != nil {
				return err
			}
			options.Log, options.OwnsProcess = a.log, true
			if !noControl {
				if err := a.control.open(j.domain.Name, a.log); err != nil {
					return err
				}
				defer a.control.close()
				options.RuntimeDir = a.control.path()
				options.Rename = a.control.rename
			}
			return a.runMachine(c.Context(), j, console == consoleTerminal, shutdown, options)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&console, "console", consoleTerminal, "where the console goes: tty (standard input and output), none")
	flags.DurationVar(&shutdown, "shutdown-timeout", shutdownTimeout, "how long a guest may take to end after SIGTERM; 0 stops it at once")
	flags.StringVar(&options.Device, "device", "/dev/kvm", "KVM device to use")
	flags.StringVar(&options.TLSDir, "tls-dir", vmm.DefaultTLSDir, "the certificates of serial ports and channels with TLS: ca-cert.pem, server-cert.pem, server-key.pem, client-cert.pem, client-key.pem")
	flags.BoolVar(&options.DebugExit, "debug-exit", false, "give the guest a port (0xf4) that ends the machine, for test kernels")
	flags.StringVar(&options.DumpDir, "dump-dir", "", "where core dumps of on_crash and the watchdog go (default: "+defaultDumpDir()+")")
	flags.BoolVar(&noControl, "no-control", false, "no control socket, and the domain may run several times at once")
	complete(cmd, "console", consoles)
	return cmd
}

// defaultDumpDir is vmm.DumpDirectory for a help text.
func defaultDumpDir() string {
	dir, err := vmm.DumpDirectory()
	if err != nil {
		return "none"
	}
	return dir
}

// runMachine runs a machine from its making to its end. Whatever happens, the
// terminal is restored and the machine is gone when it returns.
func (a *app) runMachine(parent context.Context, j *judgement, useConsole bool, shutdown time.Duration, options vmm.Options) error {
	con := &console{}
	if useConsole {
		joined, err := joinConsole(j.domain)
		if err != nil {
			return err
		}
		if joined {
			if con, err = openConsole(a.stdin); err != nil {
				return err
			}
			defer con.close()
			options.Stdin, options.Stdout = con.input, a.stdout
			a.stderr.tty = con.tty
		}
	}
	ctx, stop := context.WithCancelCause(parent)
	defer stop(nil)
	signals := handleSignals(stop, con.tty)

	progress := a.showProgress()
	options.MemoryProgress = progress.show
	m, err := vmm.New(ctx, j.domain, options)
	progress.end()
	if err != nil {
		return ended(ctx, err)
	}
	defer m.Close()
	if err := con.start(func() { stop(&stopError{unix.SIGINT, "stopped by ^]"}) }); err != nil {
		return err
	}
	defer followSize(ctx, m, shownConsole(m), a.stdout, options.Log)()
	go trim(ctx, options.Log)
	a.control.serve(m, j.domain)
	signals.shutDownBy(func(reason *stopError) { shutDown(ctx, m, shutdown, reason, stop) })
	exit, err := m.Run(ctx)
	a.control.end()
	closeErr := m.Close()
	con.close() // what is said from here on, a cooked terminal shows
	if closeErr != nil {
		options.Log.Error("the machine was not taken down cleanly", "error", closeErr)
	}
	if err != nil || ctx.Err() != nil && exit.Cause == vmm.CauseStopped {
		return ended(ctx, err)
	}
	return verdictOf(exit) // the other way to be stopped is "quit", as good as any end
}

// shutDown ends a machine because of a signal: by itself within a time, or else at once.
func shutDown(ctx context.Context, m *vmm.Machine, timeout time.Duration, reason *stopError, stop context.CancelCauseFunc) {
	if timeout > 0 {
		late := fmt.Errorf("the guest has not ended within %v", timeout)
		waiting, cancel := context.WithTimeoutCause(ctx, timeout, late)
		defer cancel()
		err := m.Shutdown(waiting)
		if err == nil || ctx.Err() != nil {
			return
		}
		reason.reason += ": " + err.Error()
	}
	stop(reason)
}

// ended is the error of a machine that could not be made or run, or that a
// signal stopped while it was.
func ended(ctx context.Context, err error) error {
	if s := (*stopError)(nil); errors.As(context.Cause(ctx), &s) {
		return &exitCode{exitSignal + int(s.signal), s}
	}
	if err == nil {
		err = context.Cause(ctx)
	}
	return &exitCode{hostCode(err), err}
}

// hostCode is the exit code for an error of package vmm.
func hostCode(err error) int {
	if h := (*vmm.HostError)(nil); errors.As(err, &h) {
		return exitHost
	}
	return exitError
}

// verdictOf turns the end of a guest into words and an exit code. A triple
// fault is a reset for on_reboot, but a guest that it ends has died.
func verdictOf(exit vmm.Exit) error {
	switch {
	case exit.Cause == vmm.CauseHost:
		return &exitCode{exitHost, fmt.Errorf("the machine could not go on: %v", exit)}
	case exit.Crashed():
		return &exitCode{exitCrashed, fmt.Errorf("the guest crashed: %v", exit)}
	case exit.Cause == vmm.CauseDebugExit:
		// What the exit status of QEMU with isa-debug-exit would be.
		return &exitCode{code: int(exit.Code<<1|1) & 0xFF}
	}
	return nil
}
