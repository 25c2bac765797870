package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/govmm/govmm/vmm"
)

// The values of run --console.
const (
	consoleTerminal = "tty"
	consoleNone     = "none"
)

func (a *app) runCommand() *cobra.Command {
	var console, device string
	var debugExit bool
	cmd := &cobra.Command{
		Use:   "run FILE",
		Short: "Run a machine, its console on this terminal",
		Long: `run builds the machine that FILE describes and runs it until the guest has
ended. The machine's first console, if it is of type pty or stdio, is joined to
this terminal, which is in raw mode meanwhile: Ctrl-C goes to the guest. Leave
with ^] (Ctrl and the closing bracket), which stops the machine at once.

SIGTERM, SIGINT and SIGHUP stop the machine at once too. The terminal is always
put back as it was.

The exit code is
  0  the guest powered off, or was reset and on_reboot is destroy
  1  wrong usage, or a file of the host could not be used
  2  the XML is not a valid domain
  3  a valid domain that this version cannot run
  4  this host cannot run it
  5  the guest crashed
and 128 plus the number of the signal that stopped the machine (130 after ^]).`,
		Example: `  govmm run vm.xml
  govmm run --console=none vm.xml
  govmm run --log-level=info --log-format=json vm.xml 2>log`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: xmlFiles,
		RunE: func(c *cobra.Command, args []string) error {
			if console != consoleTerminal && console != consoleNone {
				return fmt.Errorf("--console=%s is not one of tty, none", console)
			}
			return a.runMachine(c.Context(), args[0], console == consoleTerminal, vmm.Options{Device: device, DebugExit: debugExit})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&console, "console", consoleTerminal, "where the console goes: tty (this terminal), none")
	flags.StringVar(&device, "device", "/dev/kvm", "KVM device to use")
	flags.BoolVar(&debugExit, "debug-exit", false, "give the guest a port (0xf4) that ends the machine, for test kernels")
	_ = cmd.RegisterFlagCompletionFunc("console", cobra.FixedCompletions([]string{consoleTerminal, consoleNone}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// stopError is why a machine was stopped from outside.
type stopError struct {
	signal syscall.Signal
	reason string
}

func (e *stopError) Error() string { return e.reason }

func (a *app) runMachine(parent context.Context, file string, useTerminal bool, options vmm.Options) error {
	j := a.judge(file)
	if j.err != nil {
		a.report(j)
		if e := (*exitCode)(nil); errors.As(j.err, &e) {
			return &exitCode{code: e.code}
		}
		return &exitCode{code: exitError}
	}
	for _, w := range j.warnings {
		fmt.Fprintf(a.stderr, "%v\n", w)
	}

	ctx, stop := context.WithCancelCause(parent)
	defer stop(nil)
	defer stopOnSignals(stop)()

	stderr := &rawWriter{w: a.stderr}
	log, err := a.log.logger(stderr)
	if err != nil {
		return err
	}
	options.Log = log
	var tty *console
	if useTerminal {
		tty = newConsole(a.stdin, a.stdout, func() {
			stop(&stopError{syscall.SIGINT, "stopped by ^]"})
		})
		options.Stdin, options.Stdout = tty.input(), tty.output()
	}
	m, err := vmm.New(ctx, j.domain, options)
	if err != nil {
		return hostExit(err)
	}
	if tty != nil {
		defer tty.detach()
	}
	defer m.Close() // before detach, so that the last output is shown
	if tty != nil {
		if err := tty.attach(m, stderr); err != nil {
			return err
		}
	}
	exit, err := m.Run(ctx)
	closeErr := m.Close()
	if tty != nil {
		tty.detach() // what is said from here on, a cooked terminal shows
	}
	if closeErr != nil {
		log.Error("the machine was not taken down cleanly", "error", closeErr)
	}
	return a.finish(ctx, exit, err)
}

// finish turns the end of a machine into words and an exit code.
func (a *app) finish(ctx context.Context, exit vmm.Exit, err error) error {
	if s := (*stopError)(nil); errors.As(context.Cause(ctx), &s) {
		return &exitCode{exitSignal + int(s.signal), s}
	}
	if err != nil {
		return hostExit(err)
	}
	switch {
	case exit.Crashed():
		return &exitCode{exitCrashed, fmt.Errorf("the guest crashed: %v", exit)}
	case exit.Cause == vmm.CauseDebugExit:
		return debugExitStatus(exit.Code)
	case exit.Detail != "": // a triple fault that on_reboot ended
		fmt.Fprintf(a.stderr, "govmm: the guest ended: %v\n", exit)
	}
	return nil
}

// debugExitStatus is what the status byte of QEMU's isa-debug-exit would be.
func debugExitStatus(code uint32) error {
	return &exitCode{code: int(code<<1|1) & 0xFF}
}

// stopOnSignals makes the first signal cancel with its cause, and undoes that.
func stopOnSignals(stop context.CancelCauseFunc) (undo func()) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	done := make(chan struct{})
	go func() {
		select {
		case s := <-ch:
			number := s.(syscall.Signal)
			stop(&stopError{number, "stopped by " + signalName(number)})
		case <-done:
		}
	}()
	return func() {
		signal.Stop(ch)
		close(done)
	}
}

func signalName(s syscall.Signal) string {
	switch s {
	case syscall.SIGINT:
		return "SIGINT"
	case syscall.SIGTERM:
		return "SIGTERM"
	case syscall.SIGHUP:
		return "SIGHUP"
	case syscall.SIGQUIT:
		return "SIGQUIT"
	}
	return s.String()
}

// hostExit gives an error of package vmm its exit code.
func hostExit(err error) error {
	if h := (*vmm.HostError)(nil); errors.As(err, &h) {
		return &exitCode{exitHost, err}
	}
	return &exitCode{exitError, err}
}

var _ io.Writer = (*rawWriter)(nil)
