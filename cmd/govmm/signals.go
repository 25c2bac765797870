package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long taking the machine down may last before another signal
// ends the process in the middle of it. Before that, others do not count: timeout
// and systemd send theirs twice.
const patience = time.Second

// stopError is why a machine was stopped from outside.
type stopError struct {
	signal unix.Signal
	reason string
}

func (e *stopError) Error() string { return e.reason }

// handleSignals makes signals stop the machine, or suspend this job, until the
// process ends: one that comes while it takes itself down must not kill it with
// another exit code. tty is nil or the guest's console.
func handleSignals(stop context.CancelCauseFunc, tty *terminal) {
	// A write to a pipe that nobody reads is an error, which is logged, and not
	// the end of the machine.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)

	wanted := []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT}
	if tty != nil {
		wanted = append(wanted, unix.SIGTSTP, unix.SIGCONT)
	}
	// nohup, and a shell that starts a job in the background, want them ignored.
	wanted = slices.DeleteFunc(wanted, signal.Ignored)
	ch := make(chan os.Signal, len(wanted))
	if len(wanted) > 0 { // none would mean all
		signal.Notify(ch, wanted...)
	}
	go func() {
		s := &signals{stop: stop, tty: tty}
		for sig := range ch {
			s.handle(sig.(unix.Signal))
		}
	}()
}

// signals is what the signals so far have done.
type signals struct {
	stop  context.CancelCauseFunc
	tty   *terminal
	first unix.Signal // that stops the machine; 0 for none yet
	since time.Time
}

func (s *signals) handle(sig unix.Signal) {
	switch {
	case sig == unix.SIGTSTP:
		s.tty.suspend()
		_ = unix.Kill(os.Getpid(), unix.SIGSTOP) // cannot fail
	case sig == unix.SIGCONT:
		// The machine goes on without it if the terminal is gone: SIGHUP follows.
		_ = s.tty.makeRaw()
	case s.first == 0:
		s.first, s.since = sig, time.Now()
		s.stop(&stopError{sig, "stopped by " + unix.SignalName(sig)})
	case time.Since(s.since) > patience:
		if s.tty != nil {
			s.tty.restore()
		}
		os.Exit(exitSignal + int(s.first))
	}
}
